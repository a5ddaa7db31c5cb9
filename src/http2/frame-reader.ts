import { BrokenRule } from './errors.ts'
import { frameFlag, frameHeaderBytes, frameType, largest31 } from './frames.ts'
import { maxFrameBytes } from './limits.ts'

/**
 * Cuts a byte stream into frames: `push` a chunk, then `next` until it is false; the frame stands in the public fields. A whole
 * frame is not copied: `buffer[start, end)` is its payload. What is held of an incomplete one is bounded by `maxFrameBytes`.
 *
 * A frame of DATA without padding that is incomplete comes out in pieces as they arrive, END_STREAM on the last: to the peer's
 * meaning that is the same as smaller frames, and a body is never copied nor kept back.
 */
export class FrameReader {
  type = 0
  flags = 0
  streamId = 0
  buffer: Buffer = nothing
  start = 0
  end = 0

  #chunk: Buffer = nothing
  #at = 0
  /** Bytes of a frame header that came in pieces. */
  readonly #header = Buffer.alloc(frameHeaderBytes)
  #headerBytes = 0
  /** Payload bytes of the current frame that are still to come; -1 between frames. */
  #missing = -1
  #frameFlags = 0
  /** The payload so far of a frame that came in pieces. */
  #partial: Buffer | undefined
  #partialBytes = 0

  get length(): number {
    return this.end - this.start
  }

  hasFlag(flag: number): boolean {
    return (this.flags & flag) !== 0
  }

  /** True while a frame has begun and not ended. */
  get isInsideFrame(): boolean {
    return this.#headerBytes > 0 || this.#missing >= 0
  }

  /** Of the last chunk something is not yet read. */
  get hasBytes(): boolean {
    return this.#at < this.#chunk.length
  }

  /** The chunk before must have been read to its end. */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** Throws `BrokenRule` frame_too_large. False: everything pushed is used up. */
  next(): boolean {
    if (this.#missing < 0 && !this.#readHeader()) return this.#release()
    return this.#readPayload() || this.#release()
  }

  /** Takes the padding off the payload, RFC 9113 6.1. Throws `BrokenRule` padding_too_long. */
  unpad(): void {
    if ((this.flags & frameFlag.PADDED) === 0) return
    const padding = this.start < this.end ? (this.buffer[this.start] ?? 0) : 0
    this.start++
    this.end -= padding
    if (this.end < this.start) throw new BrokenRule('padding_too_long')
  }

  /** The number of four bytes at `offset` of the payload. */
  uint32(offset: number): number {
    return this.buffer.readUInt32BE(this.start + offset)
  }

  /** The same without its highest bit, which is reserved in stream numbers and increments. */
  uint31(offset: number): number {
    return this.uint32(offset) & largest31
  }

  #release(): false {
    this.#chunk = nothing
    this.#at = 0
    this.buffer = nothing
    return false
  }

  #readHeader(): boolean {
    const available = this.#chunk.length - this.#at
    if (this.#headerBytes === 0 && available >= frameHeaderBytes) {
      this.#parseHeader(this.#chunk, this.#at)
      this.#at += frameHeaderBytes
      return true
    }
    const wanted = frameHeaderBytes - this.#headerBytes
    const taken = Math.min(wanted, available)
    this.#chunk.copy(this.#header, this.#headerBytes, this.#at, this.#at + taken)
    this.#headerBytes += taken
    this.#at += taken
    if (taken < wanted) return false
    this.#headerBytes = 0
    this.#parseHeader(this.#header, 0)
    return true
  }

  #parseHeader(bytes: Buffer, at: number): void {
    const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    if (length > maxFrameBytes) throw new BrokenRule('frame_too_large')
    this.type = bytes[at + 3] ?? 0
    this.#frameFlags = bytes[at + 4] ?? 0
    this.streamId =
      (((bytes[at + 5] ?? 0) & 0x7f) << 24) |
      ((bytes[at + 6] ?? 0) << 16) |
      ((bytes[at + 7] ?? 0) << 8) |
      (bytes[at + 8] ?? 0)
    this.#missing = length
  }

  #readPayload(): boolean {
    const available = this.#chunk.length - this.#at
    if (this.#partial !== undefined) return this.#fill(this.#partial, available)
    if (available >= this.#missing) return this.#emit(this.#missing, this.#frameFlags)
    if (this.type === frameType.DATA && (this.#frameFlags & frameFlag.PADDED) === 0) {
      return available > 0 && this.#emit(available, this.#frameFlags & ~frameFlag.END_STREAM)
    }
    if (available === 0) return false
    return this.#fill(Buffer.allocUnsafeSlow(Math.min(this.#missing, 2 * available)), available)
  }

  /** Hands out `bytes` of the chunk; the frame is over when none are missing. */
  #emit(bytes: number, flags: number): true {
    this.flags = flags
    this.buffer = this.#chunk
    this.start = this.#at
    this.#at += bytes
    this.end = this.#at
    this.#missing = this.#missing === bytes ? -1 : this.#missing - bytes
    return true
  }

  #fill(partial: Buffer, available: number): boolean {
    const taken = Math.min(this.#missing, available)
    const target = roomFor(partial, this.#partialBytes, taken, this.#missing)
    this.#chunk.copy(target, this.#partialBytes, this.#at, this.#at + taken)
    this.#at += taken
    this.#partialBytes += taken
    this.#missing -= taken
    this.#partial = target
    if (this.#missing > 0) return false
    this.flags = this.#frameFlags
    this.buffer = target
    this.start = 0
    this.end = this.#partialBytes
    this.#partial = undefined
    this.#partialBytes = 0
    this.#missing = -1
    return true
  }
}

const nothing = Buffer.alloc(0)

/** Grows by doubling, so that a frame that is announced and never sent costs little, and one byte at a time is not quadratic. */
function roomFor(partial: Buffer, used: number, more: number, missing: number): Buffer {
  if (used + more <= partial.length) return partial
  const larger = Buffer.allocUnsafeSlow(Math.min(used + missing, 2 * (used + more)))
  partial.copy(larger, 0, 0, used)
  return larger
}
