import type { Fields } from '../core/fields.ts'
import { ChunkedReader } from './chunked-reader.ts'
import { noFields, type Framing } from './head.ts'
import type { Http1Limits } from './limits.ts'
import type { Fault } from './refusal.ts'

/** Reads one body after another, each as its head framed it. */
export class BodyReader {
  readonly #limits: Http1Limits
  readonly #onData: (data: Buffer) => void
  #left = 0
  #untilClose = false
  #chunked: ChunkedReader | undefined

  constructor(limits: Http1Limits, onData: (data: Buffer) => void) {
    this.#limits = limits
    this.#onData = onData
  }

  begin(framing: Framing): void {
    this.#left = framing.kind === 'length' ? framing.bytes : 0
    this.#untilClose = framing.kind === 'close'
    this.#chunked =
      framing.kind === 'chunked' ? new ChunkedReader(this.#limits, this.#onData) : undefined
  }

  /** The trailers once the body has ended, or why it is refused; undefined while bytes are missing. */
  get result(): Fields | Fault | undefined {
    if (this.#chunked !== undefined) return this.#chunked.result
    return this.#left === 0 && !this.#untilClose ? noFields : undefined
  }

  /** The end of the connection ends the body. */
  get endsWithConnection(): boolean {
    return this.#untilClose
  }

  /** Returns the offset after the last byte consumed: the end of `chunk`, or of the body. */
  read(chunk: Buffer, from: number): number {
    if (this.#chunked !== undefined) return this.#chunked.read(chunk, from)
    const to = this.#untilClose ? chunk.length : Math.min(chunk.length, from + this.#left)
    if (!this.#untilClose) this.#left -= to - from
    if (to > from)
      this.#onData(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to))
    return to
  }
}
