import type { Fields } from '../core/fields.ts'
import { ConnectionCore } from './connection-core.ts'
import type { Role } from './connection-core.ts'
import { BrokenRule, h2 } from './errors.ts'
import type { ClientEvents, ServerEvents } from './events.ts'
import { FrameReceiver, shutdownPing } from './frame-receiver.ts'
import { largest31, protocolWindowBytes, setting } from './frames.ts'
import { defaultLimits, maxDataBytesPerTake } from './limits.ts'
import type { Http2Limits } from './limits.ts'
import type { RequestTarget } from './request-head.ts'
import type { Http2Stream } from './stream.ts'

export interface Http2Options {
  readonly limits?: Partial<Http2Limits>
  /** Server role: say SETTINGS_ENABLE_CONNECT_PROTOCOL and take requests with `:protocol` (RFC 8441). Default false. */
  readonly allowsConnectProtocol?: boolean
}

const ownPing = Buffer.from('are you?', 'latin1')

/**
 * One HTTP/2 connection, RFC 9113, as a state machine without socket and clock: bytes in with `receive`, events out, bytes to
 * write with `takeOutput`. No bytes from the peer make it throw; what it holds and does for a peer is bounded (limits.ts).
 *
 * Calls for a stream that is closed do nothing, because its end may have crossed them. Calls in an order that HTTP does not
 * have (a reply after the reply) are bugs and throw `TypeError`.
 */
export class Http2Connection<Context = unknown> {
  readonly #core: ConnectionCore<Context>
  readonly #receiver: FrameReceiver<Context>

  private constructor(role: Role<Context>, options: Http2Options) {
    this.#core = new ConnectionCore(role, { ...defaultLimits, ...options.limits })
    const allowsConnect = role.kind === 'server' && options.allowsConnectProtocol === true
    this.#receiver = new FrameReceiver(this.#core, allowsConnect)
    greet(this.#core, allowsConnect)
  }

  /** The end that accepts requests. */
  static server<Context>(
    events: ServerEvents<Context>,
    options: Http2Options = {},
  ): Http2Connection<Context> {
    return new Http2Connection<Context>({ kind: 'server', events }, options)
  }

  /** The end that makes requests. Its preface waits in `takeOutput` from the start. */
  static client<Context>(
    events: ClientEvents<Context>,
    options: Http2Options = {},
  ): Http2Connection<Context> {
    return new Http2Connection<Context>({ kind: 'client', events }, options)
  }

  // The state that owners look at.

  /** True when `takeOutput` would give something. */
  get hasOutput(): boolean {
    return !this.#core.writer.isEmpty || this.#core.queue.hasReady
  }

  /** Streams that are not closed. */
  get streamCount(): number {
    return this.#core.streams.size
  }

  /** Those streams; a copy, so that they may go while one walks over it. */
  openStreams(): readonly Http2Stream<Context>[] {
    return this.#core.streams.all()
  }

  /** How many more requests the peer takes now (client role). */
  get availableStreams(): number {
    const { role, isDead, drain, isPeerGoing, streams, peer } = this.#core
    if (role.kind === 'server' || isDead || isPeerGoing || drain !== 'none') return 0
    return streams.nextId === undefined ? 0 : Math.max(0, peer.maxConcurrentStreams - streams.size)
  }

  /** Streams at once that the peer allows; before its SETTINGS a guess. */
  get allowedStreams(): number {
    return this.#core.peer.maxConcurrentStreams
  }

  /** The peer takes no DATA on any stream at the moment. */
  get isSendWindowUsedUp(): boolean {
    return this.#core.queue.isWindowUsedUp
  }

  /** The peer has said its SETTINGS. */
  get hasPeerSettings(): boolean {
    return this.#core.hasPeerSettings
  }

  /** RFC 8441: the peer takes requests with `:protocol` (client role); false before its SETTINGS have come. */
  get peerAllowsConnectProtocol(): boolean {
    return this.#core.peer.allowsConnectProtocol
  }

  /** The peer has said its SETTINGS and acknowledged ours; the owner bounds the time until then (RFC 9113 6.5.3). */
  get isSettled(): boolean {
    return this.#core.hasPeerSettings && this.#core.isAcknowledged
  }

  /** The peer has begun its preface or a header block and not ended it; the owner bounds the time for that. */
  get isReceivingHeaders(): boolean {
    return this.#receiver.isReceivingHeaders
  }

  /** The connection has failed or was lost: nothing more goes in or out but what `takeOutput` still has. */
  get isDead(): boolean {
    return this.#core.isDead
  }

  // Bytes in and out.

  /** Frames that were received wait for `goOn`, and `receive` must wait with them. */
  get isBehind(): boolean {
    return !this.#core.isDead && this.#receiver.isBehind
  }

  /**
   * `nowMs`: any clock that never goes back. `chunk` must not be written to afterwards: `onData` hands out views of it. `most`:
   * about so much is done of what came (limits.ts `workPerTurn`), the rest by `goOn`. Returns what was done. Throws `TypeError`
   * while the connection `isBehind`.
   */
  receive(chunk: Buffer, nowMs: number, most = Infinity): number {
    if (this.isBehind) throw new TypeError('received before what came before was done')
    return this.#work(chunk, nowMs, most)
  }

  /** Does what `receive` has left undone, as much as `most`. Returns what was done. */
  goOn(nowMs: number, most = Infinity): number {
    return this.#work(noBytes, nowMs, most)
  }

  /**
   * From within `onRequest` or `onRefusedRequest`: the owner has answered by itself. Such requests are paid for as control frames are,
   * because they move no work, and what was received behind them waits for `goOn`, however much there was left to do.
   */
  refused(stream: Http2Stream<Context>): void {
    this.#receiver.stop()
    this.#core.refused(stream)
  }

  #work(chunk: Buffer, nowMs: number, most: number): number {
    if (this.#core.isDead) return 0
    this.#core.nowMs = nowMs
    try {
      if (chunk.length > 0) this.#receiver.push(chunk)
      return this.#receiver.work(most)
    } catch (thrown) {
      if (!(thrown instanceof BrokenRule)) throw thrown
      this.#core.fail(thrown.rule)
      return 0
    }
  }

  /**
   * What to write now, in order, usually one buffer. Call it once a turn while `hasOutput`, and not while the socket wants to be
   * waited for: then DATA stays in its streams (`bufferedBytes`), and back-pressure reaches its source through `onDrained`.
   */
  takeOutput(): Buffer[] {
    if (!this.#core.isDead) this.#core.queue.write(maxDataBytesPerTake)
    return this.#core.writer.take()
  }

  /** The socket is gone. Every stream gets its `onReset`, and nothing follows. */
  connectionLost(): void {
    if (!this.#core.isDead) this.#core.die(h2.CANCEL)
  }

  // Requests and replies.

  /** Opens a stream (client role), or 'refused' when there are no `availableStreams`. */
  request(
    target: RequestTarget,
    fields: Fields,
    isEnd: boolean,
    context?: Context,
  ): Http2Stream<Context> | 'refused' {
    const id = this.#core.streams.nextId
    if (id === undefined || this.availableStreams === 0) return 'refused'
    const stream = this.#core.openStream(id)
    stream.context = context
    stream.hasLocalHead = true
    stream.isLocalEnded = isEnd
    stream.isHead = target.method === 'HEAD'
    this.#beginRequest(target)
    this.#core.writeBlock(stream, fields, isEnd)
    return stream
  }

  #beginRequest(target: RequestTarget): void {
    const { encoder } = this.#core
    encoder.begin()
    encoder.field(':method', target.method)
    if (target.protocol !== undefined) encoder.field(':protocol', target.protocol)
    encoder.field(':scheme', target.scheme)
    encoder.field(':authority', target.authority)
    encoder.field(':path', target.path)
  }

  /** 1xx other than 101, any number of times before `respond` (server role). */
  informational(stream: Http2Stream<Context>, status: number, fields: Fields): void {
    if (stream.isClosed) return
    if (stream.hasLocalHead) throw new TypeError('an informational reply after the reply')
    this.#reply(stream, status, fields, false)
  }

  /** The final head of the reply (server role). */
  respond(stream: Http2Stream<Context>, status: number, fields: Fields, isEnd: boolean): void {
    if (stream.isClosed) return
    if (stream.hasLocalHead) throw new TypeError('a second reply')
    this.#reply(stream, status, fields, isEnd)
    stream.hasLocalHead = true
    stream.isLocalEnded = isEnd
    this.#core.closeIfDone(stream)
  }

  #reply(stream: Http2Stream<Context>, status: number, fields: Fields, isEnd: boolean): void {
    this.#core.encoder.begin()
    this.#core.encoder.field(':status', String(status))
    this.#core.writeBlock(stream, fields, isEnd)
  }

  /** Queues a piece of the body. It is not copied: leave it alone afterwards. With `isEnd` nothing follows. */
  sendData(stream: Http2Stream<Context>, chunk: Buffer, isEnd = false): void {
    if (stream.isClosed) return
    expectBody(stream)
    if (chunk.length > 0) {
      stream.chunks.push(chunk)
      stream.bufferedBytes += chunk.length
    }
    stream.isEnding = isEnd
    this.#core.queue.offer(stream)
  }

  /** Ends the body without trailers. */
  end(stream: Http2Stream<Context>): void {
    this.sendTrailers(stream, noFields)
  }

  /** Ends the body with trailers; none when `fields` is empty. */
  sendTrailers(stream: Http2Stream<Context>, fields: Fields): void {
    if (stream.isClosed) return
    expectBody(stream)
    if (fields.length > 0) stream.trailers = fields
    stream.isEnding = true
    this.#core.queue.offer(stream)
  }

  /** The owner is done with `bytes` of what `onData` gave it: the peer may send as many again. */
  consumed(stream: Http2Stream<Context>, bytes: number): void {
    if (stream.isClosed) return
    const done = Math.min(bytes, stream.unconsumedBytes)
    stream.unconsumedBytes -= done
    this.#core.giveBack(done)
    this.#core.giveBackOn(stream, done)
  }

  /** Ends the stream now. What it still had to send is dropped, and no event of it follows. */
  reset(stream: Http2Stream<Context>, code: number): void {
    if (stream.isClosed) return
    this.#core.writer.rstStream(stream.id, code)
    this.#core.remove(stream, 'reset-by-us')
    this.#core.finishIfDone()
  }

  // The life of the connection.

  /** Asks for a sign of life: `onPong`. */
  ping(): void {
    if (!this.#core.isDead) this.#core.writer.ping(ownPing, 0, false)
  }

  /**
   * Ends gracefully, RFC 9113 6.8: a first GOAWAY that refuses nothing, and when the peer has seen it the final one. Open streams
   * go on; `onFinished` comes after the last. A peer that never answers: call `goaway` when time is up.
   */
  shutdown(): void {
    const core = this.#core
    if (core.isDead || core.drain !== 'none') return
    if (core.role.kind === 'client') {
      core.goaway(h2.NO_ERROR)
      return
    }
    core.drain = 'announced'
    core.writer.goaway(largest31, h2.NO_ERROR, '')
    core.writer.ping(shutdownPing, 0, false)
  }

  /** Takes no new stream from now on; open ones go on. `code` as in RFC 9113 7. */
  goaway(code: number): void {
    this.#core.goaway(code)
  }
}

const noBytes = Buffer.alloc(0)
const noFields: Fields = []

function expectBody<Context>(stream: Http2Stream<Context>): void {
  if (!stream.hasLocalHead) throw new TypeError('a body before its head')
  if (stream.isEnding || stream.isLocalEnded) throw new TypeError('a body after its end')
}

/** Our preface, RFC 9113 3.4, and the connection's window where it is larger than the protocol's. */
function greet<Context>(core: ConnectionCore<Context>, allowsConnect: boolean): void {
  const { limits, writer } = core
  if (core.role.kind === 'client') writer.preface()
  writer.settings([
    ...(core.role.kind === 'client'
      ? [setting.ENABLE_PUSH, 0]
      : [setting.MAX_CONCURRENT_STREAMS, limits.maxConcurrentStreams]),
    ...[setting.INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
    ...[setting.MAX_HEADER_LIST_SIZE, limits.maxHeaderListBytes],
    ...(allowsConnect ? [setting.ENABLE_CONNECT_PROTOCOL, 1] : []),
  ])
  const extra = limits.connectionWindowBytes - protocolWindowBytes
  if (extra > 0) writer.windowUpdate(0, extra)
}
