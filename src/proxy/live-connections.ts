import type { Clock, Timer } from '../core/clock.ts'
import type { TrustState } from '../policy/trust-state.ts'

/** A live connection as the registry sees it. */
export interface LiveConnection {
  /** Asks the trust state again; ends the connection when the answer is now no. Says whether it did. */
  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended'
  /** End of what the caller proved, milliseconds since 1970; Infinity when it proved nothing that ends. */
  readonly notAfterMs: number
  /** Ends when its running work is done, at once when it has none. */
  drain(): void
  /** Ends now. */
  destroy(): void
}

export interface LiveConnectionsOptions {
  readonly clock: Clock
  readonly onJudged: (result: 'kept' | 'ended') => void
}

/** Judging goes on so long before the event loop gets its turn; other callers wait no longer for it. */
const sliceMs = 8

/** How often the ends of the callers' certificates are looked at, by the wall clock. */
const expiryCheckMs = 1_000

/** Every open connection of a listener, so that a change of trust and the end of a certificate reach it. */
export class LiveConnections {
  readonly #options: LiveConnectionsOptions
  readonly #members = new Set<LiveConnection>()
  /** Those that the current epoch has not judged yet. */
  #waiting: Iterator<LiveConnection> | undefined
  #slice: Timer | undefined
  #expiry: Timer | undefined

  constructor(options: LiveConnectionsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#members.size
  }

  add(connection: LiveConnection): void {
    this.#members.add(connection)
    this.#expiry ??= this.#options.clock.setTimer(expiryCheckMs, this.#endExpired)
  }

  delete(connection: LiveConnection): void {
    this.#members.delete(connection)
  }

  /**
   * Judges all that are open now, in slices; a newer trust state starts over. It is the callers' standing that is judged,
   * as if we held an identity ourselves: there is no second time when we get one again.
   */
  rejudge(trust: TrustState): void {
    this.#slice?.cancel()
    this.#waiting = [...this.#members].values()
    this.#judgeSlice({ ...trust, hasIdentity: true })
  }

  drain(): void {
    for (const connection of this.#members) connection.drain()
  }

  /** Cuts all of them and stops judging. */
  destroy(): void {
    this.#slice?.cancel()
    this.#expiry?.cancel()
    for (const connection of this.#members) connection.destroy()
  }

  #judgeSlice(trust: TrustState): void {
    const { clock, onJudged } = this.#options
    const endMs = clock.monotonic() + sliceMs
    while (clock.monotonic() < endMs) {
      const next = this.#waiting?.next()
      if (next === undefined || next.done === true) return
      if (this.#members.has(next.value)) onJudged(next.value.rejudge(trust, clock.now()))
    }
    this.#slice = clock.setTimer(0, () => this.#judgeSlice(trust))
  }

  readonly #endExpired = (): void => {
    this.#expiry = undefined
    const nowMs = this.#options.clock.now()
    for (const connection of this.#members) {
      if (connection.notAfterMs < nowMs) connection.drain()
    }
    if (this.#members.size > 0) {
      this.#expiry = this.#options.clock.setTimer(expiryCheckMs, this.#endExpired)
    }
  }
}
