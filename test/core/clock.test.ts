import assert from 'node:assert/strict'
import { MessageChannel } from 'node:worker_threads'
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

  it('grants whatever waits its turn before a timer without a delay, however late that comes', async () => {
    const order: string[] = []
    const { port1, port2 } = new MessageChannel()
    port1.on('message', () => order.push('message'))
    await new Promise<void>((resolve) => {
      systemClock.setTimer(
        1,
        () => {
          port2.postMessage('')
          const lateMs = systemClock.monotonic() + 5
          while (systemClock.monotonic() < lateMs);
          systemClock.setTimer(0, () => {
            order.push('timer')
            resolve()
          })
        },
        { keepAlive: true },
      )
    })
    port1.close()
    assert.deepEqual(order, ['message', 'timer'])
  })
})
