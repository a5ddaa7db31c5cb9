import { codeLengths } from './huffman-lengths.ts'

const longestCode = 30
const shortCode = 8
const endOfString = 256

/**
 * The code of RFC 7541 appendix B is canonical: codes of one length count upwards in the order of their symbols, and a longer
 * length goes on where the shorter one stopped. So the lengths are all that is written down.
 */
interface CanonicalCode {
  /** Code of each symbol, right-aligned; 256 is EOS. */
  readonly codes: Uint32Array
  /** Symbols ordered by length, then by number. */
  readonly symbols: Uint16Array
  /** First code of each length. */
  readonly firstCode: Uint32Array
  /** Where the symbols of each length start in `symbols`. */
  readonly firstIndex: Uint16Array
  /** How many symbols have each length. */
  readonly count: Uint16Array
}

const canonical = canonicalCode()

/** For every next eight bits: symbol << 4 | length of its code, or 0 when the code is longer than that. */
const shortCodes = shortCodeTable()

/** Decoded bytes wait here for becoming a string; decoding is synchronous, so one serves all connections. */
let scratch: Buffer = Buffer.allocUnsafeSlow(16_384)

/** The text behind `bytes[start, end)`, one character a byte, or undefined when it is no valid code (RFC 7541 5.2). */
export function huffmanDecode(bytes: Buffer, start: number, end: number): string | undefined {
  const longest = Math.ceil(((end - start) * 8) / 5)
  if (scratch.length < longest) scratch = Buffer.allocUnsafeSlow(longest)
  const length = decodeInto(scratch, bytes, start, end)
  return length < 0 ? undefined : scratch.toString('latin1', 0, length)
}

/** Returns the number of bytes written, or -1. The `held` lowest bits of `window` are read and not yet spent. */
function decodeInto(out: Buffer, bytes: Buffer, start: number, end: number): number {
  let window = 0
  let held = 0
  let at = start
  let length = 0
  for (;;) {
    while (held <= 24 && at < end) {
      window = (window << 8) | (bytes[at++] ?? 0)
      held += 8
    }
    const next = held >= shortCode ? window >>> (held - shortCode) : paddedWithOnes(window, held)
    const short = shortCodes[next & 0xff] ?? 0
    const shortLength = short & 0xf
    if (shortLength !== 0 && shortLength <= held) {
      out[length++] = short >>> 4
      held -= shortLength
      continue
    }
    if (held < shortCode) return isPadding(window, held) ? length : -1
    const position = at * 8 - held
    const long = longCode(bytes, position, end)
    if (long < 0) return -1
    out[length++] = long >>> 5
    const after = position + (long & 0x1f)
    at = (after + 7) >>> 3
    held = at * 8 - after
    window = bytes[at - 1] ?? 0
  }
}

function paddedWithOnes(window: number, held: number): number {
  return ((window << (shortCode - held)) | (0xff >>> held)) & 0xff
}

/** RFC 7541 5.2: fewer than eight bits, all ones, as EOS begins. */
function isPadding(window: number, held: number): boolean {
  const mask = (1 << held) - 1
  return (window & mask) === mask
}

/**
 * A code above eight bits at bit `position`, as symbol << 5 | length; -1 for EOS or no code. Such characters are rare, so a
 * walk over the lengths will do.
 */
function longCode(bytes: Buffer, position: number, end: number): number {
  const available = end * 8 - position
  const bits = bitsAt(bytes, position)
  for (let length = shortCode + 1; length <= longestCode && length <= available; length++) {
    const offset = (bits >>> (32 - length)) - (canonical.firstCode[length] ?? 0)
    if (offset < 0 || offset >= (canonical.count[length] ?? 0)) continue
    const symbol = canonical.symbols[(canonical.firstIndex[length] ?? 0) + offset] ?? endOfString
    return symbol === endOfString ? -1 : (symbol << 5) | length
  }
  return -1
}

/** The 32 bits from bit `position` on; what lies behind the buffer reads as zero. */
function bitsAt(bytes: Buffer, position: number): number {
  const at = position >>> 3
  const skip = position & 7
  let bits = 0
  for (let i = 0; i < 4; i++) bits = (bits << 8) | (bytes[at + i] ?? 0)
  return ((bits << skip) | ((bytes[at + 4] ?? 0) >>> (8 - skip))) >>> 0
}

/** How many bytes `text` takes when encoded. Characters above 255 throw `TypeError`: fields are Latin-1 by contract. */
export function huffmanLength(text: string): number {
  let bits = 0
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i)
    if (symbol >= endOfString) throw new TypeError('a field holds a character above U+00FF')
    bits += codeLengths[symbol] ?? 0
  }
  return (bits + 7) >>> 3
}

/** Encodes `text` into `out` at `at`, where `huffmanLength(text)` bytes are free; returns the position after it. */
export function huffmanEncode(text: string, out: Buffer, at: number): number {
  let window = 0
  let held = 0
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i)
    const code = canonical.codes[symbol] ?? 0
    let length = codeLengths[symbol] ?? 0
    if (length > 24) {
      // Seven held bits and a code of 30 do not fit into 32: its upper part goes first.
      length -= 16
      window = (window << length) | (code >>> 16)
      held += length
      for (; held >= 8; held -= 8) out[at++] = window >>> (held - 8)
      window = (window << 16) | (code & 0xffff)
      length = 16
    } else {
      window = (window << length) | code
    }
    held += length
    for (; held >= 8; held -= 8) out[at++] = window >>> (held - 8)
  }
  if (held > 0) out[at++] = paddedWithOnes(window, held)
  return at
}

function canonicalCode(): CanonicalCode {
  const code: CanonicalCode = {
    codes: new Uint32Array(257),
    symbols: new Uint16Array(257),
    firstCode: new Uint32Array(longestCode + 1),
    firstIndex: new Uint16Array(longestCode + 1),
    count: new Uint16Array(longestCode + 1),
  }
  let next = 0
  let index = 0
  for (let length = 1; length <= longestCode; length++) {
    next *= 2
    code.firstCode[length] = next
    code.firstIndex[length] = index
    for (let symbol = 0; symbol <= endOfString; symbol++) {
      if (codeLengths[symbol] !== length) continue
      code.codes[symbol] = next++
      code.symbols[index++] = symbol
    }
    code.count[length] = index - (code.firstIndex[length] ?? 0)
  }
  return code
}

function shortCodeTable(): Uint16Array {
  const table = new Uint16Array(256)
  for (let symbol = 0; symbol < endOfString; symbol++) {
    const length = codeLengths[symbol] ?? 0
    if (length > shortCode) continue
    const first = (canonical.codes[symbol] ?? 0) << (shortCode - length)
    table.fill((symbol << 4) | length, first, first + (1 << (shortCode - length)))
  }
  return table
}
