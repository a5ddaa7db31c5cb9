export interface BackoffOptions {
  /** First non-zero delay, milliseconds. Default 1000. */
  readonly firstMs?: number
  /** Largest delay, milliseconds. Default 30000. */
  readonly maxMs?: number
  /** Uniform in [0, 1). Default `Math.random`. */
  readonly random?: () => number
}

/**
 * Delays between attempts: none before the first retry, then exponential with full jitter, each drawn from
 * (0, min(maxMs, firstMs * 2^n)], so that a fleet that lost one agent does not come back in step.
 */
export class Backoff {
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #random: () => number
  #attempt = 0

  constructor(options: BackoffOptions = {}) {
    this.#firstMs = options.firstMs ?? 1_000
    this.#maxMs = options.maxMs ?? 30_000
    this.#random = options.random ?? Math.random
  }

  /** The delay before the next attempt, milliseconds. */
  next(): number {
    const attempt = this.#attempt++
    if (attempt === 0) return 0
    const ceiling = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(attempt - 1, 30))
    return Math.ceil(ceiling * (1 - this.#random()))
  }

  /** Starts over; call it when an attempt gave something useful, not when it merely connected. */
  reset(): void {
    this.#attempt = 0
  }
}
