import { createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { messageOf, PosternError, stackOf } from '../core/errors.ts'
import { listenHost } from '../core/listen-host.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { Http1Downstream } from '../proxy/http1-downstream.ts'
import { Http2Downstream } from '../proxy/http2-downstream.ts'
import { http1LimitsFor, http2LimitsFor } from '../proxy/request-limits.ts'
import { type AcceptedTls, acceptedTls, acceptTls } from '../tls/accept-tls.ts'
import { type ListenerTls, listenerTlsOptions, type ServerIdentity } from '../tls/context.ts'
import { handshakeFailureOf } from '../tls/handshake-failure.ts'
import { type PresentedChain, readPresentedChain } from '../tls/presented-chain.ts'
import { UnreadAnswers } from '../tls/unread-answers.ts'
import type { CidrSet } from '../policy/cidr-set.ts'
import type { Client } from './client.ts'
import type { InboundContext } from './context.ts'
import { type ConnectionEnd, InboundConnection } from './inbound-connection.ts'
import { LiveConnections } from '../proxy/live-connections.ts'
import type { ConnectionDescription, OpenConnection } from './open-connection.ts'
import { Reception } from './reception.ts'
import { TcpConnection } from './tcp-connection.ts'

export interface InboundServerOptions {
  readonly context: InboundContext
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly tls: ListenerTls
  /** `tcp`: whatever the bytes are; certificates only. */
  readonly protocol: 'http' | 'tcp'
  /** `allow`: the same port also takes HTTP without TLS; its callers need a key. */
  readonly plaintext: 'refuse' | 'allow'
  /** Connections at once; above it new ones are closed. */
  readonly maxConnections: number
  /** Of one address; of one network of 64 bits with IPv6. */
  readonly maxConnectionsPerAddress: number
  /** Connections at once that have not finished their handshake; above it the oldest of them is closed. */
  readonly maxHandshakes: number
  /** Balancers that begin with the header of the PROXY protocol; undefined: none. */
  readonly balancers?: CidrSet | undefined
}

/** How often the drain looks whether the last connection has ended. */
const drainPollMs = 20

/**
 * The one port. It is bound from the start; until `useIdentity` gives it a certificate, and after `loseIdentity`, new
 * connections are closed at once, because without a certificate no TLS server can say anything.
 */
export class InboundServer {
  readonly #options: InboundServerOptions
  readonly #listener: Server
  readonly #connections: LiveConnections<OpenConnection>
  readonly #reception: Reception
  readonly #unreadAnswers: UnreadAnswers
  /** All that were accepted: also those that are in their handshake, which nobody else could end. */
  readonly #sockets = new Set<Socket>()
  #tls: AcceptedTls | undefined
  #hasIdentity = false
  #draining = false

  private constructor(options: InboundServerOptions) {
    this.#options = options
    this.#connections = new LiveConnections({
      clock: options.context.clock,
      onJudged: (result) => options.context.telemetry.reevaluated(result),
    })
    const { clock, logger } = options.context
    this.#unreadAnswers = new UnreadAnswers({
      clock,
      onEnd: ({ raw }) =>
        logger.info('connection ended: what TLS answers on it is not read', {
          address: raw.remoteAddress,
        }),
    })
    this.#reception = new Reception({
      ...options,
      takesPlaintext: options.plaintext === 'allow' && options.protocol === 'http',
      handshakeTimeoutMs: options.tls.handshakeTimeoutMs,
      onTls: (socket) => this.#beginTls(socket),
      onPlaintext: (socket, client, protocol) => {
        this.#serve(socket, client, 'plaintext', protocol)
        socket.resume()
      },
    })
    this.#listener = createServer(
      { noDelay: true, allowHalfOpen: options.protocol === 'tcp' },
      (socket) => this.#accept(socket),
    )
    this.#listener.maxConnections = options.maxConnections
    this.#listener.on('drop', () => options.context.telemetry.handshake('too_many_connections'))
  }

  /** Resolves when the port is bound. Throws `PosternError` ERR_LISTEN_FAILED. */
  static async start(options: InboundServerOptions): Promise<InboundServer> {
    const server = new InboundServer(options)
    await server.#listen()
    return server
  }

  /** The bound port. */
  get port(): number {
    const address = this.#listener.address()
    return typeof address === 'object' && address !== null ? address.port : this.#options.port
  }

  get connections(): number {
    return this.#connections.size
  }

  /** What is known of each open connection, one after the other. */
  *describeConnections(): Generator<ConnectionDescription> {
    for (const connection of this.#connections.values()) yield connection.describe()
  }

  /**
   * Serves new handshakes with this SVID. Live connections go on with the one they have.
   * Throws `PosternError` ERR_TLS_CONTEXT; the previous one then serves on.
   */
  useIdentity(identity: ServerIdentity): void {
    try {
      this.#tls = acceptedTls(listenerTlsOptions(identity, this.#options.tls))
    } catch (cause) {
      throw new PosternError(
        'ERR_TLS_CONTEXT',
        `SVID not taken into service: ${messageOf(cause)}`,
        {
          cause,
        },
      )
    }
    this.#hasIdentity = true
  }

  /** Our SVID has expired or was withdrawn: no new handshakes until the next `useIdentity`. */
  loseIdentity(): void {
    this.#hasIdentity = false
  }

  /** The trust state changed: every live connection is judged again. */
  rejudge(trust: TrustState): void {
    this.#connections.rejudge(trust)
  }

  /**
   * Stops accepting, lets running requests finish, and ends connections as they become idle; at `timeoutMs` the rest is
   * cut. Resolves when the last one is gone.
   */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#options.context
    this.#draining = true
    this.#listener.close()
    this.#connections.drain()
    const endMs = clock.monotonic() + timeoutMs
    while (this.#connections.size > 0 && clock.monotonic() < endMs) {
      await new Promise<void>((resolve) => {
        clock.setTimer(drainPollMs, resolve, { keepAlive: true })
      })
    }
    this.close()
  }

  /** Cuts everything. Idempotent. */
  close(): void {
    this.#draining = true
    this.#listener.close()
    this.#connections.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }

  #listen(): Promise<void> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      this.#listener.once('error', (cause) => {
        reject(
          new PosternError(
            'ERR_LISTEN_FAILED',
            `cannot listen on ${host}:${port}: ${cause.message}`,
            {
              cause,
            },
          ),
        )
      })
      this.#listener.listen({ port, host: listenHost(host) }, () => {
        this.#listener.removeAllListeners('error')
        this.#listener.on('error', (error) =>
          this.#options.context.logger.warn('accept failed', { error: error.message }),
        )
        resolve()
      })
    })
  }

  #accept(socket: Socket): void {
    // A reset can arrive before any protocol has taken the socket.
    socket.on('error', () => socket.destroy())
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    this.#reception.accept(socket)
  }

  #beginTls(socket: Socket): void {
    if (!this.#hasIdentity || this.#tls === undefined) {
      this.#reception.known(socket, 'identity_unavailable')
      socket.destroy()
      return
    }
    acceptTls(socket, this.#tls, {
      onSecure: (secure) => this.#onSecure(socket, secure),
      onFailed: (error) => {
        const reason = handshakeFailureOf(error)
        this.#reception.known(socket, 'failed', reason)
      },
    })
  }

  #onSecure(raw: Socket, socket: TLSSocket): void {
    if (socket.isSessionReused()) {
      // Cannot happen with the options of tls/context.ts. If it does, nothing was proven on this connection.
      this.#reception.known(raw, 'resumed')
      socket.destroy()
      return
    }
    const chain = readPresentedChain(socket)
    if (chain === undefined) return
    const presented = this.#options.context.verdicts.shared(chain)
    const result = presented.certificates.length === 0 ? 'anonymous' : 'certificate'
    const arrival = this.#reception.known(raw, result)
    if (arrival === undefined) {
      socket.destroy()
      return
    }
    const { client } = arrival
    this.#unreadAnswers.watch({ raw, secure: socket })
    if (this.#options.protocol === 'tcp') this.#tunnel(socket, client, presented)
    else this.#serve(socket, client, presented, socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1')
  }

  #serve(
    socket: Socket,
    client: Client,
    presented: PresentedChain | 'plaintext',
    protocol: 'http/1.1' | 'h2',
  ): void {
    const connection = new InboundConnection(this.#options.context, {
      presented,
      protocol,
      client,
      openedMs: this.#options.context.clock.now(),
    })
    connection.attach(this.#end(socket, connection, protocol))
    this.#register(connection, socket, protocol)
  }

  #tunnel(socket: Socket, client: Client, presented: PresentedChain): void {
    const { context } = this.#options
    const connection = TcpConnection.open({ context, socket, presented, client })
    this.#register(connection, socket, 'tcp')
  }

  #register(connection: OpenConnection, socket: Socket, protocol: 'http/1.1' | 'h2' | 'tcp'): void {
    const { telemetry } = this.#options.context
    this.#connections.add(connection)
    telemetry.connectionOpened(protocol)
    socket.once('close', () => {
      this.#connections.delete(connection)
      telemetry.connectionClosed(protocol)
    })
    if (this.#draining) connection.drain()
  }

  #end(socket: Socket, connection: InboundConnection, protocol: 'http/1.1' | 'h2'): ConnectionEnd {
    const { settings, deadlines, logger } = this.#options.context
    const options = {
      deadlines,
      headerTimeoutMs: settings.headerTimeoutMs,
      bodyTimeoutMs: settings.bodyTimeoutMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      onBug: (error: unknown) => logger.error('unexpected exception', { error: stackOf(error) }),
      takesWebSockets: true,
    }
    switch (protocol) {
      case 'http/1.1':
        return new Http1Downstream(socket, connection, {
          ...options,
          limits: http1LimitsFor(settings),
        })
      case 'h2':
        return new Http2Downstream(socket, connection, {
          ...options,
          limits: http2LimitsFor(settings),
        })
    }
  }
}
