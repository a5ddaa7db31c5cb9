/** Tokens that the peer spends on what costs us and moves no work. Starts full. */
export class Budget {
  readonly #burst: number
  readonly #perMs: number
  #tokens: number
  #filledMs = 0

  constructor(rate: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = rate.burst
    this.#perMs = rate.perSecond / 1_000
    this.#tokens = rate.burst
  }

  /** False when there was not enough. `nowMs` never goes back. */
  spend(tokens: number, nowMs: number): boolean {
    this.refund((nowMs - this.#filledMs) * this.#perMs)
    this.#filledMs = nowMs
    this.#tokens -= tokens
    return this.#tokens >= 0
  }

  /** Gives tokens back for work done, up to the burst. */
  refund(tokens: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + tokens)
  }
}
