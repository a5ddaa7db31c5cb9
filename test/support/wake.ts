/** Lets several wait until something happened, each for so long at most. */
export class Wake {
  readonly #waiters = new Set<() => void>()

  /** Something happened. */
  all(): void {
    for (const waiter of this.#waiters) waiter()
  }

  /** Resolves when something happens, and in any case after `timeoutMs`. */
  next(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiters.delete(done)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs)
      this.#waiters.add(done)
    })
  }
}
