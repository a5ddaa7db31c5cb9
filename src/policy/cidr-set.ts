import { PosternError } from '../core/errors.ts'
import { IpAddress } from '../core/ip-address.ts'

/** Every address that begins with the same bits. */
export interface Cidr {
  /** In its one form: `10.0.0.0/8`. */
  readonly text: string
  readonly family: 4 | 6
  /** The bits that its addresses begin with. */
  readonly prefix: string
}

/**
 * Reads `10.0.0.0/8`, `fd00::/8`, or one address. Bits below the prefix are a mistake of somebody, so that they are none of it.
 * Throws `PosternError` ERR_ADDRESS_INVALID.
 */
export function parseCidr(text: string): Cidr {
  const [, written = '', digits] = /^([^/]*)(?:\/([0-9]{1,3}))?$/.exec(text) ?? []
  const address = IpAddress.parse(written)
  if (address === undefined) throw invalid(text, expected)
  const { family, bits } = address
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
  const isMapped = family === 4 && written.includes(':')
  const length = digits === undefined ? bits.length : Number(digits) - (isMapped ? 96 : 0)
  if (length < 0 || length > bits.length) throw invalid(text, expected)
  const prefix = bits.slice(0, length)
  const first = firstOf(family, prefix).toString()
  const cidr = { text: `${first}/${length}`, family, prefix }
  if (bits.includes('1', length)) throw invalid(text, `expected ${cidr.text}`)
  return cidr
}

/** Answers which of its entries an address is in, in a time that does not grow with their number. */
export class CidrSet {
  /** Text of the entry by its family and prefix. */
  readonly #entries = new Map<string, string>()
  /** Lengths of prefixes that occur, the longest first. */
  readonly #lengths: Readonly<Record<4 | 6, readonly number[]>>

  constructor(cidrs: readonly Cidr[]) {
    for (const { family, prefix, text } of cidrs) this.#entries.set(keyOf(family, prefix), text)
    this.#lengths = { 4: lengthsOf(cidrs, 4), 6: lengthsOf(cidrs, 6) }
  }

  /** As they are written in their one form. */
  get texts(): Iterable<string> {
    return this.#entries.values()
  }

  /** The longest entry that the address is in; undefined: none. */
  find(address: IpAddress): string | undefined {
    const { family, bits } = address
    for (const length of this.#lengths[family]) {
      const entry = this.#entries.get(keyOf(family, bits.slice(0, length)))
      if (entry !== undefined) return entry
    }
    return undefined
  }
}

const expected = 'expected an address, or a range such as 10.0.0.0/8 or fd00::/8'

function keyOf(family: 4 | 6, prefix: string): string {
  return `${family}:${prefix}`
}

function lengthsOf(cidrs: readonly Cidr[], family: 4 | 6): number[] {
  const lengths = cidrs.filter((cidr) => cidr.family === family).map(({ prefix }) => prefix.length)
  return [...new Set(lengths)].sort((a, b) => b - a)
}

function firstOf(family: 4 | 6, prefix: string): IpAddress {
  const bits = prefix.padEnd(family === 4 ? 32 : 128, '0')
  const bytes = bits.match(/.{8}/g) ?? []
  return IpAddress.fromBytes(Uint8Array.from(bytes, (byte) => parseInt(byte, 2)))
}

function invalid(text: string, what: string): PosternError {
  return new PosternError('ERR_ADDRESS_INVALID', `${JSON.stringify(text)} is no range, ${what}`)
}
