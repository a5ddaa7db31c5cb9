import type { Clock } from './clock.ts'

/** Work in steps of a millisecond or less, so that whoever runs it can let the event loop go on in between. */
export type Steps<Result> = Generator<void, Result, void>

/** Runs all of it at once. Throws what the work throws. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** The event loop waits no longer for one slice of the work. */
const sliceMs = 8

/** Runs it in slices and lets the event loop go on in between. Rejects with what the work throws. */
export async function inSlices<Result>(steps: Steps<Result>, clock: Clock): Promise<Result> {
  for (;;) {
    const endMs = clock.monotonic() + sliceMs
    do {
      const step = steps.next()
      if (step.done === true) return step.value
    } while (clock.monotonic() < endMs)
    await new Promise<void>((resolve) => clock.setTimer(0, resolve, { keepAlive: true }))
  }
}
