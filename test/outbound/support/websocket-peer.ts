import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { type WebSocket, WebSocketServer } from 'ws'
import type { TestLeaf } from '../../support/test-ca.ts'

export interface WebSocketPeerOptions {
  /** What it knows by ALPN. Default: HTTP/2, which it would like best and cannot speak, and HTTP/1.1. */
  readonly protocols?: readonly string[]
}

/** A connection whose handshake is done, as the peer saw it. */
export interface WebSocketPeerSession {
  readonly socket: TLSSocket
  readonly protocol: string | false | null
  /** `subjectaltname` of the client's certificate. */
  readonly client: string | undefined
}

/** The server of `ws` behind Node's own TLS. It echoes each message. */
export class WebSocketPeer {
  readonly sessions: WebSocketPeerSession[] = []
  /** WebSockets that were asked for. */
  readonly requests: IncomingMessage[] = []
  readonly opened: WebSocket[] = []
  /** In the place of `ws`, where it is set. */
  onUpgrade: ((socket: Socket, request: IncomingMessage) => void) | undefined
  readonly #server: Server
  readonly #http = createHttpServer((_request, response) => response.writeHead(200).end('plain'))
  readonly #webSockets = new WebSocketServer({ noServer: true })
  readonly #sockets = new Set<Socket>()

  private constructor(leaf: TestLeaf, { protocols = ['h2', 'http/1.1'] }: WebSocketPeerOptions) {
    this.#server = createServer(
      {
        cert: leaf.pem,
        key: leaf.keyPem,
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: [...protocols],
      },
      (socket) => this.#remember(socket),
    )
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('tlsClientError', () => undefined)
    this.#http.on('upgrade', (request, socket: Socket, head) => {
      this.requests.push(request)
      if (this.onUpgrade !== undefined) this.onUpgrade(socket, request)
      else this.#webSockets.handleUpgrade(request, socket, head, (opened) => this.#echo(opened))
    })
  }

  static async start(leaf: TestLeaf, options: WebSocketPeerOptions = {}): Promise<WebSocketPeer> {
    const peer = new WebSocketPeer(leaf, options)
    peer.#server.listen(0, '127.0.0.1')
    await once(peer.#server, 'listening')
    return peer
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size
  }

  /** Breaks every connection. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #remember(socket: TLSSocket): void {
    socket.on('error', () => undefined)
    const client = socket.getPeerCertificate().subjectaltname
    this.sessions.push({ socket, protocol: socket.alpnProtocol, client })
    this.#http.emit('connection', socket)
  }

  #echo(opened: WebSocket): void {
    this.opened.push(opened)
    opened.on('error', () => undefined)
    opened.on('message', (data, isBinary) => opened.send(data, { binary: isBinary }))
  }
}
