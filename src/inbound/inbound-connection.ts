import { decide } from '../policy/decide.ts'
import type { Decision } from '../policy/decision.ts'
import { unlimited } from '../policy/rate-limiter.ts'
import type { RequestLine } from '../policy/request-rule.ts'
import type { DecisionRecord } from '../telemetry/telemetry.ts'
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
import type { ConnectionFacts } from './connection-facts.ts'
import type { InboundContext } from './context.ts'
import { forwardedClientCert } from './forwarded-client-cert.ts'
import { identityFields, type Origin } from './identity-fields.ts'
import { InboundRequest } from './inbound-request.ts'
import type { LiveConnection } from '../proxy/live-connections.ts'
import { respond, respondDenied } from '../proxy/respond.ts'

type Allow = Extract<Decision, { outcome: 'allow' }>

const plaintext: Peer = { kind: 'plaintext' }

/** The protocol's end of the connection. */
export interface ConnectionEnd {
  /** Ends when its running work is done, at once when it has none. */
  drain(): void
  /** Ends now. */
  destroy(): void
}

/**
 * The requests of one connection: each is decided anew from what the connection proved and from the trust state of that
 * moment, then forwarded or answered. When the trust changes, the last of them is judged again.
 */
export class InboundConnection implements RequestServer, LiveConnection {
  readonly #context: InboundContext
  readonly #facts: ConnectionFacts
  readonly #origin: Origin
  /** The fields for the caller of the last allow: on most connections there is only one. */
  #lastAllow: Allow | undefined
  #lastFields: readonly string[] = []
  /** What the last allowed request asked for: what a change of trust is held against. */
  #lastRequest: RequestLine | undefined
  #end: ConnectionEnd | undefined
  #peerNotAfterMs = Infinity

  constructor(context: InboundContext, facts: ConnectionFacts) {
    this.#context = context
    this.#facts = facts
    this.#origin = {
      clientAddress: facts.client.text,
      scheme: facts.presented === 'plaintext' ? 'http' : 'https',
    }
  }

  /** The end that carries this connection; before the first request. */
  attach(end: ConnectionEnd): void {
    this.#end = end
  }

  get notAfterMs(): number {
    return this.#peerNotAfterMs
  }

  drain(): void {
    this.#end?.drain()
  }

  destroy(): void {
    this.#end?.destroy()
  }

  /**
   * A connection whose last request would now be denied is ended; so is one that has asked for nothing yet and whose
   * certificate no longer proves anything. A caller that only maps to another product stays: its next request says so.
   */
  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    const peer = this.#peer(trust, nowMs)
    const decision = this.#decideAgain(peer, trust, nowMs)
    if (decision?.outcome !== 'deny') return 'kept'
    this.#recordEnd(peer, decision, nowMs)
    this.drain()
    return 'ended'
  }

  serve(request: IncomingRequest, reply: ReplySink): RequestSink {
    const context = this.#context
    const scanned = context.rules.scanRequest(request.fields, request.connectionOptions)
    const nowMs = context.clock.now()
    const trust = context.trust.current
    const peer = this.#peer(trust, nowMs)
    const decision = decide({
      peer,
      address: this.#facts.client.address,
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
      this.#lastRequest = inbound.asked
      return this.#forward(request, reply, scanned, inbound, { decision, peer })
    }
    respondDenied(reply, decision, {
      decisionId: inbound.id,
      form: inbound.replyForm,
      closeAfter: peer.kind === 'untrusted',
    })
    inbound.exchangeEnded({ status: decision.status, requestBytes: 0, replyBytes: 0 })
    return discardedRequest
  }

  refuse(refusal: RefusedRequest, reply: ReplySink): void {
    this.#context.logger.debug('request refused', {
      reason: refusal.code,
      status: refusal.status,
      clientAddress: this.#facts.client.text,
    })
    respond(reply, {
      status: refusal.status,
      reason: refusal.code,
      detail: refusal.detail,
      decisionId: this.#context.decisionIds.next(),
      closeAfter: true,
      form: 'problem',
    })
  }

  /** Undefined: nothing was allowed here yet, and nothing presented here is worthless. */
  #decideAgain(peer: Peer, trust: TrustState, nowMs: number): Decision | undefined {
    const last = this.#lastAllow
    if (last === undefined && peer.kind !== 'untrusted') return undefined
    return decide({
      peer,
      address: this.#facts.client.address,
      request: this.#lastRequest,
      apiKey: last?.apiKeyId === undefined ? undefined : { id: last.apiKeyId },
      trust,
      rules: this.#context.settings,
      nowMs,
      limiter: unlimited,
    })
  }

  /** The end of a live connection has its own record, with the reason that held before. */
  #recordEnd(peer: Peer, decision: Decision, nowMs: number): void {
    const { telemetry, decisionIds } = this.#context
    const trace = telemetry.begin(undefined, undefined)
    const record: DecisionRecord = {
      id: decisionIds.next(),
      atMs: nowMs,
      direction: 'inbound',
      decision,
      peer,
      protocol: this.#facts.protocol,
      clientAddress: this.#facts.client.text,
      clientPort: this.#facts.client.port,
      ...(this.#lastRequest === undefined ? {} : { request: this.#lastRequest }),
      ...(this.#lastAllow === undefined ? {} : { previousReason: this.#lastAllow.reason }),
    }
    telemetry.decided(trace, record)
    telemetry.finished(trace, record, {
      status: 0,
      requestBytes: 0,
      replyBytes: 0,
      durationMs: 0,
      error: 'trust_changed',
    })
  }

  #peer(trust: TrustState, nowMs: number): Peer {
    const { presented } = this.#facts
    if (presented === 'plaintext') return plaintext
    const peer = this.#context.verdicts.judge(presented, trust, nowMs)
    if (peer.kind === 'svid' || peer.kind === 'certificate') {
      this.#peerNotAfterMs = peer.path.notAfterMs
    }
    return peer
  }

  #forward(
    request: IncomingRequest,
    reply: ReplySink,
    scanned: ScannedRequest,
    inbound: InboundRequest,
    { decision, peer }: { readonly decision: Allow; readonly peer: Peer },
  ): RequestSink {
    const { rules, settings, upstreams } = this.#context
    const fields = scanned.kept
    fields.push(...this.#identityFields(decision, peer))
    fields.push('x-forwarded-host', request.authority)
    fields.push('x-request-id', scanned.requestId ?? inbound.id)
    const { traceparent, tracestate } = inbound.trace
    if (traceparent !== undefined) fields.push('traceparent', traceparent)
    if (tracestate !== undefined) fields.push('tracestate', tracestate)
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

  #identityFields(decision: Allow, peer: Peer): readonly string[] {
    const last = this.#lastAllow
    if (last === undefined || !hasSameCaller(last, decision)) {
      this.#lastFields = [
        ...identityFields(decision, this.#origin),
        ...this.#clientCertFields(peer),
      ]
      this.#lastAllow = decision
    }
    return this.#lastFields
  }

  #clientCertFields(peer: Peer): readonly string[] {
    if (!this.#context.settings.forwardClientCert) return []
    const value = forwardedClientCert(peer, this.#context.ownId())
    return value === undefined ? [] : ['x-forwarded-client-cert', value]
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
