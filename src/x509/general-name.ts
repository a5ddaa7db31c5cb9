import { contextTag, type DerReader, malformed } from './der.ts'
import { Name } from './name.ts'
import { decodeAscii } from './strings.ts'

/** A name of RFC 5280 4.2.1.6. `other` is a form that nothing here reads: otherName, X.400, EDI, registeredID. */
export type GeneralName =
  | { readonly kind: 'uri' | 'dns' | 'email'; readonly value: string }
  /** 4 or 16 octets; in a name constraint address and mask, 8 or 32. */
  | { readonly kind: 'ip'; readonly octets: Buffer }
  | { readonly kind: 'directory'; readonly name: Name }
  | { readonly kind: 'other'; readonly tag: number; readonly der: Buffer }

/** Longest URI, DNS or e-mail name, bytes. SPIFFE IDs end at 2048. */
export const longestGeneralName = 4096

const tags = {
  email: contextTag(1, 'primitive'),
  dns: contextTag(2, 'primitive'),
  directory: contextTag(4, 'constructed'),
  uri: contextTag(6, 'primitive'),
  ip: contextTag(7, 'primitive'),
} as const

/**
 * Reads the next name. `ipWidths` are the sizes that an IP form may have. Throws `PosternError` ERR_DER_MALFORMED.
 */
export function readGeneralName(reader: DerReader, ipWidths: readonly number[]): GeneralName {
  const tag = reader.nextTag
  switch (tag) {
    case tags.uri:
      return { kind: 'uri', value: readText(reader.content(tag)) }
    case tags.dns:
      return { kind: 'dns', value: readText(reader.content(tag)) }
    case tags.email:
      return { kind: 'email', value: readText(reader.content(tag)) }
    case tags.ip:
      return { kind: 'ip', octets: readAddress(reader.content(tag), ipWidths) }
    case tags.directory:
      return { kind: 'directory', name: readDirectoryName(reader.enter(tag)) }
    default:
      if ((tag & 0xc0) !== 0x80) throw malformed('a general name has no context tag')
      return { kind: 'other', tag, der: reader.element() }
  }
}

function readText(content: Buffer): string {
  if (content.length > longestGeneralName) throw malformed('a general name is too long')
  const text = decodeAscii(content)
  // A NUL or line break in a name has no honest use: "good.example\0.evil.example".
  if (/\p{Cc}/u.test(text)) throw malformed('a general name holds a control character')
  return text
}

function readAddress(content: Buffer, widths: readonly number[]): Buffer {
  if (!widths.includes(content.length)) throw malformed('an IP address has a wrong length')
  return content
}

function readDirectoryName(reader: DerReader): Name {
  const name = Name.read(reader)
  reader.finish()
  return name
}
