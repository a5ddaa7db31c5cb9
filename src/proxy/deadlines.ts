import type { Clock } from '../core/clock.ts'
import { Sweep } from '../core/sweep.ts'

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
 * deadline is met up to 250 ms late, and a little later with 10,000 connections, which are looked at in slices.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #members = new Set<Deadline>()
  readonly #sweep: Sweep<Deadline>

  constructor(clock: Clock) {
    this.#clock = clock
    const visit = (member: Deadline) => {
      if (member.deadlineMs > clock.monotonic()) return
      member.deadlineMs = Infinity
      member.deadlineReached()
    }
    this.#sweep = new Sweep({ clock, members: this.#members, everyMs: sweepEveryMs, visit })
  }

  /** Monotonic milliseconds. */
  nowMs(): number {
    return this.#clock.monotonic()
  }

  add(member: Deadline): void {
    this.#members.add(member)
    this.#sweep.wake()
  }

  delete(member: Deadline): void {
    this.#members.delete(member)
  }

  /** Forgets all members and stops the timer; `add` starts anew. Idempotent. */
  close(): void {
    this.#sweep.stop()
    this.#members.clear()
  }
}
