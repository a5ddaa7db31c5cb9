import { stackOf } from '../core/errors.ts'
import { denyPeer } from '../policy/peer-decision.ts'
import type { TrustState } from '../policy/trust-state.ts'
import {
  discardedRequest,
  type OutgoingRequest,
  type ReplySink,
  type RequestSink,
  type UpstreamFailure,
  type WebSocketUpstream,
} from '../proxy/ends.ts'
import type { ExchangeOutcome } from '../proxy/exchange.ts'
import type { LiveConnection } from '../proxy/live-connections.ts'
import { Http1WebSocketWorkload } from '../proxy/websocket/http1-workload.ts'
import { WaitingWebSocket } from '../proxy/websocket/waiting-websocket.ts'
import { WebSocketExchange, type WebSocketOwner } from '../proxy/websocket/websocket-exchange.ts'
import type { OutboundRequest } from './outbound-request.ts'
import { identityMarginMs, nobody } from './peer-pool.ts'
import { recordEnd } from './record-end.ts'
import { VerifiedDial, type VerifiedDialOptions, type VerifiedPeer } from './verified-dial.ts'

export interface OutboundWebSocketOptions extends VerifiedDialOptions {
  /** Its records. */
  readonly call: OutboundRequest
  /** There are as many as there may be. */
  readonly isOneTooMany: boolean
  /** Once. */
  readonly onEnd: () => void
}

/** RFC 6455 is for HTTP/1.1, which servers of WebSocket speak; few of them take one over HTTP/2 (RFC 8441). */
const protocols = ['http/1.1']

/**
 * A WebSocket of the workload, whatever it speaks, to its peer, on a connection of its own: one decision, when the peer has shown
 * who it is and before a byte is sent to it, and again when the trust changes.
 */
export class OutboundWebSocket implements WebSocketOwner, WebSocketUpstream, LiveConnection {
  readonly #options: OutboundWebSocketOptions
  #exchange: WebSocketExchange | undefined
  #dial: VerifiedDial | undefined
  #verified: VerifiedPeer | undefined

  constructor(options: OutboundWebSocketOptions) {
    this.#options = options
  }

  /** `isOpenedByAny2xx`: as in `WebSocketOptions`. */
  open(request: OutgoingRequest, reply: ReplySink, isOpenedByAny2xx: boolean): RequestSink {
    const { rules, deadlines, logger } = this.#options.context
    this.#exchange = WebSocketExchange.open(request, this, reply, this, {
      rules,
      deadlines,
      idleTimeoutMs: this.#options.route.limits.idleTimeoutMs,
      isOpenedByAny2xx,
      onBug: (error) => logger.error('unexpected exception', { error: stackOf(error) }),
    })
    return this.#exchange
  }

  /** The first of what the peer proved and what we proved ourselves. */
  get notAfterMs(): number {
    const verified = this.#verified
    if (verified === undefined) return Infinity
    const { judged, dialed } = verified
    return Math.min(judged.notAfterMs, dialed.identity.notAfterMs - identityMarginMs)
  }

  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    const verified = this.#verified
    if (verified === undefined) return 'kept'
    const verdict = verified.judged.judge(trust, nowMs)
    if (verdict.decision.outcome === 'allow') return 'kept'
    const { context, call } = this.#options
    recordEnd(context, verdict, verified.decision.reason, {
      socket: verified.dialed.socket,
      protocol: 'websocket',
      request: call.asked,
    })
    this.#exchange?.cut('trust_changed')
    return 'ended'
  }

  /** It has no moment at which it could end well: it goes on until it is cut, unless a certificate has ended. */
  drain(): void {
    const { clock, trust } = this.#options.context
    const nowMs = clock.now()
    if (this.notAfterMs < nowMs && this.rejudge(trust.current, nowMs) === 'kept') this.destroy()
  }

  destroy(): void {
    this.#exchange?.cut('cut')
  }

  // For the exchange.

  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink {
    const { call, isOneTooMany, route, context } = this.#options
    if (isOneTooMany) {
      const { epoch } = context.trust.current
      const detail = 'too many WebSockets to the peer'
      call.decided(denyPeer('upstream_unavailable', route.expected, epoch, detail), nobody, reply)
      return discardedRequest
    }
    const waiting = new WaitingWebSocket(request, reply)
    this.#dial = VerifiedDial.begin(this.#options, protocols, {
      onAllowed: (verified) => this.#onAllowed(verified, waiting, reply),
      onDenied: (decision, peer) => call.decided(decision, peer, reply),
    })
    return waiting
  }

  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number {
    return this.#options.call.replyToFailure(failure, reply)
  }

  webSocketOpened(): void {
    // It has been counted since the peer was verified.
  }

  exchangeEnded(outcome: ExchangeOutcome): void {
    this.#dial?.cancel()
    this.#options.onEnd()
    this.#options.call.exchangeEnded(outcome)
  }

  #onAllowed(verified: VerifiedPeer, waiting: WaitingWebSocket, reply: ReplySink): void {
    const { call, context } = this.#options
    const { socket } = verified.dialed
    this.#verified = verified
    call.decided(verified.decision, verified.peer, reply)
    context.telemetry.peerConnectionOpened('websocket')
    socket.once('close', () => context.telemetry.peerConnectionClosed('websocket'))
    try {
      waiting.begin((request) => this.#ask(request, reply, verified))
    } catch (bug) {
      socket.destroy()
      waiting.fail(unwritable)
      throw bug
    }
  }

  #ask(request: OutgoingRequest, reply: ReplySink, { dialed }: VerifiedPeer): RequestSink {
    const { context, route } = this.#options
    const { upstreamConnectTimeoutMs, upstreamResponseTimeoutMs } = route.limits
    const options = {
      deadlines: context.deadlines,
      connectTimeoutMs: upstreamConnectTimeoutMs,
      responseTimeoutMs: upstreamResponseTimeoutMs,
      onBug: (error: unknown) =>
        context.logger.error('unexpected exception', { error: stackOf(error) }),
    }
    const onGone = () => undefined
    return new Http1WebSocketWorkload(request, reply, () => dialed.socket, options, onGone)
  }
}

const unwritable: UpstreamFailure = {
  reason: 'upstream_malformed',
  detail: 'the request could not be written',
  retry: 'never',
}
