import { Agent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as http2Connect,
  type IncomingHttpHeaders,
} from 'node:http2'
import { type ConnectionOptions, type PeerCertificate, connect, type TLSSocket } from 'node:tls'
import type { MintedCertificate } from '../../../src/dev/dev-agent.ts'
import type { TestLeaf } from '../../support/test-ca.ts'

/** What a caller proves itself with. */
export type CallerIdentity = Pick<MintedCertificate, 'certificatePem' | 'privateKeyPem'>

export type HttpVersion = 'http/1.1' | 'h2'

export const httpVersions = ['http/1.1', 'h2'] as const

export interface CallRequest {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** A reply as the caller got it. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The body as JSON: a problem of ours, or the echo of the workload. */
  readonly json: {
    readonly reason?: string
    readonly decision_id?: string
    readonly headers?: Readonly<Record<string, string | undefined>>
    readonly [member: string]: unknown
  }
}

/** A caller's connection that lives on between its requests. */
export interface CallerConnection {
  readonly socket: TLSSocket
  call(request?: CallRequest): Promise<Reply>
  /** Resolves when the other side has ended it. */
  readonly ended: Promise<void>
  readonly isEnded: boolean
  close(): void
}

export interface CallerOptions {
  readonly port: number
  /** PEM: who may have issued the sidecar's own certificate. Absent: it is not looked at. */
  readonly sidecarBundle?: string
  /** The SPIFFE ID that the sidecar must have. */
  readonly sidecarId?: string
  /** Nothing is presented without one. */
  readonly identity?: CallerIdentity
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>
  readonly tls?: ConnectionOptions
}

/** A leaf of a test CA as a caller's identity. */
export function identityOf(leaf: TestLeaf): CallerIdentity {
  return { certificatePem: leaf.pem, privateKeyPem: leaf.keyPem }
}

/** A caller on Node's own TLS and HTTP; it verifies the sidecar as it is verified by it. */
export class Caller {
  readonly #options: CallerOptions

  constructor(options: CallerOptions) {
    this.#options = options
  }

  /** The same caller with something else about it. */
  with(options: Partial<CallerOptions>): Caller {
    return new Caller({ ...this.#options, ...options })
  }

  /** One request on a connection of its own. */
  async call(request: CallRequest = {}, version: HttpVersion = 'http/1.1'): Promise<Reply> {
    const connection = await this.open(version)
    try {
      return await connection.call(request)
    } finally {
      connection.close()
    }
  }

  /** Resolves when the handshake is done and the protocol agreed. */
  async open(version: HttpVersion = 'http/1.1'): Promise<CallerConnection> {
    const socket = await this.connect({ ALPNProtocols: [version] })
    const { headers = {} } = this.#options
    return version === 'h2'
      ? new Http2CallerConnection(socket, headers)
      : new Http1CallerConnection(socket, headers)
  }

  /** A TLS connection without HTTP on it. */
  async connect(options: ConnectionOptions = {}): Promise<TLSSocket> {
    const { port, sidecarBundle, sidecarId, identity, tls } = this.#options
    const socket = connect({
      host: '127.0.0.1',
      port,
      ...(sidecarBundle === undefined
        ? { rejectUnauthorized: false }
        : { ca: sidecarBundle, checkServerIdentity: (_host, peer) => checkId(peer, sidecarId) }),
      ...(identity && { cert: identity.certificatePem, key: identity.privateKeyPem }),
      ...tls,
      ...options,
    })
    await new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('ended before the handshake was done')))
    })
    return socket
  }
}

function checkId(peer: PeerCertificate, expected: string | undefined): Error | undefined {
  if (expected === undefined || peer.subjectaltname === `URI:${expected}`) return undefined
  return new Error(`the sidecar is ${String(peer.subjectaltname)}, not ${expected}`)
}

abstract class OneConnection implements CallerConnection {
  readonly socket: TLSSocket
  readonly ended: Promise<void>
  #isEnded = false

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      const over = () => {
        this.#isEnded = true
        resolve()
      }
      socket.once('end', over)
      socket.once('close', over)
    })
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  abstract call(request?: CallRequest): Promise<Reply>

  close(): void {
    this.socket.destroy()
  }
}

class Http1CallerConnection extends OneConnection {
  readonly #agent: Agent
  readonly #headers: Readonly<Record<string, string>>

  constructor(socket: TLSSocket, headers: Readonly<Record<string, string>>) {
    super(socket)
    this.#headers = headers
    this.#agent = new OneSocketAgent(socket)
  }

  call(request: CallRequest = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest({
        agent: this.#agent,
        method: request.method ?? 'GET',
        path: request.path ?? '/',
        headers: { host: 'api.example', ...this.#headers, ...request.headers },
      })
      outgoing.once('error', reject)
      outgoing.once('response', (response) => {
        readReply(response, response.statusCode ?? 0, response.headers).then(resolve, reject)
      })
      send(outgoing, request)
    })
  }

  override close(): void {
    this.#agent.destroy()
    super.close()
  }
}

/** Hands out the one connection that there is. */
class OneSocketAgent extends Agent {
  readonly #socket: TLSSocket

  constructor(socket: TLSSocket) {
    super({ keepAlive: true, maxSockets: 1 })
    this.#socket = socket
  }

  override createConnection(): TLSSocket {
    return this.#socket
  }
}

class Http2CallerConnection extends OneConnection {
  readonly #session: ClientHttp2Session
  readonly #headers: Readonly<Record<string, string>>

  constructor(socket: TLSSocket, headers: Readonly<Record<string, string>>) {
    super(socket)
    this.#headers = headers
    this.#session = http2Connect('https://api.example', { createConnection: () => socket })
    this.#session.on('error', () => undefined)
  }

  call(request: CallRequest = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(
        {
          ':method': request.method ?? 'GET',
          ':path': request.path ?? '/',
          ':authority': 'api.example',
          ...this.#headers,
          ...request.headers,
        },
        { endStream: request.body === undefined },
      )
      const lost = () => reject(new Error('the stream ended without a reply'))
      stream.once('error', reject)
      stream.once('close', lost)
      stream.once('response', (headers) => {
        stream.off('close', lost)
        readReply(stream, headers[':status'] ?? 0, headers).then(resolve, reject)
      })
      if (request.body !== undefined) send(stream, request)
    })
  }

  override close(): void {
    this.#session.destroy()
    super.close()
  }
}

function send(outgoing: ClientRequest | ClientHttp2Stream, { body }: CallRequest): void {
  if (body === undefined) outgoing.end()
  else outgoing.end(body)
}

async function readReply(
  stream: IncomingMessage | ClientHttp2Stream,
  status: number,
  headers: IncomingHttpHeaders,
): Promise<Reply> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return toReply(status, headers, Buffer.concat(chunks).toString())
}

/** A reply whose body may be JSON. */
export function toReply(status: number, headers: Reply['headers'], text: string): Reply {
  const json = text.startsWith('{') ? (JSON.parse(text) as Reply['json']) : {}
  return { status, headers, text, json }
}
