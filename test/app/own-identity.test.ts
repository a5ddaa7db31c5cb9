import assert from 'node:assert/strict'
import { OwnIdentity } from '../../src/app/own-identity.ts'
import { type Logger, silentLogger } from '../../src/core/logger.ts'
import { X509Svid } from '../../src/spiffe/x509-svid.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { TestCa } from '../support/test-ca.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const startMs = Date.UTC(2026, 10, 20)

describe('OwnIdentity', () => {
  let clock: FakeClock
  let user: RecordingUser
  let identity: OwnIdentity
  let ca: TestCa

  before(async () => {
    ca = await TestCa.root('corp', { notBeforeMs: startMs - day, notAfterMs: startMs + day })
  })

  beforeEach(() => {
    clock = new FakeClock(startMs)
    user = new RecordingUser()
    identity = new OwnIdentity({ clock, logger: silentLogger, user })
  })

  it('serves with an SVID from the moment it is held', async () => {
    const svid = await svidFor({ minutes: 30 })
    identity.hold(svid)
    assert.deepEqual(user.serving, svid)
    assert.equal(identity.isUsable, true)
  })

  it('serves nobody once the SVID has expired, told by nobody', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    clock.advance(30 * minute)
    assert.equal(identity.isUsable, true)
    clock.advance(2_000)
    assert.equal(identity.isUsable, false)
    assert.deepEqual(user.calls, ['use', 'lose'])
  })

  it('judges the chain by its certificate that ends first', async () => {
    const intermediate = await ca.intermediate({
      notBeforeMs: startMs - hour,
      notAfterMs: startMs + 10 * minute,
    })
    identity.hold(await svidFor({ minutes: 30, issuer: intermediate }))
    clock.advance(10 * minute + 2_000)
    assert.equal(identity.isUsable, false)
  })

  it('serves again with the renewed SVID, and forgets the one before', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    clock.advance(31 * minute)
    const renewed = await svidFor({ minutes: 90 })
    identity.hold(renewed)
    assert.deepEqual(user.serving, renewed)
    clock.advance(20 * minute)
    assert.deepEqual(user.calls, ['use', 'lose', 'use'])
  })

  it('puts no expired SVID into service, and keeps a valid one that it has', async () => {
    const expired = await svidFor({ minutes: -1 })
    identity.hold(expired)
    assert.deepEqual(user.calls, [])
    const good = await svidFor({ minutes: 30 })
    identity.hold(good)
    identity.hold(expired)
    assert.deepEqual(user.serving, good)
    clock.advance(31 * minute)
    assert.equal(identity.isUsable, false)
  })

  it('serves with a renewed SVID at once when our clock lags behind the one that issued it', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    const ahead = await svidFor({ minutes: 60, notBeforeMs: startMs + 5 * minute })
    identity.hold(ahead)
    assert.deepEqual(user.serving, ahead)
    clock.advance(hour - minute)
    assert.deepEqual(user.calls, ['use', 'use'])
  })

  it('stops serving when the clock jumps past the end, and serves again when it comes back', async () => {
    const svid = await svidFor({ minutes: 30 })
    identity.hold(svid)
    clock.jump(hour)
    clock.advance(1_000)
    assert.equal(identity.isUsable, false)
    clock.jump(-hour)
    clock.advance(1_000)
    assert.deepEqual(user.serving, svid)
    clock.advance(30 * minute)
    assert.equal(identity.isUsable, false)
  })

  it('serves on when the clock jumps back, and ends in time when it jumps forward again', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    clock.jump(-hour)
    clock.advance(10 * minute)
    assert.deepEqual(user.calls, ['use'])
    clock.jump(hour)
    clock.advance(21 * minute)
    assert.equal(identity.isUsable, false)
  })

  it('takes what came during a jump, once the clock is back', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    clock.jump(hour)
    clock.advance(1_000)
    const renewed = await svidFor({ minutes: 45 })
    identity.hold(renewed)
    assert.equal(identity.isUsable, false)
    clock.jump(-hour)
    clock.advance(1_000)
    assert.deepEqual(user.serving, renewed)
  })

  it('serves nobody after it was taken back, whatever the clock does', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    identity.drop()
    assert.equal(identity.isUsable, false)
    clock.jump(-hour)
    clock.advance(minute)
    assert.deepEqual(user.calls, ['use', 'lose'])
    assert.equal(clock.nextTimerMs, undefined)
  })

  it('serves on with the SVID before when a new one is not taken into service', async () => {
    const errors: string[] = []
    identity = new OwnIdentity({ clock, logger: errorsTo(errors), user })
    const good = await svidFor({ minutes: 30 })
    identity.hold(good)
    user.refuse(await svidFor({ minutes: 60 }), identity)
    assert.deepEqual(user.serving, good)
    assert.deepEqual(errors, ['SVID not taken into service'])
    clock.advance(31 * minute)
    assert.equal(identity.isUsable, false)
  })

  it('sets no timer after it was closed', async () => {
    identity.hold(await svidFor({ minutes: 30 }))
    assert.equal(clock.nextTimerMs, 1_000)
    identity.close()
    assert.equal(clock.nextTimerMs, undefined)
  })

  async function svidFor(options: {
    readonly minutes: number
    readonly notBeforeMs?: number
    readonly issuer?: TestCa
  }): Promise<X509Svid> {
    const { minutes, notBeforeMs = startMs - 2 * hour, issuer = ca } = options
    const notAfterMs = startMs + minutes * minute
    const spiffeId = 'spiffe://corp.example/payments'
    const leaf = await issuer.leaf({ spiffeId, notBeforeMs, notAfterMs })
    return X509Svid.parse({ certificates: leaf.der, privateKeyDer: leaf.keyDer })
  }
})

/** What the sidecar does with the identity, in order. */
class RecordingUser {
  readonly calls: ('use' | 'lose')[] = []
  serving: X509Svid | undefined
  #refused: X509Svid | undefined

  useIdentity(svid: X509Svid): void {
    if (svid === this.#refused) throw new Error('not taken')
    this.calls.push('use')
    this.serving = svid
  }

  loseIdentity(): void {
    this.calls.push('lose')
    this.serving = undefined
  }

  refuse(svid: X509Svid, identity: OwnIdentity): void {
    this.#refused = svid
    identity.hold(svid)
  }
}

function errorsTo(messages: string[]): Logger {
  return { ...silentLogger, error: (message) => messages.push(message) }
}
