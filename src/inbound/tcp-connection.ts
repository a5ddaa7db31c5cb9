import type { Socket } from 'node:net'
import { stackOf } from '../core/errors.ts'
import { decide, type DecisionInput } from '../policy/decide.ts'
import type { Decision } from '../policy/decision.ts'
import type { Peer } from '../policy/peer.ts'
import { unlimited } from '../policy/rate-limiter.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { TcpTunnel, type TunnelOutcome } from '../proxy/tcp-tunnel.ts'
import type { DecisionRecord, Trace } from '../telemetry/telemetry.ts'
import type { PresentedChain } from '../tls/presented-chain.ts'
import type { Client } from './client.ts'
import type { InboundContext } from './context.ts'
import type { ConnectionDescription, OpenConnection } from './open-connection.ts'

export interface TcpConnectionOptions {
  readonly context: InboundContext
  /** Of the caller; made with `allowHalfOpen`. */
  readonly socket: Socket
  readonly presented: PresentedChain | 'plaintext'
  readonly client: Client
}

const plaintext: Peer = { kind: 'plaintext' }

/**
 * A connection of `protocol: tcp`: one decision when it opens, and again when the trust changes. It carries no key, so a
 * certificate is the only credential. A denied caller is cut before a byte of it reaches the workload, a caller that loses
 * its standing at once.
 */
export class TcpConnection implements OpenConnection {
  readonly #options: TcpConnectionOptions
  readonly #startedMs: number
  readonly #openedMs: number
  #allowed: Extract<Decision, { outcome: 'allow' }> | undefined
  #peerNotAfterMs = Infinity
  #tunnel: TcpTunnel | undefined

  private constructor(options: TcpConnectionOptions) {
    this.#options = options
    this.#startedMs = options.context.clock.monotonic()
    this.#openedMs = options.context.clock.now()
  }

  /** Decides, and joins the caller to the workload or cuts it. */
  static open(options: TcpConnectionOptions): TcpConnection {
    const connection = new TcpConnection(options)
    const { trust, clock } = options.context
    const nowMs = clock.now()
    const peer = connection.#peer(trust.current, nowMs)
    const decision = connection.#decide(peer, trust.current, nowMs, {
      limiter: options.context.limiter,
      canRecord: options.context.telemetry.canRecord,
    })
    const record = connection.#record(peer, decision, nowMs)
    const trace = options.context.telemetry.begin(undefined, undefined)
    options.context.telemetry.decided(trace, record)
    if (decision.outcome === 'allow') connection.#join(decision, trace, record)
    else connection.#refuse(trace, record)
    return connection
  }

  get notAfterMs(): number {
    return this.#peerNotAfterMs
  }

  describe(): ConnectionDescription {
    const { client } = this.#options
    const allowed = this.#allowed
    const caller =
      allowed === undefined ? {} : { product: allowed.product, principal: allowed.principal }
    return {
      protocol: 'tcp',
      clientAddress: client.text,
      clientPort: client.port,
      openedMs: this.#openedMs,
      ...caller,
    }
  }

  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    const before = this.#allowed
    if (before === undefined) return 'kept'
    const peer = this.#peer(trust, nowMs)
    const decision = this.#decide(peer, trust, nowMs, { limiter: unlimited })
    if (decision.outcome === 'allow' && decision.product === before.product) return 'kept'
    const { telemetry } = this.#options.context
    const record = { ...this.#record(peer, decision, nowMs), previousReason: before.reason }
    const trace = telemetry.begin(undefined, undefined)
    telemetry.decided(trace, record)
    telemetry.finished(trace, record, { ...nothingMoved, error: 'trust_changed' })
    this.destroy()
    return 'ended'
  }

  /** A tunnel has no moment between two requests at which it could end well: it may go on until the drain cuts it. */
  drain(): void {
    if (this.#allowed === undefined || this.#peerNotAfterMs < this.#options.context.clock.now()) {
      this.destroy()
    }
  }

  destroy(): void {
    if (this.#tunnel === undefined) this.#options.socket.destroy()
    else this.#tunnel.destroy()
  }

  #peer(trust: TrustState, nowMs: number): Peer {
    const { presented, context } = this.#options
    if (presented === 'plaintext') return plaintext
    const peer = context.verdicts.judge(presented, trust, nowMs)
    if (peer.kind === 'svid' || peer.kind === 'certificate') {
      this.#peerNotAfterMs = peer.path.notAfterMs
    }
    return peer
  }

  #decide(
    peer: Peer,
    trust: TrustState,
    nowMs: number,
    anew: Pick<DecisionInput, 'limiter' | 'canRecord'>,
  ): Decision {
    const { client, context } = this.#options
    const { address } = client
    return decide({ peer, address, trust, rules: context.settings, nowMs, ...anew })
  }

  #record(peer: Peer, decision: Decision, nowMs: number): DecisionRecord {
    const { context, client } = this.#options
    return {
      id: context.decisionIds.next(),
      atMs: nowMs,
      direction: 'inbound',
      decision,
      peer,
      protocol: 'tcp',
      clientAddress: client.text,
      clientPort: client.port,
    }
  }

  #refuse(trace: Trace, record: DecisionRecord): void {
    this.#options.context.telemetry.finished(trace, record, nothingMoved)
    this.#options.socket.destroy()
  }

  #join(
    decision: Extract<Decision, { outcome: 'allow' }>,
    trace: Trace,
    record: DecisionRecord,
  ): void {
    const { context, socket } = this.#options
    this.#allowed = decision
    const upstream = context.upstreams.dial(decision.upstream)
    this.#tunnel = new TcpTunnel({
      downstream: socket,
      upstream,
      deadlines: context.deadlines,
      connectTimeoutMs: context.settings.upstreamConnectTimeoutMs,
      idleTimeoutMs: context.settings.idleTimeoutMs,
      onEnd: (outcome) => this.#onEnd(outcome, trace, record),
      onBug: (error) => context.logger.error('unexpected exception', { error: stackOf(error) }),
    })
    socket.resume()
  }

  #onEnd(outcome: TunnelOutcome, trace: Trace, record: DecisionRecord): void {
    const { telemetry, clock } = this.#options.context
    const { error } = outcome
    if (error === 'upstream_unavailable' || error === 'upstream_reset') {
      telemetry.upstreamError(error)
    }
    const durationMs = clock.monotonic() - this.#startedMs
    telemetry.finished(trace, record, { status: 0, durationMs, ...outcome })
  }
}

const nothingMoved = { status: 0, requestBytes: 0, replyBytes: 0, durationMs: 0 }
