import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Paths at which it fails on purpose, and the status that the caller gets then. */
export const failures: Readonly<Record<string, number>> = { '/reset': 502, '/error': 500 }

const awayMs = 300
/** For requests that were under way when it went. */
const aftermathMs = 1_000

/** A workload that answers, fails where it is told to, and is away now and then. */
export class UnreliableWorkload {
  readonly #sockets = new Set<Socket>()
  #server: Server
  #port = 0
  #backAtMs = -Infinity

  private constructor() {
    this.#server = this.#create()
  }

  static async start(): Promise<UnreliableWorkload> {
    const workload = new UnreliableWorkload()
    await workload.#listen()
    return workload
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Whether a failure of this moment may be its doing. */
  get isToBlame(): boolean {
    return performance.now() < this.#backAtMs + aftermathMs
  }

  /** Cuts every connection, is not there for a moment, and comes back on the same port. */
  async restart(): Promise<void> {
    this.#backAtMs = Infinity
    await this.close()
    await sleep(awayMs)
    this.#server = this.#create()
    await this.#listen()
    this.#backAtMs = performance.now()
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #create(): Server {
    const server = createServer((request, response) => {
      request.resume().once('end', () => answer(request.url ?? '/', response))
    })
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    return server
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }
}

function answer(path: string, response: ServerResponse): void {
  if (path === '/reset') response.destroy()
  else if (path === '/error') response.writeHead(500).end('broken on purpose\n')
  else response.end('hello world\n')
}
