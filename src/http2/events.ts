import type { Fields } from '../core/fields.ts'
import type { ConnectionFault, StreamRule } from './errors.ts'
import type { RefusedHead, RequestHead, RequestRefusal } from './request-head.ts'
import type { Http2Stream } from './stream.ts'

/**
 * Why a stream ended early: the peer reset it; we did, because the peer broke a rule on it; the peer's GOAWAY says that it never
 * looked at it, so that it may be sent again; or the whole connection ended.
 */
export type ResetOrigin = 'peer' | 'rule' | 'unprocessed' | 'connection'

/**
 * What a connection tells its owner, synchronously from within `receive` and `takeOutput`. All calls on the connection are
 * allowed from within, except those two. A stream's events are its head, `onData` any number of times, then `onEnd` or
 * `onTrailers` unless the head was the end; `onReset` or `onClosed` comes last, once, unless the owner itself called `reset`.
 */
export interface StreamEvents<Context> {
  /**
   * A piece of the body, never empty: a view of the chunk given to `receive`, so it keeps that one alive. Its bytes count against
   * the peer's windows until `consumed` gives them back.
   */
  onData(stream: Http2Stream<Context>, chunk: Buffer): void
  /** The body is over and no trailers follow. */
  onEnd(stream: Http2Stream<Context>): void
  /** The body is over; `fields` are its trailers. */
  onTrailers(stream: Http2Stream<Context>, fields: Fields): void
  /** Bytes given to `sendData` left through `takeOutput`: time to give credit to where they came from. */
  onDrained(stream: Http2Stream<Context>, bytes: number): void
  /** The stream is over before its time; `code` is RFC 9113 7's. */
  onReset(stream: Http2Stream<Context>, code: number, origin: ResetOrigin): void
  /** Both sides said all they had to say, and it has left. */
  onClosed(stream: Http2Stream<Context>): void
  /** The peer will answer (client role) or open (server role) no stream above `lastStreamId`. */
  onGoaway(lastStreamId: number, code: number): void
  /** The peer's SETTINGS came or changed: `availableStreams` may have. */
  onSettings(): void
  /** The answer to `ping`. */
  onPong(): void
  /** The peer broke a rule that costs it one stream; for logs. What follows from it is told separately. */
  onViolation(streamId: number, rule: StreamRule): void
  /** After a GOAWAY of either side: the last stream is gone and the connection can be closed, once `takeOutput` is empty. */
  onFinished(): void
  /** The connection is over: write what `takeOutput` still has (our GOAWAY), then close. Every stream has had its `onReset`. */
  onError(fault: ConnectionFault): void
}

/** Events of the server role. */
export interface ServerEvents<Context> extends StreamEvents<Context> {
  onRequest(stream: Http2Stream<Context>, head: RequestHead): void
  /**
   * A request that is to be answered with the status of `requestRefusals[refusal]`; its body is thrown away and no event but
   * `onReset` or `onClosed` follows. After the reply `reset(stream, NO_ERROR)` spares the caller the rest of its body.
   */
  onRefusedRequest(stream: Http2Stream<Context>, refusal: RequestRefusal, head: RefusedHead): void
}

/** Events of the client role. */
export interface ClientEvents<Context> extends StreamEvents<Context> {
  /** 1xx other than 101. */
  onInformational(stream: Http2Stream<Context>, status: number, fields: Fields): void
  /** The final head. `isEnd`: no body and no trailers follow, and `onEnd` will not be called. */
  onReply(stream: Http2Stream<Context>, status: number, fields: Fields, isEnd: boolean): void
}
