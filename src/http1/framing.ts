import type { FieldSection } from './field-section.ts'
import { chunkedBody, noBody, type Framing } from './head.ts'
import { Fault } from './refusal.ts'

/** Leading zeros are allowed, but not without end: 2^53-1 has 16 digits. */
const lengthShape = /^[0-9]{1,16}$/

const both = new Fault('framing_ambiguous', 'Content-Length beside Transfer-Encoding')
const repeated = new Fault('framing_ambiguous', 'more than one Content-Length')
const malformed = new Fault(
  'content_length_malformed',
  'Content-Length is no number up to 9007199254740991',
)
const notChunked = new Fault('transfer_encoding_unsupported', 'Transfer-Encoding is not chunked')
const tooOld = new Fault('framing_ambiguous', 'Transfer-Encoding in HTTP/1.0')

/**
 * What the fields of a head say about its body: exactly one of a checked Content-Length, chunked, or nothing at all. Every
 * other combination is refused, because two readers could end the message at two places (RFC 9112 6.3, 11.2).
 */
export function announcedFraming(section: FieldSection, minorVersion: 0 | 1): Framing | Fault {
  const { contentLength, transferEncoding } = section
  if (transferEncoding === undefined) {
    return contentLength === undefined ? noBody : lengthFraming(contentLength)
  }
  if (contentLength !== undefined) return both
  if (minorVersion === 0) return tooOld
  return transferEncoding.toLowerCase() === 'chunked' ? chunkedBody : notChunked
}

function lengthFraming(value: string): Framing | Fault {
  if (value.includes(',')) return repeated
  if (!lengthShape.test(value)) return malformed
  const bytes = Number(value)
  return Number.isSafeInteger(bytes) ? { kind: 'length', bytes } : malformed
}
