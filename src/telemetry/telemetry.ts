import type { Decision } from '../policy/decision.ts'
import type { MetricFormat } from './metric-text.ts'
import type { PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'

/** What the record of one decision holds: everything needed to decide it again, and no secret. */
export interface DecisionRecord {
  /** The decision id. */
  readonly id: string
  /** When it was decided, milliseconds since 1970. */
  readonly atMs: number
  readonly direction: 'inbound' | 'outbound'
  /** A `PeerDecision` exactly when `direction` is outbound. */
  readonly decision: RecordedDecision
  /**
   * Who was judged: inbound the caller, outbound the other end (anonymous when it was not reached). The same object for all
   * requests of a connection: what is written of it is made once.
   */
  readonly peer: Peer
  /** `handshake`: there was no request, the connection was refused before. */
  readonly protocol: RecordedProtocol
  /** Of the caller; outbound of the workload. */
  readonly clientAddress: string
  readonly clientPort: number
  readonly request?: RecordedRequest
  /** The reason that held before: a live connection was judged again when the trust changed, and ended. */
  readonly previousReason?: RecordedDecision['reason']
}

export type RecordedDecision = Decision | PeerDecision

/** Inbound what the product names, outbound where the call goes. */
export function upstreamOf(decision: RecordedDecision): string | undefined {
  return 'upstream' in decision ? decision.upstream : undefined
}

/** Whether a request is answered by the decision; one that ends a live connection only names the last request on it. */
export function isOfRequest(
  record: DecisionRecord,
): record is DecisionRecord & { readonly request: RecordedRequest } {
  return record.request !== undefined && record.previousReason === undefined
}

export type RecordedProtocol = 'http/1.1' | 'h2' | 'tcp' | 'websocket' | 'handshake'

/** What a product's `requests` rules look at. Texts may be of any length: they are cut where they are written. */
export interface RecordedRequest {
  readonly method: string
  /** `host[:port]` as sent; '' where HTTP/1.0 sent none. */
  readonly host: string
  /** Without the query, which may hold secrets. */
  readonly path: string
}

/** How a request, or a TCP connection, ended. */
export interface Outcome {
  /** HTTP status that the caller got; 0 where no HTTP was spoken. */
  readonly status: number
  /** Body bytes from the caller. */
  readonly requestBytes: number
  /** Body bytes to the caller. */
  readonly replyBytes: number
  readonly durationMs: number
  /** `upstream_unavailable`, `downstream_aborted`, ...: of a small set; absent when all went well. */
  readonly error?: string
}

/**
 * How it ended, and when. Member by member: V8 takes 3 us for a spread with a number that is no integer, and for what then reads
 * it.
 */
export function outcomeAfter(ended: Omit<Outcome, 'durationMs'>, durationMs: number): Outcome {
  const { status, requestBytes, replyBytes, error } = ended
  return error === undefined
    ? { status, requestBytes, replyBytes, durationMs }
    : { status, requestBytes, replyBytes, durationMs, error }
}

/** The trace that a request belongs to (W3C Trace Context). */
export interface Trace {
  /** 32 hex digits. */
  readonly traceId: string
  /**
   * To hand to the workload. Undefined when tracing is off and the caller sent none: the workload must then be free to
   * start and sample a trace of its own, which an unsampled `traceparent` of ours would forbid.
   */
  readonly traceparent: string | undefined
  /** To hand on beside it. */
  readonly tracestate?: string
  /** Present when this request is recorded; for `Telemetry` alone. */
  readonly recording?: Recording
}

/** What a sampled trace needs until its spans are made. */
export interface Recording {
  /** Of our span: 16 hex digits. */
  readonly spanId: string
  /** The caller's span. */
  readonly parentSpanId?: string
  /** Milliseconds since 1970. */
  readonly startMs: number
  readonly startMonotonicMs: number
}

export type ConnectionProtocol = 'http/1.1' | 'h2' | 'tcp' | 'websocket'

/**
 * How the beginning of a connection went. `certificate`, `anonymous`: TLS is up, with or without a client certificate;
 * `plaintext`: no TLS was begun and none is asked for; `silent`: the other end closed it without a word, as the health checks
 * of balancers do.
 */
export type HandshakeResult =
  | 'certificate'
  | 'anonymous'
  | 'plaintext'
  | 'failed'
  | 'silent'
  | 'timeout'
  | 'resumed'
  | 'identity_unavailable'
  | 'address_not_allowed'
  | 'proxy_header_malformed'
  | 'too_many_connections'
  | 'too_many_connections_of_address'
  | 'too_many_handshakes'

/** A connection that ended in its TLS handshake: nothing was decided. */
export interface FailedHandshake {
  readonly result: HandshakeResult
  /** Of a bounded set: what OpenSSL says, `disconnected`, or the result again. */
  readonly reason: string
  readonly clientAddress: string
  readonly clientPort: number
  /** Since accept. */
  readonly durationMs: number
}

export type UpstreamErrorReason =
  | 'upstream_unavailable'
  | 'upstream_overloaded'
  | 'upstream_reset'
  | 'upstream_timeout'
  | 'upstream_malformed'
  | 'websocket_unsupported'

/** `rejected`: the update broke a rule and the last good one serves. */
export type IdentityUpdateResult = 'accepted' | 'rejected'

export type ReevaluationResult = 'kept' | 'ended'

export type ConfigFile = 'config' | 'products' | 'api-keys' | 'crl'

/** `refused`: the file was bad and the last good one serves; `unchanged`: nothing in it was new. */
export type ConfigReloadResult = 'accepted' | 'refused' | 'unchanged'

/** When our own SVID is valid, milliseconds since 1970. */
export interface SvidValidity {
  readonly spiffeId: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** The end of the validity of one trust domain's bundle. */
export interface BundleValidity {
  readonly trustDomain: string
  /** When its last anchor expires, milliseconds since 1970. */
  readonly notAfterMs: number
}

/** When the next edition of an authority's revocation lists is due. */
export interface CrlValidity {
  readonly authority: string
  /** Of the list that ends first, milliseconds since 1970; 0 when a file could not be read and none is held. */
  readonly nextUpdateMs: number
}

/**
 * Where everything that happens is recorded: spans, audit log, metrics (DESIGN.md 10). No method throws, blocks or waits
 * for an exporter.
 */
export interface Telemetry {
  /** false: the audit log is required and cannot be written, so that nothing may be allowed now. */
  readonly canRecord: boolean
  /** Starts the record of a request from the caller's `traceparent` and `tracestate`; anything malformed is dropped. */
  begin(traceparent: string | undefined, tracestate: string | undefined): Trace
  /** One decision: its `authorize` span and the counter. A refused handshake or a TCP connection takes a new `begin`. */
  decided(trace: Trace, record: DecisionRecord): void
  /** It is over: the span of the request, the histogram, and the line of the audit log. Once per decision. */
  finished(trace: Trace, record: DecisionRecord, outcome: Outcome): void

  connectionOpened(protocol: ConnectionProtocol): void
  connectionClosed(protocol: ConnectionProtocol): void
  /** Outbound: a connection to a peer that proved who it is. */
  peerConnectionOpened(protocol: ConnectionProtocol): void
  peerConnectionClosed(protocol: ConnectionProtocol): void
  handshake(result: HandshakeResult): void
  /** Beside `handshake`, which counts: its span, unless there were too many just now. */
  handshakeFailed(failed: FailedHandshake): void
  upstreamError(reason: UpstreamErrorReason): void
  /** A request begins (1) or ends (-1) to wait for room at the workload. */
  upstreamWaiting(change: 1 | -1): void
  /** The SVID that we serve with; undefined when we hold none. */
  identity(svid: SvidValidity | undefined): void
  /** All bundles that are held now. */
  bundles(bundles: readonly BundleValidity[]): void
  /** The revocation lists of all authorities that name some. */
  crls(crls: readonly CrlValidity[]): void
  identityUpdate(result: IdentityUpdateResult): void
  workloadApiConnected(connected: boolean): void
  epoch(epoch: number): void
  /** `count` live connections were judged again with this result. */
  reevaluated(result: ReevaluationResult, count?: number): void
  configReload(file: ConfigFile, result: ConfigReloadResult): void

  /** All metrics; default: the Prometheus text format 0.0.4. */
  metricsText(format?: MetricFormat): Promise<string>
  /** Hands everything collected to the audit log's file and to the exporter; bounded in time, never rejects. */
  flush(): Promise<void>
  /** Closes and opens the audit log's file again, after it was rotated. */
  reopenAudit(): Promise<void>
  /** Flushes and releases everything. Idempotent. */
  close(): Promise<void>
}
