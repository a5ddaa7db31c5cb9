import type { FrameWriter } from './frame-writer.ts'
import { largest31, protocolWindowBytes } from './frames.ts'
import { maxFrameBytes } from './limits.ts'
import { StreamList } from './stream-list.ts'
import type { Http2Stream } from './stream.ts'

/** What the queue tells its connection; any of these may call the queue again. */
export interface SendListener<Context> {
  /** DATA of a stream left. */
  sent(stream: Http2Stream<Context>, bytes: number): void
  /** Everything before them left: the trailers are to be written now, with END_STREAM. */
  writeTrailers(stream: Http2Stream<Context>): void
  /** END_STREAM left. */
  ended(stream: Http2Stream<Context>): void
}

/**
 * The sending side of flow control, RFC 9113 6.9: one frame of each stream in turn, within the window of the stream and of the
 * connection. A stream that has no window is in neither list and comes back with its WINDOW_UPDATE.
 */
export class SendQueue<Context> {
  readonly #writer: FrameWriter
  readonly #listener: SendListener<Context>
  readonly #ready = new StreamList<Http2Stream<Context>>()
  /** Have window of their own, and wait for the connection's. */
  readonly #blocked = new StreamList<Http2Stream<Context>>()
  #window = protocolWindowBytes

  constructor(writer: FrameWriter, listener: SendListener<Context>) {
    this.#writer = writer
    this.#listener = listener
  }

  /** True when `write` would write something. */
  get hasReady(): boolean {
    return !this.#ready.isEmpty
  }

  /** The connection has no window left, whatever the streams have. */
  get isWindowUsedUp(): boolean {
    return this.#window <= 0
  }

  /** The stream has something new to send, or new window to send it in. */
  offer(stream: Http2Stream<Context>): void {
    if (stream.list !== undefined || stream.isClosed || stream.isLocalEnded) return
    if (stream.bufferedBytes === 0 ? stream.isEnding : stream.sendWindow > 0) {
      this.#ready.push(stream)
    }
  }

  remove(stream: Http2Stream<Context>): void {
    stream.list?.remove(stream)
  }

  /** A WINDOW_UPDATE of the connection. False: above 2^31-1. */
  credit(bytes: number): boolean {
    this.#window += bytes
    if (this.#window > largest31) return false
    while (this.#window > 0) {
      const stream = this.#blocked.shift()
      if (stream === undefined) break
      this.#ready.push(stream)
    }
    return true
  }

  /** A WINDOW_UPDATE of a stream, or a change of its initial window. False: above 2^31-1. */
  creditStream(stream: Http2Stream<Context>, bytes: number): boolean {
    stream.sendWindow += bytes
    if (stream.sendWindow > largest31) return false
    this.offer(stream)
    return true
  }

  /** Writes about `maxBytes` of DATA, and what ends streams. */
  write(maxBytes: number): void {
    for (let left = maxBytes; left > 0;) {
      const stream = this.#ready.shift()
      if (stream === undefined) return
      left -= stream.bufferedBytes === 0 ? this.#writeEnd(stream) : this.#writeData(stream)
    }
  }

  #writeEnd(stream: Http2Stream<Context>): number {
    if (!stream.isEnding) return 0
    if (stream.trailers === undefined) this.#writer.dataHead(stream.id, 0, true)
    else this.#listener.writeTrailers(stream)
    this.#end(stream)
    return 0
  }

  /** Returns how many bytes it wrote: one frame's. */
  #writeData(stream: Http2Stream<Context>): number {
    const window = Math.min(stream.sendWindow, this.#window)
    if (window <= 0) {
      if (stream.sendWindow > 0) this.#blocked.push(stream)
      return 0
    }
    // Longer frames would be allowed by some peers, and would make the other streams wait for longer.
    const length = Math.min(stream.bufferedBytes, window, maxFrameBytes)
    const isEnd =
      stream.isEnding && stream.trailers === undefined && length === stream.bufferedBytes
    this.#writer.dataHead(stream.id, length, isEnd)
    this.#writeChunks(stream, length)
    stream.bufferedBytes -= length
    stream.sendWindow -= length
    this.#window -= length
    if (isEnd) stream.isLocalEnded = true
    else this.offer(stream)
    this.#listener.sent(stream, length)
    if (isEnd && !stream.isClosed) this.#listener.ended(stream)
    return length
  }

  #writeChunks(stream: Http2Stream<Context>, length: number): void {
    let left = length
    for (let chunk = stream.chunks[0]; chunk !== undefined && left > 0; chunk = stream.chunks[0]) {
      const start = stream.chunkOffset
      const end = Math.min(chunk.length, start + left)
      this.#writer.data(chunk, start, end)
      left -= end - start
      if (end === chunk.length) stream.chunks.shift()
      stream.chunkOffset = end === chunk.length ? 0 : end
    }
  }

  #end(stream: Http2Stream<Context>): void {
    stream.isLocalEnded = true
    this.#listener.ended(stream)
  }
}
