import { Exchange } from '../proxy/exchange.ts'
import {
  type IncomingRequest,
  type RefusedRequest,
  type ReplySink,
  type RequestServer,
  type RequestSink,
} from '../proxy/ends.ts'
import { respond } from '../proxy/respond.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import { type LocalFacts, OutboundRequest } from './outbound-request.ts'
import type { OutboundWebSockets } from './outbound-websockets.ts'
import type { PeerPool } from './peer-pool.ts'

export interface OutboundConnectionOptions {
  readonly context: OutboundContext
  readonly route: OutboundRoute
  readonly pool: PeerPool
  readonly webSockets: OutboundWebSockets
  readonly facts: LocalFacts
  /** The port that the workload connected to. */
  readonly localPort: number
}

/** The requests of one connection of the workload, each sent to the one peer of its listener. */
export class OutboundConnection implements RequestServer {
  readonly #options: OutboundConnectionOptions

  constructor(options: OutboundConnectionOptions) {
    this.#options = options
  }

  serve(request: IncomingRequest, reply: ReplySink): RequestSink {
    const { context, localPort, route, webSockets, facts } = this.#options
    const scanned = context.rules.scanRequest(request.fields, request.connectionOptions)
    const call = new OutboundRequest({ ...this.#options, request, scanned })
    const fields = scanned.kept
    fields.push('x-request-id', scanned.requestId ?? call.id)
    const { traceparent, tracestate } = call.trace
    if (traceparent !== undefined) fields.push('traceparent', traceparent)
    if (tracestate !== undefined) fields.push('tracestate', tracestate)
    const outgoing = {
      method: request.method,
      path: request.path,
      authority: authorityFor(request.authority, localPort, route),
      fields,
      length: request.length,
      wantsTrailers: scanned.wantsTrailers,
    }
    if (request.isWebSocket === true) {
      return webSockets.open(call, outgoing, reply, facts.protocol === 'h2')
    }
    const { rules } = context
    return Exchange.open(outgoing, call, reply, call, { rules, maxBodyBytes: Infinity })
  }

  refuse(refusal: RefusedRequest, reply: ReplySink): void {
    const { context } = this.#options
    context.logger.debug('call malformed', { reason: refusal.code, status: refusal.status })
    respond(reply, {
      status: refusal.status,
      reason: refusal.code,
      detail: refusal.detail,
      decisionId: context.decisionIds.next(),
      closeAfter: true,
      form: refusal.isGrpc === true ? 'grpc' : 'problem',
    })
  }
}

const httpsPort = 443
const httpPort = 80

/**
 * What the peer is asked for: the host that the workload names, or the peer's own where it names none but our port, which
 * would tell the peer nothing.
 */
function authorityFor(
  asked: string,
  localPort: number,
  { listen, upstream }: OutboundRoute,
): string {
  const local = [listen.host, 'localhost', '127.0.0.1', '::1'].map(bracketed)
  const ours = local.map((host) => `${host}:${localPort}`)
  if (localPort === httpPort) ours.push(...local)
  if (asked !== '' && !ours.includes(asked.toLowerCase())) return asked
  const host = bracketed(upstream.host)
  return upstream.port === httpsPort ? host : `${host}:${upstream.port}`
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
