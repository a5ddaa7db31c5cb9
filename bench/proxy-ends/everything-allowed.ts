import { Exchange, type ExchangeOwner } from '../../src/proxy/exchange.ts'
import type {
  IncomingRequest,
  ReplySink,
  RequestServer,
  RequestSink,
  Upstream,
} from '../../src/proxy/ends.ts'
import { HeaderRules } from '../../src/proxy/header-rules.ts'

const identity = [
  ...['x-postern-product', 'payments', 'x-postern-principal', 'spiffe://corp.example/checkout'],
  ...['x-postern-credential', 'x509-svid', 'x-forwarded-for', '127.0.0.1'],
  ...['x-forwarded-proto', 'https'],
]

/** Forwards every request as one of the same caller, and records nothing. */
export class EverythingAllowed implements RequestServer, ExchangeOwner {
  readonly #upstream: Upstream
  readonly #rules = HeaderRules.inbound('x-api-key')
  readonly #options = { rules: this.#rules, maxBodyBytes: 1 << 30 }

  constructor(upstream: Upstream) {
    this.#upstream = upstream
  }

  serve(request: IncomingRequest, sink: ReplySink): RequestSink {
    const scanned = this.#rules.scanRequest(request.fields, request.connectionOptions)
    const fields = scanned.kept
    fields.push(...identity)
    return Exchange.open(
      {
        method: request.method,
        path: request.path,
        authority: request.authority,
        fields,
        length: request.length,
        wantsTrailers: scanned.wantsTrailers,
      },
      this.#upstream,
      sink,
      this,
      this.#options,
    )
  }

  refuse(): void {
    throw new Error('refused')
  }

  replyToFailure(): number {
    throw new Error('the workload failed')
  }

  replyToLargeBody(): number {
    throw new Error('there is no body')
  }

  exchangeEnded(): void {
    // Nothing to record.
  }
}
