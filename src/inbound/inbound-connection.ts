import { decide } from '../policy/decide.ts'
import type { Decision } from '../policy/decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { Exchange } from '../proxy/exchange.ts'
import {
  discardedRequest,
  type IncomingRequest,
  type RefusedRequest,
  type ReplySink,
  type RequestServer,
  type RequestSink,
} from '../proxy/ends.ts'
import type { ScannedRequest } from '../proxy/header-rules.ts'
import type { PresentedChain } from '../tls/presented-chain.ts'
import type { InboundContext } from './context.ts'
import { identityFields, type Origin } from './identity-fields.ts'
import { InboundRequest } from './inbound-request.ts'
import { respond, respondDenied } from './respond.ts'

type Allow = Extract<Decision, { outcome: 'allow' }>

/** What is known of a connection when its requests begin. */
export interface ConnectionFacts {
  /** What TLS showed; 'plaintext' without TLS. */
  readonly presented: PresentedChain | 'plaintext'
  readonly protocol: 'http/1.1' | 'h2'
  readonly clientAddress: string
  readonly clientPort: number
}

const plaintext: Peer = { kind: 'plaintext' }

/**
 * The requests of one connection: each is decided anew from what the connection proved and from the trust state of that
 * moment, then forwarded or answered.
 */
export class InboundConnection implements RequestServer {
  readonly #context: InboundContext
  readonly #facts: ConnectionFacts
  readonly #origin: Origin
  /** The fields for the caller of the last allow: on most connections there is only one. */
  #lastAllow: Allow | undefined
  #lastFields: readonly string[] = []

  constructor(context: InboundContext, facts: ConnectionFacts) {
    this.#context = context
    this.#facts = facts
    this.#origin = {
      clientAddress: facts.clientAddress,
      scheme: facts.presented === 'plaintext' ? 'http' : 'https',
    }
  }

  serve(request: IncomingRequest, reply: ReplySink): RequestSink {
    const context = this.#context
    const scanned = context.rules.scanRequest(request.fields, request.connectionOptions)
    const nowMs = context.clock.now()
    const trust = context.trust.current
    const peer = this.#peer(trust, nowMs)
    const decision = decide({
      peer,
      request: { method: request.method, host: request.authority, path: request.path },
      apiKey: scanned.apiKey,
      trust,
      rules: context.settings,
      nowMs,
      limiter: context.limiter,
    })
    const inbound = InboundRequest.begin(context, {
      facts: this.#facts,
      request,
      scanned,
      peer,
      decision,
      nowMs,
    })
    if (decision.outcome === 'allow') {
      return this.#forward(request, reply, scanned, decision, inbound)
    }
    respondDenied(reply, decision, inbound.id, { closeAfter: peer.kind === 'untrusted' })
    inbound.exchangeEnded({ status: decision.status, requestBytes: 0, replyBytes: 0 })
    return discardedRequest
  }

  refuse(refusal: RefusedRequest, reply: ReplySink): void {
    this.#context.logger.debug('request refused', {
      reason: refusal.code,
      status: refusal.status,
      clientAddress: this.#facts.clientAddress,
    })
    respond(reply, {
      status: refusal.status,
      reason: refusal.code,
      detail: refusal.detail,
      decisionId: this.#context.decisionIds.next(),
      closeAfter: true,
    })
  }

  #peer(trust: TrustState, nowMs: number): Peer {
    const { presented } = this.#facts
    return presented === 'plaintext'
      ? plaintext
      : this.#context.verdicts.judge(presented, trust, nowMs)
  }

  #forward(
    request: IncomingRequest,
    reply: ReplySink,
    scanned: ScannedRequest,
    decision: Allow,
    inbound: InboundRequest,
  ): RequestSink {
    const { rules, settings, upstreams } = this.#context
    const fields = scanned.kept
    fields.push(...this.#identityFields(decision))
    fields.push('x-forwarded-host', request.authority)
    fields.push('x-request-id', scanned.requestId ?? inbound.id)
    fields.push('traceparent', inbound.trace.traceparent)
    if (inbound.trace.tracestate !== undefined) fields.push('tracestate', inbound.trace.tracestate)
    return Exchange.open(
      {
        method: request.method,
        path: request.path,
        authority: request.authority,
        fields,
        length: request.length,
        wantsTrailers: scanned.wantsTrailers,
      },
      upstreams.at(decision.upstream),
      reply,
      inbound,
      { rules, maxBodyBytes: settings.maxBodyBytes },
    )
  }

  #identityFields(decision: Allow): readonly string[] {
    const last = this.#lastAllow
    if (last === undefined || !hasSameCaller(last, decision)) {
      this.#lastFields = identityFields(decision, this.#origin)
      this.#lastAllow = decision
    }
    return this.#lastFields
  }
}

function hasSameCaller(a: Allow, b: Allow): boolean {
  return (
    a.product === b.product &&
    a.principal === b.principal &&
    a.consumer === b.consumer &&
    a.credential === b.credential
  )
}
