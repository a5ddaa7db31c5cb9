import { isUtf8 } from 'node:buffer'
import { derTag, malformed } from './der.ts'

const directoryStrings: ReadonlySet<number> = new Set([
  derTag.utf8String,
  derTag.printableString,
  derTag.numericString,
  derTag.visibleString,
  derTag.ia5String,
  derTag.teletexString,
  derTag.bmpString,
  derTag.universalString,
])

/** Whether a value with this tag is text. */
export function isDirectoryString(tag: number): boolean {
  return directoryStrings.has(tag)
}

/**
 * The text of a string value. Teletex is read as Latin-1, as every implementation does. Throws `PosternError`
 * ERR_DER_MALFORMED for octets that the type cannot hold.
 */
export function decodeString(tag: number, content: Buffer): string {
  switch (tag) {
    case derTag.utf8String:
      if (!isUtf8(content)) throw malformed('a UTF-8 string is not UTF-8')
      return content.toString('utf8')
    case derTag.teletexString:
      return content.toString('latin1')
    case derTag.bmpString:
      return decodeUnits(content, 2)
    case derTag.universalString:
      return decodeUnits(content, 4)
    default:
      return decodeAscii(content)
  }
}

/** The text of ASCII octets; throws for any above 7F. */
export function decodeAscii(content: Buffer): string {
  const text = content.toString('latin1')
  // eslint-disable-next-line no-control-regex -- the whole range of ASCII is meant
  if (!/^[\x00-\x7f]*$/.test(text)) throw malformed('an ASCII string holds an octet above 7F')
  return text
}

function decodeUnits(content: Buffer, width: 2 | 4): string {
  if (content.length % width !== 0) throw malformed('a wide string is cut off')
  let text = ''
  for (let i = 0; i < content.length; i += width) {
    const point = content.readUIntBE(i, width)
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
      throw malformed('a wide string holds no character')
    text += String.fromCodePoint(point)
  }
  return text
}
