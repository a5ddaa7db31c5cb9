import {
  createServer as createHttp1Server,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { createServer, type Server, type TlsOptions, type TLSSocket } from 'node:tls'
import type { TestLeaf } from '../../support/test-ca.ts'

/** A request as the peer got it. */
export interface PeerRequest {
  readonly version: string
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>
}

/** A TLS connection as the peer saw it. */
export interface PeerSession {
  readonly socket: TLSSocket
  /** `subjectaltname` of the client's certificate. */
  readonly client: string | undefined
  readonly servername: string | false | undefined
  readonly version: string | null
  readonly isReused: boolean
}

type Answer = (request: PeerRequest, response: ServerResponse) => void

/** A server of others: Node's own TLS, HTTP/1.1 and HTTP/2, that asks for a client certificate and remembers what it saw. */
export class TestPeer {
  readonly sessions: PeerSession[] = []
  readonly seen: PeerRequest[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #http1 = createHttp1Server((request, response) => void this.#take(request, response))
  readonly #http2 = createHttp2Server((request, response) => void this.#take(request, response))
  #answer: Answer = echo

  private constructor(leaf: TestLeaf, options: TlsOptions) {
    this.#server = createServer(
      {
        cert: leaf.pem,
        key: leaf.keyPem,
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: ['h2', 'http/1.1'],
        ...options,
      },
      (socket) => {
        this.#remember(socket)
        const server = socket.alpnProtocol === 'h2' ? this.#http2 : this.#http1
        server.emit('connection', socket)
      },
    )
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#http2.on('sessionError', () => undefined)
    this.#server.on('tlsClientError', () => undefined)
  }

  static async start(leaf: TestLeaf, options: TlsOptions = {}): Promise<TestPeer> {
    const peer = new TestPeer(leaf, options)
    await new Promise<void>((resolve) => peer.#server.listen(0, '127.0.0.1', resolve))
    return peer
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size
  }

  answerWith(answer: Answer): void {
    this.#answer = answer
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #remember(socket: TLSSocket): void {
    socket.on('error', () => undefined)
    this.sessions.push({
      socket,
      client: socket.getPeerCertificate().subjectaltname,
      servername: (socket as TLSSocket & { servername?: string | false }).servername,
      version: socket.getProtocol(),
      isReused: socket.isSessionReused(),
    })
  }

  async #take(
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    const seen = {
      version: request.httpVersion,
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
      trailers: request.trailers,
    }
    this.seen.push(seen)
    // The two are alike in all that the tests use.
    this.#answer(seen, response as ServerResponse)
  }
}

function echo(request: PeerRequest, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(request))
}
