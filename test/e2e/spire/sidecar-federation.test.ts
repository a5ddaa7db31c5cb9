import assert from 'node:assert/strict'
import { requireSpire } from '../../support/spire.ts'
import { assertRefused } from '../trust/support/assert-refused.ts'
import { federationRows, openLiveWhenFederated } from '../trust/support/federation-rows.ts'
import { GuardedWorkload } from '../trust/support/guarded-workload.ts'
import { partnerDomain, partnerId, paymentsId } from '../trust/support/trust-world.ts'
import { SpireWorld } from './support/spire-world.ts'

describe('federation with a real SPIRE', function () {
  this.timeout(60_000)

  let world: SpireWorld | undefined

  before(async function () {
    world = await SpireWorld.start(requireSpire(this))
  })

  afterEach(function () {
    world?.cluster.printLogsIfFailed(this)
  })

  after(() => world?.close())

  federationRows(() => started())

  it("refuses a partner's new CA until the copy of its bundle is refreshed", async () => {
    const endpoint = await started().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await started().federate(endpoint)
    await using sidecar = await GuardedWorkload.start(endpoint)
    const live = await openLiveWhenFederated(sidecar, await started().mint(partnerId))

    await started().prepareCa(partnerDomain)
    await started().activateCa(partnerDomain)
    const caller = sidecar.caller(await started().mint(partnerId))
    await assertRefused(caller, 'issuer_unknown')
    const { epoch } = await sidecar.metrics()

    await started().federate(endpoint)
    await sidecar.untilMetrics('the refreshed bundle', (metrics) => metrics.epoch === epoch + 1)
    assert.equal((await caller.call()).status, 200)
    assert.deepEqual(await live.call(), [200, 200])
  })

  function started(): SpireWorld {
    if (world === undefined) throw new TypeError('SPIRE was not started')
    return world
  }
})
