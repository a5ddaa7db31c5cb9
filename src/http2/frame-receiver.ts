import type { ConnectionCore } from './connection-core.ts'
import { BrokenRule, h2 } from './errors.ts'
import type { StreamRule } from './errors.ts'
import { FrameReader } from './frame-reader.ts'
import { clientPreface, frameFlag, frameType } from './frames.ts'
import { HeaderReceiver } from './header-receiver.ts'
import { maxQueuedFrames, settingsPerControlToken, workOfHeaders, workOfReset } from './limits.ts'
import { PrefaceReader } from './preface-reader.ts'
import type { Http2Stream } from './stream.ts'

/** The payload of the PING that follows the first GOAWAY of a graceful end. */
export const shutdownPing = Buffer.from('shutdown', 'latin1')

/** Turns the peer's bytes into events and answers, RFC 9113 3.4, 4, 5 and 6. All of it may throw `BrokenRule`. */
export class FrameReceiver<Context> {
  readonly #core: ConnectionCore<Context>
  readonly #headers: HeaderReceiver<Context>
  readonly #preface: PrefaceReader
  readonly #reader = new FrameReader()
  /** Of the work that is being done. */
  #most = 0

  constructor(core: ConnectionCore<Context>, allowsConnect: boolean) {
    this.#core = core
    this.#headers = new HeaderReceiver(core, allowsConnect)
    this.#preface = new PrefaceReader(core.role.kind === 'server' ? clientPreface : '')
  }

  /** The peer has begun its preface or a header block and not ended it. */
  get isReceivingHeaders(): boolean {
    if (!this.#core.hasPeerSettings || this.#headers.isInsideBlock) return true
    return this.#reader.isInsideFrame && this.#reader.type === frameType.HEADERS
  }

  /** Bytes were pushed and not worked off. */
  get isBehind(): boolean {
    return this.#reader.hasBytes
  }

  /** The chunk before must have been worked off. */
  push(chunk: Buffer): void {
    this.#reader.push(this.#preface.read(chunk))
  }

  /** The work that is being done ends with the frame that it is at. */
  stop(): void {
    this.#most = 0
  }

  /** Handles frames until all are done or about `most` was done (`workOf`). Returns what was. */
  work(most: number): number {
    const core = this.#core
    let done = 0
    this.#most = most
    while (done < this.#most && this.#reader.next()) {
      done += workOf(this.#reader)
      this.#frame()
      // The owner may have lost the connection from within an event.
      if (core.isDead) return done
      if (core.writer.queuedFrames > maxQueuedFrames) throw new BrokenRule('output_flood')
    }
    return done
  }

  #frame(): void {
    const { type } = this.#reader
    this.#checkOrder(type)
    switch (type) {
      case frameType.DATA:
        this.#data()
        return
      case frameType.HEADERS:
        this.#headers.headers(this.#reader)
        return
      case frameType.PRIORITY:
        this.#priority()
        return
      case frameType.RST_STREAM:
        this.#rstStream()
        return
      case frameType.SETTINGS:
        this.#settings()
        return
      case frameType.PUSH_PROMISE:
        throw new BrokenRule('push_refused')
      case frameType.PING:
        this.#ping()
        return
      case frameType.GOAWAY:
        this.#goaway()
        return
      case frameType.WINDOW_UPDATE:
        this.#windowUpdate()
        return
      case frameType.CONTINUATION:
        this.#headers.continuation(this.#reader)
        return
      default:
        // 4.1: what we do not know we ignore.
        this.#core.chargeControl(1)
    }
  }

  /** 3.4: SETTINGS come first; 6.10: nothing comes between the parts of a header block. */
  #checkOrder(type: number): void {
    if (!this.#core.hasPeerSettings) {
      if (type !== frameType.SETTINGS || this.#reader.hasFlag(frameFlag.ACK)) {
        throw new BrokenRule('settings_expected')
      }
    }
    if (this.#headers.isInsideBlock && type !== frameType.CONTINUATION) {
      throw new BrokenRule('continuation_expected')
    }
  }

  // DATA, 6.1.

  #data(): void {
    const core = this.#core
    const reader = this.#reader
    if (reader.streamId === 0) throw new BrokenRule('stream_id_zero')
    const counted = reader.length
    if (!core.window.take(counted)) throw new BrokenRule('window_exceeded')
    reader.unpad()
    const stream = core.streams.get(reader.streamId)
    if (stream === undefined) {
      core.giveBack(counted)
      this.#headers.lateFrame(reader.streamId, 'data')
    } else if (this.#mayTake(stream, counted)) {
      this.#takePadding(stream, counted - reader.length)
      this.#takeData(stream)
    } else {
      core.giveBack(counted)
    }
  }

  #mayTake(stream: Http2Stream<Context>, counted: number): boolean {
    const rule = this.#brokenByData(stream, counted)
    if (rule !== undefined) this.#core.breakStream(stream, rule)
    return rule === undefined
  }

  #brokenByData(stream: Http2Stream<Context>, counted: number): StreamRule | undefined {
    if (stream.isRemoteEnded) return 'stream_closed'
    if (!stream.hasRemoteHead) return 'data_before_head'
    stream.receiveWindow -= counted
    if (stream.receiveWindow < 0) return 'window_exceeded'
    stream.receivedBytes += this.#reader.length
    const isTooMuch = stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes
    return isTooMuch ? 'content_length_mismatch' : undefined
  }

  /** 6.9.1: padding counts against the windows, and nobody but us can give it back. */
  #takePadding(stream: Http2Stream<Context>, bytes: number): void {
    if (bytes === 0) return
    this.#core.giveBack(bytes)
    this.#core.giveBackOn(stream, bytes)
  }

  #takeData(stream: Http2Stream<Context>): void {
    const core = this.#core
    const { buffer, start, end, length } = this.#reader
    const isEnd = this.#reader.hasFlag(frameFlag.END_STREAM)
    if (length === 0) {
      if (!isEnd) core.chargeControl(1)
    } else if (stream.isDiscarding) {
      core.giveBack(length)
    } else {
      core.refundControl(length)
      stream.unconsumedBytes += length
      core.events.onData(stream, buffer.subarray(start, end))
    }
    if (isEnd && !stream.isClosed) core.remoteEnded(stream)
  }

  // PRIORITY, 6.3: deprecated, so read for its errors only.

  #priority(): void {
    this.#core.chargeControl(1)
    const { streamId, length } = this.#reader
    if (streamId === 0) throw new BrokenRule('stream_id_zero')
    if (length !== 5) this.#badPriority('priority_size_invalid')
    else if (this.#reader.uint31(0) === streamId) this.#badPriority('priority_self_dependency')
  }

  /** A stream error where there is a stream: RST_STREAM on an idle one is an error of its own. */
  #badPriority(rule: 'priority_size_invalid' | 'priority_self_dependency'): void {
    const stream = this.#core.streams.get(this.#reader.streamId)
    if (stream === undefined) throw new BrokenRule(rule)
    this.#core.breakStream(stream, rule)
  }

  // RST_STREAM, 6.4.

  #rstStream(): void {
    const core = this.#core
    const { streamId, length } = this.#reader
    if (streamId === 0) throw new BrokenRule('stream_id_zero')
    if (length !== 4) throw new BrokenRule('frame_size_invalid')
    const stream = core.streams.get(streamId)
    if (stream === undefined) this.#onClosedStream()
    else this.#resetByPeer(stream, this.#reader.uint32(0))
  }

  #resetByPeer(stream: Http2Stream<Context>, code: number): void {
    const core = this.#core
    core.remove(stream, 'reset-by-peer')
    core.endedEarly(stream, code, 'peer')
    // Work was begun and is lost; after the whole reply, or where the workload resets, there is nothing to abuse.
    if (core.role.kind === 'server' && !stream.isLocalEnded) core.chargeReset()
  }

  /** RST_STREAM and WINDOW_UPDATE may have crossed our end of the stream (5.1); on an idle one they are errors. */
  #onClosedStream(): void {
    if (this.#core.streams.isIdle(this.#reader.streamId)) throw new BrokenRule('stream_idle')
    this.#core.chargeControl(1)
  }

  // SETTINGS, 6.5.

  #settings(): void {
    const core = this.#core
    const { streamId, length } = this.#reader
    if (streamId !== 0) throw new BrokenRule('stream_id_not_zero')
    const isAck = this.#reader.hasFlag(frameFlag.ACK)
    if (isAck ? length !== 0 : length % 6 !== 0) throw new BrokenRule('frame_size_invalid')
    core.chargeControl(1 + length / 6 / settingsPerControlToken)
    if (isAck) core.acknowledged()
    else this.#peerSettings()
  }

  #peerSettings(): void {
    const core = this.#core
    const before = core.peer.initialWindowBytes
    core.peer.read(this.#reader)
    core.hasPeerSettings = true
    core.encoder.setPeerTableBytes(core.peer.lowestTableBytes)
    core.encoder.setPeerTableBytes(core.peer.headerTableBytes)
    this.#changeWindows(core.peer.initialWindowBytes - before)
    core.writer.settingsAck()
    core.events.onSettings()
  }

  /** 6.9.2: applies to open streams too, whose windows may become negative. */
  #changeWindows(change: number): void {
    if (change === 0) return
    for (const stream of this.#core.streams.all()) {
      if (!this.#core.queue.creditStream(stream, change)) {
        throw new BrokenRule('initial_window_too_large')
      }
    }
  }

  // PING, 6.7.

  #ping(): void {
    const core = this.#core
    const { streamId, length, buffer, start } = this.#reader
    if (streamId !== 0) throw new BrokenRule('stream_id_not_zero')
    if (length !== 8) throw new BrokenRule('frame_size_invalid')
    core.chargeControl(1)
    if (!this.#reader.hasFlag(frameFlag.ACK)) core.writer.ping(buffer, start, true)
    else if (buffer.compare(shutdownPing, 0, 8, start, start + 8) !== 0) core.events.onPong()
    else if (core.drain === 'announced') core.goaway(h2.NO_ERROR)
  }

  // GOAWAY, 6.8.

  #goaway(): void {
    const core = this.#core
    const { streamId, length } = this.#reader
    if (streamId !== 0) throw new BrokenRule('stream_id_not_zero')
    if (length < 8) throw new BrokenRule('frame_size_invalid')
    core.chargeControl(1)
    const lastStreamId = this.#reader.uint31(0)
    const code = this.#reader.uint32(4)
    core.isPeerGoing ||= core.role.kind === 'client'
    core.events.onGoaway(lastStreamId, code)
    if (core.role.kind === 'client') this.#endUnprocessed(lastStreamId)
  }

  /** Streams that the server never looked at may be sent again elsewhere. */
  #endUnprocessed(lastStreamId: number): void {
    const core = this.#core
    for (const stream of core.streams.all()) {
      if (stream.id <= lastStreamId || stream.isClosed) continue
      core.remove(stream, 'reset-by-us')
      core.endedEarly(stream, h2.REFUSED_STREAM, 'unprocessed')
    }
    core.finishIfDone()
  }

  // WINDOW_UPDATE, 6.9.

  #windowUpdate(): void {
    const core = this.#core
    const { streamId, length } = this.#reader
    if (length !== 4) throw new BrokenRule('frame_size_invalid')
    core.chargeControl(1)
    const increment = this.#reader.uint31(0)
    if (streamId === 0) this.#creditConnection(increment)
    else this.#creditStream(increment)
  }

  #creditConnection(increment: number): void {
    if (increment === 0) throw new BrokenRule('window_increment_zero')
    if (!this.#core.queue.credit(increment)) throw new BrokenRule('window_overflow')
  }

  #creditStream(increment: number): void {
    const core = this.#core
    const stream = core.streams.get(this.#reader.streamId)
    if (stream === undefined) this.#onClosedStream()
    else if (increment === 0) core.breakStream(stream, 'window_increment_zero')
    else if (!core.queue.creditStream(stream, increment))
      core.breakStream(stream, 'window_overflow')
  }
}

/** What a frame is likely to cost its receiver, a PING being 1. */
function workOf({ type }: FrameReader): number {
  switch (type) {
    case frameType.HEADERS:
      return workOfHeaders
    case frameType.RST_STREAM:
      return workOfReset
    default:
      return 1
  }
}
