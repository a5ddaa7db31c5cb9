import type { Socket } from 'node:net'
import type { Http2Connection } from '../../../src/http2/connection.ts'

/**
 * Joins a connection to a socket in the simplest right way: one write a turn, none while the socket asks to wait.
 */
export class SocketOwner<Context> {
  readonly #socket: Socket
  #connection: Http2Connection<Context> | undefined
  #isScheduled = false
  #isEnding = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('drain', () => this.schedule())
    socket.on('close', () => this.#connection?.connectionLost())
    socket.on('error', () => undefined)
  }

  attach(connection: Http2Connection<Context>): void {
    this.#connection = connection
    this.schedule()
  }

  /** Something may have to be written. */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#write()
    })
  }

  /** Writes what there is, then ends the socket. */
  end(): void {
    this.#isEnding = true
    this.schedule()
  }

  #receive(chunk: Buffer): void {
    this.#connection?.receive(chunk, performance.now())
    this.schedule()
  }

  #write(): void {
    const connection = this.#connection
    if (connection === undefined || this.#socket.destroyed) return
    while (connection.hasOutput && !this.#socket.writableNeedDrain) {
      this.#socket.cork()
      for (const part of connection.takeOutput()) this.#socket.write(part)
      this.#socket.uncork()
    }
    if (this.#isEnding && !connection.hasOutput) this.#socket.end()
  }
}
