import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The way to a peer, which can be closed: then every dial ends at once. Counts dials. */
export class Gate {
  dials = 0
  #isOpen = true
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(peerPort: number) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#take(socket, peerPort))
  }

  static async start(peerPort: number): Promise<Gate> {
    const gate = new Gate(peerPort)
    gate.#server.listen(0, '127.0.0.1')
    await once(gate.#server, 'listening')
    return gate
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** What is on its way ends too. */
  shut(): void {
    this.#isOpen = false
    for (const socket of this.#sockets) socket.destroy()
  }

  open(): void {
    this.#isOpen = true
  }

  close(): void {
    this.shut()
    this.#server.close()
  }

  #take(socket: Socket, peerPort: number): void {
    this.dials++
    this.#keep(socket)
    if (!this.#isOpen) {
      socket.destroy()
      return
    }
    const peer = connect({ port: peerPort, host: '127.0.0.1', allowHalfOpen: true })
    this.#keep(peer)
    socket.pipe(peer).pipe(socket)
    socket.once('close', () => peer.destroy())
    peer.once('close', () => socket.destroy())
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}
