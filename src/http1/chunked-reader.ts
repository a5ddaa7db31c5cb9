import type { Fields } from '../core/fields.ts'
import type { Http1Limits } from './limits.ts'
import { LineReader } from './line-reader.ts'
import { Fault } from './refusal.ts'
import { SmallPieces } from './small-pieces.ts'
import { TrailerSection } from './trailer-section.ts'

/** Where the next byte belongs, RFC 9112 7.1. */
type Place =
  | 'size'
  | 'extension'
  | 'head-line-feed'
  | 'data'
  | 'data-carriage-return'
  | 'data-line-feed'
  | 'trailers'
  | 'end'

const lineFeed = 0x0a
const carriageReturn = 0x0d
const semicolon = 0x3b

/** 2^53-1 has 14 hexadecimal digits; two leading zeros more are what some fixed-width writers send. */
const mostSizeDigits = 16

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const quoted =
  '"(?:[\\t\\x20\\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*"'
const extensionsShape = new RegExp(`^(?:;${token}(?:=(?:${token}|${quoted}))?)+$`)

const sizeMalformed = new Fault('chunk_malformed', 'a chunk size is no hexadecimal number')
const sizeTooLarge = new Fault('chunk_malformed', 'a chunk size is too large')
const headEnding = new Fault('chunk_malformed', 'the head of a chunk does not end in CRLF')
const dataEnding = new Fault('chunk_malformed', 'the data of a chunk is not followed by CRLF')
const extensionMalformed = new Fault('chunk_malformed', 'a chunk extension does not parse')
const headTooLarge = new Fault('chunk_head_too_large', 'the head of a chunk is above the limit')
const extensionsTooLarge = new Fault('chunk_head_too_large', 'more chunk extensions than the limit')

/**
 * Decodes one chunked body. Chunk extensions are checked, bounded and dropped. Every byte of framing is looked at once, the data
 * is passed on as slices, small pieces of one read together.
 */
export class ChunkedReader {
  readonly #limits: Http1Limits
  readonly #pieces: SmallPieces
  readonly #lines = new LineReader()
  readonly #trailers: TrailerSection
  #place: Place = 'size'
  #digits = 0
  /** While the head of a chunk is read its size, then what is left of its data. */
  #size = 0
  #extension = ''
  #extensionBytes = 0
  #fault: Fault | undefined

  constructor(limits: Http1Limits, onData: (data: Buffer) => void) {
    this.#limits = limits
    this.#pieces = new SmallPieces(onData)
    this.#trailers = new TrailerSection(limits.maxFields)
    this.#lines.begin(limits.maxTrailerBytes)
  }

  /** The trailers once the body has ended, or why it is refused; undefined while bytes are missing. */
  get result(): Fields | Fault | undefined {
    return this.#place === 'end' ? (this.#fault ?? this.#trailers.result) : undefined
  }

  /** Returns the offset after the last byte consumed: the end of `chunk`, or of the message. */
  read(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length && this.#place !== 'end') {
      if (this.#place === 'data') at = this.#readData(chunk, at)
      else if (this.#place === 'trailers') at = this.#readTrailers(chunk, at)
      else this.#readFraming(chunk[at++] ?? 0)
    }
    this.#pieces.flush()
    return at
  }

  #readData(chunk: Buffer, from: number): number {
    const to = Math.min(chunk.length, from + this.#size)
    this.#size -= to - from
    if (this.#size === 0) this.#place = 'data-carriage-return'
    this.#pieces.add(chunk, from, to)
    return to
  }

  #readTrailers(chunk: Buffer, from: number): number {
    const at = this.#lines.read(chunk, from, this.#trailers)
    if (!this.#lines.isOpen) this.#place = 'end'
    return at
  }

  #readFraming(byte: number): void {
    switch (this.#place) {
      case 'size':
        this.#readSize(byte)
        break
      case 'extension':
        this.#readExtension(byte)
        break
      case 'head-line-feed':
        this.#endHead(byte)
        break
      case 'data-carriage-return':
        this.#require(byte, carriageReturn, 'data-line-feed')
        break
      case 'data-line-feed':
        this.#require(byte, lineFeed, 'size')
        break
      case 'data':
      case 'trailers':
      case 'end':
        break
    }
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte)
    if (digit !== -1) this.#addDigit(digit)
    else if (this.#digits === 0) this.#refuse(sizeMalformed)
    else if (byte === carriageReturn) this.#place = 'head-line-feed'
    else if (byte === semicolon) this.#beginExtension()
    else this.#refuse(byte === lineFeed ? headEnding : sizeMalformed)
  }

  #addDigit(digit: number): void {
    this.#digits++
    this.#size = this.#size * 16 + digit
    if (this.#digits > mostSizeDigits || this.#size > Number.MAX_SAFE_INTEGER) {
      this.#refuse(sizeTooLarge)
    }
  }

  #beginExtension(): void {
    this.#place = 'extension'
    this.#extension = ';'
  }

  #readExtension(byte: number): void {
    if (byte === carriageReturn) this.#endExtension()
    else if (byte === lineFeed) this.#refuse(headEnding)
    else if (this.#digits + this.#extension.length >= this.#limits.maxChunkHeadBytes) {
      this.#refuse(headTooLarge)
    } else this.#extension += String.fromCharCode(byte)
  }

  #endExtension(): void {
    this.#extensionBytes += this.#extension.length
    if (this.#extensionBytes > this.#limits.maxChunkExtensionBytes) {
      this.#refuse(extensionsTooLarge)
    } else if (extensionsShape.test(this.#extension)) {
      this.#place = 'head-line-feed'
    } else {
      this.#refuse(extensionMalformed)
    }
    this.#extension = ''
  }

  #endHead(byte: number): void {
    this.#digits = 0
    if (byte !== lineFeed) this.#refuse(headEnding)
    else this.#place = this.#size === 0 ? 'trailers' : 'data'
  }

  #require(byte: number, wanted: number, next: Place): void {
    if (byte === wanted) this.#place = next
    else this.#refuse(dataEnding)
  }

  #refuse(fault: Fault): void {
    this.#fault = fault
    this.#place = 'end'
  }
}

/** -1 when `byte` is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1
}
