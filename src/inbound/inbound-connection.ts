import { decide } from '../policy/decide.ts'
import type { Decision, Reason } from '../policy/decision.ts'
import { unlimited } from '../policy/rate-limiter.ts'
import type { RequestLine } from '../policy/request-rule.ts'
import type { DecisionRecord, RecordedProtocol } from '../telemetry/telemetry.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { Exchange } from '../proxy/exchange.ts'
import {
  discardedRequest,
  type IncomingRequest,
  type OutgoingRequest,
  type RefusedRequest,
  type ReplySink,
  type RequestServer,
  type RequestSink,
  type WebSocketUpstream,
} from '../proxy/ends.ts'
import type { ScannedRequest } from '../proxy/header-rules.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import type { InboundContext } from './context.ts'
import { forwardedClientCert } from './forwarded-client-cert.ts'
import { identityFields, type Origin } from './identity-fields.ts'
import { InboundRequest } from './inbound-request.ts'
import { InboundWebSocket } from './inbound-websocket.ts'
import type { ConnectionDescription, OpenConnection } from './open-connection.ts'
import { respond, respondDenied } from '../proxy/respond.ts'

type Allow = Extract<Decision, { outcome: 'allow' }>

const plaintext: Peer = { kind: 'plaintext' }

/** What a change of trust has ended. */
interface EndedWork {
  readonly protocol: RecordedProtocol
  readonly request: RequestLine | undefined
  readonly previousReason: Reason | undefined
}

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
export class InboundConnection implements RequestServer, OpenConnection {
  readonly #context: InboundContext
  readonly #facts: ConnectionFacts
  readonly #origin: Origin
  /** The fields for the caller of the last allow: on most connections there is only one. */
  #lastAllow: Allow | undefined
  #lastFields: readonly string[] = []
  /** What the last allowed request asked for: what a change of trust is held against. */
  #lastRequest: RequestLine | undefined
  /** Those that are open or being opened: HTTP/1.1 has one at most. */
  readonly #webSockets = new Set<InboundWebSocket>()
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

  /** A request is asked for its key each time; a WebSocket was asked once, so that it ends with the key. */
  get notAfterMs(): number {
    let earliestMs = this.#peerNotAfterMs
    for (const { notAfterMs } of this.#webSockets) earliestMs = Math.min(earliestMs, notAfterMs)
    return earliestMs
  }

  describe(): ConnectionDescription {
    const { protocol, client, openedMs } = this.#facts
    const last = this.#lastAllow
    const caller = last === undefined ? {} : { product: last.product, principal: last.principal }
    return { protocol, clientAddress: client.text, clientPort: client.port, openedMs, ...caller }
  }

  /** An open WebSocket has no moment at which it could end well: it goes on until it is cut, unless its caller's time is over. */
  drain(): void {
    const { clock, trust } = this.#context
    const nowMs = clock.now()
    if (this.notAfterMs < nowMs) {
      this.#rejudgeWebSockets({ ...trust.current, hasIdentity: true }, nowMs)
    }
    this.#end?.drain()
  }

  destroy(): void {
    this.#end?.destroy()
  }

  /**
   * A connection whose last request would now be denied is ended; so is one that has asked for nothing yet and whose
   * certificate no longer proves anything. A caller that only maps to another product stays: its next request says so.
   * An open WebSocket, which has no next request, is judged by its own and cut when either has changed.
   */
  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    const isTunnel = this.#facts.protocol === 'http/1.1' && this.#webSockets.size > 0
    const webSockets = this.#rejudgeWebSockets(trust, nowMs)
    if (isTunnel) return webSockets
    const peer = this.#peer(trust, nowMs)
    const decision = this.#decideAgain(peer, trust, nowMs)
    if (decision?.outcome !== 'deny') return webSockets
    this.#recordEnd(peer, decision, nowMs, {
      protocol: this.#facts.protocol,
      request: this.#lastRequest,
      previousReason: this.#lastAllow?.reason,
    })
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
      canRecord: context.telemetry.canRecord,
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
      form: refusal.isGrpc === true ? 'grpc' : 'problem',
      ...(refusal.fields === undefined ? {} : { fields: refusal.fields }),
    })
  }

  #rejudgeWebSockets(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    let result: 'kept' | 'ended' = 'kept'
    for (const webSocket of [...this.#webSockets]) {
      const peer = this.#peer(trust, nowMs)
      const decision = this.#askAgain(peer, webSocket, trust, nowMs)
      if (decision.outcome === 'allow' && decision.product === webSocket.allowed.product) continue
      this.#recordEnd(peer, decision, nowMs, {
        protocol: 'websocket',
        request: webSocket.asked,
        previousReason: webSocket.allowed.reason,
      })
      webSocket.cut()
      result = 'ended'
    }
    return result
  }

  /** Undefined: nothing was allowed here yet, and nothing presented here is worthless. */
  #decideAgain(peer: Peer, trust: TrustState, nowMs: number): Decision | undefined {
    const last = this.#lastAllow
    if (last === undefined && peer.kind !== 'untrusted') return undefined
    return this.#askAgain(peer, { asked: this.#lastRequest, allowed: last }, trust, nowMs)
  }

  /** What was asked before, asked again; no limit counts it. */
  #askAgain(
    peer: Peer,
    before: { readonly asked: RequestLine | undefined; readonly allowed: Allow | undefined },
    trust: TrustState,
    nowMs: number,
  ): Decision {
    const { asked, allowed } = before
    return decide({
      peer,
      address: this.#facts.client.address,
      request: asked,
      apiKey: allowed?.apiKeyId === undefined ? undefined : { id: allowed.apiKeyId },
      trust,
      rules: this.#context.settings,
      nowMs,
      limiter: unlimited,
    })
  }

  /** The end of a live connection has its own record, with the reason that held before. */
  #recordEnd(peer: Peer, decision: Decision, nowMs: number, ended: EndedWork): void {
    const { telemetry, decisionIds } = this.#context
    const trace = telemetry.begin(undefined, undefined)
    const record: DecisionRecord = {
      id: decisionIds.next(),
      atMs: nowMs,
      direction: 'inbound',
      decision,
      peer,
      protocol: ended.protocol,
      clientAddress: this.#facts.client.text,
      clientPort: this.#facts.client.port,
      ...(ended.request === undefined ? {} : { request: ended.request }),
      ...(ended.previousReason === undefined ? {} : { previousReason: ended.previousReason }),
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
    const outgoing = {
      method: request.method,
      path: request.path,
      authority: request.authority,
      fields: this.#outgoingFields(request, scanned, inbound, { decision, peer }),
      length: request.length,
      wantsTrailers: scanned.wantsTrailers,
    }
    const target = upstreams.at(decision.upstream)
    if (request.isWebSocket === true) {
      return this.#openWebSocket(outgoing, target, reply, { inbound, allowed: decision })
    }
    return Exchange.open(outgoing, target, reply, inbound, {
      rules,
      maxBodyBytes: settings.maxBodyBytes,
    })
  }

  #outgoingFields(
    request: IncomingRequest,
    scanned: ScannedRequest,
    inbound: InboundRequest,
    { decision, peer }: { readonly decision: Allow; readonly peer: Peer },
  ): string[] {
    const fields = scanned.kept
    fields.push(...this.#identityFields(decision, peer))
    fields.push('x-forwarded-host', request.authority)
    fields.push('x-request-id', scanned.requestId ?? inbound.id)
    const { traceparent, tracestate } = inbound.trace
    if (traceparent !== undefined) fields.push('traceparent', traceparent)
    if (tracestate !== undefined) fields.push('tracestate', tracestate)
    return fields
  }

  #openWebSocket(
    request: OutgoingRequest,
    target: WebSocketUpstream,
    reply: ReplySink,
    parts: { readonly inbound: InboundRequest; readonly allowed: Allow },
  ): RequestSink {
    const webSocket = new InboundWebSocket(this.#context, parts, () =>
      this.#webSockets.delete(webSocket),
    )
    this.#webSockets.add(webSocket)
    return webSocket.open(request, target, reply, this.#facts.protocol)
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
