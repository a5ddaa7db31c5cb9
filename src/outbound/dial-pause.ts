import { Backoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'

/** The first pause, and the longest: so long a peer that has recovered may go unnoticed. Drawn anew each time, up to these. */
const firstPauseMs = 100
const longestPauseMs = 1_000

/**
 * How long a peer that keeps failing is left alone before it is dialled again. One failure costs no pause; calls that come in a
 * pause wait for its end, so that none of them fails for a peer that is there again.
 */
export class DialPause {
  readonly #clock: Clock
  readonly #backoff: Backoff
  #untilMs = -Infinity
  #isFailing = false

  /** `random` as in `Backoff`. */
  constructor(clock: Clock, random?: () => number) {
    this.#clock = clock
    this.#backoff = new Backoff({
      firstMs: firstPauseMs,
      maxMs: longestPauseMs,
      ...(random === undefined ? {} : { random }),
    })
  }

  /** The last dial gave nothing: the next one is a try, and speaks for everybody who waits for it. */
  get isFailing(): boolean {
    return this.#isFailing
  }

  /** 0: dial. */
  get remainingMs(): number {
    return Math.max(0, this.#untilMs - this.#clock.monotonic())
  }

  /** A dial gave no peer that may be used. Those that began before the pause and end in it count once. */
  failed(): void {
    this.#isFailing = true
    if (this.remainingMs > 0) return
    this.#untilMs = this.#clock.monotonic() + this.#backoff.next()
  }

  /** A dial went well, or something has changed on which that depends: dial at once. */
  reset(): void {
    this.#isFailing = false
    this.#untilMs = -Infinity
    this.#backoff.reset()
  }
}
