import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { stackOf } from '../core/errors.ts'
import type { PeerDenyReason } from '../policy/peer-decision.ts'
import type { Deadline } from '../proxy/deadlines.ts'
import { guarded } from '../proxy/guarded.ts'
import { type PresentedChain, readPresentedChain } from '../tls/presented-chain.ts'
import { UnreadAnswers } from '../tls/unread-answers.ts'
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
  readonly #unreadAnswers: UnreadAnswers

  constructor(context: OutboundContext, route: OutboundRoute) {
    const { clock, logger } = context
    this.#context = context
    this.#route = route
    this.#unreadAnswers = new UnreadAnswers({
      clock,
      onEnd: () =>
        logger.info('connection ended: what TLS answers on it is not read', {
          upstream: route.expected.upstream,
        }),
    })
  }

  /** `protocols`: what the peer is offered by ALPN; empty: nothing is. */
  dial(identity: ClientIdentity, protocols: readonly string[], listener: DialListener): PeerDial {
    const { upstream, protocol } = this.#route
    const raw = connect({ ...upstream, allowHalfOpen: protocol === 'tcp' })
    return new PeerDial({
      raw,
      startTls: () => connectTls({ socket: raw, ...this.#tlsOptions(identity, protocols) }),
      identity,
      listener,
      unreadAnswers: this.#unreadAnswers,
      context: this.#context,
      route: this.#route,
    })
  }

  #tlsOptions(identity: ClientIdentity, protocols: readonly string[]): ConnectionOptions {
    const { upstream } = this.#route
    return {
      secureContext: identity.context,
      // OpenSSL decides nothing: whoever gets the connection judges what was presented before it sends a byte.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...serverName(upstream.host),
      ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    }
  }
}

/** RFC 6066 3: only a DNS name is sent, without its trailing dot. */
function serverName(host: string): { servername?: string } {
  return isIP(host) === 0 ? { servername: host.replace(/\.$/, '') } : {}
}

interface PeerDialOptions {
  /** Still connecting. It stays apart from the TLS on it, because only it knows how many bytes came. */
  readonly raw: Socket
  /** Begins the handshake; called once, when `raw` is connected. */
  readonly startTls: () => TLSSocket
  readonly identity: ClientIdentity
  readonly listener: DialListener
  readonly unreadAnswers: UnreadAnswers
  readonly context: OutboundContext
  readonly route: OutboundRoute
}

/** One dial, from the connect to the end of the handshake, bounded in time. */
export class PeerDial implements Deadline {
  deadlineMs: number
  readonly deadlineReached: () => void
  readonly #options: PeerDialOptions
  #isConnected = false
  #isOver = false

  constructor(options: PeerDialOptions) {
    const { raw, context, route } = options
    this.#options = options
    this.deadlineMs = context.deadlines.nowMs() + route.limits.upstreamConnectTimeoutMs
    this.deadlineReached = this.#guarded(() => this.#expire())
    context.deadlines.add(this)
    raw.once(
      'connect',
      this.#guarded(() => this.#onConnect()),
    )
    this.#loseWith(raw)
  }

  /** Gives it up; the listener hears nothing. */
  cancel(): void {
    this.#end()
    this.#options.raw.destroy()
  }

  #onConnect(): void {
    if (this.#isOver) return
    const { startTls, context, route } = this.#options
    this.#isConnected = true
    this.deadlineMs = context.deadlines.nowMs() + route.limits.handshakeTimeoutMs
    const socket = startTls()
    socket.once(
      'secureConnect',
      this.#guarded(() => this.#onSecure(socket)),
    )
    this.#loseWith(socket)
  }

  /** The listeners stay: a socket that is given up may still break. */
  #loseWith(socket: Socket): void {
    socket.on(
      'error',
      this.#guarded((error: Error) => this.#lose(error.message)),
    )
    socket.once(
      'close',
      this.#guarded(() => this.#lose('the connection was closed')),
    )
  }

  #onSecure(socket: TLSSocket): void {
    // Cannot happen, because we offer no session. If it does, nothing was proven on this connection.
    const presented = socket.isSessionReused() ? undefined : readPresentedChain(socket)
    if (presented === undefined) {
      this.#lose('nothing was presented in this handshake')
      return
    }
    if (this.#isOver) return
    this.#end()
    const { raw, unreadAnswers, listener, identity } = this.#options
    unreadAnswers.watch({ raw, secure: socket })
    const protocol = socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
    listener.onDialed({ socket, presented, protocol, identity })
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
    this.#options.raw.destroy()
    this.#options.listener.onFailed({ reason, detail })
  }

  #end(): void {
    this.#isOver = true
    this.#options.context.deadlines.delete(this)
  }

  #guarded<Arguments extends unknown[]>(
    listener: (...values: Arguments) => void,
  ): (...values: Arguments) => void {
    const { raw, context } = this.#options
    const onBug = (error: unknown) => {
      context.logger.error('unexpected exception', { error: stackOf(error) })
      raw.destroy()
    }
    return guarded(onBug, listener)
  }
}
