import { BrokenRule } from './errors.ts'

/** Takes the text with which a client begins off the byte stream, RFC 9113 3.4. */
export class PrefaceReader {
  readonly #expected: string
  #matched = 0

  constructor(expected: string) {
    this.#expected = expected
  }

  /** Returns what follows the preface. Throws `BrokenRule` preface_invalid with the first wrong byte. */
  read(chunk: Buffer): Buffer {
    if (this.#matched === this.#expected.length) return chunk
    let at = 0
    for (; at < chunk.length && this.#matched < this.#expected.length; at++) {
      if (chunk[at] !== this.#expected.charCodeAt(this.#matched++)) {
        throw new BrokenRule('preface_invalid')
      }
    }
    return chunk.subarray(at)
  }
}
