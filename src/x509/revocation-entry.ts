import { longestSerial } from './certificate.ts'
import { DerReader, derTag, malformed } from './der.ts'
import { readRawExtensions } from './extensions.ts'
import { readTime } from './time.ts'

/** One entry of a revocation list, but for its serial number. */
export interface RevocationEntry {
  /** Milliseconds since 1970. */
  readonly revokedMs: number
  /** `CRLReason`, RFC 5280 5.3.1. */
  readonly reason: number
}

/** `CRLReason` of what was taken back from a list. */
export const removeFromCrl = 8

/** By number; 7 is not used. */
export const reasonNames = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  undefined,
  'removeFromCRL',
  'privilegeWithdrawn',
  'aACompromise',
]

/**
 * Reads an element of `revokedCertificates`. Throws `PosternError` ERR_DER_MALFORMED, also for a critical extension that is
 * not processed: a list with one must not be used (RFC 5280 5.3).
 */
export function readRevocationEntry(element: Buffer, version: number): RevocationEntry {
  const reader = DerReader.of(element).enter(derTag.sequence)
  if (reader.content(derTag.integer).length > longestSerial)
    throw malformed('the serial number of an entry is too long')
  const revokedMs = readTime(reader)
  if (reader.isAtEnd) return { revokedMs, reason: 0 }
  if (version < 2) throw malformed('an entry of a version 1 list has extensions')
  const reason = readEntryExtensions(reader.enter(derTag.sequence))
  reader.finish()
  return { revokedMs, reason }
}

const reasonOid = '2.5.29.21'
const certificateIssuerOid = '2.5.29.29'

function readEntryExtensions(extensions: DerReader): number {
  let reason = 0
  for (const { oid, isCritical, value } of readRawExtensions(extensions)) {
    if (oid === certificateIssuerOid)
      throw malformed('an entry names another issuer: indirect lists are not supported')
    if (oid === reasonOid) reason = readReason(DerReader.of(value))
    else if (isCritical)
      throw malformed(`an entry has the critical extension ${oid}, which is not understood`)
  }
  return reason
}

function readReason(value: DerReader): number {
  const reason = value.enumerated()
  if (reasonNames[reason] === undefined) throw malformed(`the reason ${reason} is unknown`)
  return reason
}

/** `30 0c 30 0a 06 03 55 1d 15 04 03 0a 01`: extensions that are a reason and nothing else, up to the reason itself. */
const reasonAlone = Buffer.from('300c300a0603551d1504030a01', 'hex')
const utcTimeSize = 15

/**
 * The reason of an entry of the form that nearly all have: serial number, UTCTime and perhaps a reason. Undefined for every
 * other, good or bad: it is for `readRevocationEntry`, which says the same of these, but takes 12 us for each (0.1 us here),
 * and a list may have 300,000. `element` is a SEQUENCE with its length checked.
 */
export function reasonOfPlainEntry(element: Buffer, version: number): number | undefined {
  if (element.length < 2 + 3 + utcTimeSize || (element[1] ?? 0) >= 0x80) return undefined
  const time = endOfPlainSerial(element)
  if (time === undefined || !isPlainTime(element, time)) return undefined
  const extensions = time + utcTimeSize
  if (extensions === element.length) return 0
  const isReason =
    version === 2 &&
    extensions + reasonAlone.length + 1 === element.length &&
    reasonAlone.compare(element, extensions, extensions + reasonAlone.length) === 0
  const reason = element[element.length - 1] ?? 0
  return isReason && reasonNames[reason] !== undefined ? reason : undefined
}

function endOfPlainSerial(element: Buffer): number | undefined {
  const length = element[3] ?? 0
  const first = element[4] ?? 0
  const isMinimal =
    length === 1 ||
    (first !== 0x00 && first !== 0xff) ||
    (first === 0x00) === (element[5] ?? 0) >= 0x80
  return element[2] === derTag.integer && length > 0 && length <= longestSerial && isMinimal
    ? 4 + length
    : undefined
}

const daysOfMonths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** UTCTime of the form `YYMMDDhhmmssZ`, on the calendar. */
function isPlainTime(element: Buffer, at: number): boolean {
  if (at + utcTimeSize > element.length) return false
  if (element[at] !== derTag.utcTime || element[at + 1] !== 13 || element[at + 14] !== 0x5a)
    return false
  const month = twoDigits(element, at + 4)
  const day = twoDigits(element, at + 6)
  // 1950 to 2049: every fourth year is a leap year.
  const isLeapDay = month === 2 && day === 29 && twoDigits(element, at + 2) % 4 === 0
  return (
    twoDigits(element, at + 2) >= 0 &&
    day >= 1 &&
    (day <= (daysOfMonths[month - 1] ?? 0) || isLeapDay) &&
    isBelow(twoDigits(element, at + 8), 24) &&
    isBelow(twoDigits(element, at + 10), 60) &&
    isBelow(twoDigits(element, at + 12), 60)
  )
}

function isBelow(value: number, limit: number): boolean {
  return value >= 0 && value < limit
}

/** -1 when they are none. */
function twoDigits(bytes: Buffer, at: number): number {
  const high = (bytes[at] ?? 0) - 0x30
  const low = (bytes[at + 1] ?? 0) - 0x30
  return isBelow(high, 10) && isBelow(low, 10) ? high * 10 + low : -1
}
