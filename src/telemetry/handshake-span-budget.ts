import type { Limit } from '../policy/product.ts'
import { RateLimiter } from '../policy/rate-limiter.ts'

/** Of one address: a scanner must not take the place of everybody else. */
const ofOneAddress: Limit = { count: 6, periodMs: 60_000, burst: 5, per: 'principal', text: '' }
/** Of all together: many scanners must not flood the exporter. */
const ofAll: Limit = { count: 60, periodMs: 60_000, burst: 30, per: 'product', text: '' }

/**
 * How many failed handshakes have a span: anybody who reaches the port can make them fail, as often as he likes. The metric
 * counts all of them.
 */
export class HandshakeSpanBudget {
  readonly #addresses = new RateLimiter({ maxPrincipals: 1_024, maxPrincipalsPerProduct: 1_024 })
  readonly #all = new RateLimiter()
  #leftOut = 0

  /**
   * undefined: this one is to have no span. Otherwise how many had none since the last that had one. `nowMs` is of any clock
   * that only goes forward.
   */
  take(address: string, nowMs: number): number | undefined {
    const isOver =
      this.#addresses.take('', address, ofOneAddress, nowMs) > 0 ||
      this.#all.take('', '', ofAll, nowMs) > 0
    if (isOver) {
      this.#leftOut++
      return undefined
    }
    const leftOut = this.#leftOut
    this.#leftOut = 0
    return leftOut
  }
}
