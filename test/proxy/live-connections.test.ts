import assert from 'node:assert/strict'
import { type LiveConnection, LiveConnections } from '../../src/proxy/live-connections.ts'
import { ApiKeys } from '../../src/policy/api-keys.ts'
import { ProductMap } from '../../src/policy/product-map.ts'
import type { TrustState } from '../../src/policy/trust-state.ts'
import { FakeClock } from '../support/fake-clock.ts'

const hour = 3_600_000

describe('LiveConnections', () => {
  let clock: FakeClock
  let connections: LiveConnections
  let judged: { kept: number; ended: number }

  beforeEach(() => {
    clock = new FakeClock()
    judged = { kept: 0, ended: 0 }
    connections = new LiveConnections({ clock, onJudged: (result) => judged[result]++ })
  })

  it('judges every connection by the new state, and counts what came of it', () => {
    const kept = add()
    const doomed = add({ isTrusted: false })
    connections.rejudge(stateOf(7))
    assert.deepEqual([kept.epochs, doomed.epochs], [[7], [7]])
    assert.deepEqual(judged, { kept: 1, ended: 1 })
  })

  it('judges 10,000 connections in slices that leave the event loop free', () => {
    const members = Array.from({ length: 10_000 }, () => add({ costMs: 0.5 }))
    const sizes: number[] = []
    connections.rejudge(stateOf(2))
    for (;;) {
      const done = judged.kept
      sizes.push(done - sizes.reduce((sum, size) => sum + size, 0))
      if (done === members.length) break
      clock.advance(1)
    }
    assert.equal(Math.max(...sizes), 16)
    assert.ok(members.every((member) => member.epochs.length === 1))
  })

  it('starts over with a newer state, and judges nobody by the older one any more', () => {
    const members = Array.from({ length: 20 }, () => add({ costMs: 1 }))
    connections.rejudge(stateOf(2))
    connections.rejudge(stateOf(3))
    for (let slice = 0; slice < 10; slice++) clock.advance(1)
    assert.ok(members.every((member) => member.epochs.at(-1) === 3))
    assert.equal(members.filter((member) => member.epochs.includes(2)).length, 8)
  })

  it('comes to everyone even when the trust changes faster than all are judged', () => {
    const members = Array.from({ length: 20 }, () => add({ costMs: 1 }))
    for (const epoch of [2, 3, 4]) connections.rejudge(stateOf(epoch))
    assert.ok(members.every(({ epochs }) => epochs.length > 0))
    for (let slice = 0; slice < 10; slice++) clock.advance(1)
    assert.ok(members.every(({ epochs }) => epochs.at(-1) === 4))
  })

  it('judges nobody who has closed meanwhile', () => {
    const members = Array.from({ length: 20 }, () => add({ costMs: 1 }))
    connections.rejudge(stateOf(2))
    for (const member of members) connections.delete(member)
    clock.advance(1)
    assert.equal(judged.kept, 8)
  })

  it('judges nobody after it was destroyed', () => {
    const members = Array.from({ length: 20 }, () => add({ costMs: 1 }))
    connections.rejudge(stateOf(2))
    connections.destroy()
    clock.advance(hour)
    assert.equal(judged.kept, 8)
    assert.ok(members.every((member) => member.isDestroyed))
  })

  it("ends a connection at its caller's notAfter, and only that one", () => {
    const short = add({ notAfterMs: clock.now() + 5_000 })
    const long = add({ notAfterMs: clock.now() + hour })
    clock.advance(4_000)
    assert.equal(short.isDrained, false)
    clock.advance(2_500)
    assert.deepEqual([short.isDrained, long.isDrained], [true, false])
  })

  it('ends a connection when the clock jumps past its notAfter', () => {
    const connection = add({ notAfterMs: clock.now() + hour / 2 })
    clock.jump(hour)
    clock.advance(1_000)
    assert.equal(connection.isDrained, true)
  })

  it('keeps watching when the clock jumps back', () => {
    const connection = add({ notAfterMs: clock.now() + 5_000 })
    clock.jump(-hour)
    clock.advance(10_000)
    assert.equal(connection.isDrained, false)
    clock.jump(hour)
    clock.advance(1_000)
    assert.equal(connection.isDrained, true)
  })

  it('ends no more than 64 at once while those before are still there', () => {
    const members = Array.from({ length: 200 }, () => add({ isTrusted: false }))
    connections.rejudge(stateOf(2))
    assert.equal(judged.ended, 64)

    clock.advance(1)
    assert.equal(judged.ended, 68, 'whoever does not close holds nobody else up')

    for (const member of members.slice(0, 40)) connections.delete(member)
    clock.advance(1)
    assert.equal(judged.ended, 104, 'as 40 have closed')

    for (let slice = 0; slice < 24; slice++) clock.advance(1)
    assert.equal(judged.ended, 200)
    assert.ok(members.every(({ epochs }) => epochs.length === 1))
  })

  it('judges nobody twice who is on its way to its end', () => {
    const doomed = add({ isTrusted: false })
    const kept = add()
    connections.rejudge(stateOf(2))
    connections.rejudge(stateOf(3))
    assert.deepEqual([doomed.epochs, kept.epochs], [[2], [2, 3]])
    assert.deepEqual(judged, { kept: 2, ended: 1 })
  })

  it('ends many whose certificates expire together in slices, each once', () => {
    const notAfterMs = clock.now() + 500
    const members = Array.from({ length: 100 }, () => add({ notAfterMs }))
    const drained = () => members.filter(({ drains }) => drains > 0).length
    clock.advance(999)
    assert.equal(drained(), 0)
    clock.advance(1)
    assert.equal(drained(), 64, 'the others soon')
    clock.advance(10_000)
    assert.ok(members.every(({ drains }) => drains === 1))
  })

  it('drains 10,000 connections in slices', () => {
    const members = Array.from({ length: 10_000 }, () => add({ costMs: 0.5 }))
    const drained = () => members.filter(({ drains }) => drains > 0).length
    connections.drain()
    assert.equal(drained(), 16)
    while (drained() < members.length) {
      const before = drained()
      clock.advance(1)
      assert.ok(drained() - before <= 16 && drained() > before)
    }
  })

  function add(options: FakeOptions = {}): FakeConnection {
    const connection = new FakeConnection(clock, options)
    connections.add(connection)
    return connection
  }
})

interface FakeOptions {
  readonly isTrusted?: boolean
  readonly notAfterMs?: number
  /** How long it takes to judge or drain it. */
  readonly costMs?: number
}

class FakeConnection implements LiveConnection {
  readonly notAfterMs: number
  readonly epochs: number[] = []
  drains = 0
  isDestroyed = false
  readonly #clock: FakeClock
  readonly #options: FakeOptions

  constructor(clock: FakeClock, options: FakeOptions) {
    this.#clock = clock
    this.#options = options
    this.notAfterMs = options.notAfterMs ?? Infinity
  }

  rejudge(trust: TrustState): 'kept' | 'ended' {
    this.epochs.push(trust.epoch)
    if (this.#options.costMs !== undefined) this.#clock.advance(this.#options.costMs)
    return this.#options.isTrusted === false ? 'ended' : 'kept'
  }

  get isDrained(): boolean {
    return this.drains > 0
  }

  drain(): void {
    this.drains += 1
    if (this.#options.costMs !== undefined) this.#clock.advance(this.#options.costMs)
  }

  destroy(): void {
    this.isDestroyed = true
  }
}

function stateOf(epoch: number): TrustState {
  const products = ProductMap.of([], [])
  return { epoch, bundles: new Map(), products, apiKeys: ApiKeys.empty, hasIdentity: true }
}
