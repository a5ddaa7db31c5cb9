/** Lines that a test types one by one. */
export class Lines implements AsyncIterable<string> {
  readonly #waiting: string[] = []
  #error: Error | undefined
  #wake: () => void = () => undefined

  push(line: string): void {
    this.#waiting.push(line)
    this.#wake()
  }

  /** The input breaks. */
  fail(error: Error): void {
    this.#error = error
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    for (;;) {
      const line = this.#waiting.shift()
      if (line !== undefined) yield line
      else if (this.#error !== undefined) throw this.#error
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
