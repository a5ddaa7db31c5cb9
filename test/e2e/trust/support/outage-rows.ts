import assert from 'node:assert/strict'
import { assertProblem } from '../../support/problem.ts'
import { assertNoHandshake } from './assert-refused.ts'
import { GuardedWorkload } from './guarded-workload.ts'
import { checkoutId, paymentsId, type TrustWorld } from './trust-world.ts'

/** Our own identity comes late, is taken back, or is renewed no more. */
export function outageRows(world: () => TrustWorld): void {
  it('waits for an identity that comes late, and takes no connection before', async () => {
    const endpoint = await world().openEndpoint()
    await using sidecar = await GuardedWorkload.start(endpoint, { until: 'listening' })
    const caller = sidecar.caller(await world().mint(checkoutId))
    await sidecar.untilMissing('identity')
    await assertNoHandshake(caller)
    await assertNoHandshake(sidecar.caller())
    const before = await sidecar.metrics()
    assert.deepEqual(
      [before.epoch, before.svidNotAfterSeconds, before.isConnected, before.refused],
      [1, 0, false, 2],
    )

    await endpoint.register({ spiffeId: paymentsId })
    await sidecar.untilMissing()

    assert.equal((await caller.call()).status, 200)
    const after = await sidecar.metrics()
    assert.equal(after.isConnected, true)
    assert.equal(after.epoch, 2)
    assert.ok(after.svidNotAfterSeconds > Date.now() / 1_000)
  })

  it('stops using an identity that was taken back, and goes on where it ended when it has one again', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const caller = sidecar.caller(await world().mint(checkoutId))
    const live = await caller.open('h2')
    assert.equal((await live.call()).status, 200)
    const before = await sidecar.metrics()

    await endpoint.remove(paymentsId)
    await sidecar.untilMissing('identity')
    await assertNoHandshake(caller)
    assertProblem(await live.call(), 503, 'identity_unavailable')
    const without = await sidecar.metrics()
    assert.deepEqual(
      [without.svidNotAfterSeconds, without.isConnected, without.refused - before.refused],
      [0, false, 1],
    )

    await endpoint.register({ spiffeId: paymentsId })
    await sidecar.untilMissing()
    assert.equal((await live.call()).status, 200)
    assert.equal((await caller.call()).status, 200)
    assert.equal((await sidecar.metrics()).epoch, before.epoch)
    live.close()
  })

  it('serves on while its agent is down, and follows the one that comes back', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const identity = await world().mint(checkoutId)
    const live = await sidecar.openLive(identity)
    const before = await sidecar.metrics()

    await endpoint.killAgent()
    const down = await sidecar.untilMetrics('disconnected', ({ isConnected }) => !isConnected)
    assert.equal(down.svidNotAfterSeconds, before.svidNotAfterSeconds)
    await assertServesOn(sidecar, live, identity)

    await endpoint.startAgent()
    const after = await sidecar.untilMetrics('connected', ({ isConnected }) => isConnected)
    assert.deepEqual(await live.call(), [200, 200])
    assert.equal(after.epoch, before.epoch)
    assert.ok(after.updates.accepted > before.updates.accepted)
    assert.equal(after.refused, 0)
  })

  it('serves on when its agent is evicted, and follows it when it has attested anew', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const identity = await world().mint(checkoutId)
    const live = await sidecar.openLive(identity)
    const before = await sidecar.metrics()

    await endpoint.evictAgent()
    const down = await sidecar.untilMetrics('disconnected', ({ isConnected }) => !isConnected)
    assert.equal(down.svidNotAfterSeconds, before.svidNotAfterSeconds)
    await assertServesOn(sidecar, live, identity)

    await endpoint.attestAgent()
    const after = await sidecar.untilMetrics('connected', ({ isConnected }) => isConnected)
    assert.ok(after.svidNotAfterSeconds >= before.svidNotAfterSeconds)
    assert.deepEqual([after.epoch, after.refused], [before.epoch, 0])
    assert.deepEqual(await live.call(), [200, 200])
    await sidecar.untilMissing()
  })

  it('stops at once when the agent that comes back has nothing for it, and goes on when it has', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const caller = sidecar.caller(await world().mint(checkoutId))
    const live = await caller.open('h2')
    const withKey = await sidecar.caller().open()
    assert.deepEqual([(await live.call()).status, (await withKey.call()).status], [200, 200])
    const before = await sidecar.metrics()

    await endpoint.evictAgent()
    await endpoint.remove(paymentsId)
    await sidecar.untilMetrics('disconnected', ({ isConnected }) => !isConnected)
    await sidecar.untilMissing()
    assert.equal((await caller.call()).status, 200)

    await endpoint.attestAgent()
    await sidecar.untilMissing('identity')
    await assertNoHandshake(caller)
    await assertNoHandshake(sidecar.caller())
    assertProblem(await live.call(), 503, 'identity_unavailable')
    assertProblem(await withKey.call(), 503, 'identity_unavailable')
    const without = await sidecar.metrics()
    assert.deepEqual(
      [without.svidNotAfterSeconds, without.isConnected, without.refused - before.refused],
      [0, false, 2],
    )

    await endpoint.register({ spiffeId: paymentsId })
    await sidecar.untilMissing()
    assert.equal((await caller.call()).status, 200)
    assert.deepEqual([(await live.call()).status, (await withKey.call()).status], [200, 200])
    const after = await sidecar.metrics()
    assert.deepEqual([after.epoch, after.isConnected], [before.epoch, true])
    live.close()
    withKey.close()
  })

  it('notices by itself that its SVID has expired, and serves again with the next one', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: 8 })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const caller = sidecar.caller(await world().mint(checkoutId))
    const live = await caller.open()
    assert.equal((await live.call()).status, 200)
    const before = await sidecar.metrics()

    await world().stopIssuing()
    try {
      await sidecar.untilMissing('identity')
      const { svidNotAfterSeconds, isConnected, epoch } = await sidecar.metrics()
      assert.deepEqual([svidNotAfterSeconds, isConnected, epoch], [0, true, before.epoch])
      await assertNoHandshake(caller)
      assertProblem(await live.call(), 503, 'identity_unavailable')
    } finally {
      await world().startIssuing()
    }

    await sidecar.untilMissing()
    assert.equal((await live.call()).status, 200)
    assert.equal((await caller.call()).status, 200)
    assert.equal((await sidecar.metrics()).epoch, before.epoch)
    live.close()
  })
}

/** Live and new connections, and it is ready. */
async function assertServesOn(
  sidecar: GuardedWorkload,
  live: Awaited<ReturnType<GuardedWorkload['openLive']>>,
  identity: Parameters<GuardedWorkload['caller']>[0],
): Promise<void> {
  assert.deepEqual(await live.call(), [200, 200])
  assert.equal((await sidecar.caller(identity).call()).status, 200)
  await sidecar.untilMissing()
}
