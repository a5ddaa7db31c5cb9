/** One DER element. Everything that a test needs to write certificates, good and bad, octet by octet. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), derLength(body.length), body])
}

function derLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const octets = length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3
  const bytes = Buffer.alloc(octets + 1, 0x80 | octets)
  bytes.writeUIntBE(length, 1, octets)
  return bytes
}

export const sequence = (...content: readonly Uint8Array[]) => tlv(0x30, ...content)
export const set = (...content: readonly Uint8Array[]) => tlv(0x31, ...content)
export const octetString = (content: Uint8Array) => tlv(0x04, content)
export const boolean = (value: boolean) => tlv(0x01, Buffer.from([value ? 0xff : 0x00]))
export const enumerated = (value: number) => tlv(0x0a, Buffer.from([value]))
export const nothing = Buffer.alloc(0)

/** `[number]` with the given form. */
export function context(
  number: number,
  form: 'primitive' | 'constructed',
  ...content: readonly Uint8Array[]
): Buffer {
  return tlv((form === 'constructed' ? 0xa0 : 0x80) | number, ...content)
}

/** A non-negative INTEGER. */
export function integer(value: number | bigint): Buffer {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return tlv(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes)
}

export function bitString(content: Uint8Array, unusedBits = 0): Buffer {
  return tlv(0x03, Buffer.from([unusedBits]), content)
}

/** A BIT STRING of named bits, as short as DER wants it. */
export function namedBits(bits: readonly number[]): Buffer {
  const highest = Math.max(...bits)
  const content = Buffer.alloc(Math.floor(highest / 8) + 1)
  for (const bit of bits) {
    const octet = Math.floor(bit / 8)
    content[octet] = (content[octet] ?? 0) | (0x80 >> (bit % 8))
  }
  return bitString(content, 7 - (highest % 8))
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...arcs] = dotted.split('.').map(Number)
  return tlv(0x06, Buffer.from([first * 40 + second, ...arcs.flatMap(base128)]))
}

function base128(arc: number): number[] {
  const octets = [arc & 0x7f]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
    octets.unshift((rest & 0x7f) | 0x80)
  return octets
}

/** String types by the names that OpenSSL's configuration gives them. */
export const stringTag = {
  utf8: 0x0c,
  printable: 0x13,
  teletex: 0x14,
  ia5: 0x16,
  bmp: 0x1e,
  universal: 0x1c,
} as const

export function text(type: keyof typeof stringTag, value: string): Buffer {
  return tlv(stringTag[type], encodeText(type, value))
}

function encodeText(type: keyof typeof stringTag, value: string): Buffer {
  switch (type) {
    case 'utf8':
      return Buffer.from(value, 'utf8')
    case 'bmp':
      return Buffer.from(value, 'utf16le').swap16()
    case 'universal':
      return Buffer.concat(Array.from(value, fourOctets))
    case 'printable':
    case 'teletex':
    case 'ia5':
      return Buffer.from(value, 'latin1')
  }
}

function fourOctets(character: string): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(character.codePointAt(0) ?? 0)
  return bytes
}

/** UTCTime through 2049 and GeneralizedTime after, as RFC 5280 asks; or the form that is named. */
export function time(ms: number, form?: 'utc' | 'generalized'): Buffer {
  const date = new Date(ms)
  const digits = `${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
  const isUtc = form === undefined ? date.getUTCFullYear() < 2050 : form === 'utc'
  return isUtc ? tlv(0x17, Buffer.from(digits.slice(2))) : tlv(0x18, Buffer.from(digits))
}
