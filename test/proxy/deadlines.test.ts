import assert from 'node:assert/strict'
import { type Deadline, Deadlines } from '../../src/proxy/deadlines.ts'
import { FakeClock } from '../support/fake-clock.ts'

class Member implements Deadline {
  deadlineMs: number
  reached = 0
  onReached: () => void = () => undefined

  constructor(deadlineMs = Infinity) {
    this.deadlineMs = deadlineMs
  }

  deadlineReached(): void {
    assert.equal(this.deadlineMs, Infinity)
    this.reached++
    this.onReached()
  }
}

describe('Deadlines', () => {
  let clock: FakeClock
  let deadlines: Deadlines

  beforeEach(() => {
    clock = new FakeClock()
    deadlines = new Deadlines(clock)
  })

  it('call back once when a deadline is past, at most 250 ms late', () => {
    const member = new Member(1_000)
    deadlines.add(member)
    clock.advance(999)
    assert.equal(member.reached, 0)
    clock.advance(251)
    assert.equal(member.reached, 1)
    clock.advance(10_000)
    assert.equal(member.reached, 1)
  })

  it('follow a deadline that is moved, set or taken away', () => {
    const member = new Member()
    deadlines.add(member)
    clock.advance(5_000)
    member.deadlineMs = deadlines.nowMs() + 1_000
    clock.advance(900)
    member.deadlineMs = deadlines.nowMs() + 1_000
    clock.advance(900)
    member.deadlineMs = Infinity
    clock.advance(5_000)
    assert.equal(member.reached, 0)
    member.deadlineMs = deadlines.nowMs()
    clock.advance(250)
    assert.equal(member.reached, 1)
  })

  it('let a member leave, and others leave or join, while they are looked at', () => {
    const [first, second, third] = [new Member(100), new Member(100), new Member(100)]
    first.onReached = () => {
      deadlines.delete(first)
      deadlines.delete(second)
      deadlines.add(third)
    }
    deadlines.add(first)
    deadlines.add(second)
    clock.advance(250)
    assert.deepEqual([first.reached, second.reached], [1, 0])
    clock.advance(250)
    assert.equal(third.reached, 1)
  })

  it('set no timer while nobody has a deadline to be watched', () => {
    assert.equal(clock.nextTimerMs, undefined)
    const member = new Member()
    deadlines.add(member)
    assert.equal(clock.nextTimerMs, 250)
    deadlines.delete(member)
    clock.advance(250)
    assert.equal(clock.nextTimerMs, undefined)
    deadlines.add(member)
    assert.equal(clock.nextTimerMs, 250)
  })

  it('go on after a member that throws', () => {
    const [bad, good] = [new Member(100), new Member(100)]
    bad.onReached = () => {
      throw new Error('a bug')
    }
    deadlines.add(bad)
    deadlines.add(good)
    assert.throws(() => clock.advance(250), /a bug/)
    clock.advance(250)
    assert.equal(good.reached, 1)
  })

  it('are over when closed', () => {
    const member = new Member(100)
    deadlines.add(member)
    deadlines.close()
    deadlines.close()
    clock.advance(1_000)
    assert.equal(member.reached, 0)
    assert.equal(clock.nextTimerMs, undefined)
  })
})
