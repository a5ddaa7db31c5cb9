import { isIP } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { stackOf } from '../core/errors.ts'
import type { PeerDenyReason } from '../policy/peer-decision.ts'
import type { Deadline } from '../proxy/deadlines.ts'
import { guarded } from '../proxy/guarded.ts'
import { type PresentedChain, readPresentedChain } from '../tls/presented-chain.ts'
import type { ClientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'

/** A connection whose handshake is done. Nobody has judged the peer yet, and nothing was sent to it. */
export interface DialedPeer {
  readonly socket: TLSSocket
  readonly presented: PresentedChain
  /** What the peer chose; HTTP/1.1 where it knows no ALPN. */
  readonly protocol: 'http/1.1' | 'h2'
  /** What we presented. */
  readonly identity: ClientIdentity
}

export interface DialFailure {
  readonly reason: Extract<
    PeerDenyReason,
    'upstream_unavailable' | 'upstream_timeout' | 'handshake_failed'
  >
  /** For logs and records: what happened, no secret. */
  readonly detail: string
}

/** Exactly one of the two is called, later; none after `cancel`. */
export interface DialListener {
  readonly onDialed: (peer: DialedPeer) => void
  readonly onFailed: (failure: DialFailure) => void
}

/** Dials one peer with TLS, always with the SVID of that moment. */
export class PeerDialer {
  readonly #context: OutboundContext
  readonly #route: OutboundRoute

  constructor(context: OutboundContext, route: OutboundRoute) {
    this.#context = context
    this.#route = route
  }

  dial(identity: ClientIdentity, listener: DialListener): PeerDial {
    const { upstream, protocol } = this.#route
    // The types of Node.js 20 do not know allowHalfOpen here.
    const options: ConnectionOptions & { allowHalfOpen: boolean } = {
      host: upstream.host,
      port: upstream.port,
      secureContext: identity.context,
      // OpenSSL decides nothing: whoever gets the connection judges what was presented before it sends a byte.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      allowHalfOpen: protocol === 'tcp',
      ...serverName(upstream.host),
      ...(protocol === 'http' ? { ALPNProtocols: ['h2', 'http/1.1'] } : {}),
    }
    return new PeerDial(connect(options), identity, listener, this.#context, this.#route)
  }
}

/** RFC 6066 3: only a DNS name is sent, without its trailing dot. */
function serverName(host: string): { servername?: string } {
  return isIP(host) === 0 ? { servername: host.replace(/\.$/, '') } : {}
}

/** One dial, from the connect to the end of the handshake, bounded in time. */
export class PeerDial implements Deadline {
  deadlineMs: number
  readonly deadlineReached: () => void
  readonly #socket: TLSSocket
  readonly #identity: ClientIdentity
  readonly #listener: DialListener
  readonly #context: OutboundContext
  readonly #route: OutboundRoute
  #isConnected = false
  #isOver = false

  constructor(
    socket: TLSSocket,
    identity: ClientIdentity,
    listener: DialListener,
    context: OutboundContext,
    route: OutboundRoute,
  ) {
    this.#socket = socket
    this.#identity = identity
    this.#listener = listener
    this.#context = context
    this.#route = route
    const { deadlines, logger } = context
    const onBug = (error: unknown) => {
      logger.error('unexpected exception', { error: stackOf(error) })
      socket.destroy()
    }
    this.deadlineMs = deadlines.nowMs() + route.limits.upstreamConnectTimeoutMs
    this.deadlineReached = guarded(onBug, () => this.#expire())
    deadlines.add(this)
    socket.once('connect', () => this.#onConnect())
    socket.once(
      'secureConnect',
      guarded(onBug, () => this.#onSecure()),
    )
    // It stays: a socket that is given up may still break.
    socket.on(
      'error',
      guarded(onBug, (error: Error) => this.#lose(error.message)),
    )
    socket.once(
      'close',
      guarded(onBug, () => this.#lose('the connection was closed')),
    )
  }

  /** Gives it up; the listener hears nothing. */
  cancel(): void {
    this.#end()
    this.#socket.destroy()
  }

  #onConnect(): void {
    this.#isConnected = true
    this.deadlineMs = this.#context.deadlines.nowMs() + this.#route.limits.handshakeTimeoutMs
  }

  #onSecure(): void {
    const socket = this.#socket
    // Cannot happen, because we offer no session. If it does, nothing was proven on this connection.
    const presented = socket.isSessionReused() ? undefined : readPresentedChain(socket)
    if (presented === undefined) {
      this.#lose('nothing was presented in this handshake')
      return
    }
    if (this.#isOver) return
    this.#end()
    const protocol = socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
    this.#listener.onDialed({ socket, presented, protocol, identity: this.#identity })
  }

  #expire(): void {
    if (this.#isConnected) this.#fail('upstream_timeout', 'no TLS handshake in time')
    else this.#fail('upstream_unavailable', 'could not connect in time')
  }

  #lose(detail: string): void {
    this.#fail(this.#isConnected ? 'handshake_failed' : 'upstream_unavailable', detail)
  }

  #fail(reason: DialFailure['reason'], detail: string): void {
    if (this.#isOver) return
    this.#end()
    this.#socket.destroy()
    this.#listener.onFailed({ reason, detail })
  }

  #end(): void {
    this.#isOver = true
    this.#context.deadlines.delete(this)
  }
}
