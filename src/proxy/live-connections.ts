import type { Clock, Timer } from '../core/clock.ts'
import { Sweep } from '../core/sweep.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { PacedWalk } from './paced-walk.ts'

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

/** How often the ends of the callers' certificates are looked at, by the wall clock. */
const expiryCheckMs = 1_000

/** Every open connection of a listener, so that a change of trust and the end of a certificate reach it. */
export class LiveConnections<Member extends LiveConnection = LiveConnection> {
  readonly #options: LiveConnectionsOptions
  readonly #members = new Set<Member>()
  /** Those that were told to end and are still there. */
  readonly #ending = new Set<Member>()
  readonly #judging: PacedWalk<Member>
  readonly #expiring: PacedWalk<Member>
  readonly #draining: PacedWalk<Member>
  /** Whose certificates have been found to be over. */
  readonly #expired = new Set<Member>()
  readonly #sweep: Sweep<Member>
  #expiry: Timer | undefined

  constructor(options: LiveConnectionsOptions) {
    this.#options = options
    this.#sweep = new Sweep({
      clock: options.clock,
      members: this.#members,
      everyMs: expiryCheckMs,
      visit: (connection) => this.#lookAt(connection),
    })
    this.#judging = new PacedWalk(options.clock, this.#ending)
    this.#expiring = new PacedWalk(options.clock, this.#ending)
    this.#draining = new PacedWalk(options.clock, this.#ending)
  }

  get size(): number {
    return this.#members.size
  }

  values(): IterableIterator<Member> {
    return this.#members.values()
  }

  add(connection: Member): void {
    this.#members.add(connection)
    this.#sweep.wake()
  }

  delete(connection: Member): void {
    this.#members.delete(connection)
    this.#ending.delete(connection)
    this.#expired.delete(connection)
  }

  /**
   * Judges all that are open now, in slices; a newer trust state starts over. It is the callers' standing that is judged,
   * as if we held an identity ourselves: there is no second time when we get one again.
   */
  rejudge(trust: TrustState): void {
    const { clock, onJudged } = this.#options
    const judged: TrustState = { ...trust, hasIdentity: true }
    this.#judging.start(this.#members, (connection) => {
      if (!this.#goesOn(connection)) return false
      const result = connection.rejudge(judged, clock.now())
      onJudged(result)
      if (result === 'ended') this.#markEnding(connection)
      return result === 'ended'
    })
  }

  /** A slice of them now, the others soon. */
  drain(): void {
    this.#draining.start(this.#members, (connection) => {
      if (this.#members.has(connection)) connection.drain()
      return false
    })
  }

  /** Cuts all of them and stops judging. */
  destroy(): void {
    this.#judging.stop()
    this.#expiring.stop()
    this.#draining.stop()
    this.#sweep.stop()
    this.#expiry?.cancel()
    for (const connection of this.#members) connection.destroy()
  }

  #lookAt(connection: Member): void {
    const { clock } = this.#options
    if (connection.notAfterMs >= clock.now() || !this.#goesOn(connection)) return
    this.#expired.add(connection)
    this.#expiry ??= clock.setTimer(0, () => this.#endExpired())
  }

  #endExpired(): void {
    this.#expiry = undefined
    const expired = [...this.#expired]
    this.#expired.clear()
    this.#expiring.start(expired, (connection) => {
      if (!this.#goesOn(connection)) return false
      connection.drain()
      this.#markEnding(connection)
      return true
    })
  }

  #goesOn(connection: Member): boolean {
    return this.#members.has(connection) && !this.#ending.has(connection)
  }

  /** It may be gone already. */
  #markEnding(connection: Member): void {
    if (this.#members.has(connection)) this.#ending.add(connection)
  }
}
