import { hash, randomBytes } from 'node:crypto'
import type { Fields } from '../../core/fields.ts'
import type { RequestHead } from '../../http1/head.ts'
import type { RequestHead as Http2RequestHead } from '../../http2/request-head.ts'
import type { RefusedRequest } from '../ends.ts'

/** Of the head that opens a WebSocket between the ends, whatever they speak; HTTP/2 has 200 in its place. */
export const statusOpened = 101

/** The only version that there is (RFC 6455 4.1). */
export const webSocketVersion = '13'

/** What an HTTP/1.1 head asks for with Upgrade. */
export type AskedUpgrade =
  /** Nothing that is spoken here: the field is ignored, as RFC 9110 7.8 lets every server do. */
  | { readonly kind: 'none' }
  | { readonly kind: 'websocket'; readonly key: string }
  | { readonly kind: 'refused'; readonly refusal: RefusedRequest }

/**
 * Reads the upgrade of an HTTP/1.1 request (RFC 6455 4.2.1). Other protocols than WebSocket (`h2c`, which Java's client offers by
 * itself, `TLS/1.0`) are never switched to: such a request is an ordinary one. One that names WebSocket and is not exactly what the
 * RFC asks for is refused, because a workload might take it for what we do not.
 */
export function readUpgrade(head: RequestHead): AskedUpgrade {
  const protocols = listed(head.upgrade ?? '')
  if (!protocols.some(isWebSocket)) return { kind: 'none' }
  if (protocols.length > 1) return malformed('Upgrade names other protocols beside websocket')
  if (protocols[0] !== 'websocket') return malformed('Upgrade names a version of websocket')
  if (head.method !== 'GET') return malformed('the method is not GET')
  if (head.framing.kind !== 'none' && !isEmpty(head)) return malformed('the request has a body')
  const refusal = refusedVersion(head.fields)
  if (refusal !== undefined) return { kind: 'refused', refusal }
  const [key, ...others] = valuesOf(head.fields, 'sec-websocket-key')
  if (key === undefined || others.length > 0 || !keyShape.test(key)) {
    return malformed('there is not exactly one Sec-WebSocket-Key of 16 bytes in base64')
  }
  return { kind: 'websocket', key }
}

/**
 * Why a request with `:protocol` (RFC 8441 4) is not one for a WebSocket that we carry; undefined when it is. There is no key, and
 * the stream is what says where it ends.
 */
export function refusedConnect(head: Http2RequestHead): RefusedRequest | undefined {
  if (head.protocol?.toLowerCase() !== 'websocket') return otherProtocol
  if (head.contentLength !== undefined) return malformedBy('a WebSocket has no Content-Length')
  return refusedVersion(head.fields)
}

function refusedVersion(fields: Fields): RefusedRequest | undefined {
  const versions = valuesOf(fields, 'sec-websocket-version')
  return versions.length === 1 && versions[0] === webSocketVersion ? undefined : otherVersion
}

/** A fresh Sec-WebSocket-Key. */
export function newKey(): string {
  return randomBytes(16).toString('base64')
}

/** The Sec-WebSocket-Accept that answers `key` (RFC 6455 4.2.2). */
export function acceptFor(key: string): string {
  return hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64')
}

/** Whether a 101 accepts the WebSocket that was asked for with `key` (RFC 6455 4.1). */
export function isAccepted(
  head: { readonly fields: Fields; readonly connectionOptions: readonly string[] },
  key: string,
): boolean {
  const upgrades = valuesOf(head.fields, 'upgrade')
  const accepts = valuesOf(head.fields, 'sec-websocket-accept')
  return (
    head.connectionOptions.includes('upgrade') &&
    upgrades.length === 1 &&
    upgrades[0]?.toLowerCase() === 'websocket' &&
    accepts.length === 1 &&
    accepts[0] === acceptFor(key)
  )
}

/** Fields of a handshake that hold for one connection only: each side of us has its own. */
const perConnection = new Set([
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-accept',
])

/** The fields without those of this handshake, in any spelling; subprotocols and extensions pass from end to end. */
export function withoutHandshake(fields: Fields): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const canonical = name.toLowerCase().replaceAll('_', '-')
    if (!perConnection.has(canonical)) kept.push(name, fields[i + 1] ?? '')
  }
  return kept
}

/** 16 bytes. */
const keyShape = /^[A-Za-z0-9+/]{21}[AQgw]==$/

const otherVersion: RefusedRequest = {
  status: 400,
  code: 'websocket_version_unsupported',
  detail: 'Sec-WebSocket-Version is not 13',
  fields: ['sec-websocket-version', webSocketVersion],
}

/** RFC 9220 3 says so of any `:protocol` that a server does not know. */
const otherProtocol: RefusedRequest = {
  status: 501,
  code: 'protocol_unsupported',
  detail: ':protocol is not websocket',
}

function malformed(detail: string): AskedUpgrade {
  return { kind: 'refused', refusal: malformedBy(detail) }
}

function malformedBy(detail: string): RefusedRequest {
  return { status: 400, code: 'websocket_malformed', detail }
}

/** `Content-Length: 0` is said by clients that always say it. */
function isEmpty({ framing }: RequestHead): boolean {
  return framing.kind === 'length' && framing.bytes === 0
}

function listed(value: string): readonly string[] {
  return value
    .split(',')
    .map((element) => element.trim().toLowerCase())
    .filter((element) => element !== '')
}

/** With or without a version behind it, as Upgrade allows (RFC 9110 7.8). */
function isWebSocket(protocol: string): boolean {
  return protocol.split('/', 1)[0]?.trim() === 'websocket'
}

function valuesOf(fields: Fields, lowerCaseName: string): readonly string[] {
  const values: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() === lowerCaseName) values.push(fields[i + 1] ?? '')
  }
  return values
}
