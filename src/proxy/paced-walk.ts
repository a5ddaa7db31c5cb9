import type { Clock, Timer } from '../core/clock.ts'

/** Members are visited so long before the event loop gets its turn; callers wait no longer for it. */
const sliceMs = 8

/**
 * The end of a connection costs most when the other side answers it, and those answers come in bursts that the event loop takes
 * without a break. So no more than these are on their way at once ...
 */
const mostEnding = 64

/** ... but so many are ended in each slice all the same: whoever does not answer holds nobody else up. */
const fewestEnded = 4

/** Until the next slice when too many are on their way. */
const answerMs = 1

/** Visits many connections, a slice at a time, so that no pause of the event loop grows with their number. */
export class PacedWalk<Member> {
  readonly #clock: Clock
  readonly #ending: ReadonlySet<Member>
  #waiting: IterableIterator<Member> | undefined
  #slice: Timer | undefined

  /** `ending`: members that are on their way to their end, kept by whoever owns them. */
  constructor(clock: Clock, ending: ReadonlySet<Member>) {
    this.#clock = clock
    this.#ending = ending
  }

  /**
   * Begins with the first slice, now. Those that a walk under way has not come to are visited first: whatever follows how
   * fast, everyone's turn comes. `visit` says whether it has ended the member.
   */
  start(members: Iterable<Member>, visit: (member: Member) => boolean): void {
    const inOrder = this.#waiting === undefined ? [...members] : joined(this.#waiting, members)
    this.stop()
    this.#waiting = inOrder.values()
    this.#visitSlice(visit)
  }

  stop(): void {
    this.#slice?.cancel()
    this.#waiting = undefined
  }

  #visitSlice(visit: (member: Member) => boolean): void {
    const endMs = this.#clock.monotonic() + sliceMs
    let mayEnd = Math.max(fewestEnded, mostEnding - this.#ending.size)
    while (mayEnd > 0 && this.#clock.monotonic() < endMs) {
      const next = this.#waiting?.next()
      if (next === undefined || next.done === true) {
        this.#waiting = undefined
        return
      }
      if (visit(next.value)) mayEnd -= 1
    }
    this.#slice = this.#clock.setTimer(mayEnd > 0 ? 0 : answerMs, () => this.#visitSlice(visit))
  }
}

/** Each once. A set of 10,000 takes 16 ms to build, a list next to none. */
function joined<Member>(first: Iterable<Member>, then: Iterable<Member>): Set<Member> {
  const both = new Set(first)
  for (const member of then) both.add(member)
  return both
}
