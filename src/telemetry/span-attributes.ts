import type { Attributes } from '@opentelemetry/api'
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_CLIENT_PORT,
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_METHOD_ORIGINAL,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_NETWORK_PEER_ADDRESS,
  ATTR_NETWORK_PEER_PORT,
  ATTR_NETWORK_PROTOCOL_NAME,
  ATTR_NETWORK_PROTOCOL_VERSION,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
} from '@opentelemetry/semantic-conventions'
import type { ClaimedIdentity, Peer } from '../policy/peer.ts'
import {
  bounded,
  isoTime,
  longestDetail,
  longestHost,
  longestMethod,
  longestName,
  longestSpiffeId,
  longestWord,
  recordedPath,
} from './record-text.ts'
import {
  type DecisionRecord,
  type FailedHandshake,
  type Outcome,
  type RecordedProtocol,
  type RecordedRequest,
  upstreamOf,
} from './telemetry.ts'

// What the semantic conventions have not declared stable is written out: the package's names for it may change. One literal
// per span, and undefined where there is no value (the SDK leaves it out): merging smaller ones cost 15 us a request.

/** Attributes of the `authorize` span: the decision and what it rests on (DESIGN.md 10). */
export function authorizeAttributes(record: DecisionRecord): Attributes {
  const { decision, peer } = record
  const address = bounded(record.clientAddress, longestWord)
  const id = peer.kind === 'svid' ? peer.id : undefined
  const isInbound = record.direction === 'inbound'
  const client = isInbound ? certificateOf(peer) : noCertificate
  const server = isInbound ? noCertificate : certificateOf(peer)
  return {
    'postern.decision': decision.outcome,
    'postern.reason': decision.reason,
    // Of a live connection that was judged again and ended.
    'postern.previous_reason': record.previousReason,
    'postern.decision_id': bounded(record.id, longestWord),
    'postern.direction': record.direction,
    'postern.product': word(decision.product),
    'postern.principal': text(decision.principal, longestSpiffeId),
    'postern.consumer': word(decision.consumer),
    'postern.credential': decision.credential,
    'postern.api_key_id': word(decision.apiKeyId),
    'postern.rule': text(decision.rule, longestSpiffeId),
    'postern.upstream': word(upstreamOf(decision)),
    'postern.epoch': decision.epoch,
    'postern.ignored_certificate': decision.ignoredCertificate,
    'postern.untrusted_detail':
      peer.kind === 'untrusted' ? bounded(peer.detail, longestDetail) : undefined,
    // Claimed and not proven: `spiffe.id` is never set from it, so that nobody is found under another's name.
    'postern.claimed_spiffe_id':
      peer.kind === 'untrusted' ? text(peer.claimed.spiffeId, longestSpiffeId) : undefined,
    'spiffe.id': id?.toString(),
    'spiffe.trust_domain': id?.trustDomain.name,
    // The semantic conventions ask for upper case hashes.
    'tls.client.subject': text(client.subject, longestName),
    'tls.client.issuer': text(client.issuer, longestName),
    'tls.client.not_after': time(client.notAfterMs),
    'tls.client.hash.sha256': word(client.sha256)?.toUpperCase(),
    'tls.server.subject': text(server.subject, longestName),
    'tls.server.issuer': text(server.issuer, longestName),
    'tls.server.not_after': time(server.notAfterMs),
    'tls.server.hash.sha256': word(server.sha256)?.toUpperCase(),
    [ATTR_CLIENT_ADDRESS]: address,
    [ATTR_CLIENT_PORT]: record.clientPort,
    [ATTR_NETWORK_PEER_ADDRESS]: address,
    [ATTR_NETWORK_PEER_PORT]: record.clientPort,
  }
}

/** Attributes of the `handshake` span; `leftOut`: how many others had no span since the last that had one. */
export function handshakeAttributes(failed: FailedHandshake, leftOut: number): Attributes {
  const address = bounded(failed.clientAddress, longestWord)
  const reason = bounded(failed.reason, longestWord)
  return {
    'postern.handshake': failed.result,
    'postern.reason': reason,
    'postern.handshakes_left_out': leftOut,
    [ATTR_ERROR_TYPE]: reason,
    [ATTR_CLIENT_ADDRESS]: address,
    [ATTR_CLIENT_PORT]: failed.clientPort,
    [ATTR_NETWORK_PEER_ADDRESS]: address,
    [ATTR_NETWORK_PEER_PORT]: failed.clientPort,
  }
}

type NamedCertificate = Pick<ClaimedIdentity, 'subject' | 'issuer' | 'notAfterMs' | 'sha256'>

const noCertificate: NamedCertificate = {}

/** The leaf, or what is claimed by one that proves nothing. */
function certificateOf(peer: Peer): NamedCertificate {
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
      return noCertificate
    case 'svid':
    case 'certificate':
      return peer.path.leaf
    case 'untrusted':
      return peer.claimed
  }
}

/** Attributes of the span of a request: the HTTP semantic conventions. */
export function requestAttributes(
  record: DecisionRecord,
  request: RecordedRequest,
  outcome: Outcome,
): Attributes {
  const isKnownMethod = knownMethods.has(request.method)
  const isInbound = record.direction === 'inbound'
  // Of a call of the workload the server is the peer that is configured, whatever Host says.
  const host = isInbound ? request.host : (upstreamOf(record.decision) ?? '')
  const server = parseHost(bounded(host, longestHost))
  const address = isInbound ? bounded(record.clientAddress, longestWord) : undefined
  const port = isInbound ? record.clientPort : undefined
  return {
    [ATTR_HTTP_REQUEST_METHOD]: isKnownMethod ? request.method : '_OTHER',
    [ATTR_HTTP_REQUEST_METHOD_ORIGINAL]: isKnownMethod
      ? undefined
      : bounded(request.method, longestMethod),
    [ATTR_URL_SCHEME]: record.peer.kind === 'plaintext' ? 'http' : 'https',
    [ATTR_URL_PATH]: recordedPath(request.path),
    [ATTR_URL_FULL]: isInbound ? undefined : fullUrl(request),
    [ATTR_SERVER_ADDRESS]: server.address,
    [ATTR_SERVER_PORT]: server.port,
    [ATTR_CLIENT_ADDRESS]: address,
    [ATTR_CLIENT_PORT]: port,
    [ATTR_NETWORK_PEER_ADDRESS]: address,
    [ATTR_NETWORK_PEER_PORT]: port,
    [ATTR_NETWORK_PROTOCOL_NAME]: protocolNames[record.protocol],
    [ATTR_NETWORK_PROTOCOL_VERSION]: protocolVersions[record.protocol],
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: outcome.status === 0 ? undefined : outcome.status,
    [ATTR_ERROR_TYPE]: errorType(outcome, record.direction),
    'http.request.body.size': outcome.requestBytes,
    'http.response.body.size': outcome.replyBytes,
  }
}

/** Without the query, which may hold secrets. */
function fullUrl({ host, path }: RecordedRequest): string {
  return `https://${bounded(host, longestHost)}${recordedPath(path)}`
}

const protocolNames: Readonly<Partial<Record<RecordedProtocol, string>>> = {
  'http/1.1': 'http',
  h2: 'http',
  websocket: 'websocket',
}

const protocolVersions: Readonly<Partial<Record<RecordedProtocol, string>>> = {
  'http/1.1': '1.1',
  h2: '2',
}

const knownMethods = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'QUERY',
  'TRACE',
])

/** The name of a request's span: its method, of a small set (HTTP spans, "Name"). */
export function spanName(method: string): string {
  return knownMethods.has(method) ? method : 'HTTP'
}

interface HostParts {
  readonly address?: string | undefined
  readonly port?: number | undefined
}

/** `host`, `host:port`, `[v6]:port`; the brackets are no part of the address. */
function parseHost(host: string): HostParts {
  if (host === '') return {}
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(host)
  if (match === null) return { address: host }
  const [, inBrackets, plain, port] = match
  return { address: inBrackets ?? plain, port: port === undefined ? undefined : Number(port) }
}

/** Whether a reply's status alone is an error: to a server, 4xx is the caller's (HTTP spans, "Status"). */
export function isErrorStatus(status: number, direction: DecisionRecord['direction']): boolean {
  return status >= (direction === 'inbound' ? 500 : 400)
}

/** Of a small set: what went wrong, else the status where that alone says it. */
export function errorType(
  outcome: Outcome,
  direction: DecisionRecord['direction'],
): string | undefined {
  if (outcome.error !== undefined) return bounded(outcome.error, longestWord)
  return isErrorStatus(outcome.status, direction) ? String(outcome.status) : undefined
}

function word(value: string | undefined): string | undefined {
  return text(value, longestWord)
}

/** Nothing for an empty text, as a subject may be. */
function text(value: string | undefined, longest: number): string | undefined {
  return value === undefined || value === '' ? undefined : bounded(value, longest)
}

function time(timeMs: number | undefined): string | undefined {
  return timeMs === undefined ? undefined : isoTime(timeMs)
}
