import type { Socket } from 'node:net'
import type { Fields } from '../core/fields.ts'
import { chunkTail, formatChunkHead, formatLastChunk, formatRequestHead } from '../http1/writer.ts'
import {
  chunkedBody,
  type Framing,
  noBody,
  type ReplyHead as Http1ReplyHead,
} from '../http1/head.ts'
import type { ReplyRefusal } from '../http1/refusal.ts'
import { ReplyReader } from '../http1/reply-reader.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import {
  type BodyLength,
  discardedRequest,
  type OutgoingRequest,
  type ReplySink,
  type RequestSink,
  type Upstream,
  type UpstreamFailureReason,
} from './ends.ts'
import { WriteBatch } from './write-batch.ts'

export interface Http1UpstreamOptions {
  /** Dials the workload; the socket may still be connecting. */
  readonly connect: () => Socket
  readonly deadlines: Deadlines
  readonly connectTimeoutMs: number
  /** From the end of the request to the head of the reply. */
  readonly responseTimeoutMs: number
  /** Connections at once, idle and busy; above it requests fail `upstream_unavailable`. Default 4096. */
  readonly maxConnections?: number
  /** Told of an exception that should not be possible; the exchange ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/** An idle connection is dropped after this, or a second before the workload's own `Keep-Alive: timeout`. */
const idleMs = 4_000

/** Reply bytes that may wait for the caller before we stop reading from the workload. */
const replyWindowBytes = 128 * 1024

const defaultMaxConnections = 4_096

/** Keeps and hands out HTTP/1.1 connections to one workload address; the most recently used one first. */
export class Http1Upstream implements Upstream {
  readonly options: Http1UpstreamOptions
  readonly #idle: Http1Connection[] = []
  readonly #all = new Set<Http1Connection>()
  #closed = false

  constructor(options: Http1UpstreamOptions) {
    this.options = options
  }

  /** Connections that are open now, for gauges and tests. */
  get connections(): number {
    return this.#all.size
  }

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    const connection = (fresh ? undefined : this.#idle.pop()) ?? this.#dial()
    if (connection === undefined) {
      reply.replyFailed({
        reason: 'upstream_unavailable',
        detail: 'too many connections to the workload',
        onReusedConnection: false,
      })
      return discardedRequest
    }
    connection.begin(request, reply)
    return connection
  }

  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  /** A connection's exchange is over and the connection may carry another. */
  release(connection: Http1Connection): void {
    if (this.#closed) connection.destroy()
    else this.#idle.push(connection)
  }

  /** A connection is gone. */
  forget(connection: Http1Connection): void {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }

  #dial(): Http1Connection | undefined {
    if (this.#all.size >= (this.options.maxConnections ?? defaultMaxConnections)) return undefined
    const connection = new Http1Connection(this, this.options.connect())
    this.#all.add(connection)
    return connection
  }
}

/** One connection to the workload: idle, or carrying one exchange. */
class Http1Connection implements RequestSink, Deadline {
  deadlineMs = Infinity
  readonly #pool: Http1Upstream
  readonly #socket: Socket
  readonly #reader: ReplyReader
  readonly #out = new WriteBatch()
  /** Undefined when idle. */
  #reply: ReplySink | undefined
  #connected = false
  #exchanges = 0
  #chunked = false
  #requestEnded = false
  /** A byte of this exchange's reply was seen: the workload has taken the request. */
  #replySeen = false
  #replyBegun = false
  #replyEnded = false
  #trailers: Fields = []
  #reusable = false
  #idleMs = idleMs
  /** Body bytes of the request that were written and wait for `drain`. */
  #unsentBytes = 0
  /** Body bytes that the current batch holds. */
  #batchBytes = 0
  /** Body bytes of the reply that the caller has not taken. */
  #waitingBytes = 0

  constructor(pool: Http1Upstream, socket: Socket) {
    this.#pool = pool
    this.#socket = socket
    this.#reader = new ReplyReader({
      onInformational: (head) => this.#onInformational(head),
      onHead: (head) => this.#onHead(head),
      onData: (chunk) => this.#onData(chunk),
      onEnd: (trailers) => this.#onEnd(trailers),
      onRefusal: (refusal) => this.#onRefusal(refusal),
    })
    socket.setNoDelay(true)
    socket.on('connect', () => this.#onConnect())
    socket.on('data', (chunk: Buffer) => this.#guard(chunk))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onFin())
    socket.on('error', (error) => this.#fail(this.#reasonOfLoss(), error.message))
    socket.on('close', () => this.#onClose())
    pool.options.deadlines.add(this)
    this.#expireIn(pool.options.connectTimeoutMs)
  }

  begin(request: OutgoingRequest, reply: ReplySink): void {
    this.#reply = reply
    this.#exchanges++
    this.#chunked = request.length === 'unknown'
    this.#requestEnded = false
    this.#replySeen = false
    this.#replyBegun = false
    this.#replyEnded = false
    this.#reusable = false
    this.#waitingBytes = 0
    this.#reader.expect(request.method)
    if (this.#connected) this.deadlineMs = Infinity
    this.#out.add(
      formatRequestHead(request.method, request.path, fieldsOf(request), framingOf(request.length)),
    )
  }

  requestData(chunk: Buffer): void {
    if (this.#chunked) {
      this.#out.add(formatChunkHead(chunk.length))
      this.#out.add(chunk)
      this.#out.add(chunkTail)
    } else {
      this.#out.add(chunk)
    }
    this.#batchBytes += chunk.length
  }

  requestEnd(trailers: Fields): void {
    this.#requestEnded = true
    if (this.#chunked) this.#out.add(formatLastChunk(trailers))
    if (this.#connected && !this.#replyBegun) this.#expireIn(this.#pool.options.responseTimeoutMs)
  }

  requestAborted(): void {
    this.#reply = undefined
    this.destroy()
  }

  requestFlush(): void {
    if (this.#out.isEmpty) return
    const canTakeMore = this.#out.flushTo(this.#socket)
    const bytes = this.#batchBytes
    this.#batchBytes = 0
    if (!canTakeMore) this.#unsentBytes += bytes
    else if (bytes > 0) this.#reply?.requestTaken(bytes)
  }

  replyTaken(bytes: number): void {
    this.#waitingBytes -= bytes
    if (this.#waitingBytes < replyWindowBytes / 2 && this.#socket.isPaused()) this.#socket.resume()
  }

  deadlineReached(): void {
    if (this.#reply === undefined) this.destroy()
    else if (this.#connected) this.#fail('upstream_timeout', 'no reply in time')
    else this.#fail('upstream_unavailable', 'could not connect in time')
  }

  destroy(): void {
    this.#pool.options.deadlines.delete(this)
    this.#pool.forget(this)
    this.#socket.destroy()
  }

  #onConnect(): void {
    this.#connected = true
    if (this.#requestEnded) this.#expireIn(this.#pool.options.responseTimeoutMs)
    else this.deadlineMs = Infinity
  }

  #guard(chunk: Buffer): void {
    try {
      this.#onBytes(chunk)
    } catch (error) {
      this.#pool.options.onBug(error)
      this.#fail('upstream_malformed', 'internal error')
    }
  }

  #onBytes(chunk: Buffer): void {
    const reply = this.#reply
    if (reply === undefined) {
      // Nobody asked: whatever it is, it must not become the next caller's reply.
      this.destroy()
      return
    }
    this.#replySeen = true
    let at = 0
    while (at < chunk.length && this.#reply === reply && !this.#replyEnded) {
      at = this.#reader.read(chunk, at)
    }
    if (this.#reply !== reply) return
    if (this.#replyEnded) this.#complete(reply, at === chunk.length)
    else reply.replyFlush()
  }

  /** `clean`: no byte came after the reply; one that did would be taken for the next caller's reply. */
  #complete(reply: ReplySink, clean: boolean): void {
    this.#reply = undefined
    if (clean && this.#reusable && this.#requestEnded && this.#unsentBytes === 0) this.#rest()
    else this.destroy()
    reply.replyEnd(this.#trailers)
    reply.replyFlush()
  }

  #rest(): void {
    if (this.#socket.isPaused()) this.#socket.resume()
    this.#expireIn(this.#idleMs)
    this.#pool.release(this)
  }

  #onInformational(head: Http1ReplyHead): void {
    this.#reply?.replyInformational(head.status, head.fields)
  }

  #onHead(head: Http1ReplyHead): void {
    this.#replyBegun = true
    this.deadlineMs = Infinity
    if (head.status === 101) {
      this.#fail('upstream_malformed', 'the workload switched protocols without being asked')
      return
    }
    this.#idleMs = idleTimeOf(head)
    this.#reusable = head.persistent && this.#idleMs > 0
    this.#reply?.replyHead({
      status: head.status,
      reason: head.reason,
      fields: head.fields,
      length: lengthOf(head),
      connectionOptions: head.connectionOptions,
    })
  }

  #onData(chunk: Buffer): void {
    this.#waitingBytes += chunk.length
    this.#reply?.replyData(chunk)
    if (this.#waitingBytes >= replyWindowBytes) this.#socket.pause()
  }

  #onEnd(trailers: Fields): void {
    this.#replyEnded = true
    this.#trailers = trailers
  }

  #onRefusal(refusal: ReplyRefusal): void {
    this.#fail('upstream_malformed', refusal.detail)
  }

  #onDrain(): void {
    const bytes = this.#unsentBytes
    this.#unsentBytes = 0
    if (bytes > 0) this.#reply?.requestTaken(bytes)
  }

  #onFin(): void {
    const reply = this.#reply
    if (reply === undefined) {
      this.destroy()
    } else if (this.#replyBegun && this.#reader.finish()) {
      this.#complete(reply, false)
    } else {
      this.#fail('upstream_reset', 'the workload closed the connection before its reply was whole')
    }
  }

  #onClose(): void {
    this.#fail(this.#reasonOfLoss(), 'the connection to the workload was lost')
    this.destroy()
  }

  #reasonOfLoss(): UpstreamFailureReason {
    return this.#connected ? 'upstream_reset' : 'upstream_unavailable'
  }

  #fail(reason: UpstreamFailureReason, detail: string): void {
    const reply = this.#reply
    const onReusedConnection =
      reason === 'upstream_reset' && this.#exchanges > 1 && !this.#replySeen
    this.#reply = undefined
    this.destroy()
    reply?.replyFailed({ reason, detail, onReusedConnection })
  }

  #expireIn(ms: number): void {
    this.deadlineMs = this.#pool.options.deadlines.nowMs() + ms
  }
}

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
function lengthOf(head: Http1ReplyHead): BodyLength {
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

function idleTimeOf(head: Http1ReplyHead): number {
  if (head.keepAliveTimeoutSeconds === undefined) return idleMs
  return Math.min(idleMs, head.keepAliveTimeoutSeconds * 1_000 - 1_000)
}
