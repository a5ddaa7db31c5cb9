import type { Duplex } from 'node:stream'
import type { Fields } from '../core/fields.ts'
import {
  chunkTail,
  formatChunkHead,
  formatInformationalHead,
  formatLastChunk,
  formatReplyHead,
} from '../http1/writer.ts'
import {
  bodyUntilClose,
  chunkedBody,
  type Framing,
  noBody,
  type RequestHead,
} from '../http1/head.ts'
import type { Http1Limits } from '../http1/limits.ts'
import { RequestReader } from '../http1/request-reader.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type {
  BodyLength,
  RefusedRequest,
  ReplyHead,
  ReplySink,
  RequestServer,
  RequestSink,
} from './ends.ts'
import { WriteBatch } from './write-batch.ts'

export interface Http1DownstreamOptions {
  readonly deadlines: Deadlines
  readonly limits: Partial<Http1Limits>
  /** From the first byte of a head (of the connection, for the first one) to its end. */
  readonly headerTimeoutMs: number
  /** Without a byte in either direction, between requests or inside one. */
  readonly idleTimeoutMs: number
  /** Told of an exception that should not be possible; the connection ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/** Request bytes that may wait for the workload before we stop reading from the caller. */
const requestWindowBytes = 128 * 1024

/** After an early reply so much of the request is still read and thrown away; a close would destroy the reply on its way. */
const discardLimitBytes = 256 * 1024

/** How long a connection that we ended may take to notice. */
const lingerMs = 2_000

/** One connection of a caller that speaks HTTP/1.1: requests one after the other, in order, pipelined or not. */
export class Http1Downstream implements ReplySink, Deadline {
  deadlineMs: number
  readonly #socket: Duplex
  readonly #server: RequestServer
  readonly #options: Http1DownstreamOptions
  readonly #reader: RequestReader
  readonly #out = new WriteBatch()
  /** Bytes of the next requests, while this one is answered. */
  #held: Buffer | undefined
  #request: RequestSink | undefined
  #method = ''
  #minorVersion: 0 | 1 = 1
  #persistent = true
  #requestEnded = true
  #replyBegun = false
  #replyEnded = true
  #replyBody: 'none' | 'plain' | 'chunked' = 'none'
  #inHead = true
  #draining = false
  /** We have ended our side; what still arrives is thrown away. */
  #lingering = false
  /** Inside the reader: the next request begins when it has returned. */
  #reading = false
  #destroyed = false
  #discardedBytes = 0
  /** Body bytes of the request that the workload has not taken. */
  #waitingBytes = 0
  /** Body bytes of the reply: in the batch, and written but waiting for `drain`. */
  #batchBytes = 0
  #unsentBytes = 0

  constructor(socket: Duplex, server: RequestServer, options: Http1DownstreamOptions) {
    this.#socket = socket
    this.#server = server
    this.#options = options
    this.#reader = new RequestReader(
      {
        onHead: (head) => this.#onHead(head),
        onData: (chunk) => this.#onData(chunk),
        onEnd: (trailers) => this.#onEnd(trailers),
        onRefusal: (refusal) => this.#onRefusal(refusal),
      },
      options.limits,
    )
    this.deadlineMs = options.deadlines.nowMs() + options.headerTimeoutMs
    options.deadlines.add(this)
    socket.on('data', (chunk: Buffer) => this.#guard(chunk))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onFin())
    socket.on('error', () => this.destroy())
    socket.on('close', () => this.destroy())
  }

  /** Ends the connection: now when it is idle, else after the reply that is on its way. */
  drain(): void {
    this.#draining = true
    if (this.#isIdle) this.#endConnection()
  }

  /** Ends the connection now; a request that is under way is aborted. */
  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.#options.deadlines.delete(this)
    this.#socket.destroy()
    const request = this.#request
    this.#request = undefined
    if (!this.#replyEnded) request?.requestAborted()
  }

  deadlineReached(): void {
    if (this.#inHead && this.#reader.state === 'head' && !this.#lingering) this.#refuseSlowHead()
    else this.destroy()
  }

  // The reply, from the exchange.

  replyInformational(status: number, fields: Fields): void {
    if (this.#minorVersion === 0 || this.#replyBegun) return
    this.#out.add(formatInformationalHead(status, fields))
  }

  replyHead(head: ReplyHead): void {
    this.#replyBegun = true
    if (head.closeAfter === true || this.#draining) this.#persistent = false
    const framing = this.#frameReply(head)
    this.#out.add(
      formatReplyHead({
        status: head.status,
        reason: head.reason,
        fields: head.fields,
        framing,
        persistent: this.#persistent,
        requestMinorVersion: this.#minorVersion,
      }),
    )
  }

  replyData(chunk: Buffer): void {
    switch (this.#replyBody) {
      case 'none':
        this.#request?.replyTaken(chunk.length)
        return
      case 'plain':
        this.#out.add(chunk)
        break
      case 'chunked':
        this.#out.add(formatChunkHead(chunk.length))
        this.#out.add(chunk)
        this.#out.add(chunkTail)
        break
    }
    this.#batchBytes += chunk.length
  }

  replyEnd(trailers: Fields): void {
    if (this.#replyBody === 'chunked') this.#out.add(formatLastChunk(trailers))
    this.#replyEnded = true
    this.replyFlush()
    if (!this.#persistent && !this.#destroyed) this.#endConnection()
    else if (this.#requestEnded && !this.#reading) this.#next()
  }

  replyFailed(): void {
    this.destroy()
  }

  requestTaken(bytes: number): void {
    this.#waitingBytes -= bytes
    if (this.#waitingBytes < requestWindowBytes / 2) this.#resume()
  }

  replyFlush(): void {
    if (this.#destroyed || this.#out.isEmpty) return
    this.#postpone(this.#options.idleTimeoutMs)
    const canTakeMore = this.#out.flushTo(this.#socket)
    const bytes = this.#batchBytes
    this.#batchBytes = 0
    if (!canTakeMore) this.#unsentBytes += bytes
    else if (bytes > 0) this.#request?.replyTaken(bytes)
  }

  // The request, from the socket.

  get #isIdle(): boolean {
    return this.#requestEnded && this.#replyEnded && this.#reader.state === 'idle'
  }

  get #isAnswered(): boolean {
    return (
      this.#request !== undefined &&
      this.#requestEnded &&
      this.#replyEnded &&
      !this.#lingering &&
      !this.#destroyed
    )
  }

  #guard(chunk: Buffer): void {
    try {
      this.#onBytes(chunk)
    } catch (error) {
      this.#options.onBug(error)
      this.destroy()
    }
  }

  #onBytes(chunk: Buffer): void {
    if (this.#lingering) this.#discard(chunk.length)
    else if (this.#requestEnded && !this.#replyEnded) this.#hold(chunk)
    else this.#feed(chunk)
  }

  #feed(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.#lingering && !this.#destroyed) {
      if (this.#requestEnded && !this.#replyEnded) {
        this.#hold(chunk.subarray(at))
        break
      }
      this.#reading = true
      at = this.#reader.read(chunk, at)
      this.#reading = false
      if (this.#isAnswered) this.#next()
    }
    if (this.#destroyed) return
    this.#request?.requestFlush()
    this.#watchHead()
  }

  /** The next request waits until this one is answered: replies go out in the order of the requests. */
  #hold(chunk: Buffer): void {
    this.#held = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk])
    this.#socket.pause()
  }

  /** A head must be whole in time; everything else must only keep moving. */
  #watchHead(): void {
    if (this.#lingering) return
    const inHead = this.#reader.state === 'head'
    if (inHead && this.#inHead) return
    this.#inHead = inHead
    this.#postpone(inHead ? this.#options.headerTimeoutMs : this.#options.idleTimeoutMs)
  }

  #onHead(head: RequestHead): void {
    this.#inHead = false
    this.#method = head.method
    this.#minorVersion = head.minorVersion
    this.#persistent = head.persistent
    this.#requestEnded = false
    this.#replyBegun = false
    this.#replyEnded = false
    this.#waitingBytes = 0
    this.#unsentBytes = 0
    this.#discardedBytes = 0
    this.#request = this.#server.serve(
      {
        method: head.method,
        path: head.path,
        authority: head.authority,
        fields: head.fields,
        length: lengthOf(head.framing),
        connectionOptions: head.connectionOptions,
      },
      this,
    )
  }

  #onData(chunk: Buffer): void {
    if (this.#replyEnded) {
      this.#discard(chunk.length)
      return
    }
    this.#waitingBytes += chunk.length
    this.#request?.requestData(chunk)
    if (this.#waitingBytes >= requestWindowBytes) this.#socket.pause()
  }

  #onEnd(trailers: Fields): void {
    this.#requestEnded = true
    this.#request?.requestEnd(trailers)
    // A flush before the next pipelined head: it may take another connection to the workload.
    this.#request?.requestFlush()
  }

  #onRefusal(refusal: RefusedRequest): void {
    if (this.#replyBegun && !this.#replyEnded) {
      // In the middle of a reply there is no place for another one.
      this.destroy()
      return
    }
    if (!this.#requestEnded) this.#request?.requestAborted()
    this.#request = undefined
    this.#method = 'GET'
    this.#minorVersion = 1
    this.#persistent = false
    this.#requestEnded = true
    this.#replyBegun = false
    this.#replyEnded = false
    this.#server.refuse(refusal, this)
  }

  #refuseSlowHead(): void {
    this.#onRefusal({
      status: 408,
      code: 'request_timeout',
      detail: 'the head did not arrive in time',
    })
  }

  /** The exchange is over on both sides and the connection lives on. */
  #next(): void {
    this.#request = undefined
    if (this.#draining) {
      this.#endConnection()
      return
    }
    this.#reader.next()
    this.#postpone(this.#options.idleTimeoutMs)
    const held = this.#held
    this.#held = undefined
    this.#resume()
    if (held !== undefined) this.#feed(held)
  }

  /** Ends our side; the caller's last bytes are read and thrown away, so that no reset overtakes the reply. */
  #endConnection(): void {
    if (this.#destroyed || this.#lingering) return
    this.#lingering = true
    this.#held = undefined
    this.#socket.end()
    this.#postpone(lingerMs)
    this.#resume()
  }

  #discard(bytes: number): void {
    this.#discardedBytes += bytes
    if (this.#discardedBytes > discardLimitBytes) this.destroy()
  }

  #onDrain(): void {
    this.#postpone(this.#options.idleTimeoutMs)
    const bytes = this.#unsentBytes
    this.#unsentBytes = 0
    if (bytes > 0) this.#request?.replyTaken(bytes)
  }

  /** A caller that closes its side while it waits for a reply is taken for gone, as everywhere in HTTP/1.1 meshes. */
  #onFin(): void {
    if (!this.#requestEnded || !this.#replyEnded) this.destroy()
  }

  #frameReply(head: ReplyHead): Framing {
    this.#replyBody = 'none'
    if (this.#method === 'HEAD' || head.status === 204 || head.status === 304) {
      return typeof head.length === 'number' && head.status !== 204
        ? { kind: 'length', bytes: head.length }
        : noBody
    }
    if (head.length === 'none') return { kind: 'length', bytes: 0 }
    this.#replyBody = 'plain'
    if (head.length !== 'unknown') return { kind: 'length', bytes: head.length }
    if (this.#minorVersion === 0) {
      this.#persistent = false
      return bodyUntilClose
    }
    this.#replyBody = 'chunked'
    return chunkedBody
  }

  #resume(): void {
    if (this.#socket.isPaused() && this.#held === undefined) this.#socket.resume()
  }

  #postpone(ms: number): void {
    this.deadlineMs = this.#options.deadlines.nowMs() + ms
  }
}

function lengthOf(framing: Framing): BodyLength {
  switch (framing.kind) {
    case 'none':
      return 'none'
    case 'length':
      return framing.bytes
    case 'chunked':
    case 'close':
      return 'unknown'
  }
}
