import assert from 'node:assert/strict'
import { systemClock, wait } from '../../src/core/clock.ts'
import { FakeClock } from '../support/fake-clock.ts'

describe('wait', () => {
  it('resolves true when the time is over', async () => {
    const clock = new FakeClock()
    const done = wait(clock, 1_000)
    clock.advance(1_000)
    assert.equal(await done, true)
  })

  it('resolves false as soon as the signal aborts, and forgets its timer', async () => {
    const clock = new FakeClock()
    const abort = new AbortController()
    const done = wait(clock, 1_000, abort.signal)
    abort.abort()
    assert.equal(await done, false)
    assert.equal(clock.nextTimerMs, undefined)
  })

  it('does not wait for a signal that had aborted before', async () => {
    assert.equal(await wait(new FakeClock(), 1_000, AbortSignal.abort()), false)
  })
})

describe('systemClock', () => {
  it('fires a timer after its delay and not when it was cancelled', async () => {
    let cancelled = false
    const timer = systemClock.setTimer(1, () => (cancelled = true))
    timer.cancel()
    await new Promise<void>((resolve) => {
      systemClock.setTimer(5, resolve, { keepAlive: true })
    })
    assert.equal(cancelled, false)
  })
})
