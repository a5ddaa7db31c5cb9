import { frameFlag, frameType } from '../../../src/http2/frames.ts'
import { HpackDecoder } from '../../../src/http2/hpack/decoder.ts'
import { decodeBlock } from '../../http2/support/hpack.ts'
import {
  describeFrame,
  END,
  type ParsedFrame,
  parseFrames,
  ping,
  preface,
  settings,
  settingsAck,
} from '../../http2/support/raw-frames.ts'
import { eventually } from './eventually.ts'
import { RawSocket } from './raw-socket.ts'
import type { RawWorkload } from './raw-workload.ts'

const prefaceBytes = 24

/** One end of a connection of HTTP/2 that is written frame by frame, and what it received, one line a frame. */
export class RawPeer {
  readonly raw: RawSocket
  readonly frames: string[] = []
  /** The last header block of each stream: `name, value, name, value`. */
  readonly heads = new Map<number, readonly string[]>()
  readonly bodies = new Map<number, Buffer[]>()
  /** Of DATA, all streams together. */
  bodyBytes = 0
  #answersPing = true
  readonly #decoder = new HpackDecoder()
  #unread: Buffer = Buffer.alloc(0)
  #skip: number

  private constructor(raw: RawSocket, skip: number) {
    this.raw = raw
    this.#skip = skip
    raw.socket.on('data', (chunk: Buffer) => this.#read(chunk))
  }

  /** A caller that has said its preface and acknowledged the proxy's SETTINGS. */
  static async caller(port: number, ...entries: number[]): Promise<RawPeer> {
    const peer = await RawPeer.silentCaller(port)
    peer.send(preface(...entries), settingsAck())
    await peer.has('SETTINGS')
    return peer
  }

  /** A caller that has said nothing. */
  static async silentCaller(port: number): Promise<RawPeer> {
    return new RawPeer(await RawSocket.connect(port), 0)
  }

  /** The workload's end of its connection with this number, once it is there; it has said its SETTINGS. */
  static async workload(workload: RawWorkload, index: number, ...entries: number[]) {
    const peer = await RawPeer.silentWorkload(workload, index)
    peer.send(settings(...entries), settingsAck())
    return peer
  }

  /** The same, having said nothing. */
  static async silentWorkload(workload: RawWorkload, index: number): Promise<RawPeer> {
    const raw = await workload.connection(index)
    const peer = new RawPeer(raw, prefaceBytes)
    peer.#read(raw.bytes)
    return peer
  }

  /** PINGs stay unanswered from now on. */
  ignorePing(): void {
    this.#answersPing = false
  }

  send(...frames: Buffer[]): void {
    this.raw.write(Buffer.concat(frames))
  }

  /** Waits for a frame, as `RST_STREAM 1 code=8`; a head is `HEADERS 1 200 end` or `HEADERS 1 GET /path end`. */
  async has(frame: string): Promise<void> {
    await eventually(
      () => this.frames.includes(frame),
      () => `${frame} among ${JSON.stringify(this.frames)}${this.raw.isClosed ? ' closed' : ''}`,
    )
  }

  /** How often this frame came. */
  count(frame: string): number {
    return this.frames.filter((line) => line === frame).length
  }

  body(streamId: number): Buffer {
    return Buffer.concat(this.bodies.get(streamId) ?? [])
  }

  field(streamId: number, name: string): string | undefined {
    const head = this.heads.get(streamId) ?? []
    const at = head.findIndex((text, i) => i % 2 === 0 && text === name)
    return at === -1 ? undefined : head[at + 1]
  }

  #read(chunk: Buffer): void {
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    this.#unread = Buffer.concat([this.#unread, chunk.subarray(skipped)])
    const whole = wholeFrames(this.#unread)
    for (const frame of parseFrames(this.#unread.subarray(0, whole))) this.#take(frame)
    this.#unread = this.#unread.subarray(whole)
  }

  #take(frame: ParsedFrame): void {
    if (frame.type === frameType.HEADERS) {
      const head = decodeBlock(this.#decoder, frame.payload)
      this.heads.set(frame.streamId, head)
      this.frames.push(`HEADERS ${frame.streamId} ${summary(head)}${ending(frame)}`)
      return
    }
    if (frame.type === frameType.DATA) {
      const body = this.bodies.get(frame.streamId) ?? []
      this.bodies.set(frame.streamId, body)
      body.push(frame.payload)
      this.bodyBytes += frame.payload.length
    }
    this.frames.push(describeFrame(frame))
    const isAck = (frame.flags & frameFlag.ACK) !== 0
    if (frame.type === frameType.PING && !isAck && this.#answersPing) {
      this.send(ping(frame.payload.toString('latin1'), frameFlag.ACK))
    }
  }
}

function wholeFrames(bytes: Buffer): number {
  let at = 0
  while (at + 9 <= bytes.length) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    at = end
  }
  return at
}

function summary(head: readonly string[]): string {
  const value = (name: string) => head[head.indexOf(name) + 1] ?? ''
  if (head.includes(':status')) return value(':status')
  return head.includes(':method') ? `${value(':method')} ${value(':path')}` : 'trailers'
}

function ending(frame: ParsedFrame): string {
  return (frame.flags & END) === 0 ? '' : ' end'
}
