import assert from 'node:assert/strict'
import { requireSpire } from '../../support/spire.ts'
import { GuardedWorkload } from '../trust/support/guarded-workload.ts'
import { outageRows } from '../trust/support/outage-rows.ts'
import { checkoutId, ownDomain, paymentsId } from '../trust/support/trust-world.ts'
import { SpireWorld } from './support/spire-world.ts'

describe('outages with a real SPIRE', function () {
  this.timeout(60_000)

  let world: SpireWorld | undefined

  before(async function () {
    world = await SpireWorld.start(requireSpire(this))
  })

  afterEach(function () {
    world?.cluster.printLogsIfFailed(this)
  })

  after(() => world?.close())

  outageRows(() => started())

  it('serves on when its agent is evicted, and follows it when it has attested anew', async () => {
    const endpoint = await started().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const identity = await started().mint(checkoutId)
    const live = await sidecar.openLive(identity)
    const before = await sidecar.metrics()

    await started().cluster.domain(ownDomain).evictAgent(endpoint.agent)
    await endpoint.agent.exited()
    await sidecar.untilMetrics('disconnected', ({ isConnected }) => !isConnected)
    assert.deepEqual(await live.call(), [200, 200])
    assert.equal((await sidecar.caller(identity).call()).status, 200)
    await sidecar.untilMissing()

    endpoint.agent.forget()
    await endpoint.startAgent()
    const after = await sidecar.untilMetrics('connected', ({ isConnected }) => isConnected)
    assert.ok(after.svidNotAfterSeconds >= before.svidNotAfterSeconds)
    assert.equal(after.epoch, before.epoch)
    assert.deepEqual(await live.call(), [200, 200])
  })

  function started(): SpireWorld {
    if (world === undefined) throw new TypeError('SPIRE was not started')
    return world
  }
})
