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
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
} from '@opentelemetry/semantic-conventions'
import type { Peer } from '../policy/peer.ts'
import type { Certificate } from '../x509/certificate.ts'
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
import type { DecisionRecord, Outcome, RecordedProtocol, RecordedRequest } from './telemetry.ts'

// What the semantic conventions have not declared stable is written out: the package's names for it may change.

/** Attributes of the `authorize` span: the decision and what it rests on (DESIGN.md 10). */
export function authorizeAttributes(record: DecisionRecord): Attributes {
  const { decision } = record
  return defined({
    'postern.decision': decision.outcome,
    'postern.reason': decision.reason,
    'postern.decision_id': bounded(record.id, longestWord),
    'postern.direction': record.direction,
    'postern.product': word(decision.product),
    'postern.principal': text(decision.principal, longestSpiffeId),
    'postern.consumer': word(decision.consumer),
    'postern.credential': decision.credential,
    'postern.api_key_id': word(decision.apiKeyId),
    'postern.rule': text(decision.rule, longestSpiffeId),
    'postern.epoch': decision.epoch,
    'postern.ignored_certificate': decision.ignoredCertificate,
    ...clientAttributes(record),
    ...peerAttributes(record.peer),
  })
}

function peerAttributes(peer: Peer): Attributes {
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
      return {}
    case 'svid':
      return {
        'spiffe.id': peer.id.toString(),
        'spiffe.trust_domain': peer.id.trustDomain.name,
        ...certificateAttributes(peer.path.leaf),
      }
    case 'certificate':
      return certificateAttributes(peer.path.leaf)
    case 'untrusted':
      // Claimed and not proven: `spiffe.id` is never set from it, so that nobody can be searched for under another's name.
      return {
        'postern.untrusted_detail': bounded(peer.detail, longestDetail),
        'postern.claimed_spiffe_id': text(peer.claimed.spiffeId, longestSpiffeId),
        ...certificateAttributes(peer.claimed),
      }
  }
}

type NamedCertificate = Partial<Pick<Certificate, 'subject' | 'issuer' | 'notAfterMs' | 'sha256'>>

function certificateAttributes(certificate: NamedCertificate): Attributes {
  const { subject, issuer, notAfterMs, sha256 } = certificate
  return {
    'tls.client.subject': subject === '' ? undefined : text(subject, longestName),
    'tls.client.issuer': text(issuer, longestName),
    'tls.client.not_after': notAfterMs === undefined ? undefined : isoTime(notAfterMs),
    // The semantic conventions ask for upper case.
    'tls.client.hash.sha256': word(sha256)?.toUpperCase(),
  }
}

/** Attributes of the span of a request: the HTTP semantic conventions. */
export function requestAttributes(
  record: DecisionRecord,
  request: RecordedRequest,
  outcome: Outcome,
): Attributes {
  return defined({
    ...methodAttributes(request.method),
    [ATTR_URL_SCHEME]: record.peer.kind === 'plaintext' ? 'http' : 'https',
    [ATTR_URL_PATH]: recordedPath(request.path),
    ...serverAttributes(request.host),
    ...clientAttributes(record),
    [ATTR_NETWORK_PROTOCOL_NAME]: protocolNames[record.protocol],
    [ATTR_NETWORK_PROTOCOL_VERSION]: protocolVersions[record.protocol],
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: outcome.status === 0 ? undefined : outcome.status,
    [ATTR_ERROR_TYPE]: errorType(outcome),
    'http.request.body.size': outcome.requestBytes,
    'http.response.body.size': outcome.replyBytes,
  })
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

function methodAttributes(method: string): Attributes {
  if (knownMethods.has(method)) return { [ATTR_HTTP_REQUEST_METHOD]: method }
  return {
    [ATTR_HTTP_REQUEST_METHOD]: '_OTHER',
    [ATTR_HTTP_REQUEST_METHOD_ORIGINAL]: bounded(method, longestMethod),
  }
}

/** `host`, `host:port`, `[v6]:port`; the brackets are no part of the address. */
function serverAttributes(host: string): Attributes {
  if (host === '') return {}
  const [, inBrackets, plain, port] =
    /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(bounded(host, longestHost)) ?? []
  return {
    [ATTR_SERVER_ADDRESS]: inBrackets ?? plain ?? bounded(host, longestHost),
    [ATTR_SERVER_PORT]: port === undefined ? undefined : Number(port),
  }
}

function clientAttributes(record: DecisionRecord): Attributes {
  const address = bounded(record.clientAddress, longestWord)
  return {
    [ATTR_CLIENT_ADDRESS]: address,
    [ATTR_CLIENT_PORT]: record.clientPort,
    [ATTR_NETWORK_PEER_ADDRESS]: address,
    [ATTR_NETWORK_PEER_PORT]: record.clientPort,
  }
}

/** Of a small set: what went wrong, else the status where that alone says it. */
export function errorType(outcome: Outcome): string | undefined {
  if (outcome.error !== undefined) return bounded(outcome.error, longestWord)
  return outcome.status >= 500 ? String(outcome.status) : undefined
}

function word(value: string | undefined): string | undefined {
  return text(value, longestWord)
}

function text(value: string | undefined, longest: number): string | undefined {
  return value === undefined ? undefined : bounded(value, longest)
}

/** Without the attributes that have no value. */
function defined(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}
