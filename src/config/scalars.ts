import { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import { parseSpiffeIdSelector } from '../policy/caller.ts'
import { parseCidr } from '../policy/cidr-set.ts'
import { HostPattern, PathPattern } from '../policy/request-rule.ts'
import { quoted } from '../spiffe/quoted.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Address, formatAddress, isLocal, parseAddress } from './address.ts'
import { whatIs } from './describe-issue.ts'

// Schemas of single values, which are all texts in the files. What they expect is said here; what a setting means is
// said where it stands.

interface TextOptions {
  /** `a duration such as 10s`. */
  readonly expected: string
  /** For the JSON Schema only: what is checked is `read`. */
  readonly pattern?: string
  /** The value may be a key that was put in the wrong place: messages leave it out. */
  readonly isSecret?: boolean
}

/** A text that stands for a value. `read` gives undefined for what is not expected, or throws an error that says more. */
function text<T>(options: TextOptions, read: (text: string) => T | undefined) {
  const { expected, pattern, isSecret = false } = options
  return z
    .string({ error: ({ input }) => `is ${whatIs(input)}, expected ${expected}` })
    .meta(pattern === undefined ? {} : { pattern })
    .transform((written, context) => {
      const [value, fault] = attempt(() => read(written))
      if (value !== undefined) return value
      const message = fault ?? `${isSecret ? 'this' : quoted(written)} is not ${expected}`
      context.issues.push({ code: 'custom', input: written, message })
      return z.NEVER
    })
}

function attempt<T>(read: () => T): readonly [T | undefined, string | undefined] {
  try {
    return [read(), undefined]
  } catch (thrown) {
    return [undefined, messageOf(thrown)]
  }
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3_600e3 }
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}

/** `250ms`, `10s`, `5m` or `1h`, from `min` to `max`, which are written the same way. Milliseconds. */
export function duration(min: string, max: string) {
  return amount(
    durationUnits,
    `a duration of ${min} to ${max} such as 250ms, 10s, 5m or 1h`,
    min,
    max,
  )
}

/** As `duration`, or `none`: Infinity. */
export function durationOrNone(min: string, max: string) {
  const expected = `none, or a duration of ${min} to ${max} such as 10s or 5m`
  return amountOrNone(durationUnits, expected, min, max)
}

/** `512B`, `16KiB`, `10MiB` or `1GiB`, from `min` to `max`, which are written the same way. Bytes. */
export function size(min: string, max: string) {
  return amount(sizeUnits, `a size of ${min} to ${max} such as 16KiB or 10MiB`, min, max)
}

/** As `size`, or `none`: Infinity. */
export function sizeOrNone(min: string, max: string) {
  const expected = `none, or a size of ${min} to ${max} such as 16KiB or 10MiB`
  return amountOrNone(sizeUnits, expected, min, max)
}

type Units = Readonly<Record<string, number>>

function amount(units: Units, expected: string, min: string, max: string) {
  const pattern = `^[0-9]{1,9}(${Object.keys(units).join('|')})$`
  return text({ expected, pattern }, (written) => amountWithin(units, written, min, max))
}

function amountOrNone(units: Units, expected: string, min: string, max: string) {
  const pattern = `^(none|[0-9]{1,9}(${Object.keys(units).join('|')}))$`
  return text({ expected, pattern }, (written) =>
    written === 'none' ? Infinity : amountWithin(units, written, min, max),
  )
}

function amountWithin(units: Units, written: string, min: string, max: string): number | undefined {
  const value = toAmount(units, written)
  const [least, most] = [toAmount(units, min), toAmount(units, max)]
  if (least === undefined || most === undefined) throw new TypeError(`bad range ${min} to ${max}`)
  return value !== undefined && value >= least && value <= most ? value : undefined
}

function toAmount(units: Units, written: string): number | undefined {
  const [, count, unit = ''] = /^([0-9]{1,9})([A-Za-z]+)$/.exec(written) ?? []
  const factor = units[unit]
  return factor === undefined ? undefined : Number(count) * factor
}

const periodsMs: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3_600e3 }

/** `100/s`, `600/m` or `5000/h`. */
export const rate = text(
  { expected: 'a rate such as 100/s, 600/m or 5000/h', pattern: '^[1-9][0-9]{0,6}/[smh]$' },
  (written) => {
    const [, count, period = ''] = /^([1-9][0-9]{0,6})\/([smh])$/.exec(written) ?? []
    const periodMs = periodsMs[period]
    return periodMs === undefined ? undefined : { text: written, count: Number(count), periodMs }
  },
)

const momentShape =
  /^(?<day>\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?(?:Z|[+-]\d{2}:\d{2}))?$/

/**
 * Reads `2026-11-01`, which is the first moment of that day in UTC, or `2026-11-01T10:00:00Z` with any offset (RFC 3339).
 * Milliseconds since 1970; undefined for everything else, days that the calendar does not have included.
 */
export function parseMoment(written: string): number | undefined {
  const day = momentShape.exec(written)?.groups?.['day']
  if (day === undefined) return undefined
  const dayMs = Date.parse(`${day}T00:00:00Z`)
  if (Number.isNaN(dayMs) || !new Date(dayMs).toISOString().startsWith(day)) return undefined
  const ms = Date.parse(written)
  return Number.isNaN(ms) ? undefined : ms
}

/** A moment, milliseconds since 1970. */
export const moment = text(
  { expected: 'a date such as 2026-11-01 (its beginning in UTC) or 2026-11-01T10:00:00Z' },
  parseMoment,
)

const tcpPattern = '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$'

/** `host:port`, `[IPv6]:port` or `unix:/path`. */
export const address = text({ expected: 'host:port, [IPv6]:port or unix:/path' }, parseAddress)

/** `host:port` or `[IPv6]:port`. */
export const tcpAddress = text(
  { expected: 'host:port or [IPv6]:port', pattern: tcpPattern },
  tcpOnly,
)

/** `tcpAddress` on this machine. */
export const localTcpAddress = text(
  { expected: 'an address of this machine such as 127.0.0.1:9901', pattern: tcpPattern },
  (written) => {
    const parsed = tcpOnly(written)
    return parsed !== undefined && isLocal(parsed) ? parsed : undefined
  },
)

/** As `localTcpAddress`, or `none`. */
export const localTcpAddressOrNone = text(
  {
    expected: 'none, or an address of this machine such as 127.0.0.1:9901',
    pattern: `^none$|${tcpPattern}`,
  },
  (written) => {
    if (written === 'none') return written
    const parsed = tcpOnly(written)
    return parsed !== undefined && isLocal(parsed) ? parsed : undefined
  },
)

function tcpOnly(written: string): Extract<Address, { kind: 'tcp' }> | undefined {
  const parsed = parseAddress(written)
  return parsed.kind === 'tcp' ? parsed : undefined
}

/** A range of IP addresses, or one of them. */
export const cidr = text({ expected: 'an address, or a range such as 10.0.0.0/8' }, parseCidr)

/** An address in its one spelling. */
export const addressText = text({ expected: 'host:port, [IPv6]:port or unix:/path' }, (written) =>
  formatAddress(parseAddress(written)),
)

/** A path in the file system, absolute or relative to the file that holds it. */
export const filePath = text({ expected: 'the path of a file' }, (written) =>
  written !== '' && written.length <= 4_096 && !written.includes('\0') ? written : undefined,
)

/** Shapes of texts that are read without a schema too. */
export const shapes = {
  name: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
  consumer: /^(?!pst_)[!-~](?:[ -~]{0,126}[!-~])?$/,
  keyId: /^(?!pst_)[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
  sha256: /^[0-9a-f]{64}$/,
}

/** The name of a product or the alias of an authority. It goes into headers, metrics and spans. */
export const name = shaped('a name of 1 to 63 letters, digits, ., _ and -', shapes.name)

/** Who a key was issued to. It goes into a header. */
export const consumer = shaped(
  'a name of 1 to 128 ASCII characters without a space at either end, and no key',
  shapes.consumer,
  true,
)

export const keyId = shaped(
  'an id of 1 to 64 letters, digits, _ and -, and no key',
  shapes.keyId,
  true,
)

/** A digest in lower case. What is there is never shown: it may be the key itself. */
export const sha256 = z
  .string({ error: ({ input }) => `is ${whatIs(input)}, expected 64 hex characters in quotes` })
  .regex(/^[0-9a-fA-F]{64}$/, {
    error: 'is not a SHA-256, expected 64 hex characters; the key itself has no place in this file',
  })
  .transform((written) => written.toLowerCase())

/** A token (RFC 9110 5.6.2) in upper case, as all registered methods are. */
export const method = shaped('an HTTP method in upper case such as GET', /^[A-Z][A-Z0-9_-]{0,31}$/)

/** Text for people. */
export const description = shaped('a text of at most 1000 characters', /^[^]{0,1000}$/)

function shaped(expected: string, shape: RegExp, isSecret = false) {
  const options = { expected, pattern: shape.source, isSecret }
  return text(options, (written) => (shape.test(written) ? written : undefined))
}

const checkedTrustDomain = checkedBy((written) => TrustDomain.parse(written))
const checkedSelector = checkedBy(parseSpiffeIdSelector)

/** Checked, and kept as written. */
export const trustDomain = text({ expected: 'the name of a trust domain' }, checkedTrustDomain)

/** A SPIFFE ID, or one with `/*` or `/**` at its end. Checked, and kept as written. */
export const spiffeIdSelector = text(
  { expected: 'a SPIFFE ID, or one that ends in /* or /**', pattern: '^spiffe://' },
  checkedSelector,
)

/** Whom an outbound listener expects: a SPIFFE ID selector or the name of a trust domain. */
export const expectedPeer = text(
  { expected: 'a SPIFFE ID, one that ends in /* or /**, or the name of a trust domain' },
  (written) => (written.includes('/') ? checkedSelector(written) : checkedTrustDomain(written)),
)

export const hostPattern = text(
  { expected: 'a host name' },
  checkedBy((written) => HostPattern.parse(written)),
)

export const pathPattern = text(
  { expected: 'a path such as /v1/payments/**', pattern: '^/' },
  checkedBy((written) => PathPattern.parse(written)),
)

function checkedBy(parse: (written: string) => unknown): (written: string) => string {
  return (written) => {
    parse(written)
    return written
  }
}

/** Headers that frame messages, name the host or carry what we set ourselves: none of them can hold a key. */
const reservedHeaders =
  /^(?:host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|content-length|authorization|cookie|forwarded|traceparent|tracestate|x-request-id|x-forwarded-.*|x-postern-.*|proxy-.*)$/

/** A header of its own for API keys, in lower case. */
export const headerName = text(
  {
    expected: 'the name of a header in lower case that has no other meaning, such as x-api-key',
    pattern: '^[a-z][a-z0-9-]{0,63}$',
  },
  (written) =>
    /^[a-z][a-z0-9-]{0,63}$/.test(written) && !reservedHeaders.test(written) ? written : undefined,
)

/** SPIFFE Workload API 8. */
export const hint = text({ expected: 'a hint of 1 to 1024 bytes' }, (written) =>
  written !== '' && Buffer.byteLength(written) <= 1_024 ? written : undefined,
)

/** Kept as written: the Workload API client reads it. */
export const workloadApiAddress = text(
  { expected: 'unix:///path or tcp://IP:port', pattern: '^(unix|tcp):' },
  (written) => (/^(?:unix|tcp):./.test(written) ? written : undefined),
)
