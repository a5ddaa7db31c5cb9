import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Fields } from '../../../src/core/fields.ts'
import { Http2Connection } from '../../../src/http2/connection.ts'
import type { Http2Options } from '../../../src/http2/connection.ts'
import type { ConnectionFault } from '../../../src/http2/errors.ts'
import type { ServerEvents } from '../../../src/http2/events.ts'
import { requestRefusals } from '../../../src/http2/request-head.ts'
import type { RequestHead, RequestRefusal } from '../../../src/http2/request-head.ts'
import type { Http2Stream } from '../../../src/http2/stream.ts'
import { SocketOwner } from './socket-owner.ts'

type Stream = Http2Stream<RequestHead>

const hello = Buffer.from('hello world\n')

/**
 * A server on the codec and a socket: `/echo` sends body and trailers back as they come, all else gets `answer`.
 */
export class EchoServer {
  readonly faults: ConnectionFault[] = []
  readonly heads: RequestHead[] = []
  readonly #connections = new Set<() => void>()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(options: Http2Options) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      const owner = new SocketOwner<RequestHead>(socket)
      const events = new EchoEvents(owner, this)
      const connection = Http2Connection.server(events, options)
      events.connection = connection
      owner.attach(connection)
      this.#connections.add(() => {
        connection.shutdown()
        owner.schedule()
      })
    })
  }

  static async start(options: Http2Options = {}, port = 0): Promise<EchoServer> {
    const echo = new EchoServer(options)
    await new Promise<void>((resolve) => echo.#server.listen(port, '127.0.0.1', resolve))
    return echo
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Ends all connections gracefully. */
  shutdown(): void {
    for (const end of this.#connections) end()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

class EchoEvents implements ServerEvents<RequestHead> {
  connection: Http2Connection<RequestHead> | undefined
  readonly #owner: SocketOwner<RequestHead>
  readonly #server: EchoServer

  constructor(owner: SocketOwner<RequestHead>, server: EchoServer) {
    this.#owner = owner
    this.#server = server
  }

  onRequest(stream: Stream, head: RequestHead): void {
    stream.context = head
    this.#server.heads.push(head)
    if (head.path === '/echo') {
      this.connection?.respond(stream, 200, ['x-method', head.method], false)
      if (head.isEnd) this.connection?.end(stream)
    } else if (head.isEnd) this.#hello(stream)
  }

  #hello(stream: Stream): void {
    this.connection?.respond(stream, 200, ['content-type', 'text/plain'], false)
    this.connection?.sendData(stream, hello, true)
  }

  onRefusedRequest(stream: Stream, refusal: RequestRefusal): void {
    this.connection?.respond(stream, requestRefusals[refusal], ['x-refusal', refusal], true)
  }

  onData(stream: Stream, chunk: Buffer): void {
    if (stream.context?.path === '/echo') this.connection?.sendData(stream, chunk)
    else this.connection?.consumed(stream, chunk.length)
  }

  onDrained(stream: Stream, bytes: number): void {
    this.connection?.consumed(stream, bytes)
  }

  onEnd(stream: Stream): void {
    if (stream.context?.path === '/echo') this.connection?.end(stream)
    else this.#hello(stream)
  }

  onTrailers(stream: Stream, fields: Fields): void {
    if (stream.context?.path === '/echo') this.connection?.sendTrailers(stream, fields)
    else this.#hello(stream)
  }

  onError(fault: ConnectionFault): void {
    this.#server.faults.push(fault)
    this.#owner.end()
  }

  onFinished(): void {
    this.#owner.end()
  }

  onReset(): void {
    // Nothing to do for an echo.
  }

  onClosed(): void {
    // Nothing to do for an echo.
  }

  onGoaway(): void {
    // Nothing to do for an echo.
  }

  onSettings(): void {
    // Nothing to do for an echo.
  }

  onPong(): void {
    // Nothing to do for an echo.
  }

  onViolation(): void {
    // Nothing to do for an echo.
  }
}
