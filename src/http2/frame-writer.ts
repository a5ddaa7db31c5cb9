import { clientPreface, frameFlag, frameHeaderBytes, frameType } from './frames.ts'

/** Below 4 KiB, so that it comes out of Node's buffer pool, which costs next to nothing; only such a slab outlives a turn. */
const smallSlab = 2_048
const largestSlab = 65_536

/** With less room than this left a slab is not worth keeping alive. */
const usefulRest = 512

/** Payloads up to this are copied beside their frame headers, so that a turn leaves in one piece; longer ones are passed on. */
const largestCopy = 8_192

/**
 * Frames on their way out. Small frames collect in one buffer; `take` hands out what there is. Buffers that were handed out are
 * never written again, because the socket may still hold them.
 */
export class FrameWriter {
  #slab: Buffer = nothing
  #start = 0
  #at = 0
  #parts: Buffer[] = []
  #queuedFrames = 0
  /** About what one turn writes: a larger slab starts with room for it. */
  #usualBytes = 0

  /** Frames other than DATA since the last `take`. */
  get queuedFrames(): number {
    return this.#queuedFrames
  }

  get isEmpty(): boolean {
    return this.#at === this.#start && this.#parts.length === 0
  }

  /** Everything written since the last call, in order. */
  take(): Buffer[] {
    this.#usualBytes = (this.#usualBytes + (this.#at - this.#start)) >>> 1
    this.#seal()
    const parts = this.#parts
    this.#parts = []
    this.#queuedFrames = 0
    if (this.#slab.length > smallSlab || this.#slab.length - this.#at < usefulRest) {
      this.#slab = nothing
      this.#start = 0
      this.#at = 0
    }
    return parts
  }

  preface(): void {
    this.#reserve(clientPreface.length)
    this.#at += this.#slab.write(clientPreface, this.#at, 'latin1')
  }

  /** Identifiers and values in turn. */
  settings(entries: readonly number[]): void {
    this.#frame(3 * entries.length, frameType.SETTINGS, 0, 0)
    for (let i = 0; i < entries.length; i += 2) {
      this.#uint16(entries[i] ?? 0)
      this.#uint32(entries[i + 1] ?? 0)
    }
  }

  settingsAck(): void {
    this.#frame(0, frameType.SETTINGS, frameFlag.ACK, 0)
  }

  /** `payload[start, start + 8)` is the opaque part. */
  ping(payload: Buffer, start: number, isAck: boolean): void {
    this.#frame(8, frameType.PING, isAck ? frameFlag.ACK : 0, 0)
    payload.copy(this.#slab, this.#at, start, start + 8)
    this.#at += 8
  }

  goaway(lastStreamId: number, code: number, debug: string): void {
    this.#frame(8 + debug.length, frameType.GOAWAY, 0, 0)
    this.#uint32(lastStreamId)
    this.#uint32(code)
    this.#at += this.#slab.write(debug, this.#at, 'latin1')
  }

  rstStream(streamId: number, code: number): void {
    this.#frame(4, frameType.RST_STREAM, 0, streamId)
    this.#uint32(code)
  }

  windowUpdate(streamId: number, increment: number): void {
    this.#frame(4, frameType.WINDOW_UPDATE, 0, streamId)
    this.#uint32(increment)
  }

  /** HEADERS, and CONTINUATION for what is above the peer's `maxPayload`. */
  headers(streamId: number, block: Buffer, isEnd: boolean, maxPayload: number): void {
    const isWhole = block.length <= maxPayload
    const flags = (isEnd ? frameFlag.END_STREAM : 0) | (isWhole ? frameFlag.END_HEADERS : 0)
    const first = isWhole ? block.length : maxPayload
    this.#frame(first, frameType.HEADERS, flags, streamId)
    this.#copy(block, 0, first)
    for (let at = first; at < block.length; at += maxPayload) {
      const end = Math.min(at + maxPayload, block.length)
      const last = end === block.length ? frameFlag.END_HEADERS : 0
      this.#frame(end - at, frameType.CONTINUATION, last, streamId)
      this.#copy(block, at, end)
    }
  }

  /** The head of a DATA frame; `data` has to follow with as many bytes. */
  dataHead(streamId: number, length: number, isEnd: boolean): void {
    this.#reserve(frameHeaderBytes + (length <= largestCopy ? length : 0))
    this.#head(length, frameType.DATA, isEnd ? frameFlag.END_STREAM : 0, streamId)
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (end - start <= largestCopy) {
      this.#reserve(end - start)
      this.#copy(chunk, start, end)
      return
    }
    this.#seal()
    this.#parts.push(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end))
  }

  /** The head of any other frame, with room for its payload. */
  #frame(length: number, type: number, flags: number, streamId: number): void {
    this.#reserve(frameHeaderBytes + length)
    this.#head(length, type, flags, streamId)
    this.#queuedFrames++
  }

  #head(length: number, type: number, flags: number, streamId: number): void {
    const slab = this.#slab
    let at = this.#at
    slab[at++] = length >>> 16
    slab[at++] = length >>> 8
    slab[at++] = length
    slab[at++] = type
    slab[at++] = flags
    slab[at++] = streamId >>> 24
    slab[at++] = streamId >>> 16
    slab[at++] = streamId >>> 8
    slab[at++] = streamId
    this.#at = at
  }

  #uint16(value: number): void {
    this.#slab[this.#at++] = value >>> 8
    this.#slab[this.#at++] = value
  }

  #uint32(value: number): void {
    this.#uint16(value >>> 16)
    this.#uint16(value & 0xffff)
  }

  #copy(bytes: Buffer, start: number, end: number): void {
    bytes.copy(this.#slab, this.#at, start, end)
    this.#at += end - start
  }

  /** Makes room for `bytes` in one piece, moving what this turn has written so far to a larger slab. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return
    if (this.#at - this.#start + bytes > largestSlab) this.#seal()
    const written = this.#at - this.#start
    const slab = newSlab(2 * Math.max(written + bytes, this.#usualBytes), written + bytes)
    this.#slab.copy(slab, 0, this.#start, this.#at)
    this.#slab = slab
    this.#start = 0
    this.#at = written
  }

  #seal(): void {
    if (this.#at > this.#start) this.#parts.push(this.#slab.subarray(this.#start, this.#at))
    this.#start = this.#at
  }
}

const nothing = Buffer.alloc(0)

function newSlab(wanted: number, needed: number): Buffer {
  if (wanted <= smallSlab) return Buffer.allocUnsafe(smallSlab)
  return Buffer.allocUnsafeSlow(Math.max(needed, Math.min(wanted, largestSlab)))
}
