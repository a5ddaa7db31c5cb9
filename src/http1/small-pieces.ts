/** A piece of more bytes goes on as a slice: to copy it would cost more than to carry it by itself. */
const smallBytes = 1_024

/** The copy of so few bytes costs less byte by byte. */
const fewBytes = 16

/**
 * Joins the small pieces of a body that stand in one chunk of bytes, with framing between them: a read can hold ten thousand
 * chunks of one byte, and each piece costs whoever takes it a thousand times what it costs here.
 */
export class SmallPieces {
  readonly #onData: (data: Buffer) => void
  /** The only small piece so far. */
  #first: Buffer | undefined
  #joined: Buffer | undefined
  #bytes = 0

  constructor(onData: (data: Buffer) => void) {
    this.#onData = onData
  }

  /** The bytes of `chunk` from `from` to `to` are the next piece. */
  add(chunk: Buffer, from: number, to: number): void {
    if (to - from > smallBytes) {
      this.flush()
      this.#onData(chunk.subarray(from, to))
    } else if (this.#joined !== undefined) {
      this.#append(this.#joined, chunk, from, to)
    } else if (this.#first === undefined) {
      this.#first = chunk.subarray(from, to)
    } else {
      this.#joined = Buffer.allocUnsafe(this.#first.length + chunk.length - from)
      this.#append(this.#joined, this.#first, 0, this.#first.length)
      this.#append(this.#joined, chunk, from, to)
    }
  }

  /** Passes on what is left; before the next chunk. */
  flush(): void {
    const data = this.#joined?.subarray(0, this.#bytes) ?? this.#first
    if (data === undefined) return
    this.#first = this.#joined = undefined
    this.#bytes = 0
    this.#onData(data)
  }

  #append(joined: Buffer, piece: Buffer, from: number, to: number): void {
    if (to - from > fewBytes) {
      piece.copy(joined, this.#bytes, from, to)
      this.#bytes += to - from
    } else {
      for (let i = from; i < to; i++) joined[this.#bytes++] = piece[i] ?? 0
    }
  }
}
