import type { Duplex } from 'node:stream'
import type { Fields } from '../core/fields.ts'
import type { Framing, RequestHead } from '../http1/head.ts'
import type { Http1Limits } from '../http1/limits.ts'
import { RequestReader } from '../http1/request-reader.ts'
import { CallerSocket } from './caller-socket.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import {
  type BodyLength,
  discardedRequest,
  type IncomingRequest,
  type RefusedRequest,
  type ReplyHead,
  type ReplySink,
  type RequestServer,
  type RequestSink,
} from './ends.ts'
import { guarded, listen } from './guarded.ts'
import { Http1ReplyWriter } from './http1-reply-writer.ts'
import { ReadWindow } from './read-window.ts'
import { readUpgrade } from './websocket/handshake.ts'
import { Http1WebSocketCaller } from './websocket/http1-caller.ts'
import { slowBody, slowHead } from './slow-callers.ts'
import { atTurnEnd } from './turn-end.ts'
import { inLaterTurn, notInLaterTurn, TurnShare } from './turn-share.ts'

export interface Http1DownstreamOptions {
  readonly deadlines: Deadlines
  readonly limits: Partial<Http1Limits>
  /** From the first byte of a head (of the connection, for the first one) to its end; then 408. */
  readonly headerTimeoutMs: number
  /**
   * Without a byte in either direction, between requests or inside a reply. While only the workload is waited for, the times of
   * the upstream end hold instead.
   */
  readonly idleTimeoutMs: number
  /** Without a byte of a body that is not whole; then 408. At most, and by default, `idleTimeoutMs`. */
  readonly bodyTimeoutMs?: number
  /** Told of an exception that should not be possible; the connection ends, the others live on. */
  readonly onBug: (error: unknown) => void
  /** The server takes requests with `isWebSocket`. Default false: one with Upgrade is then a request like any other. */
  readonly takesWebSockets?: boolean
}

/** How long a caller that has its whole reply may take to notice that we ended the connection. */
const lingerMs = 2_000

/**
 * Requests of one connection in one turn of the event loop: about a quarter of a millisecond. One that is refused is the last of
 * its turn: whoever may not call can ask for more of them than for anything else.
 */
const requestsPerTurn = 8

/** What a request is taken for whose head was refused. */
const unknownRequest = { method: 'GET', minorVersion: 1, persistent: false } as const

/**
 * What a connection waits for. `progress`: of a reply that has begun, or of a request that the workload is slow to take.
 * `end`: that the caller notices ours.
 */
type Awaited = 'next' | 'head' | 'body' | 'workload' | 'progress' | 'end'

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
  readonly #duplex: Duplex
  readonly #socket: CallerSocket
  readonly #server: RequestServer
  readonly #options: Http1DownstreamOptions
  readonly #reader: RequestReader
  readonly #replies: Http1ReplyWriter
  /** The body of the request, on its way to the workload. */
  readonly #window = new ReadWindow()
  #request: RequestSink | undefined
  #isRequestWhole = true
  /** The caller sends its body when it is told to. */
  #awaitsContinue = false
  #isDraining = false
  /** Inside the reader, which must not be called again from there. */
  #isReading = false
  /** The deadline is that of a head. */
  #isHeadTimed = true
  /** The WebSocket that was asked for last; it has the socket once it is open. */
  #webSocket: Http1WebSocketCaller | undefined
  /** Guarded on its own: it runs inside the workload's events too, and its bugs are not theirs. */
  readonly #readOn = guarded(
    (error) => this.#endForBug(error),
    () => this.#readWhatWaits(),
  )

  readonly #share = new TurnShare(requestsPerTurn)
  /** The replies of this turn leave at its end. */
  #isFlushDue = false
  readonly #flushDue = guarded(
    (error) => this.#endForBug(error),
    () => {
      this.#isFlushDue = false
      this.#flush()
    },
  )

  constructor(socket: Duplex, server: RequestServer, options: Http1DownstreamOptions) {
    this.#duplex = socket
    this.#socket = new CallerSocket(socket)
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
    if (this.#socket.isGone) return
    this.#options.deadlines.delete(this)
    notInLaterTurn(this.#readOn)
    // A reply that was complete before is not lost with what comes after it.
    if (this.#replies.hasOutput) this.#replies.flush()
    this.#socket.destroy(this.#replies.endsWithConnection || this.#isTunnel)
    const request = this.#request
    this.#request = undefined
    if (!this.#isAnswered) request?.requestAborted()
  }

  /** The WebSocket is open: the connection is its own from here on, and has no deadline of ours. Returns what is read already. */
  becomeTunnel(): Buffer | undefined {
    this.#flush()
    this.#options.deadlines.delete(this)
    return this.#socket.becomeTunnel()
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
    if (!this.#replies.persistent) {
      this.#end()
    } else if (!this.#isRequestWhole) {
      // The workload takes no more of it: what is still to come is thrown away.
      this.#window.clear()
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
    if (this.#replies.isFull) {
      this.#flush()
    } else if (!this.#isFlushDue && this.#replies.hasOutput) {
      this.#isFlushDue = true
      atTurnEnd(this.#flushDue)
      this.#watch()
    }
  }

  #flush(): void {
    if (this.#socket.isGone || !this.#replies.hasOutput) return
    const takenBytes = this.#replies.flush()
    this.#watch()
    if (takenBytes > 0) this.#request?.replyTaken(takenBytes)
  }

  requestTaken(bytes: number): void {
    this.#window.take(bytes)
    if (this.#window.isHalfEmpty && this.#socket.isPaused) this.#readOn()
  }

  // The request, from the socket.

  get #isAnswered(): boolean {
    return this.#isRequestWhole && this.#replies.state === 'ended'
  }

  get #isIdle(): boolean {
    return this.#isAnswered && this.#reader.state === 'idle' && !this.#socket.hasHeld
  }

  /**
   * Replies go out in the order of the requests, none is asked for while the caller does not take those it has, and others have
   * their turn between many.
   */
  get #mustWait(): boolean {
    if (!this.#isRequestWhole) return false
    return this.#replies.state !== 'ended' || this.#socket.isBlocked || this.#share.left === 0
  }

  get #isTunnel(): boolean {
    return this.#webSocket?.isOpen === true
  }

  #onBytes(chunk: Buffer): void {
    if (this.#socket.isOpen) this.#read(chunk)
    else if (this.#isTunnel) this.#webSocket?.received(chunk)
    else this.#socket.discard(chunk.length)
  }

  #read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && this.#socket.isOpen) {
      if (this.#mustWait) {
        this.#socket.hold(chunk.subarray(at))
        this.#awaitTurn()
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

  /** Goes on with what was held or not asked for. */
  #readWhatWaits(): void {
    if (!this.#socket.isOpen) return
    if (this.#mustWait) {
      this.#awaitTurn()
      return
    }
    const held = this.#socket.takeHeld()
    if (held !== undefined) this.#read(held)
    if (this.#socket.hasHeld || this.#window.isFull || !this.#socket.isPaused) return
    this.#socket.resume()
    this.#watch()
  }

  /** Goes on in a later turn of the event loop, if that is what it has to wait for. */
  #awaitTurn(): void {
    if (this.#share.left === 0) inLaterTurn(this.#readOn)
  }

  #onHead(head: RequestHead): void {
    this.#share.spend(1)
    this.#isRequestWhole = false
    this.#awaitsContinue = head.expectsContinue
    this.#window.clear()
    this.#socket.expectNothingDiscarded()
    this.#replies.expect(head)
    const mayUpgrade = head.upgrade !== undefined && this.#options.takesWebSockets === true
    if (!mayUpgrade || !this.#serveUpgrade(head)) this.#serve(head)
  }

  #serve(head: RequestHead): void {
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
    if (this.#request === discardedRequest) this.#share.spendAll()
  }

  /** Returns false when nothing is asked for that we speak: then it is a request like any other. */
  #serveUpgrade(head: RequestHead): boolean {
    const upgrade = readUpgrade(head)
    switch (upgrade.kind) {
      case 'none':
        return false
      case 'refused':
        this.#refuse(upgrade.refusal)
        return true
      case 'websocket':
        this.#serveWebSocket(head, upgrade.key)
        return true
    }
  }

  #serveWebSocket(head: RequestHead, key: string): void {
    const { method, path, authority, fields, connectionOptions } = head
    const webSocket = new Http1WebSocketCaller(this, this.#duplex, key)
    this.#webSocket = webSocket
    const request: IncomingRequest = {
      method,
      path,
      authority,
      fields,
      length: 'none',
      connectionOptions,
      isWebSocket: true,
    }
    this.#request = webSocket.request = this.#server.serve(request, webSocket)
  }

  #onData(chunk: Buffer): void {
    this.#awaitsContinue = false
    if (this.#replies.state === 'ended') {
      if (!this.#socket.discard(chunk.length)) this.#end()
      return
    }
    this.#window.add(chunk.length)
    this.#request?.requestData(chunk)
    if (this.#window.isFull) this.#socket.pause()
  }

  #onEnd(trailers: Fields): void {
    this.#isRequestWhole = true
    // A WebSocket has said all of its request and nothing of what it is for.
    if (this.#webSocket === undefined) this.#request?.requestEnd(trailers)
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
    this.#webSocket = undefined
    if (this.#isDraining) this.#end()
    else this.#reader.next()
  }

  #onDrain(): void {
    if (this.#isTunnel) {
      this.#webSocket?.drained()
      return
    }
    const takenBytes = this.#replies.drained()
    if (takenBytes > 0) this.#request?.replyTaken(takenBytes)
    this.#watch()
    this.#readOn()
  }

  #onFin(): void {
    if (this.#isTunnel) this.#webSocket?.finished()
    else if (this.#isIdle) this.#end()
    else if (this.#socket.isOpen) this.destroy()
  }

  #end(): void {
    if (!this.#socket.isOpen) return
    this.#flush()
    this.#socket.end(() => this.#expireIn(lingerMs))
    this.#expireIn(this.#options.idleTimeoutMs)
  }

  #endForBug(error: unknown): void {
    const { onBug } = this.#options
    onBug(error)
    guarded(onBug, () => this.destroy())()
  }

  get #awaited(): Awaited {
    if (!this.#socket.isOpen) return 'end'
    if (this.#isAnswered) return this.#reader.state === 'head' ? 'head' : 'next'
    if (this.#replies.state !== 'awaited') return 'progress'
    if (this.#isRequestWhole) return 'workload'
    return this.#window.isFull ? 'progress' : 'body'
  }

  /** A head must be whole in time; the rest must only keep moving; how long a workload may think is not for us to say. */
  #watch(): void {
    const awaited = this.#awaited
    if (awaited === 'end' || (awaited === 'head' && this.#isHeadTimed)) return
    this.#isHeadTimed = awaited === 'head'
    if (awaited === 'workload') this.deadlineMs = Infinity
    else this.#expireIn(this.#patienceMs(awaited))
  }

  #patienceMs(awaited: Awaited): number {
    const { headerTimeoutMs, idleTimeoutMs, bodyTimeoutMs = idleTimeoutMs } = this.#options
    if (awaited === 'head') return headerTimeoutMs
    return awaited === 'body' ? Math.min(bodyTimeoutMs, idleTimeoutMs) : idleTimeoutMs
  }

  #expire(): void {
    switch (this.#awaited) {
      case 'next':
        this.#end()
        break
      case 'head':
        this.#refuse(slowHead)
        break
      case 'body':
        this.#refuse(slowBody)
        break
      case 'workload':
      case 'progress':
      case 'end':
        this.destroy()
        break
    }
  }

  #expireIn(ms: number): void {
    this.deadlineMs = this.#options.deadlines.nowMs() + ms
  }
}

const statusContinue = 100

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
