import type { Fields } from '../core/fields.ts'
import { fieldNameOf, isToken, type FieldName } from './field-name.ts'
import { isFieldValue } from './field-section.ts'
import type { Framing } from './head.ts'

// Texts are Latin-1: write them with the encoding 'latin1'. Every function throws `TypeError` rather than write what could split a
// message: a control character, a character above 0xFF (whose low byte could be a line feed), a name that is no token.

declare const fieldLines: unique symbol

/** Header lines that were checked and written once, to be put into many heads. */
export type FieldLines = string & { readonly [fieldLines]: true }

/** What no target may hold. */
const notInTargets = /[^\x21-\x7e]/

export const chunkTail = '\r\n'

/**
 * The head of a request, up to and with the empty line. `fields` hold Host and no framing field: `framing` alone decides, so that
 * exactly one is ever written. `lines` follow the fields.
 */
export function formatRequestHead(
  method: string,
  path: string,
  fields: Fields,
  framing: Framing,
  lines?: FieldLines,
): string {
  if (!isToken(method)) throw new TypeError('a method must be a token')
  if (path === '' || notInTargets.test(path)) {
    throw new TypeError('a request target must be visible ASCII')
  }
  if (framing.kind === 'close') throw new TypeError('no request ends with its connection')
  const start = `${method} ${path} HTTP/1.1\r\n`
  return `${start}${formatFieldLines(fields)}${lines ?? ''}${framingLine(framing)}\r\n`
}

/** The final reply to one request. */
export interface ReplyToWrite {
  readonly status: number
  readonly reason: string
  /** No framing field. */
  readonly fields: Fields
  /** What follows; with HEAD and 304 what a body would have had. */
  readonly framing: Framing
  /** Whether the connection lives on; never after `close` framing. The head says so where HTTP does not imply it. */
  readonly persistent: boolean
  /** Of the request: HTTP/1.0 cannot read chunks. */
  readonly requestMinorVersion: 0 | 1
  /** Follow the fields. */
  readonly lines?: FieldLines
}

/** The head of a reply, up to and with the empty line. */
export function formatReplyHead(reply: ReplyToWrite): string {
  const { status, framing } = reply
  if (framing.kind !== 'none' && endsWithHead(status)) {
    throw new TypeError('1xx and 204 have no body and name no length')
  }
  if (framing.kind === 'chunked' && reply.requestMinorVersion === 0) {
    throw new TypeError('HTTP/1.0 cannot read chunks')
  }
  const fields = `${formatFieldLines(reply.fields)}${reply.lines ?? ''}${connectionLine(reply)}`
  return `${statusLine(status, reply.reason)}${fields}${framingLine(framing)}\r\n`
}

/** The head of an informational reply; 101 is a final one. */
export function formatInformationalHead(status: number, fields: Fields, reason = ''): string {
  if (status >= 200 || status === 101) throw new TypeError('an informational status is 1xx')
  return `${statusLine(status, reason)}${formatFieldLines(fields)}\r\n`
}

/** Header lines for the `lines` of a head, checked once. */
export function formatFieldLines(fields: Fields): FieldLines {
  let lines = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const value = fields[i + 1]
    const known = fieldNameOf(name)
    if (known === undefined) throw new TypeError('a field name must be a token')
    if (isFraming(known)) throw new TypeError('framing is not written as a field')
    if (value === undefined || !isFieldValue(value)) {
      throw new TypeError(`the value of ${name} must be Latin-1 without control characters`)
    }
    lines += `${name}: ${value}\r\n`
  }
  return lines as FieldLines
}

/** The line before a chunk of data; after it comes `chunkTail`. `bytes` is not 0, which would end the body. */
export function formatChunkHead(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new TypeError('a chunk has at least one byte')
  }
  return `${bytes.toString(16)}\r\n`
}

/**
 * The end of a chunked body. Trailers that a reader would refuse (RFC 9110 6.5.1) are left out, not thrown for: they can come from a
 * peer of another protocol.
 */
export function formatLastChunk(trailers: Fields): string {
  return `0\r\n${formatFieldLines(trailers.length === 0 ? trailers : allowedTrailers(trailers))}\r\n`
}

function allowedTrailers(trailers: Fields): Fields {
  const allowed: string[] = []
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] ?? ''
    // What is no token stays, for the writer of lines to throw.
    if (fieldNameOf(name)?.mayBeTrailer !== false) allowed.push(name, trailers[i + 1] ?? '')
  }
  return allowed
}

function framingLine(framing: Framing): string {
  switch (framing.kind) {
    case 'none':
    case 'close':
      return ''
    case 'chunked':
      return 'transfer-encoding: chunked\r\n'
    case 'length':
      return lengthLine(framing.bytes)
  }
}

function lengthLine(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new TypeError('a length must be a whole number of bytes')
  }
  return `content-length: ${bytes}\r\n`
}

function isFraming(name: FieldName): boolean {
  return name.kind === 'content-length' || name.kind === 'transfer-encoding'
}

function statusLine(status: number, reason: string): string {
  if (!isStatus(status)) throw new TypeError('a status must be between 100 and 999')
  if (!isFieldValue(reason)) throw new TypeError('a reason must not hold control characters')
  return `HTTP/1.1 ${status} ${reason}\r\n`
}

function connectionLine(reply: ReplyToWrite): string {
  if (!reply.persistent || reply.framing.kind === 'close') return 'connection: close\r\n'
  return reply.requestMinorVersion === 0 ? 'connection: keep-alive\r\n' : ''
}

function isStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 100 && status <= 999
}

function endsWithHead(status: number): boolean {
  return status < 200 || status === 204
}
