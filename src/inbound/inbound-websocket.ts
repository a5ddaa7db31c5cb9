import { stackOf } from '../core/errors.ts'
import type { Decision } from '../policy/decision.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type {
  OutgoingRequest,
  ReplySink,
  RequestSink,
  UpstreamFailure,
  WebSocketUpstream,
} from '../proxy/ends.ts'
import type { ExchangeOutcome } from '../proxy/exchange.ts'
import { WebSocketExchange, type WebSocketOwner } from '../proxy/websocket/websocket-exchange.ts'
import type { RecordedRequest } from '../telemetry/telemetry.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import type { InboundContext } from './context.ts'
import type { InboundRequest } from './inbound-request.ts'

type Allow = Extract<Decision, { outcome: 'allow' }>

/** One WebSocket that was allowed: what it takes to judge it again while it is open, and its records. */
export class InboundWebSocket implements WebSocketOwner {
  readonly allowed: Allow
  /** When the key with which it was asked for expires, milliseconds since 1970; Infinity without one. */
  readonly notAfterMs: number
  readonly #context: InboundContext
  readonly #inbound: InboundRequest
  readonly #onEnd: () => void
  #exchange: WebSocketExchange | undefined
  #isOpen = false

  /** `onEnd` is called once. */
  constructor(
    context: InboundContext,
    parts: { readonly inbound: InboundRequest; readonly allowed: Allow },
    onEnd: () => void,
  ) {
    this.allowed = parts.allowed
    this.#context = context
    this.#inbound = parts.inbound
    this.#onEnd = onEnd
    this.notAfterMs = endOfKey(parts.allowed.apiKeyId, context.trust.current)
  }

  /** Asks the workload for it. */
  open(
    request: OutgoingRequest,
    target: WebSocketUpstream,
    reply: ReplySink,
    protocol: ConnectionFacts['protocol'],
  ): RequestSink {
    const { rules, deadlines, settings, logger } = this.#context
    this.#exchange = WebSocketExchange.open(request, target, reply, this, {
      rules,
      deadlines,
      idleTimeoutMs: settings.idleTimeoutMs,
      isOpenedByAny2xx: protocol === 'h2',
      onBug: (error) => logger.error('unexpected exception', { error: stackOf(error) }),
    })
    return this.#exchange
  }

  /** What was asked for, without the query. */
  get asked(): RecordedRequest | undefined {
    return this.#inbound.asked
  }

  /** Its caller may not go on. */
  cut(): void {
    this.#exchange?.cut('trust_changed')
  }

  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number {
    return this.#inbound.replyToFailure(failure, reply)
  }

  webSocketOpened(): void {
    this.#isOpen = true
    this.#context.telemetry.connectionOpened('websocket')
  }

  exchangeEnded(outcome: ExchangeOutcome): void {
    this.#onEnd()
    if (this.#isOpen) {
      const { telemetry } = this.#context
      telemetry.connectionClosed('websocket')
      if (outcome.error === 'upstream_reset') telemetry.upstreamError(outcome.error)
    }
    this.#inbound.exchangeEnded(outcome)
  }
}

function endOfKey(id: string | undefined, trust: TrustState): number {
  return id === undefined ? Infinity : (trust.apiKeys.find({ id })?.expiresMs ?? -Infinity)
}
