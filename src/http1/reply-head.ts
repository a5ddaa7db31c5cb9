import { isPersistent, parseConnection } from './connection-options.ts'
import { FieldSection, isFieldValue } from './field-section.ts'
import { announcedFraming } from './framing.ts'
import { bodyUntilClose, noBody, type Framing, type ReplyHead } from './head.ts'
import type { Http1Limits } from './limits.ts'
import type { LineSink } from './line-reader.ts'
import { Fault, type ReplyRefusalCode } from './refusal.ts'

type ReplyFault = Fault<ReplyRefusalCode>

/** The first line of a reply, RFC 9112 4. */
interface StatusLine {
  readonly minorVersion: 0 | 1
  readonly status: number
  readonly reason: string
}

const lineEndBytes = 2

const endingMalformed = new Fault('line_ending_malformed', 'a line ends in LF without CR')
const lineTooLong = new Fault('status_line_too_long', 'the status line is above the limit')
const headTooLarge = new Fault('head_too_large', 'the head is above the limit')
const lineMalformed = new Fault('status_line_malformed', 'not: version SP status SP reason')
const otherVersion = new Fault('version_unsupported', 'neither HTTP/1.1 nor HTTP/1.0')

/** Builds one reply's head out of its lines. */
export class ReplyHeadParser implements LineSink {
  readonly #limits: Http1Limits
  #method = 'GET'
  #statusLine: StatusLine | undefined
  #section: FieldSection
  #result: ReplyHead | ReplyFault | undefined

  constructor(limits: Http1Limits) {
    this.#limits = limits
    this.#section = new FieldSection(limits.maxFields, 'head')
  }

  /** The method of the request decides whether a body follows. */
  expect(method: string): void {
    this.#method = method
  }

  /** No status line was seen yet. */
  get isFresh(): boolean {
    return this.#statusLine === undefined
  }

  /** What the lines made, once the reader of lines is closed. The parser is then ready for the next head. */
  take(): ReplyHead | ReplyFault | undefined {
    const result = this.#result
    this.#result = undefined
    this.#statusLine = undefined
    this.#section = new FieldSection(this.#limits.maxFields, 'head')
    return result
  }

  line(text: string, start: number, end: number): boolean {
    if (this.#statusLine === undefined) return this.#startLine(text, start, end)
    if (start === end) {
      return this.#finish(replyHead(this.#statusLine, this.#section, this.#method))
    }
    const fault = this.#section.add(text, start, end)
    return fault === undefined || this.#finish(fault)
  }

  badLine(why: 'too-long' | 'ending'): void {
    if (why === 'ending') this.#finish(endingMalformed)
    else this.#finish(this.isFresh ? lineTooLong : headTooLarge)
  }

  #startLine(text: string, start: number, end: number): boolean {
    const bytes = end - start + lineEndBytes
    if (bytes > this.#limits.maxStartLineBytes) return this.#finish(lineTooLong)
    const line = parseStatusLine(text.slice(start, end))
    if (line instanceof Fault) return this.#finish(line)
    this.#statusLine = line
    return true
  }

  #finish(result: ReplyHead | ReplyFault): false {
    this.#result = result
    return false
  }
}

const otherVersionShape = /^HTTP\/(?!1\.[01])[0-9]\.[0-9](?: |$)/
const statusShape = /^[1-9][0-9]{2}$/
const statusStart = 'HTTP/1.1 '.length
const statusEnd = statusStart + 3

/** The reason, and the space before it, may be missing. */
function parseStatusLine(line: string): StatusLine | ReplyFault {
  const minorVersion = parseVersion(line)
  if (minorVersion instanceof Fault) return minorVersion
  const status = line.slice(statusStart, statusEnd)
  if (!statusShape.test(status)) return lineMalformed
  if (line.length > statusEnd && line[statusEnd] !== ' ') return lineMalformed
  const reason = line.slice(statusEnd + 1)
  if (!isFieldValue(reason)) return lineMalformed
  return { minorVersion, status: Number(status), reason }
}

function parseVersion(line: string): 0 | 1 | ReplyFault {
  if (line.startsWith('HTTP/1.1 ')) return 1
  if (line.startsWith('HTTP/1.0 ')) return 0
  return otherVersionShape.test(line) ? otherVersion : lineMalformed
}

function replyHead(
  line: StatusLine,
  section: FieldSection,
  method: string,
): ReplyHead | ReplyFault {
  const { status, minorVersion } = line
  const announced = announcedFraming(section, minorVersion)
  if (announced instanceof Fault) return announced
  const connectionOptions = parseConnection(section.connection)
  if (connectionOptions instanceof Fault) return connectionOptions
  const framing = framingOf(status, method, announced)
  const keepAliveTimeoutSeconds = keepAliveTimeout(section.keepAlive)
  return {
    status,
    reason: line.reason,
    minorVersion,
    fields: section.fields,
    framing,
    announced: mayAnnounce(status) ? announced : noBody,
    persistent: framing.kind !== 'close' && isPersistent(minorVersion, connectionOptions),
    connectionOptions,
    ...(keepAliveTimeoutSeconds === undefined ? {} : { keepAliveTimeoutSeconds }),
  }
}

/** RFC 9112 6.3, in its order. */
function framingOf(status: number, method: string, announced: Framing): Framing {
  if (method === 'HEAD' || status === 304 || !mayAnnounce(status)) return noBody
  if (method === 'CONNECT' && status < 300) return noBody
  return announced.kind === 'none' ? bodyUntilClose : announced
}

/** 1xx and 204 end with their head, and may not name a length (RFC 9110 8.6). */
function mayAnnounce(status: number): boolean {
  return status >= 200 && status !== 204
}

const timeoutShape = /(?:^|[,;\s])timeout\s{0,8}=\s{0,8}"?([0-9]{1,9})(?![0-9])/i

function keepAliveTimeout(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const seconds = timeoutShape.exec(value)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}
