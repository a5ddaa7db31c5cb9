import type { ConnectionCore } from './connection-core.ts'
import { BrokenRule } from './errors.ts'
import type { StreamRule } from './errors.ts'
import type { ClientEvents, ServerEvents } from './events.ts'
import { FieldList } from './field-list.ts'
import type { FrameReader } from './frame-reader.ts'
import { frameFlag } from './frames.ts'
import { HeaderBlock } from './header-block.ts'
import { HpackDecoder } from './hpack/decoder.ts'
import { maxHeaderBlockBytes } from './limits.ts'
import { readReply, readTrailers } from './reply-head.ts'
import type { ReplyHead } from './reply-head.ts'
import { readRefusedHead, readRequest } from './request-head.ts'
import type { RequestHead, RequestRefusal } from './request-head.ts'
import type { Http2Stream } from './stream.ts'

/**
 * Turns header blocks into requests, replies and trailers, RFC 9113 6.2, 6.10 and 8. Every block is decoded, also of a stream
 * that is refused or gone, because the HPACK table belongs to the connection.
 */
export class HeaderReceiver<Context> {
  readonly #core: ConnectionCore<Context>
  readonly #allowsConnect: boolean
  readonly #block: HeaderBlock
  readonly #list: FieldList
  readonly #decoder = new HpackDecoder()

  constructor(core: ConnectionCore<Context>, allowsConnect: boolean) {
    this.#core = core
    this.#allowsConnect = allowsConnect
    this.#block = new HeaderBlock(maxHeaderBlockBytes(core.limits))
    this.#list = new FieldList(core.limits)
  }

  /** A header block has begun, and only CONTINUATION of the same stream may come. */
  get isInsideBlock(): boolean {
    return this.#block.isOpen
  }

  headers(frame: FrameReader): void {
    const { streamId } = frame
    if (streamId === 0) throw new BrokenRule('stream_id_zero')
    frame.unpad()
    const isSelfDependent = takePriority(frame)
    const isEnd = frame.hasFlag(frameFlag.END_STREAM)
    if (frame.hasFlag(frameFlag.END_HEADERS)) {
      this.#decode(frame.buffer, frame.start, frame.end)
      this.#complete(streamId, isEnd, isSelfDependent)
    } else {
      this.#block.begin(streamId, isEnd, isSelfDependent)
      this.#block.append(frame.buffer, frame.start, frame.end)
    }
  }

  continuation(frame: FrameReader): void {
    if (!this.#block.isOpen) throw new BrokenRule('continuation_unexpected')
    const { streamId, isEndStream, isSelfDependent } = this.#block
    if (frame.streamId !== streamId) throw new BrokenRule('continuation_expected')
    this.#block.append(frame.buffer, frame.start, frame.end)
    if (!frame.hasFlag(frameFlag.END_HEADERS)) return
    const block = this.#block.take()
    this.#decode(block, 0, block.length)
    this.#complete(streamId, isEndStream, isSelfDependent)
  }

  #decode(block: Buffer, start: number, end: number): void {
    this.#list.clear()
    this.#decoder.decode(block, start, end, this.#list)
  }

  #complete(streamId: number, isEnd: boolean, isSelfDependent: boolean): void {
    const { role, streams } = this.#core
    const stream = streams.get(streamId)
    if (stream !== undefined) this.#onOpenStream(stream, isEnd, isSelfDependent)
    else if (role.kind === 'server' && streams.isIdle(streamId)) {
      this.#open(streamId, isEnd, isSelfDependent, role.events)
    } else this.lateFrame(streamId, 'headers')
  }

  /** HEADERS or DATA on a stream that is idle or closed, RFC 9113 5.1. */
  lateFrame(streamId: number, what: 'headers' | 'data'): void {
    const core = this.#core
    if (core.streams.isIdle(streamId)) throw new BrokenRule('stream_idle')
    switch (core.streams.ending(streamId)) {
      case 'ended':
        throw new BrokenRule('stream_ended')
      case 'reset-by-peer':
        core.refuseStream(streamId, 'stream_closed')
        return
      case 'forgotten':
        // 5.1.1: a number below the last one cannot be opened any more; late DATA of an old stream can still be on its way.
        if (what === 'headers' && core.role.kind === 'server') {
          throw new BrokenRule('stream_id_not_increasing')
        }
        core.chargeControl(1)
        return
      case 'reset-by-us':
        core.chargeControl(1)
    }
  }

  // A new request.

  #open(
    streamId: number,
    isEnd: boolean,
    isSelfDependent: boolean,
    events: ServerEvents<Context>,
  ): void {
    if (streamId % 2 === 0) throw new BrokenRule('stream_id_parity')
    this.#core.streams.note(streamId)
    const rule = this.#reasonToRefuse(isSelfDependent)
    if (rule === undefined) this.#request(streamId, isEnd, events)
    else this.#core.refuseStream(streamId, rule)
  }

  #reasonToRefuse(isSelfDependent: boolean): StreamRule | undefined {
    const { drain, streams, limits } = this.#core
    if (isSelfDependent) return 'priority_self_dependency'
    if (drain === 'final') return 'going_away'
    return streams.size < limits.maxConcurrentStreams ? undefined : 'too_many_streams'
  }

  #request(streamId: number, isEnd: boolean, events: ServerEvents<Context>): void {
    const head = readRequest(this.#list, isEnd, this.#allowsConnect)
    switch (head.kind) {
      case 'malformed':
        this.#core.refuseStream(streamId, head.rule)
        return
      case 'refused':
        this.#refuse(streamId, isEnd, head.refusal, events)
        return
      case 'request':
        this.#accept(streamId, head, events)
    }
  }

  #refuse(
    streamId: number,
    isEnd: boolean,
    refusal: RequestRefusal,
    events: ServerEvents<Context>,
  ): void {
    const stream = this.#core.openStream(streamId)
    stream.hasRemoteHead = true
    stream.isDiscarding = true
    stream.isRemoteEnded = isEnd
    events.onRefusedRequest(stream, refusal, readRefusedHead(this.#list))
  }

  #accept(streamId: number, head: RequestHead, events: ServerEvents<Context>): void {
    const length = head.contentLength ?? -1
    if (head.isEnd && length > 0) {
      this.#core.refuseStream(streamId, 'content_length_mismatch')
      return
    }
    const stream = this.#core.openStream(streamId)
    stream.hasRemoteHead = true
    stream.isRemoteEnded = head.isEnd
    stream.contentLength = length
    stream.expectedBytes = length
    stream.receivedNeverIndexed = this.#list.neverIndexed
    events.onRequest(stream, head)
  }

  // A reply, and trailers of either side.

  #onOpenStream(stream: Http2Stream<Context>, isEnd: boolean, isSelfDependent: boolean): void {
    const { role } = this.#core
    if (isSelfDependent) this.#core.breakStream(stream, 'priority_self_dependency')
    else if (stream.isRemoteEnded) this.#core.breakStream(stream, 'stream_closed')
    else if (role.kind === 'server' || stream.hasRemoteHead) this.#trailers(stream, isEnd)
    else this.#reply(stream, isEnd, role.events)
  }

  #trailers(stream: Http2Stream<Context>, isEnd: boolean): void {
    const trailers = readTrailers(this.#list)
    if (trailers.kind === 'malformed') this.#core.breakStream(stream, trailers.rule)
    else if (!isEnd) this.#core.breakStream(stream, 'trailers_without_end')
    else this.#core.remoteEnded(stream, trailers.fields)
  }

  #reply(stream: Http2Stream<Context>, isEnd: boolean, events: ClientEvents<Context>): void {
    const head = readReply(this.#list, isEnd)
    if (head.kind === 'malformed') this.#core.breakStream(stream, head.rule)
    else if (head.status >= 200) this.#finalReply(stream, head, isEnd, events)
    else {
      this.#core.chargeControl(1)
      events.onInformational(stream, head.status, head.fields)
    }
  }

  #finalReply(
    stream: Http2Stream<Context>,
    head: ReplyHead,
    isEnd: boolean,
    events: ClientEvents<Context>,
  ): void {
    stream.hasRemoteHead = true
    stream.contentLength = head.contentLength ?? -1
    stream.expectedBytes = hasNoBody(stream, head.status) ? 0 : stream.contentLength
    stream.receivedNeverIndexed = this.#list.neverIndexed
    if (isEnd && stream.expectedBytes > 0) {
      this.#core.breakStream(stream, 'content_length_mismatch')
      return
    }
    stream.isRemoteEnded = isEnd
    events.onReply(stream, head.status, head.fields, isEnd)
    this.#core.closeIfDone(stream)
  }
}

/** RFC 9110 6.4.1: content-length then tells what a body would have been. */
function hasNoBody<Context>(stream: Http2Stream<Context>, status: number): boolean {
  return stream.isHead || status === 204 || status === 304
}

/** Takes the priority off a HEADERS payload; true when the stream depends on itself (RFC 7540 5.3.1). */
function takePriority(frame: FrameReader): boolean {
  if (!frame.hasFlag(frameFlag.PRIORITY)) return false
  if (frame.length < 5) throw new BrokenRule('frame_size_invalid')
  const isSelfDependent = frame.uint31(0) === frame.streamId
  frame.start += 5
  return isSelfDependent
}
