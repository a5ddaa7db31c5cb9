import type { Limit } from './product.ts'

/** Counts requests against a product's limit. Declared by `decide`; `RateLimiter` is the one that counts. */
export interface Limiter {
  /** 0: admitted and counted. Otherwise milliseconds until the next one may be; nothing was counted. */
  take(product: string, principal: string, limit: Limit, nowMs: number): number
}

/** Admits everything and counts nothing: for judging live connections again, `explain` and `replay`. */
export const unlimited: Limiter = { take: () => 0 }

export interface RateLimiterOptions {
  /** Most principals that are counted one by one, over all products. Default 65536, about 10 MiB. */
  readonly maxPrincipals?: number
  /** Most of them in one product, so that one product's callers cannot crowd out another's. Default an eighth. */
  readonly maxPrincipalsPerProduct?: number
}

/**
 * GCRA (ITU-T I.371): one number per bucket, the time at which it will be empty again. No timers; time is an argument and may
 * jump.
 *
 * Memory is bounded without giving anybody a fresh burst: only buckets that are empty are forgotten. When none is
 * and there is no room, principals that are not yet known share one bucket of their product.
 */
export class RateLimiter implements Limiter {
  readonly #maxPrincipals: number
  readonly #maxPrincipalsPerProduct: number
  readonly #products = new Map<string, ProductBuckets>()
  #productHand = this.#products.entries()
  #principals = 0

  constructor(options: RateLimiterOptions = {}) {
    this.#maxPrincipals = options.maxPrincipals ?? 65_536
    this.#maxPrincipalsPerProduct =
      options.maxPrincipalsPerProduct ?? Math.ceil(this.#maxPrincipals / 8)
  }

  /** Principals that are counted one by one now. */
  get size(): number {
    return this.#principals
  }

  take(product: string, principal: string, limit: Limit, nowMs: number): number {
    const buckets = this.#bucketsOf(product)
    const bucket = limit.per === 'product' ? buckets.shared : this.#find(buckets, principal, nowMs)
    return takeFrom(bucket, limit, nowMs)
  }

  #bucketsOf(product: string): ProductBuckets {
    let buckets = this.#products.get(product)
    if (buckets === undefined) this.#products.set(product, (buckets = new ProductBuckets()))
    return buckets
  }

  #find(buckets: ProductBuckets, principal: string, nowMs: number): Bucket {
    const known = buckets.byPrincipal.get(principal)
    if (known !== undefined) return known
    this.#sweep(buckets, nowMs)
    if (!this.#hasRoom(buckets)) return buckets.shared
    const bucket = { emptyAtMs: 0 }
    buckets.byPrincipal.set(principal, bucket)
    this.#principals++
    return bucket
  }

  /** A newcomer pays: with a look at its own product and at another one, in turn. */
  #sweep(own: ProductBuckets, nowMs: number): void {
    this.#principals -= own.sweep(nowMs)
    const next = this.#productHand.next()
    if (next.done === true) {
      this.#productHand = this.#products.entries()
      return
    }
    const [product, other] = next.value
    if (other === own) return
    this.#principals -= other.sweep(nowMs)
    if (other.isEmpty(nowMs)) this.#products.delete(product)
  }

  #hasRoom(buckets: ProductBuckets): boolean {
    return (
      this.#principals < this.#maxPrincipals &&
      buckets.byPrincipal.size < this.#maxPrincipalsPerProduct
    )
  }
}

interface Bucket {
  /** When all that was admitted has drained at the limit's rate, milliseconds since 1970. */
  emptyAtMs: number
}

function takeFrom(bucket: Bucket, limit: Limit, nowMs: number): number {
  const intervalMs = limit.periodMs / limit.count
  const fullMs = intervalMs * limit.burst
  // More than full: the clock went back or the limit became smaller. Nobody waits for that longer than a full bucket drains.
  const backlogMs = Math.min(Math.max(bucket.emptyAtMs - nowMs, 0), fullMs)
  const waitMs = backlogMs + intervalMs - fullMs
  bucket.emptyAtMs = nowMs + backlogMs + (waitMs > roundingMs ? 0 : intervalMs)
  return waitMs > roundingMs ? waitMs : 0
}

/** Sums of intervals such as 10/3 ms are not exact. */
const roundingMs = 1e-3

/** How many buckets a newcomer pays for looking at: more than one, so that sweeping outruns growing. */
const sweepStep = 4

class ProductBuckets {
  /** Of the whole product; with `per: principal`, of the principals that there is no room for. */
  readonly shared: Bucket = { emptyAtMs: 0 }
  readonly byPrincipal = new Map<string, Bucket>()
  #hand = this.byPrincipal.entries()

  isEmpty(nowMs: number): boolean {
    return this.byPrincipal.size === 0 && this.shared.emptyAtMs <= nowMs
  }

  /** Forgets those of the next few buckets that are empty. Returns how many. */
  sweep(nowMs: number): number {
    let forgotten = 0
    for (let i = 0; i < sweepStep; i++) {
      const next = this.#hand.next()
      if (next.done === true) {
        this.#hand = this.byPrincipal.entries()
        break
      }
      const [principal, bucket] = next.value
      if (bucket.emptyAtMs > nowMs) continue
      this.byPrincipal.delete(principal)
      forgotten++
    }
    return forgotten
  }
}
