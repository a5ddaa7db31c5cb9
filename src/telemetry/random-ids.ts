import { randomFillSync } from 'node:crypto'

const poolBytes = 12_288

/**
 * Random ids for traces and spans, as lower-case hex. Randomness is drawn for hundreds of ids at once: 0.1 us an id
 * instead of 1 us.
 */
export class RandomIds {
  readonly #pool = Buffer.alloc(poolBytes)
  #used = poolBytes

  /** 16 bytes. */
  traceId(): string {
    return this.#hex(16)
  }

  /** 8 bytes. */
  spanId(): string {
    return this.#hex(8)
  }

  #hex(bytes: number): string {
    if (this.#used + bytes > poolBytes) {
      randomFillSync(this.#pool)
      this.#used = 0
    }
    const start = this.#used
    this.#used += bytes
    return this.#pool.toString('hex', start, this.#used)
  }
}
