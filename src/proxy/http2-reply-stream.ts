import type { Fields } from '../core/fields.ts'
import type { Http2Connection } from '../http2/connection.ts'
import { h2 } from '../http2/errors.ts'
import type { Http2Stream } from '../http2/stream.ts'
import { isGrpc } from './auto-upstream.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import {
  discardedRequest,
  type ReplyHead,
  type ReplySink,
  type RequestSink,
  type RefusedRequest,
  type UpstreamFailure,
} from './ends.ts'
import { statusOpened } from './websocket/handshake.ts'
import { slowBody } from './slow-callers.ts'

/** The connection that a stream belongs to, as far as the stream needs it. */
export interface ReplyStreamOwner {
  readonly connection: Http2Connection<Http2ReplyStream>
  readonly deadlines: Deadlines
  readonly idleTimeoutMs: number
  readonly bodyTimeoutMs: number
  refuse(stream: Http2ReplyStream, refusal: RefusedRequest): void
  schedule(): void
  touch(stream: Http2ReplyStream): void
  /** `hasLeft` is asked after each write until it says yes. */
  awaitEnd(stream: Http2ReplyStream): void
  drain(): void
}

/** RFC 8441 5: HTTP/2 has no 101. */
const statusOk = 200

/**
 * A caller that sees a whole reply in the middle of its request has so long to end it itself. Then it is spared the rest (RFC 9113
 * 8.1). Not at once, because curl (up to 8.0, so Debian 12's) loses the reply when RST_STREAM or GOAWAY comes right behind it.
 */
const spareAfterMs = 500

/** What is looked at again of a request's head. */
interface RequestFacts {
  readonly method: string
  readonly fields: Fields
}

/** One request of a caller's HTTP/2 connection, and the way back of its reply. */
export class Http2ReplyStream implements ReplySink, Deadline {
  deadlineMs = Infinity
  request: RequestSink = discardedRequest
  readonly #owner: ReplyStreamOwner
  readonly #stream: Http2Stream<Http2ReplyStream>
  readonly #head: RequestFacts
  #isTouched = false
  #isReplied = false
  /** The reply's head is its end: data of it, which there should be none of, is dropped. */
  #isBodiless = false
  #endsConnection = true
  /** A WebSocket: each direction ends on its own. */
  #isTunnel = false

  /** Bytes of the reply that left. */
  #leftBytes = 0
  /** Bytes of both bodies, and when they last became more, as far as `look` saw it. */
  #movedBytes = -1
  #movedMs = 0

  constructor(owner: ReplyStreamOwner, stream: Http2Stream<Http2ReplyStream>, head: RequestFacts) {
    this.#owner = owner
    this.#stream = stream
    this.#head = head
  }

  /** For a reply that asks to end the connection only because HTTP/1.1 could not go on after it. */
  keepingConnection(): this {
    this.#endsConnection = false
    return this
  }

  // The request, from the connection.

  requestData(chunk: Buffer): void {
    // After the reply nobody takes it, and without credit the caller soon stops.
    if (this.#isReplied) return
    this.request.requestData(chunk)
    this.touch()
  }

  requestEnd(trailers: Fields): void {
    this.request.requestEnd(trailers)
    this.touch()
  }

  requestAborted(): void {
    this.#isReplied = true
    this.request.requestAborted()
  }

  /** Has the request flushed when the current read is over. */
  touch(): void {
    if (this.#isTouched) return
    this.#isTouched = true
    this.#owner.touch(this)
  }

  flushRequest(): void {
    this.#isTouched = false
    this.request.requestFlush()
  }

  replyLeft(bytes: number): void {
    this.#leftBytes += bytes
    this.request.replyTaken(bytes)
  }

  /** True once the whole reply has left. */
  hasLeft(): boolean {
    const { isLocalEnded, isClosed } = this.#stream
    if (isClosed) this.#endConnection()
    else if (isLocalEnded) this.#awaitRest()
    return isLocalEnded || isClosed
  }

  /** Gives up on a caller that neither goes on with its body nor takes the reply that waits for it. */
  look(nowMs: number): void {
    const movedBytes = this.#stream.receivedBytes + this.#leftBytes
    const patienceMs = this.#patienceMs()
    if (patienceMs === Infinity || movedBytes !== this.#movedBytes) {
      this.#movedBytes = movedBytes
      this.#movedMs = nowMs
    } else if (nowMs - this.#movedMs >= patienceMs) {
      this.#giveUp()
    }
  }

  /** Infinity: it is not the caller's turn. A stream of gRPC may be silent for hours. */
  #patienceMs(): number {
    const { bufferedBytes, isRemoteEnded, hasLocalHead, receiveWindow } = this.#stream
    if (bufferedBytes > 0) return this.#owner.idleTimeoutMs
    const awaitsBody = !isRemoteEnded && !hasLocalHead && receiveWindow > 0
    // A WebSocket has no body to wait for.
    if (this.#head.method === 'CONNECT') return Infinity
    return awaitsBody && !isGrpc(this.#head.fields) ? this.#owner.bodyTimeoutMs : Infinity
  }

  #giveUp(): void {
    const { request } = this
    this.request = discardedRequest
    request.requestAborted()
    if (this.#stream.hasLocalHead) {
      this.#isReplied = true
      this.#owner.connection.reset(this.#stream, h2.CANCEL)
      this.#owner.schedule()
    } else {
      this.#owner.refuse(this, slowBody)
    }
  }

  deadlineReached(): void {
    this.#owner.deadlines.delete(this)
    this.#owner.connection.reset(this.#stream, h2.NO_ERROR)
    this.#owner.schedule()
    this.#endConnection()
  }

  #awaitRest(): void {
    const { deadlines } = this.#owner
    this.deadlineMs = deadlines.nowMs() + spareAfterMs
    deadlines.add(this)
  }

  #endConnection(): void {
    if (this.#endsConnection) this.#owner.drain()
  }

  // The reply, from the exchange.

  replyInformational(status: number, fields: Fields): void {
    this.#owner.connection.informational(this.#stream, status, fields)
  }

  replyHead(head: ReplyHead): void {
    if (head.closeAfter !== true) this.#endsConnection = false
    if (head.status === statusOpened) {
      this.#isTunnel = true
      this.#owner.connection.respond(this.#stream, statusOk, head.fields, false)
      return
    }
    this.#isBodiless =
      this.#head.method === 'HEAD' ||
      head.status === 204 ||
      head.status === 304 ||
      head.length === 'none'
    const fields =
      typeof head.length === 'number' && head.status !== 204
        ? [...head.fields, 'content-length', String(head.length)]
        : head.fields
    this.#owner.connection.respond(this.#stream, head.status, fields, this.#isBodiless)
  }

  replyData(chunk: Buffer): void {
    if (this.#isBodiless) this.request.replyTaken(chunk.length)
    else this.#owner.connection.sendData(this.#stream, chunk)
  }

  replyEnd(trailers: Fields): void {
    if (this.#isTunnel) {
      this.#owner.connection.end(this.#stream)
      this.#owner.schedule()
      return
    }
    this.#isReplied = true
    if (!this.#isBodiless) this.#owner.connection.sendTrailers(this.#stream, trailers)
    if (this.#endsConnection || !this.#stream.isRemoteEnded) this.#owner.awaitEnd(this)
    this.#owner.schedule()
  }

  replyFailed(failure: UpstreamFailure): void {
    this.#isReplied = true
    this.#owner.connection.reset(this.#stream, codeFor(failure))
    this.#owner.schedule()
  }

  requestTaken(bytes: number): void {
    this.#owner.connection.consumed(this.#stream, bytes)
    this.#owner.schedule()
  }

  replyFlush(): void {
    this.#owner.schedule()
  }
}

/**
 * The code for a caller whose reply had begun. What the workload said about this request goes on; what it said about its own
 * connection is no business of the caller's, and REFUSED_STREAM or NO_ERROR would be untrue of half a reply.
 */
function codeFor(failure: UpstreamFailure): number {
  const { resetCode } = failure
  const isAboutRequest = resetCode === h2.CANCEL || resetCode === h2.ENHANCE_YOUR_CALM
  return isAboutRequest ? resetCode : h2.INTERNAL_ERROR
}
