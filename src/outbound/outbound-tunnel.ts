import type { Socket } from 'node:net'
import type { Timer } from '../core/clock.ts'
import { stackOf } from '../core/errors.ts'
import { denyPeer, type PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { LiveConnection } from '../proxy/live-connections.ts'
import { TcpTunnel, type TunnelOutcome } from '../proxy/tcp-tunnel.ts'
import type { DecisionRecord, Outcome, Trace } from '../telemetry/telemetry.ts'
import type { ClientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import type { DialPause } from './dial-pause.ts'
import { JudgedPeer } from './judged-peer.ts'
import type { DialedPeer, DialFailure, PeerDial, PeerDialer } from './peer-dialer.ts'
import { identityMarginMs, nobody, unrecorded } from './peer-pool.ts'
import { recordEnd } from './record-end.ts'

export interface OutboundTunnelOptions {
  readonly context: OutboundContext
  readonly route: OutboundRoute
  readonly dialer: PeerDialer
  readonly pause: DialPause
  /** Asked when the peer is dialled. Undefined: there is none to present. */
  readonly identity: () => ClientIdentity | undefined
  /** Of the workload, paused; made with `allowHalfOpen`. */
  readonly socket: Socket
  readonly clientAddress: string
  readonly clientPort: number
}

/** What runs between the two sockets. */
interface Joined {
  readonly tunnel: TcpTunnel
  readonly dialed: DialedPeer
  readonly judged: JudgedPeer
  readonly reason: Extract<PeerDecision, { outcome: 'allow' }>['reason']
}

/**
 * A connection of `protocol: tcp`: one decision, when the peer has shown who it is, and again when the trust changes. Nothing
 * is read from the workload before. A refused one is reset, as one whose peer loses its standing is at once.
 */
export class OutboundTunnel implements LiveConnection {
  readonly #options: OutboundTunnelOptions
  readonly #startedMs: number
  readonly #trace: Trace
  #pauseEnd: Timer | undefined
  #dial: PeerDial | undefined
  #joined: Joined | undefined

  private constructor(options: OutboundTunnelOptions) {
    this.#options = options
    this.#startedMs = options.context.clock.monotonic()
    this.#trace = options.context.telemetry.begin(undefined, undefined)
  }

  /** Dials the peer; joins the workload to it, or cuts the workload. */
  static open(options: OutboundTunnelOptions): OutboundTunnel {
    const tunnel = new OutboundTunnel(options)
    const { context, pause, socket } = options
    socket.once('close', () => tunnel.#onLocalGone())
    const pauseMs = pause.remainingMs
    if (pauseMs === 0) tunnel.#begin()
    else tunnel.#pauseEnd = context.clock.setTimer(pauseMs, () => tunnel.#begin())
    return tunnel
  }

  /** The first of what the peer proved and what we proved ourselves. */
  get notAfterMs(): number {
    const joined = this.#joined
    if (joined === undefined) return Infinity
    return Math.min(joined.judged.notAfterMs, joined.dialed.identity.notAfterMs - identityMarginMs)
  }

  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    const joined = this.#joined
    if (joined === undefined) return 'kept'
    const verdict = joined.judged.judge(trust, nowMs)
    if (verdict.decision.outcome === 'allow') return 'kept'
    const { socket } = joined.dialed
    recordEnd(this.#options.context, verdict, joined.reason, { socket, protocol: 'tcp' })
    this.destroy()
    return 'ended'
  }

  /** A tunnel has no moment at which it could end well: it may go on until the drain cuts it, or a certificate ends. */
  drain(): void {
    if (this.#joined === undefined || this.notAfterMs < this.#options.context.clock.now()) {
      this.destroy()
    }
  }

  destroy(): void {
    if (this.#joined === undefined) this.#options.socket.destroy()
    else this.#joined.tunnel.destroy()
  }

  #begin(): void {
    this.#pauseEnd = undefined
    const { context, dialer } = this.#options
    const identity = this.#options.identity()
    if (identity === undefined) {
      this.#refuse(this.#denial('identity_unavailable', 'this sidecar holds no unexpired SVID'))
    } else if (!context.telemetry.canRecord) {
      this.#refuse(this.#denial('audit_unavailable', unrecorded))
    } else {
      this.#dial = dialer.dial(identity, {
        onDialed: (dialed) => this.#onDialed(dialed),
        onFailed: (failure) => this.#onFailed(failure),
      })
    }
  }

  #onDialed(dialed: DialedPeer): void {
    this.#dial = undefined
    const { context, route, pause } = this.#options
    const judged = new JudgedPeer(dialed.presented, route.expected)
    const { decision, peer } = judged.judge(context.trust.current, context.clock.now())
    if (decision.outcome === 'allow') {
      pause.reset()
      this.#join(dialed, judged, decision, peer)
    } else {
      pause.failed()
      dialed.socket.destroy()
      this.#refuse(decision, peer)
    }
  }

  #onFailed({ reason, detail }: DialFailure): void {
    this.#dial = undefined
    this.#options.pause.failed()
    this.#refuse(this.#denial(reason, detail))
  }

  /** The workload left before the peer was there. */
  #onLocalGone(): void {
    if (this.#dial === undefined && this.#pauseEnd === undefined) return
    this.#dial?.cancel()
    this.#dial = undefined
    this.#pauseEnd?.cancel()
    this.#pauseEnd = undefined
    const detail = 'the workload left before the other end was verified'
    const record = this.#decide(this.#denial('upstream_unavailable', detail), nobody)
    this.#finish(record, { requestBytes: 0, replyBytes: 0, error: 'downstream_aborted' })
  }

  #refuse(decision: PeerDecision, peer: Peer = nobody): void {
    const record = this.#decide(decision, peer)
    this.#options.context.logger.warn('call refused', {
      reason: decision.reason,
      detail: decision.steps.at(-1)?.detail,
      upstream: decision.upstream,
      decisionId: record.id,
    })
    this.#finish(record, { requestBytes: 0, replyBytes: 0, error: decision.reason })
    // A clean end would look like a peer that had nothing to say.
    if (!this.#options.socket.destroyed) this.#options.socket.resetAndDestroy()
  }

  #join(
    dialed: DialedPeer,
    judged: JudgedPeer,
    decision: Extract<PeerDecision, { outcome: 'allow' }>,
    peer: Peer,
  ): void {
    const { context, route, socket } = this.#options
    const record = this.#decide(decision, peer)
    context.telemetry.peerConnectionOpened('tcp')
    const tunnel = new TcpTunnel({
      downstream: socket,
      upstream: dialed.socket,
      deadlines: context.deadlines,
      connectTimeoutMs: route.limits.upstreamConnectTimeoutMs,
      idleTimeoutMs: route.limits.idleTimeoutMs,
      onEnd: (outcome) => {
        context.telemetry.peerConnectionClosed('tcp')
        this.#finish(record, outcome)
      },
      onBug: (error) => context.logger.error('unexpected exception', { error: stackOf(error) }),
    })
    this.#joined = { tunnel, dialed, judged, reason: decision.reason }
    socket.resume()
  }

  #decide(decision: PeerDecision, peer: Peer): DecisionRecord {
    const { context, clientAddress, clientPort } = this.#options
    const record: DecisionRecord = {
      id: context.decisionIds.next(),
      atMs: context.clock.now(),
      direction: 'outbound',
      decision,
      peer,
      protocol: 'tcp',
      clientAddress,
      clientPort,
    }
    context.telemetry.decided(this.#trace, record)
    return record
  }

  #finish(record: DecisionRecord, outcome: TunnelOutcome | RefusedOutcome): void {
    const { telemetry, clock } = this.#options.context
    const durationMs = clock.monotonic() - this.#startedMs
    telemetry.finished(this.#trace, record, { status: 0, durationMs, ...outcome })
  }

  #denial(reason: Parameters<typeof denyPeer>[0], detail: string) {
    const { context, route } = this.#options
    return denyPeer(reason, route.expected, context.trust.current.epoch, detail)
  }
}

type RefusedOutcome = Pick<Outcome, 'requestBytes' | 'replyBytes' | 'error'>
