import type { Fields } from '../core/fields.ts'
import { denyPeer, type PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type {
  IncomingRequest,
  OutgoingRequest,
  ReplySink,
  RequestSink,
  UpstreamFailure,
} from '../proxy/ends.ts'
import type { ExchangeOutcome, ExchangeOwner, RequestTarget } from '../proxy/exchange.ts'
import type { ScannedRequest } from '../proxy/header-rules.ts'
import { replyFormFor, respond, respondFailed, respondPeerDenied } from '../proxy/respond.ts'
import {
  type DecisionRecord,
  outcomeAfter,
  type RecordedRequest,
  type Trace,
} from '../telemetry/telemetry.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import { nobody, type PeerPool } from './peer-pool.ts'

/** Where a call of the workload came in. */
export interface LocalFacts {
  readonly protocol: 'http/1.1' | 'h2'
  readonly clientAddress: string
  readonly clientPort: number
}

export interface OutboundRequestOptions {
  readonly context: OutboundContext
  readonly route: OutboundRoute
  readonly pool: PeerPool
  readonly facts: LocalFacts
  readonly request: IncomingRequest
  readonly scanned: ScannedRequest
}

/**
 * One call of the workload and its records. It is decided when a connection is there for it, by who is at the other end: so
 * that the decision comes later than the call, and surely before a byte of it leaves.
 */
export class OutboundRequest implements ExchangeOwner, RequestTarget {
  /** The decision id. */
  readonly id: string
  readonly trace: Trace
  readonly #options: OutboundRequestOptions
  readonly #fields: Fields
  readonly #startedMs: number
  #record: DecisionRecord | undefined
  /** The reason of the deny that ended it. */
  #denied: string | undefined

  constructor(options: OutboundRequestOptions) {
    const { telemetry, decisionIds, clock } = options.context
    this.#options = options
    this.#fields = options.request.fields
    this.id = decisionIds.next()
    this.trace = telemetry.begin(options.scanned.traceparent, options.scanned.tracestate)
    this.#startedMs = clock.monotonic()
  }

  /** What was asked for, without the query. */
  get asked(): RecordedRequest {
    const { method, authority, path } = this.#options.request
    return { method, host: authority, path: withoutQuery(path) }
  }

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    return this.#options.pool.open({
      request,
      reply,
      fresh,
      onDecided: (decision, peer) => this.decided(decision, peer, reply),
    })
  }

  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number {
    this.#options.context.logger.warn('peer failed', {
      reason: failure.reason,
      detail: failure.detail,
      upstream: this.#options.route.expected.upstream,
      decisionId: this.id,
    })
    return respondFailed(reply, failure, { ...this.#replyOptions, who: 'the other end' })
  }

  /** There is no limit of ours: a body is the peer's to refuse. */
  replyToLargeBody(reply: ReplySink): number {
    const detail = 'the body of the request is larger than is allowed here'
    respond(reply, { ...this.#replyOptions, status: 413, reason: 'body_too_large', detail })
    return 413
  }

  exchangeEnded(outcome: ExchangeOutcome): void {
    const { telemetry, clock } = this.#options.context
    const record = this.#record ?? this.#recordUndecided()
    const ended = this.#denied === undefined ? outcome : { ...outcome, error: this.#denied }
    const durationMs = clock.monotonic() - this.#startedMs
    telemetry.finished(this.trace, record, outcomeAfter(ended, durationMs))
  }

  /** There is a decision; a deny is answered. */
  decided(decision: PeerDecision, peer: Peer, reply: ReplySink): void {
    // A request that is sent once more keeps the record of its first decision; a deny then shows as its error.
    this.#record ??= this.#decide(decision, peer)
    if (decision.outcome === 'allow') return
    this.#denied = decision.reason
    this.#options.context.logger.warn('call refused', {
      reason: decision.reason,
      detail: decision.steps.at(-1)?.detail,
      upstream: decision.upstream,
      decisionId: this.id,
    })
    respondPeerDenied(reply, decision, peer, this.#replyOptions)
  }

  /** The workload left before there was anybody to judge. */
  #recordUndecided(): DecisionRecord {
    const { context, route } = this.#options
    const detail = 'the call ended before the other end was verified'
    const { epoch } = context.trust.current
    return this.#decide(denyPeer('upstream_unavailable', route.expected, epoch, detail), nobody)
  }

  #decide(decision: PeerDecision, peer: Peer): DecisionRecord {
    const { context, facts, request } = this.#options
    const { clientAddress, clientPort } = facts
    const record: DecisionRecord = {
      id: this.id,
      atMs: context.clock.now(),
      direction: 'outbound',
      decision,
      peer,
      protocol: request.isWebSocket === true ? 'websocket' : facts.protocol,
      clientAddress,
      clientPort,
      request: this.asked,
    }
    context.telemetry.decided(this.trace, record)
    return record
  }

  get #replyOptions() {
    return { decisionId: this.id, form: replyFormFor(this.#fields) }
  }
}

function withoutQuery(path: string): string {
  const at = path.indexOf('?')
  return at === -1 ? path : path.slice(0, at)
}
