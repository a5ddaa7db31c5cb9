import { BrokenRule } from './errors.ts'
import { maxContinuationFrames } from './limits.ts'

/** A header block that comes as HEADERS and CONTINUATION, RFC 9113 4.3, bounded in bytes and in frames. */
export class HeaderBlock {
  readonly #maxBytes: number
  #parts: Buffer[] = []
  #bytes = 0
  /** The stream whose block is incomplete; 0: none. */
  streamId = 0
  isEndStream = false
  isSelfDependent = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get isOpen(): boolean {
    return this.streamId !== 0
  }

  begin(streamId: number, isEndStream: boolean, isSelfDependent: boolean): void {
    this.streamId = streamId
    this.isEndStream = isEndStream
    this.isSelfDependent = isSelfDependent
  }

  /** Copies, because the fragment's buffer may be large and is not ours. Throws `BrokenRule` above the limits. */
  append(buffer: Buffer, start: number, end: number): void {
    this.#bytes += end - start
    if (this.#bytes > this.#maxBytes) throw new BrokenRule('header_block_too_large')
    if (this.#parts.length > maxContinuationFrames) throw new BrokenRule('continuation_flood')
    this.#parts.push(Buffer.from(buffer.subarray(start, end)))
  }

  /** The whole block; the next one can begin. */
  take(): Buffer {
    const block = Buffer.concat(this.#parts, this.#bytes)
    this.#parts = []
    this.#bytes = 0
    this.streamId = 0
    return block
  }
}
