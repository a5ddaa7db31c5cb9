import assert from 'node:assert/strict'
import type { CallerIdentity } from '../../support/caller.ts'
import { assertRefused } from './assert-refused.ts'
import { GuardedWorkload, type LiveCallers } from './guarded-workload.ts'
import {
  checkoutId,
  partnerDomain,
  partnerId,
  paymentsId,
  type TrustWorld,
  type WorkloadEndpoint,
} from './trust-world.ts'

/** The trust in another trust domain comes, moves with its CA, and goes. */
export function federationRows(world: () => TrustWorld): void {
  let endpoint: WorkloadEndpoint

  beforeEach(async () => {
    endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
  })

  afterEach(() => world().defederate())

  it('takes callers of another trust domain once it is federated, and drops nobody', async () => {
    await using sidecar = await GuardedWorkload.start(endpoint)
    const own = await sidecar.openLive(await world().mint(checkoutId))
    const partner = sidecar.caller(await world().mint(partnerId))
    await assertRefused(partner, 'trust_domain_unknown')
    const { epoch } = await sidecar.metrics()

    await world().federate(endpoint)
    const after = await sidecar.untilMetrics('a new epoch', (metrics) => metrics.epoch > epoch)

    assert.equal((await partner.call()).status, 200)
    assert.deepEqual(await own.call(), [200, 200])
    assert.equal(after.epoch, epoch + 1)
    assert.deepEqual(after.reevaluated, { kept: 2, ended: 0 })
    await sidecar.untilMissing()
  })

  it('follows the CA of the other trust domain, and ends whom only the old one vouched for', async () => {
    await world().federate(endpoint)
    await using sidecar = await GuardedWorkload.start(endpoint)
    const oldCaller = await world().mint(partnerId)
    const old = await openLiveWhenFederated(sidecar, oldCaller)
    const own = await sidecar.openLive(await world().mint(checkoutId))
    const { epoch } = await sidecar.metrics()

    await world().prepareCa(partnerDomain)
    await world().federate(endpoint)
    await sidecar.untilMetrics('both roots', (metrics) => metrics.epoch === epoch + 1)
    await world().activateCa(partnerDomain)
    await world().taintOldCa(partnerDomain)
    const newCaller = await world().mint(partnerId)
    assert.equal((await sidecar.caller(newCaller).call()).status, 200)
    assert.deepEqual(await old.call(), [200, 200])
    const current = await sidecar.openLive(newCaller)

    await world().revokeOldCa(partnerDomain)
    await world().federate(endpoint)
    await old.ended()

    assert.deepEqual(await current.call(), [200, 200])
    assert.deepEqual(await own.call(), [200, 200])
    await assertRefused(sidecar.caller(oldCaller), 'issuer_unknown')
    assert.equal((await sidecar.metrics()).reevaluated.ended, 2)
    await sidecar.untilMissing()
  })

  it("refuses a partner's new CA until our copy of its bundle is refreshed, and drops nobody", async () => {
    await world().federate(endpoint)
    await using sidecar = await GuardedWorkload.start(endpoint)
    const live = await openLiveWhenFederated(sidecar, await world().mint(partnerId))
    const before = await sidecar.metrics()

    await world().prepareCa(partnerDomain)
    await world().activateCa(partnerDomain)
    const caller = sidecar.caller(await world().mint(partnerId))
    await assertRefused(caller, 'issuer_unknown')
    assert.deepEqual(await live.call(), [200, 200])
    const stale = await sidecar.metrics()
    assert.deepEqual([stale.epoch, stale.reevaluated], [before.epoch, before.reevaluated])
    await sidecar.untilMissing()

    await world().federate(endpoint)
    await sidecar.untilMetrics('the new epoch', ({ epoch }) => epoch === before.epoch + 1)
    assert.equal((await caller.call()).status, 200)
    assert.deepEqual(await live.call(), [200, 200])
    const { kept, ended } = before.reevaluated
    const { reevaluated } = await sidecar.metrics()
    assert.deepEqual(reevaluated, { kept: kept + live.size, ended })
    await sidecar.untilMissing()
  })

  it('ends the callers of another trust domain when it is federated no more, and nobody else', async () => {
    await world().federate(endpoint)
    await using sidecar = await GuardedWorkload.start(endpoint)
    const identity = await world().mint(partnerId)
    const idle = await openLiveWhenFederated(sidecar, identity)
    const busy = await sidecar.openLive(identity)
    const own = await sidecar.openLive(await world().mint(checkoutId))
    const withKey = await sidecar.openLive()
    const running = await sidecar.beginReplies(busy)
    const before = await sidecar.metrics()

    await world().defederate()
    await idle.ended()

    assert.deepEqual(busy.isEnded, [false, false])
    assert.deepEqual(await running.finish(), ['first half, second half', 'first half, second half'])
    await busy.ended()
    assert.deepEqual(await own.call(), [200, 200])
    assert.deepEqual(await withKey.call(), [200, 200])
    const after = await sidecar.metrics()
    assert.equal(after.epoch, before.epoch + 1)
    const { kept, ended } = before.reevaluated
    assert.deepEqual(after.reevaluated, { kept: kept + 4, ended: ended + 4 })
    await assertRecorded(sidecar, 4)
    await assertRefused(sidecar.caller(identity), 'trust_domain_unknown')
    await sidecar.untilMissing()
  })
}

/** Each connection that ended has a record of its own, with the reason that held before. */
async function assertRecorded({ postern }: GuardedWorkload, connections: number): Promise<void> {
  const recorded = () => postern.audit.filter(({ error }) => error === 'trust_changed')
  await postern.until('all are recorded', () => recorded().length === connections)
  for (const line of recorded()) {
    assert.deepEqual(
      [line.decision.reason, line['previous_reason']],
      ['trust_domain_unknown', 'svid_trust_domain'],
    )
  }
  assert.equal(new Set(recorded().map(({ id }) => id)).size, connections)
}

/** The bundle may come a moment after the SVID. */
async function openLiveWhenFederated(
  sidecar: GuardedWorkload,
  identity: CallerIdentity,
): Promise<LiveCallers> {
  await sidecar.postern.until('the partner is trusted', async () => {
    return (await sidecar.caller(identity).call()).status === 200
  })
  return sidecar.openLive(identity)
}
