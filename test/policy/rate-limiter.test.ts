import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Limit } from '../../src/policy/product.ts'
import { RateLimiter } from '../../src/policy/rate-limiter.ts'
import { hour, now } from './support/policy.ts'

const tenPerSecond: Limit = { count: 10, periodMs: 1_000, burst: 3, per: 'principal', text: '10/s' }

/** How many of `count` requests at one moment are admitted. */
function admitted(limiter: RateLimiter, count: number, nowMs: number, principal = 'a'): number {
  let passed = 0
  for (let i = 0; i < count; i++) {
    if (limiter.take('p', principal, tenPerSecond, nowMs) === 0) passed++
  }
  return passed
}

describe('RateLimiter', () => {
  it('admits a burst at once, then one for each interval', () => {
    const limiter = new RateLimiter()
    assert.equal(admitted(limiter, 5, now), 3)
    assert.equal(admitted(limiter, 5, now + 99), 0)
    assert.equal(admitted(limiter, 5, now + 100), 1)
    assert.equal(admitted(limiter, 5, now + 300), 2)
    assert.equal(admitted(limiter, 5, now + hour), 3)
  })

  it('says how long to wait, and admits exactly then', () => {
    const limiter = new RateLimiter()
    admitted(limiter, 3, now)
    assert.equal(limiter.take('p', 'a', tenPerSecond, now + 30), 70)
    assert.equal(limiter.take('p', 'a', tenPerSecond, now + 100), 0)
  })

  it('counts nothing for a refused request', () => {
    const limiter = new RateLimiter()
    assert.equal(admitted(limiter, 1_000, now), 3)
    assert.equal(admitted(limiter, 1, now + 100), 1)
  })

  it('counts each principal and each product by itself', () => {
    const limiter = new RateLimiter()
    assert.equal(admitted(limiter, 5, now, 'a'), 3)
    assert.equal(admitted(limiter, 5, now, 'b'), 3)
    assert.equal(limiter.take('q', 'a', tenPerSecond, now), 0)
  })

  it('counts all principals of a product together when the limit says so', () => {
    const limiter = new RateLimiter()
    const limit: Limit = { ...tenPerSecond, per: 'product' }
    const waits = ['a', 'b', 'c', 'd'].map((principal) => limiter.take('p', principal, limit, now))
    assert.deepEqual(waits, [0, 0, 0, 100])
    assert.equal(limiter.take('q', 'a', limit, now), 0)
    assert.equal(limiter.size, 0)
  })

  it('makes nobody wait longer than a full bucket when the clock goes back', () => {
    const limiter = new RateLimiter()
    assert.equal(admitted(limiter, 3, now), 3)
    assert.equal(limiter.take('p', 'a', tenPerSecond, now - hour), 100)
    assert.equal(admitted(limiter, 5, now - hour + 100), 1)
  })

  it('takes a smaller limit over from the next request on', () => {
    const limiter = new RateLimiter()
    const large: Limit = { ...tenPerSecond, burst: 1_000 }
    for (let i = 0; i < 1_000; i++) assert.equal(limiter.take('p', 'a', large, now), 0)
    assert.equal(limiter.take('p', 'a', tenPerSecond, now), 100)
  })

  it('never admits more than burst + rate x time, and never less when it is asked often enough', () => {
    const limits = fc.record({
      count: fc.integer({ min: 1, max: 50 }),
      periodMs: fc.constantFrom(1_000, 60_000),
      burst: fc.integer({ min: 1, max: 20 }),
    })
    const gaps = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 80 })
    fc.assert(
      fc.property(limits, gaps, (shape, gapsMs) => {
        const limit: Limit = { ...shape, per: 'principal', text: '' }
        const limiter = new RateLimiter()
        let [elapsedMs, passed, tokens, lastMs] = [0, 0, limit.burst, 0]
        for (const gapMs of gapsMs) {
          elapsedMs += gapMs
          const refilled = ((elapsedMs - lastMs) * limit.count) / limit.periodMs
          tokens = Math.min(limit.burst, tokens + refilled)
          lastMs = elapsedMs
          const isAdmitted = limiter.take('p', 'a', limit, now + elapsedMs) === 0
          if (Math.abs(tokens - 1) > 1e-6) assert.equal(isAdmitted, tokens > 1)
          if (isAdmitted) [tokens, passed] = [tokens - 1, passed + 1]
        }
        assert.ok(passed <= limit.burst + (elapsedMs * limit.count) / limit.periodMs + 1e-6)
      }),
    )
  })

  describe('with more principals than it counts', () => {
    const small = () => new RateLimiter({ maxPrincipals: 8, maxPrincipalsPerProduct: 8 })

    it('keeps to its bound', () => {
      const limiter = small()
      for (let i = 0; i < 1_000; i++) limiter.take('p', `a${i}`, tenPerSecond, now)
      assert.equal(limiter.size, 8)
    })

    it('gives nobody a fresh burst: newcomers share one bucket, the known keep theirs', () => {
      const limiter = small()
      for (let i = 0; i < 8; i++) assert.equal(admitted(limiter, 5, now, `a${i}`), 3)
      const newcomers = Array.from({ length: 100 }, (_, i) => admitted(limiter, 5, now, `b${i}`))
      assert.equal(
        newcomers.reduce((sum, passed) => sum + passed),
        3,
      )
      for (let i = 0; i < 8; i++) assert.equal(admitted(limiter, 5, now, `a${i}`), 0)
    })

    it('forgets only buckets that are empty again, and counts newcomers in their place', () => {
      const limiter = small()
      for (let i = 0; i < 8; i++) admitted(limiter, i === 0 ? 3 : 1, now, `a${i}`)
      for (let i = 0; i < 20; i++) admitted(limiter, 1, now + 100, `b${i}`)
      assert.equal(limiter.size, 8)
      assert.equal(admitted(limiter, 5, now + 100, 'a0'), 1)
      assert.equal(admitted(limiter, 5, now + 100, 'b3'), 2)
    })

    it('leaves room for other products', () => {
      const limiter = new RateLimiter({ maxPrincipals: 8, maxPrincipalsPerProduct: 4 })
      for (let i = 0; i < 100; i++) limiter.take('crowded', `a${i}`, tenPerSecond, now)
      for (let i = 0; i < 4; i++) assert.equal(admitted(limiter, 5, now, `a${i}`), 3)
    })

    it('takes back what idle products hold', () => {
      const limiter = new RateLimiter({ maxPrincipals: 8, maxPrincipalsPerProduct: 8 })
      for (let i = 0; i < 8; i++) limiter.take(`idle${i}`, 'a', tenPerSecond, now)
      const passed = Array.from({ length: 30 }, (_, i) => admitted(limiter, 1, now + hour, `a${i}`))
      const [counted, shared] = [8, 3]
      assert.equal(
        passed.reduce((sum, one) => sum + one),
        counted + shared,
      )
      assert.equal(limiter.size, 8)
    })
  })
})
