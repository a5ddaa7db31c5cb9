import type { Socket } from 'node:net'
import type { Fields } from '../core/fields.ts'
import { Http2Connection } from '../http2/connection.ts'
import { h2 } from '../http2/errors.ts'
import type { ClientEvents, ResetOrigin } from '../http2/events.ts'
import type { RequestTarget } from '../http2/request-head.ts'
import type { Http2Stream } from '../http2/stream.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import {
  discardedRequest,
  type OutgoingRequest,
  type ReplySink,
  type RequestSink,
  type UpstreamFailure,
  type UpstreamFailureReason,
} from './ends.ts'
import { guarded } from './guarded.ts'
import { Http2RequestStream } from './http2-request-stream.ts'
import { Http2Socket } from './http2-socket.ts'
import { connectionWindowFor } from './http2-windows.ts'
import { webSocketVersion } from './websocket/handshake.ts'
import { WaitingWebSocket } from './websocket/waiting-websocket.ts'

export interface Http2WorkloadConnectionOptions {
  readonly deadlines: Deadlines
  readonly connectTimeoutMs: number
  /**
   * From the end of the request to the head of the reply, for the workload to take what it was sent, and for the SETTINGS of
   * a new connection.
   */
  readonly responseTimeoutMs: number
  /** What requests are said to be sent with. Default `http`. */
  readonly scheme?: 'http' | 'https'
  /** Told of an exception that should not be possible; the connection ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/** What the owner of a connection wants to know of it. */
export interface Http2WorkloadConnectionEvents {
  /** The workload's SETTINGS came or changed: so many streams at once. */
  readonly onSettings?: (allowedStreams: number) => void
  /** A stream has ended: there may be room for another one. */
  readonly onRoom?: () => void
  /** Once. */
  readonly onGone: () => void
}

/** Streams at once, whatever the workload allows: more would need a larger window (http2-windows.ts). */
const maxStreams = 128

/** Reply bytes of one stream that may wait for the caller. */
const streamWindowBytes = 128 * 1024

/** A connection without streams is dropped after this. */
const idleMs = 60_000

/** How long the workload may take to close what is over. */
const lingerMs = 2_000

const limits = {
  streamWindowBytes,
  connectionWindowBytes: connectionWindowFor(maxStreams, streamWindowBytes),
}

/** What the deadline is for; `streams`: they have their own. */
type Awaited = 'connect' | 'settings' | 'streams' | 'idle' | 'close'

/**
 * One HTTP/2 connection to the workload. The calls of a read are flushed together when it is over, so that a head and its body
 * leave for the caller in one write.
 */
export class Http2WorkloadConnection implements ClientEvents<Http2RequestStream>, Deadline {
  deadlineMs: number
  readonly deadlineReached: () => void
  readonly connection: Http2Connection<Http2RequestStream>
  readonly deadlines: Deadlines
  readonly responseTimeoutMs: number
  readonly #options: Http2WorkloadConnectionOptions
  readonly #events: Http2WorkloadConnectionEvents
  readonly #socket: Http2Socket<Http2RequestStream>
  #awaited: Awaited
  #isConnected: boolean
  #isClosing = false
  #isProven = false
  #lossReason: UpstreamFailureReason = 'upstream_unavailable'
  #lastReadMs = 0
  /** Streams that the current read has something for. */
  readonly #touched: Http2RequestStream[] = []
  readonly #waiting: WaitingWebSocket[] = []

  constructor(
    socket: Socket,
    options: Http2WorkloadConnectionOptions,
    events: Http2WorkloadConnectionEvents,
  ) {
    const { deadlines, onBug } = options
    this.#options = options
    this.#events = events
    this.deadlines = deadlines
    this.responseTimeoutMs = options.responseTimeoutMs
    this.connection = Http2Connection.client<Http2RequestStream>(this, { limits })
    socket.setNoDelay(true)
    this.#socket = new Http2Socket({
      socket,
      connection: this.connection,
      nowMs: () => deadlines.nowMs(),
      onRead: (nowMs) => this.#onRead(nowMs),
      onWritten: () => undefined,
      onEnded: () => undefined,
      onClosed: () => this.#onClosed(),
      onBug,
    })
    this.deadlineReached = guarded(
      (error) => this.#endForBug(error),
      () => this.#expire(),
    )
    this.#isConnected = !socket.connecting
    if (!this.#isConnected) socket.once('connect', () => this.#onConnect())
    this.#awaited = 'connect'
    this.deadlineMs = deadlines.nowMs() + options.connectTimeoutMs
    deadlines.add(this)
    if (this.#isConnected) this.#onConnect()
  }

  /** It takes another request. */
  get isAvailable(): boolean {
    return this.connection.streamCount < maxStreams && this.connection.availableStreams > 0
  }

  /** The workload takes no body on any stream of it at the moment. */
  get isWindowUsedUp(): boolean {
    return this.connection.isSendWindowUsedUp
  }

  /** A request on it was answered or refused: it is no new connection any more. */
  get isProven(): boolean {
    return this.#isProven
  }

  /** Undefined when it is not available. */
  open(request: OutgoingRequest, reply: ReplySink): RequestSink | undefined {
    const stream = this.connection.request(
      targetOf(request, this.#scheme),
      fieldsOf(request),
      request.length === 'none',
    )
    if (stream === 'refused') return undefined
    return this.#carry(stream, new Http2RequestStream(this, stream, reply))
  }

  /** Undefined when it is not available. The workload is not asked before its SETTINGS have said that it may be (RFC 8441 3). */
  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink | undefined {
    if (this.connection.hasPeerSettings) return this.#askForWebSocket(request, reply)
    if (!this.isAvailable) return undefined
    const waiting = new WaitingWebSocket(request, reply)
    this.#waiting.push(waiting)
    return waiting
  }

  /** Takes no new request; ends when the running ones are done. */
  finish(): void {
    this.connection.shutdown()
    this.#socket.schedule()
  }

  // What the streams ask for and tell.

  schedule(): void {
    this.#socket.schedule()
  }

  /** The stream's reply is flushed when the current read is over. */
  touch(stream: Http2RequestStream): void {
    this.#touched.push(stream)
  }

  /** A request was answered or refused. */
  proven(): void {
    this.#isProven = true
  }

  /** A stream has ended. */
  streamEnded(): void {
    this.#watch()
    this.#events.onRoom?.()
  }

  /** A request that was sent at `sinceMs` had no reply in time. When nothing at all came since, the next one would fare no better. */
  unanswered(sinceMs: number): void {
    if (this.#lastReadMs <= sinceMs) this.finish()
  }

  /** Why the streams of a connection that is gone have failed. */
  get loss(): { readonly reason: UpstreamFailureReason; readonly detail: string } {
    return { reason: this.#lossReason, detail: this.#socket.reasonOfLoss }
  }

  // The replies, from the connection.

  onInformational(stream: Http2Stream<Http2RequestStream>, status: number, fields: Fields): void {
    stream.context?.informational(status, fields)
  }

  onReply(
    stream: Http2Stream<Http2RequestStream>,
    status: number,
    fields: Fields,
    isEnd: boolean,
  ): void {
    stream.context?.replied(status, fields, isEnd)
  }

  onData(stream: Http2Stream<Http2RequestStream>, chunk: Buffer): void {
    stream.context?.received(chunk)
  }

  onEnd(stream: Http2Stream<Http2RequestStream>): void {
    stream.context?.ended(noTrailers)
  }

  onTrailers(stream: Http2Stream<Http2RequestStream>, fields: Fields): void {
    stream.context?.ended(fields)
  }

  onDrained(stream: Http2Stream<Http2RequestStream>, bytes: number): void {
    stream.context?.requestLeft(bytes)
  }

  onReset(stream: Http2Stream<Http2RequestStream>, code: number, origin: ResetOrigin): void {
    stream.context?.wasReset(code, origin)
    this.streamEnded()
  }

  onClosed(): void {
    this.streamEnded()
  }

  onFinished(): void {
    this.#close()
  }

  onError(): void {
    this.#close()
  }

  onGoaway(): void {
    // It is not available from now on, and streams that the workload did not take are told so one by one.
  }

  onSettings(): void {
    for (const waiting of this.#waiting.splice(0)) {
      waiting.begin((request, reply) => this.#askForWebSocket(request, reply))
    }
    this.#events.onSettings?.(this.connection.allowedStreams)
    this.#events.onRoom?.()
  }

  onPong(): void {
    // Nothing of ours waits for it.
  }

  onViolation(): void {
    // The stream is reset, which its exchange hears of.
  }

  // The socket.

  #onConnect(): void {
    this.#isConnected = true
    this.#lossReason = 'upstream_reset'
    this.#watch()
  }

  #onRead(nowMs: number): void {
    this.#lastReadMs = nowMs
    for (const stream of this.#touched) stream.flushReply()
    this.#touched.length = 0
    this.#watch()
  }

  get #scheme(): 'http' | 'https' {
    return this.#options.scheme ?? 'http'
  }

  #askForWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink | undefined {
    if (!this.connection.peerAllowsConnectProtocol) {
      reply.replyFailed(noWebSockets)
      return discardedRequest
    }
    const stream = this.connection.request(
      { ...targetOf(request, this.#scheme), method: 'CONNECT', protocol: 'websocket' },
      [...request.fields, 'sec-websocket-version', webSocketVersion],
      false,
    )
    if (stream === 'refused') return undefined
    return this.#carry(stream, new Http2RequestStream(this, stream, reply, true))
  }

  #carry(stream: Http2Stream<Http2RequestStream>, sink: Http2RequestStream): RequestSink {
    stream.context = sink
    this.#watch()
    this.#socket.schedule()
    return sink
  }

  #failWaiting(): void {
    for (const waiting of this.#waiting.splice(0)) waiting.fail({ ...this.loss, retry: 'never' })
  }

  #onClosed(): void {
    this.#failWaiting()
    this.deadlines.delete(this)
    this.#events.onGone()
  }

  #close(): void {
    this.#isClosing = true
    this.#failWaiting()
    this.#socket.end()
    this.#watch()
  }

  #endForBug(error: unknown): void {
    const { onBug } = this.#options
    onBug(error)
    guarded(onBug, () => this.#socket.destroy())()
  }

  // Time.

  #expire(): void {
    switch (this.#awaited) {
      case 'connect':
        this.#socket.lose('could not connect in time')
        return
      case 'settings':
        this.#lossReason = 'upstream_timeout'
        this.connection.goaway(h2.SETTINGS_TIMEOUT)
        this.connection.connectionLost()
        this.#close()
        return
      case 'idle':
        this.finish()
        return
      case 'close':
        this.#socket.destroy()
        return
      case 'streams':
    }
  }

  #watch(): void {
    const awaited = this.#whatIsAwaited()
    if (awaited === this.#awaited) return
    this.#awaited = awaited
    this.deadlineMs = this.deadlines.nowMs() + this.#patienceMs(awaited)
  }

  #whatIsAwaited(): Awaited {
    if (this.#isClosing) return 'close'
    if (!this.#isConnected) return 'connect'
    if (!this.connection.isSettled) return 'settings'
    return this.connection.streamCount === 0 ? 'idle' : 'streams'
  }

  #patienceMs(awaited: Awaited): number {
    switch (awaited) {
      case 'connect':
        return this.#options.connectTimeoutMs
      case 'settings':
        return this.#options.responseTimeoutMs
      case 'streams':
        return Infinity
      case 'idle':
        return idleMs
      case 'close':
        return lingerMs
    }
  }
}

const noTrailers: Fields = []

const noWebSockets: UpstreamFailure = {
  reason: 'websocket_unsupported',
  detail: 'its SETTINGS do not enable the CONNECT protocol',
  retry: 'never',
}

/** HTTP/1.0 may name no host, HTTP/2 must (RFC 9113 8.3.1); the workload is where we are. */
const unnamedAuthority = 'localhost'

function targetOf(request: OutgoingRequest, scheme: 'http' | 'https'): RequestTarget {
  return {
    method: request.method,
    scheme,
    authority: request.authority === '' ? unnamedAuthority : request.authority,
    path: request.path,
  }
}

function fieldsOf(request: OutgoingRequest): Fields {
  if (typeof request.length !== 'number' && !request.wantsTrailers) return request.fields
  const fields = [...request.fields]
  if (typeof request.length === 'number') fields.push('content-length', String(request.length))
  if (request.wantsTrailers) fields.push('te', 'trailers')
  return fields
}
