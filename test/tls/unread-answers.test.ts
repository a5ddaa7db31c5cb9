import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { UnreadAnswers } from '../../src/tls/unread-answers.ts'
import { FakeClock } from '../support/fake-clock.ts'

const kib = 1024

/** The other end takes what is written when it `reads`. */
class FakeSecure extends EventEmitter {
  bytesRead = 0
  writable = true
  isDestroyed = false
  reads = false
  #waiting: (() => void)[] = []

  write(bytes: Buffer, onWritten: () => void): boolean {
    assert.equal(bytes.length, 0)
    this.#waiting.push(onWritten)
    this.take()
    return true
  }

  take(): void {
    if (this.reads) for (const written of this.#waiting.splice(0)) written()
  }

  destroy(): void {
    this.isDestroyed = true
    this.emit('close')
  }
}

describe('what TLS answers by itself', () => {
  let clock: FakeClock
  let raw: { bytesRead: number }
  let secure: FakeSecure
  let ended: number

  beforeEach(() => {
    clock = new FakeClock()
    raw = { bytesRead: 3 * kib }
    secure = new FakeSecure()
    ended = 0
    new UnreadAnswers({ clock, onEnd: () => ended++ }).watch({ raw, secure })
  })

  /** A second in which this came. */
  function second(questionBytes: number, dataBytes = 0): void {
    raw.bytesRead += questionBytes + dataBytes
    secure.bytesRead += dataBytes
    clock.advance(1_000)
  }

  it('is bounded where the other end does not read it', () => {
    second(65 * kib)
    second(250 * kib)
    assert.equal(secure.isDestroyed, false)
    second(7 * kib)
    assert.equal(secure.isDestroyed, true)
    assert.equal(ended, 1)
    second(1_000 * kib)
    assert.equal(ended, 1)
  })

  it('is not bounded where the other end reads it', () => {
    secure.reads = true
    for (let i = 0; i < 100; i++) second(1_000 * kib)
    assert.equal(secure.isDestroyed, false)
  })

  it('counts from when the other end read last', () => {
    second(65 * kib)
    second(250 * kib)
    secure.reads = true
    secure.take()
    secure.reads = false
    second(65 * kib)
    second(250 * kib)
    assert.equal(secure.isDestroyed, false)
    second(7 * kib)
    assert.equal(secure.isDestroyed, true)
  })

  it('does not count what is data', () => {
    for (let i = 0; i < 100; i++) second(kib, 10_000 * kib)
    second(kib, 100_000 * kib)
    assert.equal(secure.isDestroyed, false)
  })

  it('ends what takes no more writes all the same', () => {
    secure.writable = false
    second(65 * kib)
    second(257 * kib)
    assert.equal(secure.isDestroyed, true)
  })

  it('leaves no timer behind', () => {
    secure.destroy()
    clock.advance(1_000)
    assert.equal(clock.nextTimerMs, undefined)
  })
})
