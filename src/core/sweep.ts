import type { Clock, Timer } from './clock.ts'

export interface SweepOptions<Member> {
  readonly clock: Clock
  readonly members: ReadonlySet<Member>
  /** From the end of one round to the begin of the next. */
  readonly everyMs: number
  /** What it throws nobody catches: it runs in a timer. May add and delete members. */
  readonly visit: (member: Member) => void
}

/** The event loop waits no longer for one slice of a round. */
const sliceMs = 4

/** So many are visited between two looks at the clock. */
const membersPerLook = 32

/** Visits all members of a set again and again, with one timer for all and no pause that grows with their number. */
export class Sweep<Member> {
  readonly #options: SweepOptions<Member>
  #round: Iterator<Member> | undefined
  #timer: Timer | undefined

  constructor(options: SweepOptions<Member>) {
    this.#options = options
  }

  /** To be called when a member was added; it rests while there is none. */
  wake(): void {
    this.#timer ??= this.#schedule(this.#options.everyMs)
  }

  /** `wake` starts anew. Idempotent. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#round = undefined
  }

  #schedule(delayMs: number): Timer {
    return this.#options.clock.setTimer(delayMs, () => this.#visitSlice())
  }

  /** Whatever a visit throws, the others are still visited. */
  #visitSlice(): void {
    const slice = this.#timer
    let isRoundOver = false
    try {
      isRoundOver = this.#visitSome(slice)
    } finally {
      if (this.#timer === slice) this.#goOn(isRoundOver)
    }
  }

  /** Returns whether the round is over; it is not when the slice is, or when a visit has stopped the sweep. */
  #visitSome(slice: Timer | undefined): boolean {
    const { clock, members, visit } = this.#options
    const round = (this.#round ??= members.values())
    const endMs = clock.monotonic() + sliceMs
    for (let visited = 1; ; visited++) {
      const next = round.next()
      if (next.done === true) return true
      visit(next.value)
      if (this.#timer !== slice) return false
      if (visited % membersPerLook === 0 && clock.monotonic() >= endMs) return false
    }
  }

  #goOn(isRoundOver: boolean): void {
    const { members, everyMs } = this.#options
    if (!isRoundOver) {
      this.#timer = this.#schedule(0)
    } else {
      this.#round = undefined
      this.#timer = members.size > 0 ? this.#schedule(everyMs) : undefined
    }
  }
}
