import type { Fields } from '../../../src/core/fields.ts'
import { Http2Connection } from '../../../src/http2/connection.ts'
import type { Http2Options } from '../../../src/http2/connection.ts'
import type { ConnectionFault, StreamRule } from '../../../src/http2/errors.ts'
import type { ClientEvents, ResetOrigin, ServerEvents } from '../../../src/http2/events.ts'
import type { RequestHead, RequestRefusal } from '../../../src/http2/request-head.ts'
import type { Http2Stream } from '../../../src/http2/stream.ts'
import { describeFrame, parseFrames, preface, settings, settingsAck } from './raw-frames.ts'

export type TestStream = Http2Stream<string>

/** Writes every event of a connection down, as one line each, and keeps what tests ask for. */
class Recorder implements ServerEvents<string>, ClientEvents<string> {
  readonly log: string[] = []
  readonly streams = new Map<number, TestStream>()
  readonly heads = new Map<number, RequestHead>()
  readonly bodies = new Map<number, Buffer[]>()
  readonly trailers = new Map<number, Fields>()
  readonly replies = new Map<number, { status: number; fields: Fields }>()
  readonly violations: StreamRule[] = []
  readonly faults: ConnectionFault[] = []
  drained = 0
  /** Called at each request, after it was written down. */
  answer: (stream: TestStream, head: RequestHead) => void = () => undefined
  /** Called with each piece of a body. */
  take: (stream: TestStream, chunk: Buffer) => void = () => undefined
  /** Called with each `onDrained`. */
  refill: (stream: TestStream, bytes: number) => void = () => undefined

  stream(id: number): TestStream {
    const stream = this.streams.get(id)
    if (stream === undefined) throw new Error(`no stream ${id} was seen`)
    return stream
  }

  body(id: number): string {
    return Buffer.concat(this.bodies.get(id) ?? []).toString('latin1')
  }

  onRequest(stream: TestStream, head: RequestHead): void {
    this.streams.set(stream.id, stream)
    this.heads.set(stream.id, head)
    this.log.push(`request ${stream.id} ${head.method} ${head.path}${head.isEnd ? ' end' : ''}`)
    this.answer(stream, head)
  }

  onRefusedRequest(stream: TestStream, refusal: RequestRefusal): void {
    this.streams.set(stream.id, stream)
    this.log.push(`refused ${stream.id} ${refusal}`)
  }

  onInformational(stream: TestStream, status: number): void {
    this.log.push(`informational ${stream.id} ${status}`)
  }

  onReply(stream: TestStream, status: number, fields: Fields, isEnd: boolean): void {
    this.replies.set(stream.id, { status, fields })
    this.log.push(`reply ${stream.id} ${status}${isEnd ? ' end' : ''}`)
  }

  onData(stream: TestStream, chunk: Buffer): void {
    const body = this.bodies.get(stream.id) ?? []
    this.bodies.set(stream.id, body)
    body.push(chunk)
    this.log.push(`data ${stream.id} ${chunk.length}`)
    this.take(stream, chunk)
  }

  onEnd(stream: TestStream): void {
    this.log.push(`end ${stream.id}`)
  }

  onTrailers(stream: TestStream, fields: Fields): void {
    this.trailers.set(stream.id, fields)
    this.log.push(`trailers ${stream.id}`)
  }

  onDrained(stream: TestStream, bytes: number): void {
    this.drained += bytes
    this.refill(stream, bytes)
  }

  onReset(stream: TestStream, code: number, origin: ResetOrigin): void {
    this.log.push(`reset ${stream.id} code=${code} ${origin}`)
  }

  onClosed(stream: TestStream): void {
    this.log.push(`closed ${stream.id}`)
  }

  onGoaway(lastStreamId: number, code: number): void {
    this.log.push(`goaway last=${lastStreamId} code=${code}`)
  }

  onSettings(): void {
    this.log.push('settings')
  }

  onPong(): void {
    this.log.push('pong')
  }

  onViolation(streamId: number, rule: StreamRule): void {
    this.violations.push(rule)
    this.log.push(`violation ${streamId} ${rule}`)
  }

  onFinished(): void {
    this.log.push('finished')
  }

  onError(fault: ConnectionFault): void {
    this.faults.push(fault)
    this.log.push(`error ${fault.rule} code=${fault.code}`)
  }
}

/** A connection under test, with the hand at its peer's end. */
export class Bench {
  readonly events = new Recorder()
  readonly connection: Http2Connection<string>
  nowMs = 1_000

  private constructor(role: 'server' | 'client', options: Http2Options) {
    this.connection =
      role === 'server'
        ? Http2Connection.server<string>(this.events, options)
        : Http2Connection.client<string>(this.events, options)
  }

  /** A server that has had a client's preface and its SETTINGS acknowledged; log and output begin empty. */
  static server(options: Http2Options = {}, ...peerSettings: number[]): Bench {
    const bench = new Bench('server', options)
    bench.receive(preface(...peerSettings), settingsAck())
    return bench.#fresh()
  }

  /** A client that has had a server's SETTINGS and its own acknowledged; log and output begin empty. */
  static client(options: Http2Options = {}, ...peerSettings: number[]): Bench {
    const bench = new Bench('client', options)
    bench.receive(settings(...peerSettings), settingsAck())
    return bench.#fresh()
  }

  /** A server that has heard nothing. */
  static untouchedServer(options: Http2Options = {}): Bench {
    return new Bench('server', options)
  }

  static untouchedClient(options: Http2Options = {}): Bench {
    return new Bench('client', options)
  }

  #fresh(): this {
    this.output()
    this.events.log.length = 0
    return this
  }

  receive(...chunks: Buffer[]): void {
    this.connection.receive(Buffer.concat(chunks), this.nowMs)
  }

  /** Everything that waits to be written, as bytes. */
  output(): Buffer {
    const parts: Buffer[] = []
    while (this.connection.hasOutput) parts.push(...this.connection.takeOutput())
    return Buffer.concat(parts)
  }

  /** Everything that waits to be written, one line a frame. */
  frames(): string[] {
    return parseFrames(this.output()).map(describeFrame)
  }

  get log(): string[] {
    return this.events.log
  }

  stream(id: number): TestStream {
    return this.events.stream(id)
  }
}
