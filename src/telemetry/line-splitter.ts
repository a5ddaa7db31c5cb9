const lineFeed = 0x0a

/** Cuts a stream of bytes into lines, in memory that is bounded by the longest line. */
export class LineSplitter {
  readonly #longest: number
  readonly #onLine: (line: string) => void
  readonly #onTooLong: () => void
  #rest: Buffer = Buffer.alloc(0)
  #isTooLong = false

  /** `longest`: bytes of a line; a longer one is told, and passed over. */
  constructor(longest: number, onLine: (line: string) => void, onTooLong: () => void) {
    this.#longest = longest
    this.#onLine = onLine
    this.#onTooLong = onTooLong
  }

  push(chunk: Buffer): void {
    let from = 0
    for (let at = chunk.indexOf(lineFeed); at !== -1; at = chunk.indexOf(lineFeed, from)) {
      this.#finish(chunk.subarray(from, at))
      from = at + 1
    }
    this.#keep(chunk.subarray(from))
  }

  /** What stands after the last line feed is a line too. */
  end(): void {
    this.#finish(Buffer.alloc(0))
  }

  #finish(end: Buffer): void {
    this.#keep(end)
    const line = this.#rest
    if (this.#isTooLong) this.#onTooLong()
    else if (line.length > 0) this.#onLine(line.toString('utf8'))
    this.#rest = Buffer.alloc(0)
    this.#isTooLong = false
  }

  #keep(part: Buffer): void {
    if (this.#isTooLong || part.length === 0) return
    this.#isTooLong = this.#rest.length + part.length > this.#longest
    if (this.#isTooLong) this.#rest = Buffer.alloc(0)
    else this.#rest = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part])
  }
}
