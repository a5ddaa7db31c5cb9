import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'

/** A request as Node's parser read it. */
export interface SeenHead {
  readonly method: string
  /** Names in lower case, in the order in which they came. */
  readonly fields: readonly (readonly [string, string])[]
}

/** One that asked for an upgrade. */
export interface SeenUpgrade extends SeenHead {
  /** What came behind it before it was answered. */
  early: string
  /** All that came behind it. */
  tunnel: string
  isAccepted: boolean
}

/** Who goes in the middle of a request is no violation. */
const departures = new Set(['ECONNRESET', 'HPE_INVALID_EOF_STATE'])

/** A workload on Node's own HTTP server, which says what really arrived: ordinary requests, upgrades and the bytes behind them. */
export class UpgradeOracle {
  readonly requests: SeenHead[] = []
  readonly upgrades: SeenUpgrade[] = []
  /** What its parser refused, and tunnels that were asked for otherwise. */
  readonly violations: string[] = []
  /** Requests with a method that Node does not know; RFC 9110 lets everybody invent one. */
  unknownMethods = 0
  /** Whether it switches protocols when asked to. */
  accepts = true
  readonly #server: Server
  readonly #sockets = new Set<Duplex>()

  private constructor() {
    this.#server = createServer((request, response) => {
      this.requests.push(headOf(request))
      request.resume().once('end', () => response.end('ok'))
    })
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#upgraded(request, socket, head)
    })
    this.#server.on('connect', (request: IncomingMessage, socket: Duplex) => {
      this.violations.push(`CONNECT ${request.url ?? ''}`)
      socket.destroy()
    })
    this.#server.on('clientError', (error: Error & { code?: string }, socket: Duplex) => {
      if (error.code === 'HPE_INVALID_METHOD') this.unknownMethods++
      else if (!departures.has(error.code ?? '')) this.violations.push(String(error))
      socket.destroy()
    })
  }

  static async start(): Promise<UpgradeOracle> {
    const oracle = new UpgradeOracle()
    oracle.#server.listen(0, '127.0.0.1')
    await once(oracle.#server, 'listening')
    return oracle
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** How much has come. */
  get size(): number {
    const tunnels = this.upgrades.reduce((sum, { tunnel }) => sum + tunnel.length, 0)
    return this.requests.length + this.upgrades.length + tunnels
  }

  forget(): void {
    for (const list of [this.requests, this.upgrades, this.violations]) list.length = 0
    this.unknownMethods = 0
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #upgraded(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const upgrade = {
      ...headOf(request),
      ...{ early: '', tunnel: head.toString('latin1'), isAccepted: this.accepts },
    }
    this.upgrades.push(upgrade)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => (upgrade.tunnel += chunk.toString('latin1')))
    socket.once('end', () => socket.end())
    // Whatever comes too early has the time to come.
    for (let turn = 0; turn < 20; turn++) await setImmediate()
    upgrade.early = upgrade.tunnel
    const key = request.headers['sec-websocket-key'] ?? ''
    if (upgrade.isAccepted) socket.write(switching(key))
    else socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  }
}

function headOf({ method = '', rawHeaders }: IncomingMessage): SeenHead {
  const fields: [string, string][] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    fields.push([(rawHeaders[i] ?? '').toLowerCase(), rawHeaders[i + 1] ?? ''])
  }
  return { method, fields }
}

/** RFC 6455 4.2.2. */
function switching(key: string): string {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  return `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept.digest('base64')}\r\n\r\n`
}
