/** A timer that was set; `cancel` is idempotent and safe after it fired. */
export interface Timer {
  cancel(): void
}

/** Time as an argument: the only way in which the layers above see clocks and timers. */
export interface Clock {
  /** Wall clock in milliseconds since 1970; may jump. For validity of certificates and keys. */
  now(): number
  /** Milliseconds that never go back, from an arbitrary start. For durations and deadlines. */
  monotonic(): number
  /**
   * Calls `fire` once after `delayMs` (clamped to 0 .. 2^31-1). The timer keeps the process alive only with `keepAlive`.
   * With 0 whatever waits for the event loop has its turn first; a late timer of 1 ms need not grant it.
   */
  setTimer(delayMs: number, fire: () => void, options?: { keepAlive?: boolean }): Timer
}

const longestDelayMs = 2 ** 31 - 1

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, fire, options) {
    if (delayMs <= 0) {
      // Not unref'd, whatever the options say: Node may sleep before it gets to one that is.
      const immediate = setImmediate(fire)
      return { cancel: () => clearImmediate(immediate) }
    }
    const handle = setTimeout(fire, Math.min(delayMs, longestDelayMs))
    if (options?.keepAlive !== true) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
}

/**
 * Waits `delayMs`. Resolves `true` when the time is over, `false` as soon as `signal` aborts (also when it already had).
 */
export function wait(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false)
  return new Promise((resolve) => {
    const onAbort = () => {
      timer.cancel()
      resolve(false)
    }
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve(true)
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
