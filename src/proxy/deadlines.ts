import type { Clock, Timer } from '../core/clock.ts'

/** Something with one deadline at a time; whoever owns it sets the field, and the sweep calls back once it is past. */
export interface Deadline {
  /** On the clock of `Deadlines.nowMs`; Infinity: none. */
  deadlineMs: number
  /** Called once per expiry: `deadlineMs` is Infinity again when this runs. Must not throw: it runs in a timer. */
  deadlineReached(): void
}

const sweepEveryMs = 250

/**
 * One timer for all connections. Setting a deadline is an assignment, so that a request costs no timer; in exchange a
 * deadline is met up to 250 ms late. The sweep looks at every member: 10,000 connections take well below a millisecond.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #members = new Set<Deadline>()
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Monotonic milliseconds. */
  nowMs(): number {
    return this.#clock.monotonic()
  }

  add(member: Deadline): void {
    this.#members.add(member)
    this.#timer ??= this.#clock.setTimer(sweepEveryMs, this.#sweep)
  }

  delete(member: Deadline): void {
    this.#members.delete(member)
  }

  /** Forgets all members and stops the timer; `add` starts anew. Idempotent. */
  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#members.clear()
  }

  readonly #sweep = (): void => {
    // Set before the members run: whatever they do, the others' deadlines stay watched.
    this.#timer =
      this.#members.size > 0 ? this.#clock.setTimer(sweepEveryMs, this.#sweep) : undefined
    const nowMs = this.nowMs()
    for (const member of this.#members) {
      if (member.deadlineMs > nowMs) continue
      member.deadlineMs = Infinity
      member.deadlineReached()
    }
  }
}
