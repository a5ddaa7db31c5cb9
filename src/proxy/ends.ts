import type { Fields } from '../core/fields.ts'

/**
 * The two directions of one request and its reply. Each protocol's downstream end implements `ReplySink` and calls a
 * `RequestSink`; each upstream end does the reverse; `Exchange` stands between them. No end knows the other's protocol.
 *
 * Calls come in this order: data any number of times, then the end once, or aborted/failed once at any point; nothing after that.
 * Bytes are credited back (`requestTaken`, `replyTaken`) when they have left this process, which is what bounds memory:
 * a source that has more than its window of bytes outstanding stops reading.
 */
export interface RequestSink {
  requestData(chunk: Buffer): void
  /** A flush follows. */
  requestEnd(trailers: Fields): void
  /** The caller went away or broke the protocol. */
  requestAborted(): void
  /** So many bytes of the reply's body have left towards the caller. */
  replyTaken(bytes: number): void
  /** Nothing more comes from the read that is being handled: what was collected leaves in one write. */
  requestFlush(): void
}

/** The other direction; see `RequestSink`. */
export interface ReplySink {
  /** 1xx other than 101. `connectionOptions` as in `ReplyHead`; none when left out. */
  replyInformational(status: number, fields: Fields, connectionOptions?: readonly string[]): void
  replyHead(head: ReplyHead): void
  replyData(chunk: Buffer): void
  /** No flush follows: what was collected leaves with this turn, and the next request may begin before this returns. */
  replyEnd(trailers: Fields): void
  /** The upstream failed; the exchange turns this into a reply, a retry or an abort. */
  replyFailed(failure: UpstreamFailure): void
  /** So many bytes of the request's body have left towards the workload. */
  requestTaken(bytes: number): void
  replyFlush(): void
}

/** Exact bytes; 'none': no body and no framing field; 'unknown': a body that ends when it ends. */
export type BodyLength = number | 'none' | 'unknown'

/** The head of a request as a downstream end hands it on: protocol-neutral, checked, not yet stripped of anything. */
export interface IncomingRequest {
  readonly method: string
  /** Origin form with the query, or `*`. */
  readonly path: string
  /** `host[:port]`; '' only where HTTP/1.0 sent none. */
  readonly authority: string
  readonly fields: Fields
  readonly length: BodyLength
  /** Lower-cased names that the Connection field lists; empty with HTTP/2. */
  readonly connectionOptions: readonly string[]
  /** A WebSocket is asked for, in a handshake that was checked; the method is then GET, with HTTP/2 too. */
  readonly isWebSocket?: true
}

/** The head of a request as the upstream end sends it: nothing hop-by-hop, no framing, no Host. */
export interface OutgoingRequest {
  readonly method: string
  readonly path: string
  readonly authority: string
  readonly fields: Fields
  readonly length: BodyLength
  /** The caller said `TE: trailers`. */
  readonly wantsTrailers: boolean
}

/** The head of a reply. From an upstream end: as received; to a downstream end: nothing hop-by-hop, no framing. */
export interface ReplyHead {
  readonly status: number
  readonly reason: string
  readonly fields: Fields
  /** With HEAD and 304 the length that a body would have had, when the workload named it. */
  readonly length: BodyLength
  readonly connectionOptions: readonly string[]
  /** The downstream connection ends after this reply. */
  readonly closeAfter?: boolean
}

/** Why no (whole) reply came; the reasons of DESIGN.md 8, and a workload of HTTP/2 that does not speak RFC 8441. */
export type UpstreamFailureReason =
  | 'upstream_unavailable'
  | 'upstream_overloaded'
  | 'upstream_reset'
  | 'upstream_timeout'
  | 'upstream_malformed'
  | 'websocket_unsupported'

export interface UpstreamFailure {
  readonly reason: UpstreamFailureReason
  /** For logs: what happened, no secret. */
  readonly detail: string
  /**
   * Whether the request may be sent once more. `if-idempotent`: a reused connection ended before the first byte of a reply, so
   * that the workload may never have seen it; needs an idempotent method and no body. `always`: the workload said that it has
   * not looked at it; needs only that no byte of the body was sent, because we keep none.
   */
  readonly retry: 'never' | 'if-idempotent' | 'always'
  /** The code with which the workload reset the stream (RFC 9113 7); absent when it did not. */
  readonly resetCode?: number
}

/** As many connections to the workload as there may be are busy. */
export const noConnectionLeft: UpstreamFailure = {
  reason: 'upstream_overloaded',
  detail: 'too many connections to the workload',
  retry: 'never',
}

/** Bytes that are no request, and what to answer. */
export interface RefusedRequest {
  readonly status: number
  /** One of the codes in the README. */
  readonly code: string
  /** One phrase that quotes nothing of what was sent. */
  readonly detail: string
  /** Further fields of the answer: name, value, name, value. */
  readonly fields?: readonly string[]
  /** It is read as the answer to a call of gRPC. Default false. */
  readonly isGrpc?: boolean
}

/** Who answers the requests of a connection. */
export interface RequestServer {
  /** The reply comes to `reply`, possibly before this returns. */
  serve(request: IncomingRequest, reply: ReplySink): RequestSink
  /** Answers bytes that are no request; the connection ends after it. */
  refuse(refusal: RefusedRequest, reply: ReplySink): void
}

/** Where requests go: one workload address. */
export interface Upstream {
  /**
   * Begins a request. The reply, or a failure, comes to `reply`, possibly before this returns, and surely within the times of
   * this end: while a downstream end waits for nothing but the workload, no other deadline runs.
   * `fresh`: on a new connection, never a pooled one.
   */
  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink
  /** Closes idle connections now and busy ones when their exchange ends. */
  close(): void
}

/** Where WebSockets go: one workload address. */
export interface WebSocketUpstream {
  /**
   * Asks for a WebSocket, within the same times. A reply's head with status 101 opens it, whatever the workload speaks: from then on
   * bytes go both ways and each direction ends on its own. With any other status it is an ordinary reply, a refusal.
   */
  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink
}

/** Takes what belongs to a request that nobody handles: it was answered already, or could not be sent. */
export const discardedRequest: RequestSink = {
  requestData: () => undefined,
  requestEnd: () => undefined,
  requestAborted: () => undefined,
  replyTaken: () => undefined,
  requestFlush: () => undefined,
}
