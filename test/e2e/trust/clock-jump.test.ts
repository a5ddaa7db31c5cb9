import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TestCa } from '../../support/test-ca.ts'
import { Mesh } from '../support/mesh.ts'
import { assertProblem } from '../support/problem.ts'
import { assertNoHandshake, assertRefused } from './support/assert-refused.ts'
import { EmbeddedWorld } from './support/embedded-world.ts'
import { GuardedWorkload } from './support/guarded-workload.ts'
import { MovableWallClock } from './support/movable-wall-clock.ts'
import { checkoutId, paymentsId, type WorkloadEndpoint } from './support/trust-world.ts'

const halfAnHour = 1_800
const hour = 3_600
const sixHours = 6 * hour

/** The built program, whose wall clock jumps while its agent, its callers and this test keep to the real time. */
describe('a clock that jumps an hour under the built program', () => {
  let world: EmbeddedWorld
  let endpoint: WorkloadEndpoint
  let directory: string
  let clock: MovableWallClock

  before(async function () {
    directory = mkdtempSync(join(tmpdir(), 'postern-clock-'))
    world = await EmbeddedWorld.start()
    clock = MovableWallClock.for(this, directory)
  })

  after(async () => {
    rmSync(directory, { recursive: true, force: true })
    await world.close()
  })

  beforeEach(async () => {
    clock.jumpTo(0)
    endpoint = await world.openEndpoint()
  })

  it('forward past our SVID ends our identity; the next SVID brings it back, and so does the right time', async () => {
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: halfAnHour })
    await using sidecar = await GuardedWorkload.start(endpoint, { env: clock.env })
    const caller = sidecar.caller(await world.mint(checkoutId, sixHours))
    const live = await caller.open('h2')
    assert.equal((await live.call()).status, 200)
    const before = await sidecar.metrics()

    clock.jumpTo(hour)
    await sidecar.untilMissing('identity')
    await assertNoHandshake(caller)
    assertProblem(await live.call(), 503, 'identity_unavailable')
    const without = await sidecar.metrics()
    assert.deepEqual([without.svidNotAfterSeconds, without.isConnected], [0, true])
    assert.equal(await sidecar.postern.live(), 200)

    clock.jumpTo(0)
    await sidecar.untilMissing()
    assert.equal((await live.call()).status, 200)
    assert.equal((await caller.call()).status, 200)
    assert.equal((await sidecar.metrics()).svidNotAfterSeconds, before.svidNotAfterSeconds)

    clock.jumpTo(hour)
    await sidecar.untilMissing('identity')
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: sixHours })
    await sidecar.untilMissing()
    assert.equal((await live.call()).status, 200)
    assert.equal((await caller.call()).status, 200)
    assert.equal((await sidecar.metrics()).epoch, before.epoch)
    live.close()
  })

  it('forward admits no certificate that has expired, ends its live connections, and costs nobody else', async () => {
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: sixHours })
    await using sidecar = await GuardedWorkload.start(endpoint, { env: clock.env })
    const expiring = await world.mint(checkoutId, halfAnHour)
    const ended = await sidecar.openLive(expiring)
    const kept = await sidecar.openLive(await world.mint(checkoutId, sixHours))
    const withKey = await sidecar.openLive()

    clock.jumpTo(hour)
    await assertRefused(sidecar.caller(expiring), 'certificate_expired')
    await ended.ended()
    assert.deepEqual(await kept.call(), [200, 200])
    assert.deepEqual(await withKey.call(), [200, 200])
    await sidecar.untilMissing()

    clock.jumpTo(0)
    assert.equal((await sidecar.caller(expiring).call()).status, 200)
    assert.deepEqual(await kept.call(), [200, 200])
    assert.deepEqual(await withKey.call(), [200, 200])
  })

  it('back admits nobody before the time, costs us nothing, and admits all of them afterwards', async () => {
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: halfAnHour })
    await using sidecar = await GuardedWorkload.start(endpoint, { env: clock.env })
    const caller = sidecar.caller(await world.mint(checkoutId))
    assert.equal((await caller.call()).status, 200)
    const before = await sidecar.metrics()

    clock.jumpTo(-hour)
    await assertRefused(caller, 'certificate_not_yet_valid')
    assert.equal((await sidecar.caller().call()).status, 200)
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: halfAnHour })
    await sidecar.untilMetrics(
      'a renewal under the wrong time',
      ({ updates }) => updates.accepted > before.updates.accepted,
    )
    await assertRefused(caller, 'certificate_not_yet_valid')
    await sidecar.untilMissing()

    clock.jumpTo(0)
    assert.equal((await caller.call()).status, 200)
    await sidecar.untilMissing()
    assert.equal((await sidecar.metrics()).epoch, before.epoch)
  })

  it('forward past one of two certificates of a CA serves on by the other, whatever was remembered', async () => {
    await using mesh = await Mesh.start({ svidTtlMs: sixHours * 1_000, env: clock.env })
    const { postern, partnerB } = mesh
    const ending = await TestCa.root('partner-b', {
      key: partnerB.key,
      notAfterMs: Date.now() + halfAnHour * 1_000,
    })
    const caller = await mesh.partnerBCaller()
    const trust = async (pem: string) => {
      const before = await postern.metric('postern_epoch')
      await postern.write({ 'ca/partner-b.pem': pem })
      const isNext = async () => (await postern.metric('postern_epoch')) === before + 1
      await postern.until('the next epoch', isNext)
      assert.equal((await caller.call()).status, 200)
    }

    await trust(ending.pem + partnerB.pem)
    clock.jumpTo(hour)
    assert.equal((await caller.call()).status, 200)
    clock.jumpTo(0)
    await trust(ending.pem)
    clock.jumpTo(hour)
    await assertRefused(caller, 'certificate_expired')
  })

  it('does not keep it from draining', async () => {
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint, { env: clock.env })
    for (const offset of [hour, -hour, 0]) {
      clock.jumpTo(offset)
      assert.equal(await sidecar.postern.live(), 200)
    }

    sidecar.postern.signal('SIGTERM')

    assert.equal(await sidecar.postern.exited, 0)
  })
})
