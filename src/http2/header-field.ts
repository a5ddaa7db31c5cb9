import type { StreamRule } from './errors.ts'

/** What a field's name means to the rules of RFC 9113 8.2 and 8.3. */
export type FieldKind =
  | 'regular'
  | 'cookie'
  | 'host'
  | 'te'
  | 'content-length'
  | 'connection'
  | ':method'
  | ':scheme'
  | ':authority'
  | ':path'
  | ':protocol'
  | ':status'
  | ':unknown'

const namedKinds = new Map<string, FieldKind>([
  ['cookie', 'cookie'],
  ['host', 'host'],
  ['te', 'te'],
  ['content-length', 'content-length'],
  ['connection', 'connection'],
  ['keep-alive', 'connection'],
  ['proxy-connection', 'connection'],
  ['transfer-encoding', 'connection'],
  ['upgrade', 'connection'],
  [':method', ':method'],
  [':scheme', ':scheme'],
  [':authority', ':authority'],
  [':path', ':path'],
  [':protocol', ':protocol'],
  [':status', ':status'],
])

/**
 * One decoded field. Entries of the HPACK tables are fields too and shared by all requests that refer to them, so that what
 * a field breaks on its own is found once, when it enters the table, and not in each request.
 */
export class HeaderField {
  readonly name: string
  /** Latin-1, one character a byte. */
  readonly value: string
  readonly kind: FieldKind
  /** RFC 7541 4.1: name, value and 32. */
  readonly size: number
  /** The rule that this field breaks wherever it stands. */
  readonly fault: StreamRule | undefined

  private constructor(name: string, value: string, kind: FieldKind) {
    this.name = name
    this.value = value
    this.kind = kind
    this.size = name.length + value.length + 32
    this.fault = faultOf(name, value, kind)
  }

  static of(name: string, value: string): HeaderField {
    return new HeaderField(name, value, kindOf(name))
  }

  /** A field with the name of this one. */
  withValue(value: string): HeaderField {
    return new HeaderField(this.name, value, this.kind)
  }
}

function kindOf(name: string): FieldKind {
  return namedKinds.get(name) ?? (name.startsWith(':') ? ':unknown' : 'regular')
}

const namePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
// eslint-disable-next-line no-control-regex -- control characters are what it finds
const badValuePattern = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/
const methodPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// No fragment, no space, no byte above 0x7e: none of them may stand in a request line of HTTP/1.1.
const pathPattern = /^(?:\/[\x21\x22\x24-\x7e]*|\*)$/
const statusPattern = /^[1-9][0-9][0-9]$/
const lengthPattern = /^[0-9]{1,15}$/

function faultOf(name: string, value: string, kind: FieldKind): StreamRule | undefined {
  if (badValuePattern.test(value)) return 'field_value_invalid'
  switch (kind) {
    case 'regular':
      return namePattern.test(name) ? undefined : 'field_name_invalid'
    case 'connection':
      return 'connection_field'
    case 'te':
      return value === 'trailers' ? undefined : 'te_invalid'
    case 'content-length':
      return lengthPattern.test(value) ? undefined : 'content_length_invalid'
    case ':method':
      return methodPattern.test(value) ? undefined : 'method_invalid'
    case ':scheme':
      return value === 'http' || value === 'https' ? undefined : 'scheme_invalid'
    case ':path':
      return pathPattern.test(value) ? undefined : 'path_invalid'
    case ':protocol':
      return methodPattern.test(value) ? undefined : 'protocol_unexpected'
    case ':status':
      return statusPattern.test(value) ? undefined : 'status_invalid'
    case ':unknown':
      return 'pseudo_unknown'
    case 'cookie':
    case 'host':
    case ':authority':
      return undefined
  }
}
