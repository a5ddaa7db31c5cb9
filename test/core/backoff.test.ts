import assert from 'node:assert/strict'
import { Backoff } from '../../src/core/backoff.ts'

describe('Backoff', () => {
  it('retries at once, then doubles up to the largest delay', () => {
    const backoff = new Backoff({ random: () => 0 })
    const delays = Array.from({ length: 8 }, () => backoff.next())
    assert.deepEqual(delays, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  })

  it('draws every delay but the first from above zero to the ceiling', () => {
    const backoff = new Backoff({ random: () => 0.999_999 })
    backoff.next()
    for (let i = 0; i < 50; i++) {
      const delay = backoff.next()
      assert.ok(delay > 0 && delay <= 30_000, String(delay))
    }
  })

  it('starts over after a reset', () => {
    const backoff = new Backoff({ random: () => 0 })
    backoff.next()
    backoff.next()
    backoff.reset()
    assert.equal(backoff.next(), 0)
    assert.equal(backoff.next(), 1_000)
  })
})
