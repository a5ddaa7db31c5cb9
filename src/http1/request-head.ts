import { isAuthority, isSameAuthority } from './authority.ts'
import { isPersistent, parseConnection } from './connection-options.ts'
import { FieldSection } from './field-section.ts'
import { announcedFraming } from './framing.ts'
import type { Framing, RequestHead } from './head.ts'
import type { Http1Limits } from './limits.ts'
import type { LineSink } from './line-reader.ts'
import { Fault, type RefusalCode } from './refusal.ts'
import { parseRequestLine, type RequestLine } from './request-line.ts'

type RequestFault = Fault<RefusalCode>

const endingMalformed = new Fault('line_ending_malformed', 'a line ends in LF without CR')
const lineTooLong = new Fault('request_line_too_long', 'the request line is above the limit')
const headTooLarge = new Fault('head_too_large', 'the head is above the limit')
const tooManyEmptyLines = new Fault('request_line_malformed', 'too many empty lines before it')
const hostMissing = new Fault('host_missing', 'HTTP/1.1 without Host')
const hostRepeated = new Fault('host_ambiguous', 'more than one Host')
const hostMalformed = new Fault('host_malformed', 'Host does not parse')
const hostMismatch = new Fault('host_mismatch', 'Host is not the authority of the target')
const expectation = new Fault('expectation_unsupported', 'Expect is not 100-continue')

const lineEndBytes = 2

/** Builds one request's head out of its lines. */
export class RequestHeadParser implements LineSink {
  readonly #limits: Http1Limits
  #emptyLines = 0
  #requestLine: RequestLine | undefined
  #section: FieldSection
  #result: RequestHead | RequestFault | undefined

  constructor(limits: Http1Limits) {
    this.#limits = limits
    this.#section = new FieldSection(limits.maxFields, 'head')
  }

  /** No request line was seen yet. */
  get isFresh(): boolean {
    return this.#requestLine === undefined
  }

  /** What the lines made, once the reader of lines is closed. The parser is then ready for the next head. */
  take(): RequestHead | RequestFault | undefined {
    const result = this.#result
    this.#result = undefined
    this.#requestLine = undefined
    this.#emptyLines = 0
    this.#section = new FieldSection(this.#limits.maxFields, 'head')
    return result
  }

  line(text: string, start: number, end: number): boolean {
    if (this.#requestLine === undefined) return this.#startLine(text, start, end)
    if (start === end) return this.#finish(requestHead(this.#requestLine, this.#section))
    const fault = this.#section.add(text, start, end)
    return fault === undefined || this.#finish(fault)
  }

  badLine(why: 'too-long' | 'ending'): void {
    if (why === 'ending') this.#finish(endingMalformed)
    else this.#finish(this.isFresh ? lineTooLong : headTooLarge)
  }

  #startLine(text: string, start: number, end: number): boolean {
    if (start === end) return this.#skipEmptyLine()
    const bytes = end - start + lineEndBytes
    if (bytes > this.#limits.maxStartLineBytes) return this.#finish(lineTooLong)
    const line = parseRequestLine(text, start, end)
    if (line instanceof Fault) return this.#finish(line)
    this.#requestLine = line
    return true
  }

  #skipEmptyLine(): boolean {
    this.#emptyLines++
    return this.#emptyLines <= this.#limits.maxLeadingEmptyLines || this.#finish(tooManyEmptyLines)
  }

  #finish(result: RequestHead | RequestFault): false {
    this.#result = result
    return false
  }
}

function requestHead(line: RequestLine, section: FieldSection): RequestHead | RequestFault {
  const authority = authorityOf(line, section.host)
  if (authority instanceof Fault) return authority
  const framing = announcedFraming(section, line.minorVersion)
  if (framing instanceof Fault) return framing
  const connectionOptions = parseConnection(section.connection)
  if (connectionOptions instanceof Fault) return connectionOptions
  if (!isKnownExpectation(section.expect)) return expectation
  const isCurrent = line.minorVersion === 1
  return {
    method: line.method,
    target: line.target,
    path: line.path,
    authority,
    scheme: line.origin?.scheme,
    minorVersion: line.minorVersion,
    fields: section.fields,
    framing,
    persistent: isPersistent(line.minorVersion, connectionOptions),
    connectionOptions,
    expectsContinue: section.expect !== undefined && isCurrent && hasBytes(framing),
    upgrade: isCurrent && connectionOptions.includes('upgrade') ? section.upgrade : undefined,
  }
}

function authorityOf(line: RequestLine, host: string | undefined): string | RequestFault {
  if (host === undefined || host === '') return authorityWithoutHost(line, host)
  if (host.includes(',')) return hostRepeated
  if (!isAuthority(host)) return hostMalformed
  const { origin } = line
  if (origin === undefined) return host
  return isSameAuthority(host, origin.authority, origin.scheme) ? host : hostMismatch
}

/** HTTP/1.0 did not know Host. */
function authorityWithoutHost(line: RequestLine, host: '' | undefined): string | RequestFault {
  if (line.minorVersion === 1) return host === undefined ? hostMissing : hostMalformed
  if (line.origin === undefined) return ''
  return host === undefined ? line.origin.authority : hostMismatch
}

function isKnownExpectation(expect: string | undefined): boolean {
  return expect === undefined || expect.toLowerCase() === '100-continue'
}

function hasBytes(framing: Framing): boolean {
  return framing.kind === 'chunked' || (framing.kind === 'length' && framing.bytes > 0)
}
