import type { AddressInfo, Socket } from 'node:net'
import { createServer, type Server } from 'node:tls'
import type { TestLeaf } from '../../support/test-ca.ts'

/** A TLS server that says nothing and counts what it is told. */
export class Sink {
  accepted = 0
  /** Of plaintext. */
  receivedBytes = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(leaf: TestLeaf, protocol: string) {
    this.#server = createServer(
      {
        cert: leaf.pem,
        key: leaf.keyPem,
        ALPNProtocols: [protocol],
        requestCert: true,
        rejectUnauthorized: false,
      },
      (socket) => {
        socket.on('error', () => undefined)
        socket.on('data', (chunk: Buffer) => (this.receivedBytes += chunk.length))
      },
    )
    this.#server.on('tlsClientError', () => undefined)
    this.#server.on('connection', (socket: Socket) => {
      this.accepted++
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(leaf: TestLeaf, protocol: string): Promise<Sink> {
    const sink = new Sink(leaf, protocol)
    await new Promise<void>((resolve) => sink.#server.listen(0, '127.0.0.1', resolve))
    return sink
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}
