import type { Clock, Timer } from '../../src/core/clock.ts'

interface PendingTimer {
  readonly dueMs: number
  /** Of the timers without a delay, which wait for the turn after the one in which they were set. */
  readonly turn: number
  readonly fire: () => void
}

/** A clock that stands still until the test moves it. Timers fire inside `advance`, in order. */
export class FakeClock implements Clock {
  #nowMs: number
  #monotonicMs = 0
  #turn = 0
  readonly #pending = new Set<PendingTimer>()

  constructor(nowMs = Date.UTC(2026, 10, 20)) {
    this.#nowMs = nowMs
  }

  now(): number {
    return this.#nowMs
  }

  monotonic(): number {
    return this.#monotonicMs
  }

  /** Milliseconds until the next timer, or undefined when none is set. */
  get nextTimerMs(): number | undefined {
    const due = [...this.#pending].map((timer) => timer.dueMs - this.#monotonicMs)
    return due.length === 0 ? undefined : Math.min(...due)
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    const turn = delayMs <= 0 ? this.#turn + 1 : 0
    const timer = { dueMs: this.#monotonicMs + Math.max(0, delayMs), turn, fire }
    this.#pending.add(timer)
    return { cancel: () => void this.#pending.delete(timer) }
  }

  /** Moves both clocks and fires what falls due on the way. Each call is one turn of the event loop. */
  advance(byMs: number): void {
    this.#turn++
    const targetMs = this.#monotonicMs + byMs
    for (let due = this.#firstDue(targetMs); due !== undefined; due = this.#firstDue(targetMs)) {
      this.#pending.delete(due)
      this.#move(Math.max(0, due.dueMs - this.#monotonicMs))
      due.fire()
    }
    // What fired may have moved the clocks itself.
    this.#move(Math.max(0, targetMs - this.#monotonicMs))
  }

  /** What runs takes its time; no timer fires inside it. */
  spend(ms: number): void {
    this.#move(ms)
  }

  /** The wall clock jumps; timers do not notice. */
  jump(byMs: number): void {
    this.#nowMs += byMs
  }

  #move(byMs: number): void {
    this.#monotonicMs += byMs
    this.#nowMs += byMs
  }

  #firstDue(limitMs: number): PendingTimer | undefined {
    return [...this.#pending]
      .filter((timer) => timer.dueMs <= limitMs)
      .sort((a, b) => a.dueMs - b.dueMs)[0]
  }
}
