import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { Fields } from '../core/fields.ts'
import type { Framing, RequestHead } from '../http1/head.ts'
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
import { guarded, listen } from './guarded.ts'
import { Http1ReplyWriter } from './http1-reply-writer.ts'

export interface Http1DownstreamOptions {
  readonly deadlines: Deadlines
  readonly limits: Partial<Http1Limits>
  /** From the first byte of a head (of the connection, for the first one) to its end; then 408. */
  readonly headerTimeoutMs: number
  /**
   * Without a byte in either direction, between requests or inside one. While only the workload is waited for, the times of
   * the upstream end hold instead.
   */
  readonly idleTimeoutMs: number
  /** Told of an exception that should not be possible; the connection ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/** Request bytes that may wait for the workload before we stop reading from the caller. */
const requestWindowBytes = 128 * 1024

/** After an early reply so much of the request is still read and thrown away; a close would destroy the reply on its way. */
const discardLimitBytes = 256 * 1024

/** How long a caller that has its whole reply may take to notice that we ended the connection. */
const lingerMs = 2_000

/** What a request is taken for whose head was refused. */
const unknownRequest = { method: 'GET', minorVersion: 1, persistent: false } as const

/**
 * One connection of a caller that speaks HTTP/1.1: requests one after the other, in order, pipelined or not. A caller that closes
 * its side while it waits for a reply is taken for gone, as other proxies do: HTTP/1.1 cannot tell the two apart.
 */
export class Http1Downstream implements ReplySink, Deadline {
  deadlineMs: number
  readonly deadlineReached = guarded(
    (error) => this.#endForBug(error),
    () => this.#expire(),
  )
  readonly #socket: Duplex
  readonly #server: RequestServer
  readonly #options: Http1DownstreamOptions
  readonly #reader: RequestReader
  readonly #replies: Http1ReplyWriter
  /** `lingering`: our side has ended, what still arrives is thrown away. */
  #phase: 'open' | 'lingering' | 'gone' = 'open'
  #isDraining = false
  /** Inside the reader, which must not be called again from there. */
  #isReading = false
  /** The deadline is that of a head. */
  #isHeadTimed = true
  #request: RequestSink | undefined
  #isRequestWhole = true
  /** The caller sends its body when it is told to. */
  #awaitsContinue = false
  /** Bytes of the next requests, while this one is answered. */
  #held: Buffer | undefined
  /** Body bytes of the request that the workload has not taken. */
  #waitingBytes = 0
  #discardedBytes = 0
  /** Guarded on its own: it runs inside the workload's events too, and its bugs are not theirs. */
  readonly #readOn = guarded(
    (error) => this.#endForBug(error),
    () => this.#readWhatWaits(),
  )

  constructor(socket: Duplex, server: RequestServer, options: Http1DownstreamOptions) {
    this.#socket = socket
    this.#server = server
    this.#options = options
    this.#replies = new Http1ReplyWriter(socket)
    this.#reader = new RequestReader(
      {
        onHead: (head) => this.#onHead(head),
        onData: (chunk) => this.#onData(chunk),
        onEnd: (trailers) => this.#onEnd(trailers),
        onRefusal: (refusal) => this.#refuse(refusal),
      },
      options.limits,
    )
    this.deadlineMs = options.deadlines.nowMs() + options.headerTimeoutMs
    options.deadlines.add(this)
    listen(socket, (error) => this.#endForBug(error), {
      onBytes: (chunk) => this.#onBytes(chunk),
      onDrain: () => this.#onDrain(),
      onFin: () => this.#onFin(),
      onLost: () => this.destroy(),
    })
  }

  /** Ends the connection: now when it is idle, else after the reply that is on its way. */
  drain(): void {
    this.#isDraining = true
    if (this.#isIdle) this.#end()
  }

  /** Ends the connection now; a request that is under way is aborted. */
  destroy(): void {
    if (this.#phase === 'gone') return
    this.#phase = 'gone'
    this.#held = undefined
    this.#options.deadlines.delete(this)
    cut(this.#socket, this.#replies.endsWithConnection)
    const request = this.#request
    this.#request = undefined
    if (!this.#isAnswered) request?.requestAborted()
  }

  // The reply, from the exchange.

  replyInformational(status: number, fields: Fields): void {
    if (status === statusContinue) this.#awaitsContinue = false
    this.#replies.informational(status, fields)
  }

  replyHead(head: ReplyHead): void {
    // Without its 100 the caller may send its body or leave it out: nobody could tell what comes next (RFC 9110 10.1.1).
    if (head.closeAfter === true || this.#isDraining || this.#awaitsContinue) {
      this.#replies.closeAfter()
    }
    this.#replies.head(head)
  }

  replyData(chunk: Buffer): void {
    const droppedBytes = this.#replies.data(chunk)
    if (droppedBytes > 0) this.#request?.replyTaken(droppedBytes)
  }

  replyEnd(trailers: Fields): void {
    this.#replies.end(trailers)
    this.replyFlush()
    if (this.#phase !== 'open') return
    if (!this.#replies.persistent) {
      this.#end()
    } else if (!this.#isRequestWhole) {
      // The workload takes no more of it: what is still to come is thrown away.
      this.#waitingBytes = 0
      this.#readOn()
    } else if (!this.#isReading) {
      this.#endExchange()
      this.#readOn()
    }
  }

  replyFailed(): void {
    this.destroy()
  }

  replyFlush(): void {
    if (this.#phase === 'gone' || !this.#replies.hasOutput) return
    const takenBytes = this.#replies.flush()
    this.#watch()
    if (takenBytes > 0) this.#request?.replyTaken(takenBytes)
  }

  requestTaken(bytes: number): void {
    this.#waitingBytes -= bytes
    if (this.#waitingBytes < requestWindowBytes / 2 && this.#socket.isPaused()) this.#readOn()
  }

  // The request, from the socket.

  get #isAnswered(): boolean {
    return this.#isRequestWhole && this.#replies.state === 'ended'
  }

  get #isIdle(): boolean {
    return this.#isAnswered && this.#reader.state === 'idle' && this.#held === undefined
  }

  /** Replies go out in the order of the requests, and none is asked for while the caller does not take those it has. */
  get #mustWait(): boolean {
    return (
      this.#isRequestWhole && (this.#replies.state !== 'ended' || this.#socket.writableNeedDrain)
    )
  }

  #onBytes(chunk: Buffer): void {
    if (this.#phase !== 'open') this.#discard(chunk.length)
    else this.#read(chunk)
  }

  #read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && this.#phase === 'open') {
      if (this.#mustWait) {
        this.#hold(chunk.subarray(at))
        break
      }
      this.#isReading = true
      at = this.#reader.read(chunk, at)
      this.#isReading = false
      if (this.#isAnswered && this.#reader.state === 'ended') this.#endExchange()
    }
    this.#request?.requestFlush()
    this.#watch()
  }

  #hold(chunk: Buffer): void {
    this.#held = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk])
    this.#socket.pause()
  }

  /** Goes on with what was held or not asked for. */
  #readWhatWaits(): void {
    if (this.#phase !== 'open' || this.#mustWait) return
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#read(held)
    this.#resume()
  }

  #resume(): void {
    if (this.#held !== undefined || this.#waitingBytes >= requestWindowBytes) return
    if (!this.#socket.isPaused()) return
    this.#socket.resume()
    this.#watch()
  }

  #onHead(head: RequestHead): void {
    this.#isRequestWhole = false
    this.#isHeadTimed = false
    this.#awaitsContinue = head.expectsContinue
    this.#waitingBytes = 0
    this.#discardedBytes = 0
    this.#replies.expect(head)
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
    this.#awaitsContinue = false
    if (this.#replies.state === 'ended') {
      this.#discard(chunk.length)
      return
    }
    this.#waitingBytes += chunk.length
    this.#request?.requestData(chunk)
    if (this.#waitingBytes >= requestWindowBytes && this.#phase === 'open') this.#socket.pause()
  }

  #onEnd(trailers: Fields): void {
    this.#isRequestWhole = true
    this.#request?.requestEnd(trailers)
    // A flush before the next pipelined head: it may take another connection to the workload.
    this.#request?.requestFlush()
  }

  /** Answers what is no request. Where the reply to it has begun there is no place for another one. */
  #refuse(refusal: RefusedRequest): void {
    if (this.#isRequestWhole) {
      this.#replies.expect(unknownRequest)
    } else if (this.#replies.state === 'awaited') {
      this.#request?.requestAborted()
      this.#replies.closeAfter()
    } else {
      if (this.#replies.state === 'ended') this.#end()
      else this.destroy()
      return
    }
    this.#request = undefined
    this.#isRequestWhole = true
    this.#server.refuse(refusal, this)
  }

  /** Request and reply are both over and the connection lives on. */
  #endExchange(): void {
    this.#request = undefined
    if (this.#isDraining) this.#end()
    else this.#reader.next()
  }

  /** Ends our side; the caller's last bytes are read and thrown away, so that no reset overtakes the reply. */
  #end(): void {
    if (this.#phase !== 'open') return
    this.#phase = 'lingering'
    this.#held = undefined
    this.#expireIn(this.#options.idleTimeoutMs)
    this.#socket.end(() => this.#expireIn(lingerMs))
    this.#socket.resume()
  }

  #discard(bytes: number): void {
    this.#discardedBytes += bytes
    if (this.#discardedBytes <= discardLimitBytes) return
    if (this.#phase === 'open') this.#end()
    else this.#socket.pause()
  }

  #onDrain(): void {
    const takenBytes = this.#replies.drained()
    if (takenBytes > 0) this.#request?.replyTaken(takenBytes)
    this.#watch()
    this.#readOn()
  }

  #onFin(): void {
    if (this.#isIdle || this.#phase !== 'open') this.#end()
    else this.destroy()
  }

  #endForBug(error: unknown): void {
    const { onBug } = this.#options
    onBug(error)
    guarded(onBug, () => this.destroy())()
  }

  #expire(): void {
    if (this.#phase !== 'open') this.destroy()
    else if (this.#isIdle) this.#end()
    else if (this.#reader.state === 'head') this.#refuse(slowHead)
    else if (this.#isCallersTurn) this.#refuse(slowBody)
    else this.destroy()
  }

  /** A head must be whole in time; the rest must only keep moving; how long a workload may think is not for us to say. */
  #watch(): void {
    if (this.#phase !== 'open') return
    const { headerTimeoutMs, idleTimeoutMs } = this.#options
    const isHead = this.#reader.state === 'head'
    if (isHead && this.#isHeadTimed) return
    this.#isHeadTimed = isHead
    if (this.#isWorkloadsTurn) this.deadlineMs = Infinity
    else this.#expireIn(isHead ? headerTimeoutMs : idleTimeoutMs)
  }

  get #isWorkloadsTurn(): boolean {
    return this.#isRequestWhole && this.#replies.state === 'awaited'
  }

  get #isCallersTurn(): boolean {
    return (
      !this.#isRequestWhole &&
      this.#replies.state === 'awaited' &&
      this.#waitingBytes < requestWindowBytes
    )
  }

  #expireIn(ms: number): void {
    this.deadlineMs = this.#options.deadlines.nowMs() + ms
  }
}

const statusContinue = 100

const slowHead: RefusedRequest = {
  status: 408,
  code: 'head_too_slow',
  detail: 'the head did not arrive in time',
}

const slowBody: RefusedRequest = {
  status: 408,
  code: 'body_too_slow',
  detail: 'the body stopped arriving',
}

/** `asReset`: a plain FIN would make half a reply look whole. TLS needs none: it ends without its close_notify. */
function cut(socket: Duplex, asReset: boolean): void {
  if (asReset && isTcp(socket)) socket.resetAndDestroy()
  else socket.destroy()
}

function isTcp(socket: Duplex): socket is Socket {
  return (
    socket instanceof Socket && !(socket instanceof TLSSocket) && socket.remoteFamily !== undefined
  )
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
