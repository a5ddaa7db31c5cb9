import { type DerReader, derTag, malformed } from './der.ts'

/**
 * Reads a `Time` as milliseconds since 1970: `YYMMDDhhmmssZ` (1950 to 2049) or `YYYYMMDDhhmmssZ`, nothing else (RFC
 * 5280 4.1.2.5). Either form is taken for any year. Throws `PosternError` ERR_DER_MALFORMED.
 */
export function readTime(reader: DerReader): number {
  const isUtc = reader.nextTag === derTag.utcTime
  const text = reader.content(isUtc ? derTag.utcTime : derTag.generalizedTime).toString('latin1')
  return parseTime(isUtc ? withCentury(text) : text)
}

function withCentury(text: string): string {
  return `${text < '50' ? '20' : '19'}${text}`
}

function parseTime(text: string): number {
  if (!/^\d{14}Z$/.test(text)) throw malformed('a time is not of the form YYYYMMDDhhmmssZ')
  const part = (start: number, end: number) => Number(text.slice(start, end))
  const [year, month, day] = [part(0, 4), part(4, 6), part(6, 8)]
  const [hour, minute, second] = [part(8, 10), part(10, 12), part(12, 14)]
  const ms = Date.UTC(year, month - 1, day, hour, minute, second)
  // Date.UTC reads years 0 to 99 as 1900 to 1999 and carries what is out of range.
  if (compact(ms) !== text) throw malformed('a time is not on the calendar')
  return ms
}

function compact(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
}
