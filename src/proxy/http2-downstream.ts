import type { Duplex } from 'node:stream'
import type { Fields } from '../core/fields.ts'
import { Http2Connection } from '../http2/connection.ts'
import { type ConnectionFault, h2 } from '../http2/errors.ts'
import type { ServerEvents } from '../http2/events.ts'
import { defaultLimits, workPerTurn, type Http2Limits } from '../http2/limits.ts'
import type { RefusedHead, RequestHead, RequestRefusal } from '../http2/request-head.ts'
import type { Http2Stream } from '../http2/stream.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import {
  type BodyLength,
  discardedRequest,
  type RefusedRequest,
  type RequestServer,
} from './ends.ts'
import { guarded } from './guarded.ts'
import { Http2ReplyStream } from './http2-reply-stream.ts'
import { Http2StreamWatch } from './http2-stream-watch.ts'
import { Http2Socket } from './http2-socket.ts'
import { refusedRequest } from './http2-refusals.ts'
import { connectionWindowFor } from './http2-windows.ts'
import { refusedConnect } from './websocket/handshake.ts'

export interface Http2DownstreamOptions {
  readonly deadlines: Deadlines
  readonly limits: Partial<Http2Limits>
  /** For the preface with the first SETTINGS and their acknowledgement, and for each header block. */
  readonly headerTimeoutMs: number
  /** Without a byte in either direction: an idle connection ends, one with running requests has to answer a PING. */
  readonly idleTimeoutMs: number
  /** Without a byte of a body that is not whole, gRPC's excepted; then 408. At most, and by default, `idleTimeoutMs`. */
  readonly bodyTimeoutMs?: number
  /** Told of an exception that should not be possible; the connection ends, the others live on. */
  readonly onBug: (error: unknown) => void
  /** The server takes requests with `isWebSocket`: our SETTINGS say so (RFC 8441). Default false. */
  readonly takesWebSockets?: boolean
}

/** Request bytes of one stream that may wait for the workload. */
const streamWindowBytes = 128 * 1024

/** How long a caller may take to answer our first GOAWAY, and to close when all is said. */
const lingerMs = 2_000

/**
 * How long the connection of a flood stays, unread: whoever comes again as soon as it is cut would make more work than by going on.
 * It keeps its place among the connections of its address.
 */
const calmMs = 1_000

/**
 * What the deadline is for: the caller's SETTINGS and its acknowledgement of ours; the rest of a header block; the answer to our
 * first GOAWAY; any byte; the answer to a PING; the end of a flood's connection; our last bytes to leave; the caller to close.
 */
type Awaited = 'settings' | 'head' | 'goaway' | 'activity' | 'pong' | 'calm' | 'flush' | 'close'

/**
 * One connection of a caller that speaks HTTP/2: its streams are requests, served side by side. The calls of a read are flushed
 * together when it is over, so that a head and its body leave for the workload in one write.
 */
export class Http2Downstream implements ServerEvents<Http2ReplyStream>, Deadline {
  deadlineMs: number
  readonly deadlineReached: () => void
  readonly connection: Http2Connection<Http2ReplyStream>
  readonly deadlines: Deadlines
  readonly idleTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly #server: RequestServer
  readonly #options: Http2DownstreamOptions
  readonly #socket: Http2Socket<Http2ReplyStream>
  #awaited: Awaited = 'settings'
  readonly #watcher: Http2StreamWatch
  /** Our first GOAWAY is on its way. */
  #isAnnounced = false
  #isDraining = false
  #isClosing = false
  /** Streams that the current read has something for. */
  readonly #touched: Http2ReplyStream[] = []
  /** Streams with something to do when their reply has left. */
  #ending: Http2ReplyStream[] = []

  constructor(socket: Duplex, server: RequestServer, options: Http2DownstreamOptions) {
    const { deadlines, onBug } = options
    this.deadlines = deadlines
    this.idleTimeoutMs = options.idleTimeoutMs
    this.bodyTimeoutMs = Math.min(options.bodyTimeoutMs ?? Infinity, options.idleTimeoutMs)
    this.#server = server
    this.#options = options
    this.connection = Http2Connection.server(this, {
      limits: limitsOf(options),
      allowsConnectProtocol: options.takesWebSockets === true,
    })
    this.#socket = new Http2Socket({
      socket,
      connection: this.connection,
      workPerTurn,
      nowMs: () => deadlines.nowMs(),
      onRead: (nowMs) => this.#onRead(nowMs),
      onWritten: () => this.#onWritten(),
      onEnded: () => this.#await('close', deadlines.nowMs()),
      onClosed: () => this.#forget(),
      onBug,
    })
    this.#watcher = new Http2StreamWatch({
      connection: this.connection,
      deadlines,
      patienceMs: Math.min(this.bodyTimeoutMs, this.idleTimeoutMs),
    })
    this.deadlineReached = guarded(
      (error) => this.#endForBug(error),
      () => this.#expire(),
    )
    this.deadlineMs = deadlines.nowMs() + options.headerTimeoutMs
    deadlines.add(this)
  }

  /** Takes no new request; ends when the running ones are done. Idempotent. */
  drain(): void {
    if (this.#isDraining || this.#isClosing) return
    this.#isDraining = true
    this.#isAnnounced = true
    this.connection.shutdown()
    this.#await('goaway', this.deadlines.nowMs())
    this.#socket.schedule()
  }

  /** Ends now; requests that are under way are aborted. */
  destroy(): void {
    this.#socket.destroy()
  }

  // What the streams ask for.

  /** What was queued for the caller leaves at the end of this turn. */
  schedule(): void {
    this.#socket.schedule()
  }

  /** The stream's request is flushed when the current read is over. */
  touch(stream: Http2ReplyStream): void {
    this.#touched.push(stream)
  }

  /** The stream is asked after each write whether its reply has left. */
  awaitEnd(stream: Http2ReplyStream): void {
    this.#ending.push(stream)
  }

  /** Answers in the workload's stead a request that is not whole and never will be. */
  refuse(stream: Http2ReplyStream, refusal: RefusedRequest): void {
    this.#server.refuse(refusal, stream.keepingConnection())
  }

  // The requests, from the connection.

  onRequest(stream: Http2Stream<Http2ReplyStream>, head: RequestHead): void {
    this.#headIsWhole()
    const reply = new Http2ReplyStream(this, stream, head)
    stream.context = reply
    this.#watcher.begin()
    if (head.protocol !== undefined) {
      this.#serveWebSocket(head, reply)
      return
    }
    reply.request = this.#server.serve(
      {
        method: head.method,
        path: head.path,
        authority: head.authority,
        fields: head.fields,
        length: lengthOf(head),
        connectionOptions: noOptions,
      },
      reply,
    )
    if (head.isEnd) reply.requestEnd(noTrailers)
    else reply.touch()
    if (reply.request === discardedRequest) this.connection.refused(stream)
  }

  /** It counts as a GET, as the same WebSocket does with HTTP/1.1. */
  #serveWebSocket(head: RequestHead, reply: Http2ReplyStream): void {
    const refusal = refusedConnect(head)
    if (refusal !== undefined) {
      this.#server.refuse(refusal, reply.keepingConnection())
      return
    }
    const { path, authority, fields } = head
    reply.request = this.#server.serve(
      {
        method: 'GET',
        path,
        authority,
        fields,
        length: 'none',
        connectionOptions: noOptions,
        isWebSocket: true,
      },
      reply,
    )
    if (head.isEnd) reply.requestEnd(noTrailers)
    else reply.touch()
  }

  onRefusedRequest(
    stream: Http2Stream<Http2ReplyStream>,
    refusal: RequestRefusal,
    head: RefusedHead,
  ): void {
    this.#headIsWhole()
    const reply = new Http2ReplyStream(this, stream, head)
    stream.context = reply
    this.#server.refuse(refusedRequest(refusal, head), reply.keepingConnection())
    this.connection.refused(stream)
  }

  onData(stream: Http2Stream<Http2ReplyStream>, chunk: Buffer): void {
    stream.context?.requestData(chunk)
  }

  onEnd(stream: Http2Stream<Http2ReplyStream>): void {
    stream.context?.requestEnd(noTrailers)
  }

  onTrailers(stream: Http2Stream<Http2ReplyStream>, fields: Fields): void {
    this.#headIsWhole()
    stream.context?.requestEnd(fields)
  }

  onDrained(stream: Http2Stream<Http2ReplyStream>, bytes: number): void {
    stream.context?.replyLeft(bytes)
  }

  onReset(stream: Http2Stream<Http2ReplyStream>): void {
    stream.context?.requestAborted()
  }

  onClosed(): void {
    // The exchange knows already: both its ends have said all.
  }

  onFinished(): void {
    this.#close()
  }

  onError({ code }: ConnectionFault): void {
    if (code === h2.ENHANCE_YOUR_CALM) this.#calm()
    else this.#close()
  }

  onGoaway(): void {
    // The caller opens nothing more; what it has opened goes on until it closes the connection.
  }

  onSettings(): void {
    // Windows and tables are the connection's business.
  }

  onPong(): void {
    // Any byte is a sign of life.
  }

  onViolation(): void {
    this.#headIsWhole()
  }

  // The socket.

  #onRead(nowMs: number): void {
    for (const stream of this.#touched) stream.flushRequest()
    this.#touched.length = 0
    this.#watch(nowMs, 'read')
  }

  #onWritten(): void {
    if (this.#ending.length > 0) {
      this.#ending = this.#ending.filter((stream) => !stream.hasLeft())
    }
    this.#watch(this.deadlines.nowMs(), 'written')
  }

  /** Ends our side when everything is written; the caller then has a moment to close its own. */
  #close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#socket.end()
    this.#await('flush', this.deadlines.nowMs())
  }

  /** Says why, and ends; requests that are under way are aborted. */
  #giveUp(code: number): void {
    this.connection.goaway(code)
    this.connection.connectionLost()
    this.#close()
  }

  /** Says why, and hears no more; the end comes later. */
  #calm(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#socket.holdBack()
    this.#await('calm', this.deadlines.nowMs())
  }

  #forget(): void {
    this.deadlines.delete(this)
    this.#watcher.end()
  }

  #endForBug(error: unknown): void {
    const { onBug } = this.#options
    onBug(error)
    guarded(onBug, () => this.destroy())()
  }

  // Time.

  #expire(): void {
    switch (this.#awaited) {
      case 'settings':
        this.#giveUp(h2.SETTINGS_TIMEOUT)
        return
      case 'head':
        this.#giveUp(h2.PROTOCOL_ERROR)
        return
      case 'goaway':
        this.#endAnnouncement()
        return
      case 'activity':
        if (this.connection.streamCount === 0) this.drain()
        else this.#askForLife()
        return
      case 'calm':
        this.#socket.end()
        this.#await('flush', this.deadlines.nowMs())
        return
      case 'pong':
      case 'flush':
      case 'close':
        this.destroy()
    }
  }

  #endAnnouncement(): void {
    this.#isAnnounced = false
    this.connection.goaway(h2.NO_ERROR)
    this.#socket.schedule()
    this.#watch(this.deadlines.nowMs(), 'written')
  }

  /** A stream may be silent for hours; a caller that is gone must not hold what it asked for. */
  #askForLife(): void {
    this.connection.ping()
    this.#socket.schedule()
    this.#await('pong', this.deadlines.nowMs())
  }

  /** A header block that begins in the read in which another one ended has its own time. */
  #headIsWhole(): void {
    if (this.#awaited === 'head') this.#awaited = 'activity'
  }

  #watch(nowMs: number, what: 'read' | 'written'): void {
    const awaited = this.#whatIsAwaited(what)
    const isExtended = awaited === 'activity' || awaited === 'flush'
    if (isExtended || awaited !== this.#awaited) this.#await(awaited, nowMs)
  }

  #whatIsAwaited(what: 'read' | 'written'): Awaited {
    if (this.#isClosing) return this.#awaited
    if (this.#isAnnounced) return 'goaway'
    if (!this.connection.isSettled) return 'settings'
    if (this.connection.isReceivingHeaders) return 'head'
    return this.#awaited === 'pong' && what === 'written' ? 'pong' : 'activity'
  }

  #await(awaited: Awaited, nowMs: number): void {
    this.#awaited = awaited
    this.deadlineMs = nowMs + this.#patienceMs(awaited)
  }

  #patienceMs(awaited: Awaited): number {
    const { headerTimeoutMs, idleTimeoutMs } = this.#options
    switch (awaited) {
      case 'settings':
      case 'head':
      case 'pong':
        return headerTimeoutMs
      case 'activity':
      case 'flush':
        return idleTimeoutMs
      case 'goaway':
      case 'close':
        return lingerMs
      case 'calm':
        return calmMs
    }
  }
}

const noOptions: readonly string[] = []
const noTrailers: Fields = []

function limitsOf({ limits }: Http2DownstreamOptions): Partial<Http2Limits> {
  const streams = limits.maxConcurrentStreams ?? defaultLimits.maxConcurrentStreams
  return {
    streamWindowBytes,
    connectionWindowBytes: connectionWindowFor(streams, streamWindowBytes),
    ...limits,
  }
}

function lengthOf(head: RequestHead): BodyLength {
  if (head.isEnd) return head.contentLength === 0 ? 0 : 'none'
  return head.contentLength ?? 'unknown'
}
