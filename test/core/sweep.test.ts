import assert from 'node:assert/strict'
import { Sweep } from '../../src/core/sweep.ts'
import { FakeClock } from '../support/fake-clock.ts'

describe('Sweep', () => {
  let clock: FakeClock
  let members: Set<number>
  let visited: number[]
  /** What a visit takes. */
  let visitMs: number
  let sweep: Sweep<number>

  beforeEach(() => {
    clock = new FakeClock()
    members = new Set()
    visited = []
    visitMs = 0
    sweep = new Sweep({
      clock,
      members,
      everyMs: 100,
      visit: (member) => {
        visited.push(member)
        clock.spend(visitMs)
      },
    })
  })

  it('visits all, again and again, and rests while there is none', () => {
    addAll(1, 2, 3)
    clock.advance(99)
    assert.equal(visited.length, 0)
    clock.advance(1)
    assert.deepEqual(visited, [1, 2, 3])
    members.delete(2)
    clock.advance(100)
    assert.deepEqual(visited, [1, 2, 3, 1, 3])
    members.clear()
    clock.advance(100)
    assert.equal(clock.nextTimerMs, undefined)
    addAll(4)
    clock.advance(100)
    assert.equal(visited.includes(4), true)
  })

  it('lets the event loop go on every few milliseconds, and still comes to everyone once', () => {
    visitMs = 1
    addAll(...Array(1_000).keys())
    clock.advance(100)
    assert.equal(visited.length, 32)
    for (let turn = 0; turn < 31; turn++) clock.advance(0)
    assert.deepEqual(visited, [...Array(1_000).keys()])
    clock.advance(50)
    assert.equal(visited.length, 1_000)
  })

  it('sees who comes and goes during a round', () => {
    visitMs = 1
    addAll(...Array(64).keys())
    clock.advance(100)
    members.delete(40)
    addAll(64)
    clock.advance(0)
    clock.advance(0)
    assert.deepEqual(
      visited,
      [...Array(65).keys()].filter((member) => member !== 40),
    )
  })

  it('stops from within a visit, and can be woken again', () => {
    const stopping = new Sweep({
      clock,
      members,
      everyMs: 100,
      visit: (member) => {
        visited.push(member)
        if (member === 2) stopping.stop()
      },
    })
    members.add(1).add(2).add(3)
    stopping.wake()
    clock.advance(100)
    assert.deepEqual(visited, [1, 2])
    clock.advance(1_000)
    assert.deepEqual(visited, [1, 2])
    stopping.wake()
    clock.advance(100)
    assert.deepEqual(visited, [1, 2, 1, 2])
  })

  function addAll(...added: number[]): void {
    for (const member of added) members.add(member)
    sweep.wake()
  }
})
