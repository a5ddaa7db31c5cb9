import type { Fields } from '../core/fields.ts'
import { Budget } from './budget.ts'
import type { Ending } from './closed-streams.ts'
import { BrokenRule, connectionRules, streamRules } from './errors.ts'
import type { ConnectionRule, StreamRule } from './errors.ts'
import type { ClientEvents, ResetOrigin, ServerEvents, StreamEvents } from './events.ts'
import { replyManners, requestManners } from './field-manners.ts'
import { FrameWriter } from './frame-writer.ts'
import { protocolWindowBytes } from './frames.ts'
import { HpackEncoder } from './hpack/encoder.ts'
import {
  bytesPerControlToken,
  controlBudget,
  controlTokensPerStream,
  resetBudget,
} from './limits.ts'
import type { Http2Limits } from './limits.ts'
import { PeerSettings } from './peer-settings.ts'
import { ReceiveWindow } from './receive-window.ts'
import { SendQueue } from './send-queue.ts'
import type { SendListener } from './send-queue.ts'
import { StreamTable } from './stream-table.ts'
import { Http2Stream } from './stream.ts'

export type Role<Context> =
  | { readonly kind: 'server'; readonly events: ServerEvents<Context> }
  | { readonly kind: 'client'; readonly events: ClientEvents<Context> }

/** `announced`: the first GOAWAY of a graceful end has left; `final`: the peer knows our last stream. */
export type Drain = 'none' | 'announced' | 'final'

/**
 * What both directions of a connection share: streams and how they end, windows, budgets, and how the connection itself ends.
 * `Http2Connection` puts the owner's calls on top of it, `FrameReceiver` the peer's frames.
 */
export class ConnectionCore<Context> implements SendListener<Context> {
  readonly role: Role<Context>
  readonly events: StreamEvents<Context>
  readonly limits: Http2Limits
  readonly writer = new FrameWriter()
  readonly encoder: HpackEncoder
  readonly queue: SendQueue<Context>
  readonly streams = new StreamTable<Context>()
  readonly window: ReceiveWindow
  readonly peer: PeerSettings
  /** The peer's first SETTINGS came. */
  hasPeerSettings = false
  /** The peer acknowledged ours. */
  isAcknowledged = false
  drain: Drain = 'none'
  isPeerGoing = false
  isDead = false
  nowMs = 0
  readonly #resets = new Budget(resetBudget)
  readonly #control = new Budget(controlBudget)
  #isFinished = false

  constructor(role: Role<Context>, limits: Http2Limits) {
    const isServer = role.kind === 'server'
    this.role = role
    this.events = role.events
    this.limits = limits
    this.encoder = new HpackEncoder(isServer ? replyManners : requestManners)
    this.queue = new SendQueue(this.writer, this)
    // No SETTINGS can make it smaller than the protocol's (RFC 9113 6.9.2).
    this.window = new ReceiveWindow(Math.max(limits.connectionWindowBytes, protocolWindowBytes))
    this.peer = new PeerSettings(!isServer)
  }

  openStream(id: number): Http2Stream<Context> {
    const stream = new Http2Stream<Context>(
      id,
      this.peer.initialWindowBytes,
      this.#firstReceiveWindow(),
    )
    this.streams.add(stream)
    return stream
  }

  /** Until the peer has seen our SETTINGS it may send by the protocol's default. */
  #firstReceiveWindow(): number {
    const { streamWindowBytes } = this.limits
    return this.isAcknowledged
      ? streamWindowBytes
      : Math.max(streamWindowBytes, protocolWindowBytes)
  }

  /** The peer has seen our SETTINGS: streams opened by the default have the smaller window from now on. */
  acknowledged(): void {
    if (this.isAcknowledged) return
    this.isAcknowledged = true
    const excess = protocolWindowBytes - this.limits.streamWindowBytes
    if (excess <= 0) return
    for (const stream of this.streams.all()) stream.receiveWindow -= excess
  }

  // What the send queue tells.

  sent(stream: Http2Stream<Context>, bytes: number): void {
    this.#control.refund(bytes / bytesPerControlToken)
    this.events.onDrained(stream, bytes)
  }

  writeTrailers(stream: Http2Stream<Context>): void {
    this.encoder.begin()
    this.writeBlock(stream, stream.trailers ?? [], true)
  }

  ended(stream: Http2Stream<Context>): void {
    this.closeIfDone(stream)
  }

  /** Writes the header block begun in the encoder, with `fields` at its end. */
  writeBlock(stream: Http2Stream<Context>, fields: Fields, isEnd: boolean): void {
    const secret = stream.neverIndexed
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      const value = fields[i + 1] ?? ''
      if (secret.length > 0 && secret.includes(name)) this.encoder.secretField(name, value)
      else this.encoder.field(name, value)
    }
    this.writer.headers(stream.id, this.encoder.take(), isEnd, this.peer.maxFrameBytes)
  }

  // Credit for what was received.

  /** Gives the connection's window back. */
  giveBack(bytes: number): void {
    const increment = this.window.giveBack(bytes)
    if (increment > 0) this.writer.windowUpdate(0, increment)
  }

  /** Gives the stream's window back, while the peer can still use it. */
  giveBackOn(stream: Http2Stream<Context>, bytes: number): void {
    if (stream.isRemoteEnded) return
    stream.uncreditedBytes += bytes
    if (stream.uncreditedBytes * 2 < this.limits.streamWindowBytes) return
    this.writer.windowUpdate(stream.id, stream.uncreditedBytes)
    stream.receiveWindow += stream.uncreditedBytes
    stream.uncreditedBytes = 0
  }

  // How streams end.

  /** END_STREAM came, with trailers or without. */
  remoteEnded(stream: Http2Stream<Context>, trailers?: Fields): void {
    if (stream.expectedBytes >= 0 && stream.receivedBytes !== stream.expectedBytes) {
      this.breakStream(stream, 'content_length_mismatch')
      return
    }
    stream.isRemoteEnded = true
    if (!stream.isDiscarding) this.#tellEnd(stream, trailers)
    this.closeIfDone(stream)
  }

  #tellEnd(stream: Http2Stream<Context>, trailers: Fields | undefined): void {
    if (trailers === undefined) this.events.onEnd(stream)
    else this.events.onTrailers(stream, trailers)
  }

  closeIfDone(stream: Http2Stream<Context>): void {
    if (!stream.isLocalEnded || !stream.isRemoteEnded || stream.isClosed) return
    this.remove(stream, 'ended')
    if (!stream.isRefused) {
      this.#resets.refund(1)
      this.#control.refund(controlTokensPerStream)
    }
    this.events.onClosed(stream)
    this.finishIfDone()
  }

  /** The owner answered by itself: the request moved no work. Throws `BrokenRule`. */
  refused(stream: Http2Stream<Context>): void {
    stream.isRefused = true
    // A reply without a body may have ended it already, as one that moved work.
    this.chargeControl(stream.isClosed ? 1 + controlTokensPerStream : 1)
  }

  /** The peer broke a rule on an open stream. */
  breakStream(stream: Http2Stream<Context>, rule: StreamRule): void {
    this.writer.rstStream(stream.id, streamRules[rule])
    this.remove(stream, 'reset-by-us')
    this.events.onViolation(stream.id, rule)
    this.endedEarly(stream, streamRules[rule], 'rule')
    this.chargeReset()
  }

  /** The peer broke a rule on a stream that is not open, or must not become so. */
  refuseStream(id: number, rule: StreamRule): void {
    this.writer.rstStream(id, streamRules[rule])
    this.streams.noteEnding(id, 'reset-by-us')
    this.events.onViolation(id, rule)
    this.chargeReset()
  }

  /** Tells the owner that a stream, removed already, is over before its time. */
  endedEarly(stream: Http2Stream<Context>, code: number, origin: ResetOrigin): void {
    this.events.onReset(stream, code, origin)
    this.finishIfDone()
  }

  /** Takes the stream off everything. What the owner still holds of it counts as consumed. */
  remove(stream: Http2Stream<Context>, ending: Ending): void {
    stream.isClosed = true
    stream.chunks.length = 0
    stream.bufferedBytes = 0
    this.streams.remove(stream, ending)
    this.queue.remove(stream)
    if (stream.unconsumedBytes > 0) this.giveBack(stream.unconsumedBytes)
    stream.unconsumedBytes = 0
  }

  // What the peer may cost; both throw `BrokenRule`.

  /** A stream ended badly by the peer's doing. */
  chargeReset(): void {
    if (!this.#resets.spend(1, this.nowMs)) throw new BrokenRule('reset_flood')
  }

  /** A frame that moves no work. */
  chargeControl(tokens: number): void {
    if (!this.#control.spend(tokens, this.nowMs)) throw new BrokenRule('control_flood')
  }

  /** DATA came: work that pays for control frames. */
  refundControl(bytes: number): void {
    this.#control.refund(bytes / bytesPerControlToken)
  }

  // How the connection ends.

  /** Refuses streams that are not open yet. */
  goaway(code: number): void {
    if (this.isDead || this.drain === 'final') return
    this.drain = 'final'
    this.writer.goaway(this.#lastPeerStream(), code, '')
    this.finishIfDone()
  }

  finishIfDone(): void {
    const isEnding = this.drain === 'final' || this.isPeerGoing
    if (!isEnding || this.#isFinished || this.isDead || this.streams.size > 0) return
    this.#isFinished = true
    this.events.onFinished()
  }

  fail(rule: ConnectionRule): void {
    const code = connectionRules[rule]
    this.writer.goaway(this.#lastPeerStream(), code, rule)
    this.die(code)
    this.events.onError({ rule, code })
  }

  /** Every open stream ends with `code`; nothing more is sent or heard. */
  die(code: number): void {
    this.isDead = true
    for (const stream of this.streams.all()) {
      this.remove(stream, 'reset-by-us')
      this.events.onReset(stream, code, 'connection')
    }
  }

  #lastPeerStream(): number {
    return this.role.kind === 'server' ? this.streams.lastId : 0
  }
}
