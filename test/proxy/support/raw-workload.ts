import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { eventually } from './eventually.ts'
import { RawSocket } from './raw-socket.ts'

/** A workload of raw sockets, for what no HTTP server would do. Its connections stay half open until it ends them. */
export class RawWorkload {
  /** In the order in which they came. */
  readonly connections: RawSocket[] = []
  /** Called for each connection. */
  onConnection: (connection: RawSocket, index: number) => void = () => undefined
  readonly #server: Server

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const connection = new RawSocket(socket)
      this.onConnection(connection, this.connections.push(connection) - 1)
    })
  }

  static async start(): Promise<RawWorkload> {
    const workload = new RawWorkload()
    workload.#server.listen(0, '127.0.0.1')
    await once(workload.#server, 'listening')
    return workload
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Answers every request that ends with an empty line; for requests without a body. */
  answerAlways(reply: string | ((request: string, index: number) => string)): void {
    this.onConnection = (connection, index) => {
      connection.socket.on('data', () => {
        if (!connection.text.endsWith('\r\n\r\n')) return
        const request = connection.text
        connection.forget()
        connection.write(typeof reply === 'string' ? reply : reply(request, index))
      })
    }
  }

  /** The connection with this number, once it is there. */
  async connection(index: number): Promise<RawSocket> {
    await eventually(
      () => this.connections.length > index,
      () => `no connection ${index} to the workload`,
    )
    return this.connections[index]!
  }

  async close(): Promise<void> {
    for (const connection of this.connections) connection.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
