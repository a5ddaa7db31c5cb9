import { type DerReader, derTag, malformed } from './der.ts'
import { decodeString, isDirectoryString } from './strings.ts'

/** Most attributes in one name. */
export const mostNameAttributes = 64
/** Longest attribute value, bytes. */
export const longestNameValue = 4096

interface Attribute {
  readonly oid: string
  readonly tag: number
  readonly value: Buffer
  /** Decoded text, or undefined for a value that is no directory string. */
  readonly text: string | undefined
}

type Rdn = readonly Attribute[]

/** Short names of RFC 4514 section 3, and those of the LDAP registry that occur in certificates. */
const shortNames: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'CN'],
  ['2.5.4.4', 'SN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'STREET'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['2.5.4.12', 'title'],
  ['2.5.4.42', 'GN'],
  ['2.5.4.97', 'organizationIdentifier'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  ['1.2.840.113549.1.9.1', 'emailAddress'],
])

const emailAddressOid = '1.2.840.113549.1.9.1'

/** A distinguished name, RFC 5280 4.1.2.4, that compares as section 7.1 asks. */
export class Name {
  /** The encoding, as it stands in the certificate. */
  readonly der: Buffer
  readonly #rdns: readonly Rdn[]
  #canonical: readonly string[] | undefined
  #canonicalText: string | undefined
  #text: string | undefined

  private constructor(der: Buffer, rdns: readonly Rdn[]) {
    this.der = der
    this.#rdns = rdns
  }

  /** Reads the next element of `reader`. Throws `PosternError` ERR_DER_MALFORMED. */
  static read(reader: DerReader): Name {
    const der = reader.peek()
    return new Name(der, readRdns(reader.enter(derTag.sequence)))
  }

  get isEmpty(): boolean {
    return this.#rdns.length === 0
  }

  /** Equal names have equal canonical texts, whatever their letter case, white space and string types. */
  get canonical(): string {
    return (this.#canonicalText ??= this.#canonicalRdns().join(''))
  }

  /** Values of the `emailAddress` attributes, which name constraints look at when there is no e-mail SAN. */
  get emailAddresses(): readonly string[] {
    return this.#rdns
      .flat()
      .filter((attribute) => attribute.oid === emailAddressOid)
      .map((attribute) => attribute.text ?? '')
  }

  equals(other: Name): boolean {
    return this.der.equals(other.der) || this.canonical === other.canonical
  }

  /** Whether this name stands at or below `base`: the first RDNs are equal. */
  isWithin(base: Name): boolean {
    const own = this.#canonicalRdns()
    return base.#canonicalRdns().every((rdn, i) => rdn === own[i])
  }

  /** RFC 4514: the last RDN first. Control characters are escaped, other text stays as it is; '' when empty. */
  toString(): string {
    return (this.#text ??= this.#rdns.toReversed().map(rdnText).join(','))
  }

  #canonicalRdns(): readonly string[] {
    return (this.#canonical ??= this.#rdns.map(canonicalRdn))
  }
}

function readRdns(reader: DerReader): Rdn[] {
  const rdns: Rdn[] = []
  let attributes = 0
  while (!reader.isAtEnd) {
    const rdn = readRdn(reader.enter(derTag.set))
    attributes += rdn.length
    if (attributes > mostNameAttributes) throw malformed('a name has too many attributes')
    rdns.push(rdn)
  }
  return rdns
}

function readRdn(reader: DerReader): Rdn {
  const attributes: Attribute[] = []
  do attributes.push(readAttribute(reader.enter(derTag.sequence)))
  while (!reader.isAtEnd)
  return attributes
}

function readAttribute(reader: DerReader): Attribute {
  const oid = reader.oid()
  const tag = reader.nextTag
  const element = reader.peek()
  if (element.length > longestNameValue) throw malformed('a value in a name is too long')
  if (!isDirectoryString(tag)) {
    reader.element()
    reader.finish()
    return { oid, tag, value: element, text: undefined }
  }
  const text = decodeString(tag, reader.content(tag))
  reader.finish()
  return { oid, tag, value: element, text }
}

/** Self-delimiting, so that no value can imitate a second attribute. */
function canonicalRdn(rdn: Rdn): string {
  const attributes = rdn.map((attribute) => {
    const value = canonicalValue(attribute)
    return `${attribute.oid}=${value.length}:${value}`
  })
  return `${attributes.sort().join('+')};`
}

function canonicalValue(attribute: Attribute): string {
  if (attribute.text === undefined) return `#${attribute.value.toString('hex')}`
  return canonicalText(attribute.text)
}

const isPlainAscii = /^[\x20-\x7e]*$/

/** RFC 5280 7.1 by way of RFC 4518: compatibility form, no letter case, white space trimmed and single. */
function canonicalText(text: string): string {
  const folded = isPlainAscii.test(text) ? text : text.normalize('NFKC')
  return folded.toLowerCase().replace(/\s+/g, ' ').trim()
}

function rdnText(rdn: Rdn): string {
  return rdn.map(attributeText).join('+')
}

function attributeText(attribute: Attribute): string {
  const name = shortNames.get(attribute.oid)
  if (name === undefined || attribute.text === undefined)
    return `${name ?? attribute.oid}=#${attribute.value.toString('hex')}`
  return `${name}=${escapeValue(attribute.text)}`
}

// RFC 4514 2.4 asks for NUL and the first class; the rest would let a name write into a terminal or a log.
const specials = /[,+"\\<>;]|^[ #]| $|[\p{Cc}\p{Cf}\u2028\u2029]/gu

function escapeValue(text: string): string {
  return text.replace(specials, (character) =>
    /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(character) ? escapeOctets(character) : `\\${character}`,
  )
}

function escapeOctets(character: string): string {
  return Buffer.from(character).reduce(
    (text, octet) => `${text}\\${octet.toString(16).padStart(2, '0').toUpperCase()}`,
    '',
  )
}
