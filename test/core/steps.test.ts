import assert from 'node:assert/strict'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { finish, inSlices, type Steps } from '../../src/core/steps.ts'

function* count(to: number, onStep: (step: number) => void = () => undefined): Steps<number> {
  for (let step = 1; step <= to; step++) {
    onStep(step)
    yield
  }
  return to
}

function* fail(): Steps<never> {
  yield
  throw new RangeError('broken')
}

describe('steps', () => {
  /** Each look at it is a millisecond later. */
  const ticking = (): Clock => {
    let ms = 0
    return { ...systemClock, monotonic: () => ms++ }
  }

  it('can be run at once', () => {
    assert.equal(finish(count(1_000)), 1_000)
    assert.throws(() => finish(fail()), RangeError)
  })

  it('can be run in slices, between which others get their turn', async () => {
    const turns: number[] = []
    let done = 0
    const others = () => {
      turns.push(done)
      if (done < 100) setImmediate(others)
    }
    setImmediate(others)
    assert.equal(
      await inSlices(
        count(100, (step) => (done = step)),
        ticking(),
      ),
      100,
    )
    const seen = new Set(turns)
    assert.ok(seen.size >= 10, `others saw ${[...seen].join()}`)
  })

  it('take no pause that they do not need', async () => {
    let timers = 0
    const clock: Clock = {
      ...systemClock,
      monotonic: () => 0,
      setTimer: (...args) => {
        timers++
        return systemClock.setTimer(...args)
      },
    }
    assert.equal(await inSlices(count(10_000), clock), 10_000)
    assert.equal(timers, 0)
  })

  it('fail as the work fails', async () => {
    await assert.rejects(inSlices(fail(), ticking()), RangeError)
  })
})
