import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Fields } from '../../../src/core/fields.ts'
import { Http2Connection } from '../../../src/http2/connection.ts'
import type { Http2Options } from '../../../src/http2/connection.ts'
import type { ClientEvents, ResetOrigin } from '../../../src/http2/events.ts'
import type { Http2Stream } from '../../../src/http2/stream.ts'
import { SocketOwner } from './socket-owner.ts'

export interface Reply {
  readonly status: number
  readonly fields: Fields
  readonly body: Buffer
  readonly trailers: Fields
  readonly informational: readonly number[]
}

export interface Call {
  readonly method?: string
  readonly path?: string
  readonly fields?: Fields
  readonly body?: readonly Buffer[]
  readonly trailers?: Fields
  /** Gives the stream up when so many bytes of the reply came. */
  readonly cancelAfter?: number
}

/** What a call waits for. */
class Pending {
  status = 0
  fields: Fields = []
  trailers: Fields = []
  received = 0
  readonly informational: number[] = []
  readonly parts: Buffer[] = []
  readonly cancelAfter: number
  readonly settle: (result: Reply | Error) => void

  constructor(cancelAfter: number, settle: (result: Reply | Error) => void) {
    this.cancelAfter = cancelAfter
    this.settle = settle
  }

  done(): void {
    const { status, fields, trailers, informational } = this
    this.settle({ status, fields, trailers, informational, body: Buffer.concat(this.parts) })
  }
}

type Stream = Http2Stream<Pending>

/** A client on the codec and a socket, with promises for tests. */
export class CodecClient implements ClientEvents<Pending> {
  readonly log: string[] = []
  readonly connection: Http2Connection<Pending>
  readonly #socket: Socket
  readonly #owner: SocketOwner<Pending>
  #onSettings: () => void = () => undefined

  private constructor(socket: Socket, options: Http2Options) {
    this.#socket = socket
    this.#owner = new SocketOwner<Pending>(socket)
    this.connection = Http2Connection.client<Pending>(this, options)
    this.#owner.attach(this.connection)
  }

  /** Resolves when the server's SETTINGS came. */
  static async connect(port: number, options: Http2Options = {}): Promise<CodecClient> {
    const client = new CodecClient(connect(port, '127.0.0.1'), options)
    await new Promise<void>((resolve) => (client.#onSettings = resolve))
    return client
  }

  call(call: Call = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const pending = new Pending(call.cancelAfter ?? Infinity, (result) =>
        result instanceof Error ? reject(result) : resolve(result),
      )
      this.#send(call, pending)
    })
  }

  #send(call: Call, pending: Pending): void {
    const { method = 'GET', path = '/', fields = [], body = [], trailers = [] } = call
    const target = { method, path, scheme: 'http', authority: '127.0.0.1' }
    const isEnd = body.length === 0 && trailers.length === 0
    const stream = this.connection.request(target, fields, isEnd, pending)
    if (stream === 'refused') {
      pending.settle(new Error('refused'))
      return
    }
    for (const chunk of body) this.connection.sendData(stream, chunk)
    if (!isEnd) this.connection.sendTrailers(stream, trailers)
    this.#owner.schedule()
  }

  close(): void {
    this.#socket.destroy()
  }

  onInformational(stream: Stream, status: number): void {
    stream.context?.informational.push(status)
  }

  onReply(stream: Stream, status: number, fields: Fields, isEnd: boolean): void {
    const pending = stream.context
    if (pending === undefined) return
    pending.status = status
    pending.fields = fields
    if (isEnd) pending.done()
  }

  onData(stream: Stream, chunk: Buffer): void {
    const pending = stream.context
    if (pending === undefined) return
    pending.parts.push(Buffer.from(chunk))
    pending.received += chunk.length
    if (pending.received >= pending.cancelAfter) {
      this.connection.reset(stream, 8)
      pending.settle(new Error('cancelled'))
    } else this.connection.consumed(stream, chunk.length)
  }

  onEnd(stream: Stream): void {
    stream.context?.done()
  }

  onTrailers(stream: Stream, fields: Fields): void {
    if (stream.context !== undefined) stream.context.trailers = fields
    stream.context?.done()
  }

  onReset(stream: Stream, code: number, origin: ResetOrigin): void {
    stream.context?.settle(new Error(`reset code=${code} ${origin}`))
  }

  onSettings(): void {
    this.#onSettings()
  }

  onGoaway(lastStreamId: number, code: number): void {
    this.log.push(`goaway last=${lastStreamId} code=${code}`)
  }

  onError(fault: { rule: string }): void {
    this.log.push(`error ${fault.rule}`)
    this.#owner.end()
  }

  onFinished(): void {
    this.log.push('finished')
    this.#owner.end()
  }

  onDrained(): void {
    // The whole body was queued at once.
  }

  onClosed(): void {
    // The promise was settled with the end of the reply.
  }

  onPong(): void {
    this.log.push('pong')
  }

  onViolation(streamId: number, rule: string): void {
    this.log.push(`violation ${streamId} ${rule}`)
  }
}
