import type { Socket } from 'node:net'
import { stackOf } from '../core/errors.ts'
import { denyPeer, type PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { LiveConnection } from '../proxy/live-connections.ts'
import { TcpTunnel, type TunnelOutcome } from '../proxy/tcp-tunnel.ts'
import type { DecisionRecord, Outcome, Trace } from '../telemetry/telemetry.ts'
import { identityMarginMs, nobody } from './peer-pool.ts'
import { recordEnd } from './record-end.ts'
import { VerifiedDial, type VerifiedDialOptions, type VerifiedPeer } from './verified-dial.ts'

export interface OutboundTunnelOptions extends VerifiedDialOptions {
  /** Of the workload, paused; made with `allowHalfOpen`. */
  readonly socket: Socket
  readonly clientAddress: string
  readonly clientPort: number
}

/** What runs between the two sockets. */
interface Joined extends VerifiedPeer {
  readonly tunnel: TcpTunnel
}

/**
 * A connection of `protocol: tcp`: one decision, when the peer has shown who it is, and again when the trust changes. Nothing
 * is read from the workload before. A refused one is reset, as one whose peer loses its standing is at once.
 */
export class OutboundTunnel implements LiveConnection {
  readonly #options: OutboundTunnelOptions
  readonly #startedMs: number
  readonly #trace: Trace
  #dial: VerifiedDial | undefined
  #joined: Joined | undefined

  private constructor(options: OutboundTunnelOptions) {
    this.#options = options
    this.#startedMs = options.context.clock.monotonic()
    this.#trace = options.context.telemetry.begin(undefined, undefined)
  }

  /** Dials the peer; joins the workload to it, or cuts the workload. */
  static open(options: OutboundTunnelOptions): OutboundTunnel {
    const tunnel = new OutboundTunnel(options)
    options.socket.once('close', () => tunnel.#onLocalGone())
    tunnel.#dial = VerifiedDial.begin(options, noProtocols, {
      onAllowed: (verified) => tunnel.#join(verified),
      onDenied: (decision, peer) => tunnel.#refuse(decision, peer),
    })
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
    recordEnd(this.#options.context, verdict, joined.decision.reason, { socket, protocol: 'tcp' })
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

  /** The workload left before the peer was there. */
  #onLocalGone(): void {
    if (this.#dial?.cancel() !== true) return
    const { context, route } = this.#options
    const detail = 'the workload left before the other end was verified'
    const { epoch } = context.trust.current
    const denial = denyPeer('upstream_unavailable', route.expected, epoch, detail)
    const record = this.#decide(denial, nobody)
    this.#finish(record, { requestBytes: 0, replyBytes: 0, error: 'downstream_aborted' })
  }

  #refuse(decision: PeerDecision, peer: Peer): void {
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

  #join(verified: VerifiedPeer): void {
    const { context, route, socket } = this.#options
    const record = this.#decide(verified.decision, verified.peer)
    context.telemetry.peerConnectionOpened('tcp')
    const tunnel = new TcpTunnel({
      downstream: socket,
      upstream: verified.dialed.socket,
      deadlines: context.deadlines,
      connectTimeoutMs: route.limits.upstreamConnectTimeoutMs,
      idleTimeoutMs: route.limits.idleTimeoutMs,
      onEnd: (outcome) => {
        context.telemetry.peerConnectionClosed('tcp')
        this.#finish(record, outcome)
      },
      onBug: (error) => context.logger.error('unexpected exception', { error: stackOf(error) }),
    })
    this.#joined = { ...verified, tunnel }
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
}

type RefusedOutcome = Pick<Outcome, 'requestBytes' | 'replyBytes' | 'error'>

/** Whatever the bytes are. */
const noProtocols: readonly string[] = []
