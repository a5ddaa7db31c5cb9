import type { Fields } from '../core/fields.ts'
import type { Http2Connection } from '../http2/connection.ts'
import { h2 } from '../http2/errors.ts'
import type { ResetOrigin } from '../http2/events.ts'
import type { Http2Stream } from '../http2/stream.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type {
  BodyLength,
  ReplySink,
  RequestSink,
  UpstreamFailure,
  UpstreamFailureReason,
} from './ends.ts'
import { statusOpened } from './websocket/handshake.ts'

/** The connection that a stream belongs to, as far as the stream needs it. */
export interface RequestStreamOwner {
  readonly connection: Http2Connection<Http2RequestStream>
  readonly deadlines: Deadlines
  readonly responseTimeoutMs: number
  readonly isProven: boolean
  readonly loss: { readonly reason: UpstreamFailureReason; readonly detail: string }
  schedule(): void
  touch(stream: Http2RequestStream): void
  proven(): void
  streamEnded(): void
  unanswered(sinceMs: number): void
}

/**
 * One request to a workload that speaks HTTP/2, and its reply. What becomes of a request that the workload does not answer:
 *
 * | the workload                                   | before the reply's head                         | after it, a caller of HTTP/2 |
 * | ---------------------------------------------- | ----------------------------------------------- | ---------------------------- |
 * | RST_STREAM CANCEL or ENHANCE_YOUR_CALM          | `upstream_reset`, 502                           | RST_STREAM with that code    |
 * | RST_STREAM with another code                    | `upstream_reset`, 502                           | RST_STREAM INTERNAL_ERROR    |
 * | RST_STREAM REFUSED_STREAM, or GOAWAY below it   | sent once more; else `upstream_unavailable`, 503 | RST_STREAM INTERNAL_ERROR    |
 * | breaks a rule of HTTP/2                         | `upstream_malformed`, 502                       | RST_STREAM INTERNAL_ERROR    |
 * | closes the connection                           | sent once more when idempotent, without body and not the first; else `upstream_reset`, 502 | RST_STREAM INTERNAL_ERROR |
 * | cannot be connected to                          | `upstream_unavailable`, 503                     |                              |
 * | says nothing                                    | `upstream_timeout`, 504; RST_STREAM CANCEL to it |                              |
 *
 * A caller that goes away is RST_STREAM CANCEL to the workload, whatever code it gave.
 */
export class Http2RequestStream implements RequestSink, Deadline {
  deadlineMs = Infinity
  readonly #owner: RequestStreamOwner
  readonly #stream: Http2Stream<Http2RequestStream>
  readonly #openedMs: number
  /** It was sent on a connection that had carried others. */
  readonly #wasReused: boolean
  /** Undefined once nothing more is to be told. */
  #reply: ReplySink | undefined
  #isTouched = false
  #isRequestWhole = false
  #isReplySeen = false
  #isReplyBegun = false
  /** It asks for a WebSocket: its request is whole from the start, and what it opens has two ends. */
  readonly #isWebSocket: boolean
  #isTunnel = false

  constructor(
    owner: RequestStreamOwner,
    stream: Http2Stream<Http2RequestStream>,
    reply: ReplySink,
    isWebSocket = false,
  ) {
    this.#owner = owner
    this.#stream = stream
    this.#reply = reply
    this.#wasReused = owner.isProven
    this.#openedMs = owner.deadlines.nowMs()
    this.#isWebSocket = isWebSocket
    if (isWebSocket) this.deadlineMs = this.#openedMs + owner.responseTimeoutMs
    owner.deadlines.add(this)
  }

  // The request, from the exchange.

  requestData(chunk: Buffer): void {
    this.#owner.connection.sendData(this.#stream, chunk)
    this.#watch()
  }

  requestEnd(trailers: Fields): void {
    this.#isRequestWhole = true
    if (!this.#stream.isLocalEnded) this.#owner.connection.sendTrailers(this.#stream, trailers)
    if (this.#isTunnel && this.#stream.isRemoteEnded) this.#release()
    this.#watch()
  }

  requestAborted(): void {
    this.#release()
    this.#reset()
  }

  replyTaken(bytes: number): void {
    this.#owner.connection.consumed(this.#stream, bytes)
    this.#owner.schedule()
  }

  requestFlush(): void {
    this.#owner.schedule()
  }

  // The reply, from the connection.

  informational(status: number, fields: Fields): void {
    this.#isReplySeen = true
    this.#reply?.replyInformational(status, fields)
    this.#touch()
  }

  replied(status: number, fields: Fields, isEnd: boolean): void {
    this.#isReplySeen = true
    this.#isReplyBegun = true
    this.deadlineMs = Infinity
    this.#owner.proven()
    this.#isTunnel = this.#isWebSocket && isSuccess(status)
    this.#reply?.replyHead({
      status: this.#isTunnel ? statusOpened : status,
      reason: '',
      fields,
      length: this.#isTunnel ? 'unknown' : this.#lengthOf(isEnd),
      connectionOptions: noOptions,
    })
    if (isEnd) this.ended(noTrailers)
    else this.#touch()
  }

  received(chunk: Buffer): void {
    this.#reply?.replyData(chunk)
    this.#touch()
  }

  ended(trailers: Fields): void {
    const reply = this.#reply
    if (this.#isTunnel) {
      if (this.#isRequestWhole) this.#release()
    } else {
      this.#release()
      // The rest of the request has no reader any more.
      if (!this.#stream.isLocalEnded) this.#reset()
    }
    reply?.replyEnd(trailers)
  }

  requestLeft(bytes: number): void {
    this.#watch()
    this.#reply?.requestTaken(bytes)
  }

  wasReset(code: number, origin: ResetOrigin): void {
    switch (origin) {
      case 'peer':
        this.#fail(code === h2.REFUSED_STREAM ? this.#notTaken() : resetBy(code))
        return
      case 'unprocessed':
        this.#fail(this.#notTaken())
        return
      case 'rule':
        this.#fail(malformed)
        return
      case 'connection':
        this.#fail(code === codeOfLoss ? this.#lost() : malformed)
    }
  }

  flushReply(): void {
    this.#isTouched = false
    this.#reply?.replyFlush()
  }

  deadlineReached(): void {
    this.#owner.unanswered(this.#openedMs)
    this.#reset()
    this.#fail({
      reason: 'upstream_timeout',
      detail: 'the workload did not answer in time',
      retry: 'never',
    })
  }

  #touch(): void {
    if (this.#isTouched) return
    this.#isTouched = true
    this.#owner.touch(this)
  }

  /** The workload has its time to answer, and to take what it is sent; the rest is the caller's time. */
  #watch(): void {
    if (this.#isReplyBegun || this.#reply === undefined) return
    const isWorkloadsTurn = this.#isRequestWhole || this.#stream.bufferedBytes > 0
    this.deadlineMs = isWorkloadsTurn
      ? this.#owner.deadlines.nowMs() + this.#owner.responseTimeoutMs
      : Infinity
  }

  #reset(): void {
    this.#owner.connection.reset(this.#stream, h2.CANCEL)
    this.#owner.schedule()
    this.#owner.streamEnded()
  }

  #notTaken(): UpstreamFailure {
    this.#owner.proven()
    return {
      reason: 'upstream_unavailable',
      detail: 'the workload did not take the request',
      retry: this.#isReplySeen ? 'never' : 'always',
      resetCode: h2.REFUSED_STREAM,
    }
  }

  #lost(): UpstreamFailure {
    const { reason, detail } = this.#owner.loss
    const mayBeUnseen = reason === 'upstream_reset' && this.#wasReused && !this.#isReplySeen
    return { reason, detail, retry: mayBeUnseen ? 'if-idempotent' : 'never' }
  }

  #fail(failure: UpstreamFailure): void {
    const reply = this.#reply
    this.#release()
    reply?.replyFailed(failure)
  }

  #release(): void {
    this.#reply = undefined
    this.#owner.deadlines.delete(this)
  }

  #lengthOf(isEnd: boolean): BodyLength {
    if (this.#stream.contentLength >= 0) return this.#stream.contentLength
    return isEnd ? 'none' : 'unknown'
  }
}

const noOptions: readonly string[] = []
const noTrailers: Fields = []

/** What the connection gives its streams when it is lost; when it failed they get the code of the broken rule, which is none of these. */
const codeOfLoss = h2.CANCEL

const malformed: UpstreamFailure = {
  reason: 'upstream_malformed',
  detail: 'the workload broke a rule of HTTP/2',
  retry: 'never',
}

/** Any of them accepts what CONNECT asks for (RFC 8441 5). */
function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

function resetBy(code: number): UpstreamFailure {
  return {
    reason: 'upstream_reset',
    detail: `the workload reset the stream with code ${code}`,
    retry: 'never',
    resetCode: code,
  }
}
