import { createServer, type Server, type Socket } from 'node:net'
import { PosternError, stackOf } from '../core/errors.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { Http1Downstream } from '../proxy/http1-downstream.ts'
import { Http2Downstream } from '../proxy/http2-downstream.ts'
import { LiveConnections } from '../proxy/live-connections.ts'
import { http1LimitsFor, http2LimitsFor } from '../proxy/request-limits.ts'
import { detectFirstBytes } from '../tls/first-bytes.ts'
import type { ClientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import { DialPause } from './dial-pause.ts'
import { OutboundConnection } from './outbound-connection.ts'
import { OutboundTunnel } from './outbound-tunnel.ts'
import { OutboundWebSockets } from './outbound-websockets.ts'
import { PeerDialer } from './peer-dialer.ts'
import { PeerPool } from './peer-pool.ts'
import type { VerifiedDialOptions } from './verified-dial.ts'

/** The protocol's end of a connection of the workload. */
interface LocalEnd {
  drain(): void
  destroy(): void
}

/**
 * One local port for calls of the workload to one peer. It is bound from the start: without an SVID of ours its callers get a
 * clean answer.
 */
export class OutboundServer {
  readonly route: OutboundRoute
  readonly #context: OutboundContext
  readonly #listener: Server
  readonly #pool: PeerPool
  /** For what has a connection to the peer of its own. */
  readonly #dialing: VerifiedDialOptions
  readonly #webSockets: OutboundWebSockets
  /** `protocol: tcp`. */
  readonly #tunnels: LiveConnections
  readonly #ends = new Set<LocalEnd>()
  /** All that were accepted: also those that have not said a word yet. */
  readonly #sockets = new Set<Socket>()
  #identity: ClientIdentity | undefined
  #isDraining = false

  constructor(context: OutboundContext, route: OutboundRoute) {
    this.route = route
    this.#context = context
    const dialer = new PeerDialer(context, route)
    this.#pool = new PeerPool(context, route, dialer)
    this.#dialing = {
      context,
      route,
      dialer,
      pause: new DialPause(context.clock),
      identity: () => this.#identity,
    }
    this.#webSockets = new OutboundWebSockets(this.#dialing)
    this.#tunnels = new LiveConnections({
      clock: context.clock,
      onJudged: (result) => context.telemetry.reevaluated(result),
    })
    const isTcp = route.protocol === 'tcp'
    const options = { noDelay: true, allowHalfOpen: isTcp, pauseOnConnect: isTcp }
    this.#listener = createServer(options, (socket) => this.#accept(socket))
    this.#listener.maxConnections = route.limits.maxConnections
    this.#listener.on('drop', () =>
      context.logger.warn('too many connections of the workload', { upstream: this.#upstream }),
    )
  }

  /** Resolves when the port is bound. Throws `PosternError` ERR_LISTEN_FAILED. */
  listen(): Promise<void> {
    const { host, port } = this.route.listen
    return new Promise((resolve, reject) => {
      this.#listener.once('error', (cause) => {
        const message = `cannot listen on ${host}:${port}: ${cause.message}`
        reject(new PosternError('ERR_LISTEN_FAILED', message, { cause }))
      })
      this.#listener.listen(port, host, () => {
        this.#listener.removeAllListeners('error')
        this.#listener.on('error', (error) =>
          this.#context.logger.warn('accept failed', { error: error.message }),
        )
        resolve()
      })
    })
  }

  get isListening(): boolean {
    return this.#listener.listening
  }

  /** The bound port. */
  get port(): number {
    const address = this.#listener.address()
    return typeof address === 'object' && address !== null ? address.port : this.route.listen.port
  }

  /** Open connections of the workload. */
  get connections(): number {
    return this.#sockets.size
  }

  useIdentity(identity: ClientIdentity): void {
    this.#identity = identity
    this.#dialing.pause.reset()
    this.#pool.useIdentity(identity)
  }

  loseIdentity(): void {
    this.#identity = undefined
    this.#pool.loseIdentity()
  }

  /** The trust state changed: the peer of each connection is judged again. */
  rejudge(trust: TrustState): void {
    this.#dialing.pause.reset()
    this.#pool.rejudge(trust)
    this.#webSockets.rejudge(trust)
    this.#tunnels.rejudge(trust)
  }

  /** Stops accepting, and ends connections of the workload as they become idle. */
  drain(): void {
    this.#isDraining = true
    this.#listener.close()
    for (const end of this.#ends) end.drain()
  }

  /** Cuts everything. Idempotent. */
  close(): void {
    this.#isDraining = true
    this.#listener.close()
    this.#tunnels.destroy()
    this.#webSockets.destroy()
    for (const end of this.#ends) end.destroy()
    for (const socket of this.#sockets) socket.destroy()
    this.#pool.close()
  }

  get #upstream(): string {
    return this.route.expected.upstream
  }

  #accept(socket: Socket): void {
    // A reset can arrive before any protocol has taken the socket.
    socket.on('error', () => socket.destroy())
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.route.protocol === 'tcp') this.#tunnel(socket)
    else this.#detect(socket)
  }

  /** A connection that says nothing is an idle one: clients open some before they need them. */
  #detect(socket: Socket): void {
    const { clock, logger } = this.#context
    const timer = clock.setTimer(this.route.limits.idleTimeoutMs, () => socket.destroy())
    socket.once('close', () => timer.cancel())
    const silent: LocalEnd = { drain: () => socket.destroy(), destroy: () => socket.destroy() }
    this.#register(silent, socket)
    detectFirstBytes(socket, (kind) => {
      timer.cancel()
      this.#ends.delete(silent)
      if (kind === 'tls') {
        logger.warn('the workload speaks TLS to a port that takes plaintext', {
          upstream: this.#upstream,
        })
        socket.destroy()
        return
      }
      this.#register(this.#end(socket, kind), socket)
      socket.resume()
    })
  }

  #tunnel(socket: Socket): void {
    const tunnel = OutboundTunnel.open({
      ...this.#dialing,
      socket,
      clientAddress: socket.remoteAddress ?? '',
      clientPort: socket.remotePort ?? 0,
    })
    this.#tunnels.add(tunnel)
    socket.once('close', () => this.#tunnels.delete(tunnel))
    this.#register(tunnel, socket)
  }

  #register(end: LocalEnd, socket: Socket): void {
    this.#ends.add(end)
    socket.once('close', () => this.#ends.delete(end))
    if (this.#isDraining) end.drain()
  }

  #end(socket: Socket, protocol: 'http/1.1' | 'h2'): LocalEnd {
    const { deadlines, logger } = this.#context
    const { limits } = this.route
    const connection = new OutboundConnection({
      context: this.#context,
      route: this.route,
      pool: this.#pool,
      webSockets: this.#webSockets,
      localPort: this.port,
      facts: {
        protocol,
        clientAddress: socket.remoteAddress ?? '',
        clientPort: socket.remotePort ?? 0,
      },
    })
    const options = {
      deadlines,
      headerTimeoutMs: limits.headerTimeoutMs,
      idleTimeoutMs: limits.idleTimeoutMs,
      takesWebSockets: true,
      onBug: (error: unknown) => logger.error('unexpected exception', { error: stackOf(error) }),
    }
    switch (protocol) {
      case 'http/1.1':
        return new Http1Downstream(socket, connection, {
          ...options,
          limits: http1LimitsFor(limits),
        })
      case 'h2':
        return new Http2Downstream(socket, connection, {
          ...options,
          limits: http2LimitsFor(limits),
        })
    }
  }
}
