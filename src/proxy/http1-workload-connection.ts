import type { OnReadOpts, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Fields } from '../core/fields.ts'
import {
  chunkedBody,
  type Framing,
  noBody,
  noFields,
  type ReplyHead as Http1ReplyHead,
} from '../http1/head.ts'
import type { ReplyRefusal } from '../http1/refusal.ts'
import { ReplyReader } from '../http1/reply-reader.ts'
import { formatRequestHead } from '../http1/writer.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type {
  BodyLength,
  OutgoingRequest,
  ReplySink,
  RequestSink,
  UpstreamFailure,
  UpstreamFailureReason,
} from './ends.ts'
import { surviveFailedWrite } from './failed-write.ts'
import { guarded, listen } from './guarded.ts'
import { Http1Outbox } from './http1-outbox.ts'
import { ReadWindow } from './read-window.ts'
import { sharedRead } from './shared-read.ts'
import { atTurnEnd } from './turn-end.ts'

export interface WorkloadConnectionOptions {
  readonly deadlines: Deadlines
  readonly connectTimeoutMs: number
  /** From the end of the request to the head of the reply, and for the workload to take what it was sent. */
  readonly responseTimeoutMs: number
  /** An idle connection is dropped after this, or a second before the other end's own `Keep-Alive: timeout`. Default 4 s. */
  readonly restMs?: number
  /** Told of an exception that should not be possible; the exchange ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/**
 * Opens a connection; the socket may still be connecting. `onread` is for the options of `connect` from `node:net`; a socket that is
 * opened without it is only slower.
 */
export type Dial = (onread?: OnReadOpts) => Socket

/** What the owner of a connection wants to know of it. */
export interface WorkloadConnectionEvents {
  /** Its exchange is over and it may carry another. */
  readonly onIdle: () => void
  /** Possibly more than once. */
  readonly onGone: () => void
}

/** Node workloads close after 5 s. */
const defaultRestMs = 4_000
const keepAliveMarginMs = 1_000

/** After a failed write so long for each piece of what the workload said before. */
const lastWordsMs = 500

/** One HTTP/1.1 connection to the workload: idle, or carrying one exchange. */
export class Http1WorkloadConnection implements RequestSink, Deadline {
  deadlineMs: number
  readonly deadlineReached = guarded(
    (error) => this.#failForBug(error),
    () => this.#expire(),
  )
  readonly #socket: Socket
  readonly #options: WorkloadConnectionOptions
  readonly #events: WorkloadConnectionEvents
  readonly #reader: ReplyReader
  readonly #outbox: Http1Outbox
  /** Undefined when idle. */
  #reply: ReplySink | undefined
  #isConnected: boolean
  #exchanges = 0
  #hasBody = false
  #isRequestWhole = false
  /** A write has failed: only what the workload said before it can still be read. */
  #isDeaf = false
  /** What this turn has to say leaves at its end. */
  #isFlushDue = false
  readonly #flushDue = guarded(
    (error) => this.#failForBug(error),
    () => {
      this.#isFlushDue = false
      this.#flush()
    },
  )
  /** What TLS has sent it tells of a turn later, and a reply may be faster. What waits longer is not taken by the peer. */
  readonly #restIfSent = guarded(
    (error) => this.#failForBug(error),
    () => {
      if (this.#socket.destroyed) return
      if (this.#outbox.isSent) this.#rest()
      else this.destroy()
    },
  )
  /** Nothing of this exchange's request has left. */
  #isHeadHeld = false
  /** A byte of this exchange's reply was seen: the workload has taken the request. */
  #isReplySeen = false
  #isReplyBegun = false
  /** Once the reply is whole. */
  #trailers: Fields | undefined
  #isReusable = false
  #restMs = defaultRestMs
  /** The body of the reply, on its way to the caller. */
  readonly #window = new ReadWindow()

  constructor(dial: Dial, options: WorkloadConnectionOptions, events: WorkloadConnectionEvents) {
    const onBug = (error: unknown) => this.#failForBug(error)
    const onBytes = (chunk: Buffer) => this.#onBytes(chunk)
    const socket = dial(sharedRead(guarded(onBug, onBytes)))
    this.#socket = socket
    this.#options = options
    this.#events = events
    this.#outbox = new Http1Outbox(socket)
    this.#isConnected = !socket.connecting
    this.#reader = new ReplyReader({
      onInformational: (head) => this.#onInformational(head),
      onHead: (head) => this.#onHead(head),
      onData: (chunk) => this.#onData(chunk),
      onEnd: (trailers) => (this.#trailers = trailers),
      onRefusal: (refusal) => this.#onRefusal(refusal),
    })
    this.deadlineMs = options.deadlines.nowMs() + options.connectTimeoutMs
    options.deadlines.add(this)
    const onFailedWrite = guarded(onBug, () => this.#onFailedWrite())
    if (!(socket instanceof TLSSocket)) surviveFailedWrite(socket, onFailedWrite)
    listen(socket, onBug, {
      onBytes,
      onDrain: () => this.#onDrain(),
      onFin: () => this.#onFin(),
      onLost: (detail) => this.#lose(detail),
    })
    socket.on(
      'connect',
      guarded(onBug, () => this.#onConnect()),
    )
    socket.setNoDelay(true)
  }

  /** Nothing has ended it since it became idle. */
  get isUsable(): boolean {
    return this.#socket.readable && this.#socket.writable
  }

  /** Sends the head of a request; throws `TypeError` when it is none that can be written. */
  begin(request: OutgoingRequest, reply: ReplySink): void {
    const framing = framingOf(request.length)
    const head = formatRequestHead(request.method, request.path, fieldsOf(request), framing)
    this.#reader.expect(request.method)
    this.#outbox.begin(head, framing)
    this.#reply = reply
    this.#exchanges++
    this.#isHeadHeld = true
    this.#hasBody = request.length !== 'none'
    this.#isRequestWhole = false
    this.#isReplySeen = false
    this.#isReplyBegun = false
    this.#trailers = undefined
    this.#isReusable = false
    this.#window.clear()
    this.#watch()
  }

  requestData(chunk: Buffer): void {
    if (!this.#isDeaf) this.#outbox.data(chunk)
  }

  requestEnd(trailers: Fields): void {
    if (this.#isDeaf) return
    this.#outbox.end(trailers)
    this.#isRequestWhole = true
    this.#watch()
  }

  requestAborted(): void {
    this.#reply = undefined
    this.destroy()
  }

  requestFlush(): void {
    if (this.#outbox.isFull) {
      this.#flush()
    } else if (!this.#isFlushDue && this.#outbox.hasOutput) {
      this.#isFlushDue = true
      atTurnEnd(this.#flushDue)
    }
  }

  #flush(): void {
    if (!this.#outbox.hasOutput || this.#isDeaf || this.#socket.destroyed) return
    this.#isHeadHeld = false
    const takenBytes = this.#outbox.flush()
    if (this.#socket.writableNeedDrain) this.#watch()
    if (takenBytes > 0) this.#reply?.requestTaken(takenBytes)
  }

  replyTaken(bytes: number): void {
    this.#window.take(bytes)
    if (this.#window.isHalfEmpty && this.#socket.isPaused()) this.#socket.resume()
  }

  /** Ends the connection without a word to the exchange. */
  destroy(): void {
    this.#options.deadlines.delete(this)
    this.#events.onGone()
    this.#socket.destroy()
  }

  #onConnect(): void {
    this.#isConnected = true
    this.#watch()
  }

  #onBytes(chunk: Buffer): void {
    const reply = this.#reply
    if (reply === undefined) {
      // Nobody asked: whatever it is, it must not become the next caller's reply.
      this.destroy()
      return
    }
    if (this.#isHeadHeld) {
      this.#fail('upstream_reset', 'the workload spoke before it was asked')
      return
    }
    this.#isReplySeen = true
    if (this.#isDeaf) this.#expireIn(lastWordsMs)
    let at = 0
    while (at < chunk.length && this.#reply === reply && this.#trailers === undefined) {
      at = this.#reader.read(chunk, at)
    }
    if (this.#reply !== reply) return
    if (this.#trailers === undefined) reply.replyFlush()
    else this.#complete(reply, this.#trailers, at === chunk.length)
  }

  /** `isClean`: no byte came after the reply; one that did would be taken for the next caller's reply. */
  #complete(reply: ReplySink, trailers: Fields, isClean: boolean): void {
    this.#reply = undefined
    if (!isClean || !this.#isReusable || !this.#isRequestWhole) this.destroy()
    else if (this.#outbox.isSent) this.#rest()
    else atTurnEnd(this.#restIfSent)
    reply.replyEnd(trailers)
  }

  #rest(): void {
    if (this.#socket.isPaused()) this.#socket.resume()
    this.#expireIn(this.#restMs)
    this.#events.onIdle()
  }

  #onInformational(head: Http1ReplyHead): void {
    this.#reply?.replyInformational(head.status, head.fields, head.connectionOptions)
  }

  #onHead(head: Http1ReplyHead): void {
    if (head.status === statusSwitchingProtocols) {
      this.#fail('upstream_malformed', 'the workload switched protocols without being asked')
      return
    }
    this.#isReplyBegun = true
    this.#restMs = restOf(head, this.#options.restMs ?? defaultRestMs)
    this.#isReusable = head.persistent && this.#restMs > 0
    this.#watch()
    this.#reply?.replyHead({
      status: head.status,
      reason: head.reason,
      fields: head.fields,
      length: lengthOf(head),
      connectionOptions: head.connectionOptions,
    })
  }

  #onData(chunk: Buffer): void {
    this.#window.add(chunk.length)
    this.#reply?.replyData(chunk)
    if (this.#window.isFull) this.#socket.pause()
  }

  #onRefusal(refusal: ReplyRefusal): void {
    this.#fail('upstream_malformed', refusal.detail)
  }

  #onDrain(): void {
    const takenBytes = this.#outbox.drained()
    this.#watch()
    if (takenBytes > 0) this.#reply?.requestTaken(takenBytes)
  }

  /** The end of the connection is the end of a reply that names no other. */
  #onFin(): void {
    const reply = this.#reply
    if (reply !== undefined && this.#reader.finish()) {
      this.#complete(reply, this.#trailers ?? noFields, false)
    } else {
      this.#lose('the workload closed the connection before its reply was whole')
    }
  }

  /** The workload takes no more; it may have said why. */
  #onFailedWrite(): void {
    if (this.#reply !== undefined && this.#hasBody) {
      this.#isDeaf = true
      this.#expireIn(lastWordsMs)
    } else {
      this.#lose('a write failed')
    }
  }

  #expire(): void {
    if (this.#isDeaf && this.#socket.isPaused()) this.#expireIn(lastWordsMs)
    else if (this.#isDeaf) this.#lose('the workload closed the connection')
    else if (this.#isConnected)
      this.#fail('upstream_timeout', 'the workload did not answer in time')
    else this.#fail('upstream_unavailable', 'could not connect in time')
  }

  #lose(detail: string): void {
    this.#fail(this.#isConnected ? 'upstream_reset' : 'upstream_unavailable', detail)
  }

  #fail(reason: UpstreamFailureReason, detail: string): void {
    const reply = this.#reply
    const retry = reason === 'upstream_reset' ? this.#retry : 'never'
    this.#reply = undefined
    this.destroy()
    reply?.replyFailed({ reason, detail, retry })
  }

  /** A connection that was used before may have been closed while the request was on its way. */
  get #retry(): UpstreamFailure['retry'] {
    if (this.#isHeadHeld) return 'always'
    return this.#exchanges > 1 && !this.#isReplySeen ? 'if-idempotent' : 'never'
  }

  #failForBug(error: unknown): void {
    const { onBug } = this.#options
    onBug(error)
    guarded(onBug, () => this.#fail('upstream_malformed', 'an internal error'))()
  }

  /** The workload has its time to answer, and to take what it is sent; the rest is the caller's time. */
  #watch(): void {
    if (!this.#isConnected || this.#isDeaf || this.#reply === undefined) return
    const isWorkloadsTurn =
      !this.#isReplyBegun && (this.#isRequestWhole || this.#socket.writableNeedDrain)
    if (isWorkloadsTurn) this.#expireIn(this.#options.responseTimeoutMs)
    else this.deadlineMs = Infinity
  }

  #expireIn(ms: number): void {
    this.deadlineMs = this.#options.deadlines.nowMs() + ms
  }
}

const statusSwitchingProtocols = 101

function fieldsOf(request: OutgoingRequest): Fields {
  const fields = ['host', request.authority, ...request.fields]
  // TE is hop-by-hop: it must be named in Connection (RFC 9110 10.1.4).
  if (request.wantsTrailers) fields.push('te', 'trailers', 'connection', 'te')
  return fields
}

function framingOf(length: BodyLength): Framing {
  switch (length) {
    case 'none':
      return noBody
    case 'unknown':
      return chunkedBody
    default:
      return { kind: 'length', bytes: length }
  }
}

/** The reply's length; for HEAD and 304 what a body would have had. */
export function lengthOf(head: Http1ReplyHead): BodyLength {
  if (head.framing.kind === 'close') return 'unknown'
  switch (head.announced.kind) {
    case 'length':
      return head.announced.bytes
    case 'chunked':
    case 'close':
      return 'unknown'
    case 'none':
      return 'none'
  }
}

function restOf(head: Http1ReplyHead, mostMs: number): number {
  if (head.keepAliveTimeoutSeconds === undefined) return mostMs
  return Math.min(mostMs, head.keepAliveTimeoutSeconds * 1_000 - keepAliveMarginMs)
}
