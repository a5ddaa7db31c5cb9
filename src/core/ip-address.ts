/**
 * An IP address in its one form: an IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`, RFC 4291 2.5.5.2) is IPv4, because a
 * dual-stack socket shows every IPv4 caller that way.
 */
export class IpAddress {
  readonly family: 4 | 6
  readonly #bytes: Uint8Array
  #bits: string | undefined
  #text: string | undefined

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.family = bytes.length === 4 ? 4 : 6
  }

  /** 32 or 128 digits, 0 and 1, most significant first: a prefix of the address is a prefix of the text. */
  get bits(): string {
    return (this.#bits ??= Array.from(this.#bytes, eightDigits).join(''))
  }

  /** Undefined for everything that is not exactly one address; an IPv6 zone (`%eth0`) is none of it. */
  static parse(text: string): IpAddress | undefined {
    const bytes = text.includes(':') ? readIpv6(text) : readIpv4(text)
    return bytes && IpAddress.fromBytes(bytes)
  }

  /** From 4 or 16 bytes in network order. Throws `TypeError` for any other number. */
  static fromBytes(bytes: Uint8Array): IpAddress {
    if (bytes.length !== 4 && bytes.length !== 16) throw new TypeError('4 or 16 bytes')
    return new IpAddress(isMapped(bytes) ? bytes.slice(12) : bytes.slice())
  }

  /** Dotted decimal, or the one text of RFC 5952. */
  toString(): string {
    return (this.#text ??= this.family === 4 ? this.#bytes.join('.') : formatIpv6(this.#bytes))
  }
}

function eightDigits(byte: number): string {
  return byte.toString(2).padStart(8, '0')
}

const decimal = /^(?:0|[1-9][0-9]{0,2})$/

function readIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  // A leading zero is octal to some readers, and so another address.
  if (!parts.every((part) => decimal.test(part) && Number(part) <= 255)) return undefined
  return Uint8Array.from(parts, Number)
}

/** RFC 4291 2.2. */
function readIpv6(text: string): Uint8Array | undefined {
  const [, before = '', dotted] = /^(.*:)([0-9.]+\.[0-9.]+)$/.exec(text) ?? [undefined, text]
  const tail = dotted === undefined ? new Uint8Array() : readIpv4(dotted)
  if (tail === undefined) return undefined
  // Without the dotted part its colon is left over, unless it is that of `::`.
  const hex = dotted !== undefined && !before.endsWith('::') ? before.slice(0, -1) : before
  const halves = hex.split('::').map(readGroups)
  const [front, back] = halves
  if (front === undefined || halves.length > 2 || halves.includes(undefined)) return undefined
  const missing = 16 - tail.length - front.length - (back?.length ?? 0)
  if (back === undefined ? missing !== 0 : missing < 2) return undefined
  return Uint8Array.from([...front, ...new Uint8Array(missing), ...(back ?? []), ...tail])
}

function readGroups(text: string): number[] | undefined {
  if (text === '') return []
  const groups = text.split(':')
  if (groups.length > 8 || !groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) {
    return undefined
  }
  return groups.map((group) => parseInt(group, 16)).flatMap((group) => [group >> 8, group & 0xff])
}

function isMapped(bytes: Uint8Array): boolean {
  return (
    bytes.length === 16 &&
    bytes.subarray(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 0xff &&
    bytes[11] === 0xff
  )
}

function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.subarray(2 * i, 2 * i + 2))
  const text = groups.map(([high = 0, low = 0]) => ((high << 8) | low).toString(16)).join(':')
  const runs = [...text.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)]
  const longest = runs.reduce((best, { 0: run }) => (run.length > best.length ? run : best), '')
  if (longest === '') return text
  const at = runs.find(({ 0: run }) => run === longest)?.index ?? 0
  const [front, back] = [text.slice(0, at), text.slice(at + longest.length)]
  return `${front.replace(/:$/, '')}::${back.replace(/^:/, '')}`
}
