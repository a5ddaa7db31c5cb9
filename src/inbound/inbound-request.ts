import type { Fields } from '../core/fields.ts'
import type { Decision } from '../policy/decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { IncomingRequest, ReplySink, UpstreamFailure } from '../proxy/ends.ts'
import type { ExchangeOutcome, ExchangeOwner } from '../proxy/exchange.ts'
import type { ScannedRequest } from '../proxy/header-rules.ts'
import {
  type DecisionRecord,
  outcomeAfter,
  type RecordedRequest,
  type Trace,
} from '../telemetry/telemetry.ts'
import type { InboundContext } from './context.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import { type ReplyForm, replyFormFor, respond, respondFailed } from '../proxy/respond.ts'

interface DecidedRequest {
  readonly facts: ConnectionFacts
  readonly request: IncomingRequest
  readonly scanned: ScannedRequest
  readonly peer: Peer
  readonly decision: Decision
  readonly nowMs: number
}

/** One decided request and its records, from the decision to the last byte. */
export class InboundRequest implements ExchangeOwner {
  readonly trace: Trace
  readonly #context: InboundContext
  readonly #record: DecisionRecord
  readonly #fields: Fields
  readonly #startedMs: number

  private constructor(
    context: InboundContext,
    trace: Trace,
    record: DecisionRecord,
    fields: Fields,
  ) {
    this.#context = context
    this.trace = trace
    this.#record = record
    this.#fields = fields
    this.#startedMs = context.clock.monotonic()
  }

  /** Records the decision. */
  static begin(context: InboundContext, decided: DecidedRequest): InboundRequest {
    const { facts, request, scanned } = decided
    const trace = context.telemetry.begin(scanned.traceparent, scanned.tracestate)
    const record: DecisionRecord = {
      id: context.decisionIds.next(),
      atMs: decided.nowMs,
      direction: 'inbound',
      decision: decided.decision,
      peer: decided.peer,
      protocol: request.isWebSocket === true ? 'websocket' : facts.protocol,
      clientAddress: facts.client.text,
      clientPort: facts.client.port,
      request: {
        method: request.method,
        host: request.authority,
        path: withoutQuery(request.path),
      },
    }
    context.telemetry.decided(trace, record)
    return new InboundRequest(context, trace, record, request.fields)
  }

  /** The decision id. */
  get id(): string {
    return this.#record.id
  }

  /** What was asked for, without the query. */
  get asked(): RecordedRequest | undefined {
    return this.#record.request
  }

  /** How this caller reads an answer of ours; looked at only when there is one. */
  get replyForm(): ReplyForm {
    return replyFormFor(this.#fields)
  }

  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number {
    this.#context.telemetry.upstreamError(failure.reason)
    this.#context.logger.warn('workload failed', {
      reason: failure.reason,
      detail: failure.detail,
      decisionId: this.id,
    })
    return respondFailed(reply, failure, { decisionId: this.id, form: this.replyForm })
  }

  replyToLargeBody(reply: ReplySink): number {
    respond(reply, {
      status: 413,
      reason: 'body_too_large',
      detail: 'the body of the request is larger than is allowed here',
      decisionId: this.id,
      // HTTP/1.1 could go on only after the rest of the body.
      closeAfter: this.#record.protocol === 'http/1.1',
      form: this.replyForm,
    })
    return 413
  }

  exchangeEnded(outcome: ExchangeOutcome): void {
    const durationMs = this.#context.clock.monotonic() - this.#startedMs
    const { telemetry } = this.#context
    telemetry.finished(this.trace, this.#record, outcomeAfter(outcome, durationMs))
  }
}

function withoutQuery(path: string): string {
  const at = path.indexOf('?')
  return at === -1 ? path : path.slice(0, at)
}
