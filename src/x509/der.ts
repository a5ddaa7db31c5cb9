import { PosternError } from '../core/errors.ts'

/** Identifier octets of the types that certificates use. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** The identifier octet of `[number]`, primitive unless `constructed`. */
export function contextTag(number: number, form: 'primitive' | 'constructed'): number {
  return (form === 'constructed' ? 0xa0 : 0x80) | number
}

/** Deepest nesting that is read; a certificate needs 9. */
export const deepestDer = 24
/** Most elements in one value; a certificate with a hundred names has about 400. */
export const mostDerElements = 16_384

/**
 * Reads strict DER (X.690): definite and minimal lengths, low tag numbers, nothing after the end. A reader is a
 * window on a Buffer that is never copied. Every method throws `PosternError` ERR_DER_MALFORMED at the first octet
 * that is not as asked.
 */
export class DerReader {
  readonly #bytes: Buffer
  readonly #end: number
  #offset: number

  private constructor(bytes: Buffer, offset: number, end: number) {
    this.#bytes = bytes
    this.#offset = offset
    this.#end = end
  }

  /**
   * A reader over exactly one value. The whole value is checked here, nested elements included: lengths, canonical
   * primitives, at most `deepestDer` levels and `mostDerElements` elements.
   */
  static of(bytes: Buffer): DerReader {
    const reader = DerReader.shallow(bytes)
    new DerWalk(bytes).check(0, bytes.length, 1)
    return reader
  }

  /**
   * A reader over exactly one value, of which nothing is checked beforehand: for values too large to be walked at once. Only
   * headers may be read with it; each element that counts is given to `of`.
   */
  static shallow(bytes: Buffer): DerReader {
    if (bytes.length === 0) throw malformed('nothing to read')
    if (elementSize(bytes, 0) !== bytes.length) throw malformed('bytes follow the value')
    return new DerReader(bytes, 0, bytes.length)
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#end
  }

  /** The next identifier octet, or -1 at the end. */
  get nextTag(): number {
    return this.#offset < this.#end ? (this.#bytes[this.#offset] ?? -1) : -1
  }

  /** A reader over the content of the next element. */
  enter(tag: number): DerReader {
    const start = this.#take(tag)
    return new DerReader(this.#bytes, start, this.#offset)
  }

  /** The content octets of the next element. */
  content(tag: number): Buffer {
    const start = this.#take(tag)
    return this.#bytes.subarray(start, this.#offset)
  }

  /** The next element with its header, whatever its tag unless one is given. */
  element(tag = this.nextTag): Buffer {
    const start = this.#offset
    this.#take(tag)
    return this.#bytes.subarray(start, this.#offset)
  }

  /** The next element with its header; it stays the next one. */
  peek(): Buffer {
    const start = this.#offset
    const element = this.element()
    this.#offset = start
    return element
  }

  boolean(): boolean {
    return this.content(derTag.boolean)[0] === 0xff
  }

  /** An INTEGER from 0 to 2^31-1. */
  smallInteger(): number {
    const content = this.content(derTag.integer)
    if (content.length > 4 || isNegative(content)) throw malformed('an integer is out of range')
    return content.readUIntBE(0, content.length)
  }

  /** An ENUMERATED from 0 to 127. */
  enumerated(): number {
    const content = this.content(derTag.enumerated)
    if (content.length !== 1 || isNegative(content)) throw malformed('a choice is out of range')
    return content[0] ?? 0
  }

  /** An OBJECT IDENTIFIER in dotted form. */
  oid(): string {
    return dottedOid(this.content(derTag.oid))
  }

  /** The octets of a BIT STRING that is a whole number of octets long, as keys and signatures are. */
  octetsOfBits(): Buffer {
    const content = this.content(derTag.bitString)
    if (content[0] !== 0) throw malformed('a bit string is not a whole number of octets')
    return content.subarray(1)
  }

  /** Refuses what follows the last element that was read. */
  finish(): void {
    if (!this.isAtEnd) throw malformed('bytes follow the last element')
  }

  #take(tag: number): number {
    if (this.nextTag !== tag)
      throw malformed(`tag ${hex(tag)} expected, ${hex(this.nextTag)} found`)
    const length = lengthAt(this.#bytes, this.#offset, this.#end)
    const start = this.#offset + headerSize(length)
    this.#offset = start + length
    return start
  }
}

/** The size in bytes of the DER element that starts at `offset`, header included. */
export function elementSize(bytes: Buffer, offset: number): number {
  const length = lengthAt(bytes, offset, bytes.length)
  return headerSize(length) + length
}

function dottedOid(content: Buffer): string {
  let text = ''
  let arc = 0
  for (const octet of content) {
    if (arc > 0xff_ffff) throw malformed('an object identifier has an arc that is too large')
    arc = arc * 128 + (octet & 0x7f)
    if ((octet & 0x80) !== 0) continue
    text += text === '' ? firstArcs(arc) : `.${arc}`
    arc = 0
  }
  return text
}

function firstArcs(value: number): string {
  const root = Math.min(2, Math.floor(value / 40))
  return `${root}.${value - root * 40}`
}

/** One walk over a value and everything nested in it. */
class DerWalk {
  readonly #bytes: Buffer
  #elements = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  check(start: number, end: number, depth: number): void {
    if (start < end && depth > deepestDer) throw malformed('elements are nested too deeply')
    let offset = start
    while (offset < end) {
      if (++this.#elements > mostDerElements) throw malformed('too many elements')
      const tag = this.#bytes[offset] ?? 0
      const length = lengthAt(this.#bytes, offset, end)
      const content = offset + headerSize(length)
      offset = content + length
      if ((tag & 0x20) === 0) checkPrimitive(tag, this.#bytes, content, offset)
      else {
        checkConstructed(tag)
        this.check(content, offset, depth + 1)
      }
    }
  }
}

/** BER may cut a string into pieces; DER may not (X.690 10.2). */
function checkConstructed(tag: number): void {
  const isUniversal = (tag & 0xc0) === 0
  if (isUniversal && tag !== derTag.sequence && tag !== derTag.set)
    throw malformed(`tag ${hex(tag)} may not be constructed`)
}

function checkPrimitive(tag: number, bytes: Buffer, start: number, end: number): void {
  switch (tag) {
    case derTag.boolean:
      checkBoolean(bytes, start, end)
      return
    case derTag.integer:
    case derTag.enumerated:
      checkInteger(bytes, start, end)
      return
    case derTag.bitString:
      checkBitString(bytes, start, end)
      return
    case derTag.oid:
      checkOid(bytes, start, end)
      return
    case derTag.null:
      if (start !== end) throw malformed('a null has content')
      return
    case 0x00:
    case 0x10:
    case 0x11:
      throw malformed(`tag ${hex(tag)} may not be primitive`)
  }
}

function checkBoolean(bytes: Buffer, start: number, end: number): void {
  const value = bytes[start]
  if (end - start !== 1 || (value !== 0x00 && value !== 0xff))
    throw malformed('a boolean is neither 00 nor FF')
}

function checkInteger(bytes: Buffer, start: number, end: number): void {
  if (start === end) throw malformed('an integer is empty')
  if (end - start === 1) return
  const first = bytes[start]
  const second = bytes[start + 1] ?? 0
  if ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80))
    throw malformed('an integer is longer than it must be')
}

function checkBitString(bytes: Buffer, start: number, end: number): void {
  const unused = bytes[start] ?? 8
  if (start === end || unused > 7) throw malformed('a bit string is not well formed')
  if (unused === 0) return
  const last = bytes[end - 1] ?? 0
  if (end - start === 1 || (last & ((1 << unused) - 1)) !== 0)
    throw malformed('unused bits of a bit string are set')
}

const longestOid = 64

function checkOid(bytes: Buffer, start: number, end: number): void {
  if (start === end || end - start > longestOid)
    throw malformed('an object identifier is empty or too long')
  let isArcStart = true
  for (let i = start; i < end; i++) {
    const octet = bytes[i] ?? 0
    if (isArcStart && octet === 0x80) throw malformed('an object identifier is not minimal')
    isArcStart = octet < 0x80
  }
  if (!isArcStart) throw malformed('an object identifier ends within an arc')
}

/** The length of the element at `offset`, which must end at or before `end`. */
function lengthAt(bytes: Buffer, offset: number, end: number): number {
  if (offset + 2 > end) throw malformed('an element is cut off')
  if (((bytes[offset] ?? 0) & 0x1f) === 0x1f) throw malformed('a tag has more than one octet')
  const first = bytes[offset + 1] ?? 0
  const length = first < 0x80 ? first : longLengthAt(bytes, offset + 2, first & 0x7f, end)
  if (offset + headerSize(length) + length > end) throw malformed('an element is cut off')
  return length
}

function longLengthAt(bytes: Buffer, offset: number, octets: number, end: number): number {
  if (octets === 0) throw malformed('a length is indefinite')
  if (octets > 3) throw malformed('a length is above 16 MiB')
  if (offset + octets > end) throw malformed('an element is cut off')
  const length = bytes.readUIntBE(offset, octets)
  if (headerSize(length) !== 2 + octets) throw malformed('a length is longer than it must be')
  return length
}

/** Identifier and length octets together: lengths are minimal, so the length alone tells. */
function headerSize(length: number): number {
  if (length < 0x80) return 2
  if (length < 0x100) return 3
  return length < 0x1_0000 ? 4 : 5
}

function isNegative(integer: Buffer): boolean {
  return ((integer[0] ?? 0) & 0x80) !== 0
}

function hex(tag: number): string {
  return tag < 0 ? 'the end' : `0x${tag.toString(16).padStart(2, '0')}`
}

/** The one way in which strict reading fails. */
export function malformed(what: string): PosternError {
  return new PosternError('ERR_DER_MALFORMED', what)
}
