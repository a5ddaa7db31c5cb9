import type { Socket } from 'node:net'
import { stackOf } from '../../core/errors.ts'
import type { Fields } from '../../core/fields.ts'
import { noBody, noFields, type ReplyHead } from '../../http1/head.ts'
import { ReplyReader } from '../../http1/reply-reader.ts'
import { formatRequestHead } from '../../http1/writer.ts'
import type { Deadline } from '../deadlines.ts'
import type { OutgoingRequest, ReplySink, RequestSink, UpstreamFailureReason } from '../ends.ts'
import { guarded } from '../guarded.ts'
import { lengthOf, type WorkloadConnectionOptions } from '../http1-workload-connection.ts'
import { ReadWindow } from '../read-window.ts'
import { cut } from '../cut.ts'
import { CallerLeg } from './caller-leg.ts'
import { isAccepted, newKey, statusOpened, webSocketVersion } from './handshake.ts'
import { type Join, joinByHttp2Proxy } from './joined-by-http2-proxy.ts'

/**
 * A WebSocket to a workload that speaks HTTP/1.1, on a connection of its own (RFC 6455). The request is written and the reply read by
 * our codec; once the workload has accepted, http2-proxy moves the bytes.
 */
export class Http1WebSocketWorkload implements RequestSink, Deadline {
  deadlineMs: number
  readonly deadlineReached = guarded(
    (error) => this.#failForBug(error),
    () => this.#expire(),
  )
  readonly #socket: Socket
  readonly #options: WorkloadConnectionOptions
  readonly #onGone: () => void
  readonly #head: string
  readonly #key = newKey()
  readonly #reader: ReplyReader
  readonly #leg: CallerLeg
  readonly #join: Join
  /** Undefined once nothing more is to be told. */
  #reply: ReplySink | undefined
  #phase: 'connecting' | 'asked' | 'refused' | 'open' = 'connecting'
  /** Of a 101, until the read is over in which it came. */
  #accepted: ReplyHead | undefined
  /** Once a refusal is whole. */
  #trailers: Fields | undefined
  /** Of the workload, on its way to the caller. */
  readonly #window = new ReadWindow()
  /** Asks for more of it. */
  #readOn: (() => void) | undefined

  /** `onGone` is called once. Throws `TypeError` for a request that cannot be written. */
  constructor(
    request: OutgoingRequest,
    reply: ReplySink,
    connect: () => Socket,
    options: WorkloadConnectionOptions,
    onGone: () => void,
  ) {
    this.#head = formatRequestHead('GET', request.path, fieldsOf(request, this.#key), noBody)
    this.#reply = reply
    this.#options = options
    this.#onGone = onGone
    this.#reader = new ReplyReader({
      onInformational: (head) =>
        this.#reply?.replyInformational(head.status, head.fields, head.connectionOptions),
      onHead: (head) => this.#onHead(head),
      onData: (chunk) => this.#onData(chunk),
      onEnd: (trailers) => (this.#trailers = trailers),
      onRefusal: (refusal) => this.#fail('upstream_malformed', refusal.detail),
    })
    this.deadlineMs = options.deadlines.nowMs() + options.connectTimeoutMs
    options.deadlines.add(this)
    this.#leg = new CallerLeg({
      onBytes: this.#guarded((chunk: Buffer, done: () => void) => this.#pass(chunk, done)),
      onEnd: this.#guarded((done: () => void) => this.#onWorkloadEnd(done)),
    })
    this.#socket = connect()
    this.#socket.allowHalfOpen = true
    this.#socket.setNoDelay(true)
    this.#listen()
    this.#join = joinByHttp2Proxy({
      leg: this.#leg,
      socket: this.#socket,
      path: request.path,
      onConnected: this.#guarded(() => this.#ask()),
      onError: this.#guarded((error: unknown) => this.#onJoinError(error)),
    })
  }

  // From the exchange.

  requestData(chunk: Buffer): void {
    this.#leg.push(chunk)
  }

  requestEnd(): void {
    this.#leg.push(null)
  }

  requestAborted(): void {
    this.#reply = undefined
    this.#cut()
  }

  replyTaken(bytes: number): void {
    this.#window.take(bytes)
    if (!this.#window.isHalfEmpty) return
    if (this.#phase === 'open') this.#goOn()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  requestFlush(): void {
    // The leg passes on what it gets.
  }

  // The handshake.

  #listen(): void {
    const socket = this.#socket
    socket.on('data', this.#onBytes)
    socket.on(
      'end',
      this.#guarded(() => this.#onFin()),
    )
    socket.on(
      'error',
      this.#guarded((error: Error) => this.#lose(error.message)),
    )
    socket.on(
      'close',
      this.#guarded(() => this.#onClose()),
    )
  }

  #ask(): void {
    if (this.#phase !== 'connecting' || this.#reply === undefined) return
    this.#phase = 'asked'
    this.#reader.expect('GET')
    this.#socket.write(this.#head, 'latin1')
    this.deadlineMs = this.#options.deadlines.nowMs() + this.#options.responseTimeoutMs
  }

  readonly #onBytes = guarded(
    (error) => this.#failForBug(error),
    (chunk: Buffer) => this.#readReply(chunk),
  )

  #readReply(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && this.#isReading) at = this.#reader.read(chunk, at)
    if (this.#accepted !== undefined) this.#open(this.#accepted, chunk.subarray(at))
    else if (this.#trailers !== undefined) this.#complete(this.#trailers)
    else this.#reply?.replyFlush()
  }

  get #isReading(): boolean {
    return this.#reply !== undefined && this.#accepted === undefined && this.#trailers === undefined
  }

  #onHead(head: ReplyHead): void {
    this.deadlineMs = Infinity
    if (head.status === statusOpened) {
      if (head.minorVersion === 1 && isAccepted(head, this.#key)) this.#accepted = head
      else this.#fail('upstream_malformed', 'a 101 that does not accept the WebSocket')
      return
    }
    this.#phase = 'refused'
    this.#reply?.replyHead({
      status: head.status,
      reason: head.reason,
      fields: head.fields,
      length: lengthOf(head),
      connectionOptions: head.connectionOptions,
    })
  }

  /** `rest` came behind the head: the workload may send as soon as it has accepted. */
  #open(head: ReplyHead, rest: Buffer): void {
    const reply = this.#reply
    this.#accepted = undefined
    this.#phase = 'open'
    const socket = this.#socket
    // Paused, so that nothing is read while nobody listens.
    socket.off('data', this.#onBytes)
    socket.pause()
    reply?.replyHead({
      status: statusOpened,
      reason: head.reason,
      fields: head.fields,
      length: 'unknown',
      connectionOptions: head.connectionOptions,
    })
    if (this.#reply === undefined) return
    this.#join.accepted(rest)
    this.#leg.on(
      'data',
      this.#guarded((chunk: Buffer) => this.#reply?.requestTaken(chunk.length)),
    )
  }

  // The body of a refusal.

  #onData(chunk: Buffer): void {
    this.#window.add(chunk.length)
    this.#reply?.replyData(chunk)
    if (this.#window.isFull) this.#socket.pause()
  }

  /** Whatever comes behind it is nobody's. */
  #complete(trailers: Fields): void {
    const reply = this.#reply
    this.#reply = undefined
    this.#socket.destroy()
    this.#leg.destroy()
    reply?.replyEnd(trailers)
  }

  // The open WebSocket.

  #pass(chunk: Buffer, done: () => void): void {
    this.#window.add(chunk.length)
    this.#readOn = done
    this.#reply?.replyData(chunk)
    this.#reply?.replyFlush()
    if (!this.#window.isFull) this.#goOn()
  }

  #goOn(): void {
    const readOn = this.#readOn
    this.#readOn = undefined
    readOn?.()
  }

  /** The leg has finished when both halves have ended, whichever was the first. */
  #onWorkloadEnd(done: () => void): void {
    if (this.#socket.destroyed) done()
    else this.#socket.once('close', done)
    this.#reply?.replyEnd(noFields)
  }

  // The end.

  #onFin(): void {
    const reply = this.#reply
    if (reply === undefined || this.#phase === 'open') return
    if (this.#phase === 'refused' && this.#reader.finish())
      this.#complete(this.#trailers ?? noFields)
    else this.#lose('the workload closed the connection before its reply was whole')
  }

  /** Both halves have ended, or the connection broke. */
  #onClose(): void {
    const isInOrder =
      this.#phase === 'open' && this.#socket.readableEnded && this.#socket.writableFinished
    if (!isInOrder) this.#lose('the connection was lost')
    this.#reply = undefined
    this.#options.deadlines.delete(this)
    this.#onGone()
  }

  #onJoinError(error: unknown): void {
    if (this.#reply === undefined) return
    this.#options.onBug(new Error(`http2-proxy failed: ${stackOf(error)}`))
    this.#fail('upstream_malformed', 'an internal error')
  }

  #expire(): void {
    if (this.#phase === 'connecting')
      this.#fail('upstream_unavailable', 'could not connect in time')
    else this.#fail('upstream_timeout', 'the workload did not answer in time')
  }

  #lose(detail: string): void {
    this.#fail(this.#phase === 'connecting' ? 'upstream_unavailable' : 'upstream_reset', detail)
  }

  #fail(reason: UpstreamFailureReason, detail: string): void {
    const reply = this.#reply
    this.#reply = undefined
    this.#cut()
    reply?.replyFailed({ reason, detail, retry: 'never' })
  }

  #failForBug(error: unknown): void {
    const { onBug } = this.#options
    onBug(error)
    guarded(onBug, () => this.#fail('upstream_malformed', 'an internal error'))()
  }

  #cut(): void {
    this.#options.deadlines.delete(this)
    cut(this.#socket)
    this.#leg.destroy()
  }

  #guarded<Arguments extends unknown[]>(
    listener: (...values: Arguments) => void,
  ): (...values: Arguments) => void {
    return guarded((error) => this.#failForBug(error), listener)
  }
}

function fieldsOf(request: OutgoingRequest, key: string): Fields {
  return [
    'host',
    request.authority,
    'connection',
    'Upgrade',
    'upgrade',
    'websocket',
    'sec-websocket-version',
    webSocketVersion,
    'sec-websocket-key',
    key,
    ...request.fields,
  ]
}
