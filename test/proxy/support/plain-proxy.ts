import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { systemClock } from '../../../src/core/clock.ts'
import { Deadlines } from '../../../src/proxy/deadlines.ts'
import { Exchange, type ExchangeOutcome } from '../../../src/proxy/exchange.ts'
import type {
  IncomingRequest,
  RefusedRequest,
  ReplySink,
  RequestServer,
  RequestSink,
  UpstreamFailure,
} from '../../../src/proxy/ends.ts'
import { HeaderRules } from '../../../src/proxy/header-rules.ts'
import { Http1Downstream } from '../../../src/proxy/http1-downstream.ts'
import { Http1Upstream } from '../../../src/proxy/http1-upstream.ts'

export interface PlainProxyOptions {
  readonly upstreamPort: number
  readonly maxBodyBytes?: number
  readonly headerTimeoutMs?: number
  readonly idleTimeoutMs?: number
  readonly connectTimeoutMs?: number
  readonly responseTimeoutMs?: number
}

/** The two HTTP/1.1 ends joined by an `Exchange` over real sockets, with a server that lets everything through. */
export class PlainProxy implements RequestServer {
  readonly outcomes: ExchangeOutcome[] = []
  readonly refusals: RefusedRequest[] = []
  readonly bugs: unknown[] = []
  readonly downstreams = new Set<Http1Downstream>()
  readonly upstream: Http1Upstream
  readonly #options: PlainProxyOptions
  readonly #deadlines = new Deadlines(systemClock)
  readonly #rules = new HeaderRules('x-api-key')
  readonly #server: Server

  private constructor(options: PlainProxyOptions) {
    this.#options = options
    const onBug = (error: unknown) => void this.bugs.push(error)
    this.upstream = new Http1Upstream({
      connect: () => connect(options.upstreamPort, '127.0.0.1'),
      deadlines: this.#deadlines,
      connectTimeoutMs: options.connectTimeoutMs ?? 2_000,
      responseTimeoutMs: options.responseTimeoutMs ?? 5_000,
      onBug,
    })
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket, onBug))
  }

  static async start(options: PlainProxyOptions): Promise<PlainProxy> {
    const proxy = new PlainProxy(options)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  serve(request: IncomingRequest, reply: ReplySink): RequestSink {
    const scanned = this.#rules.scanRequest(request.fields, request.connectionOptions)
    return Exchange.open(
      {
        method: request.method,
        path: request.path,
        authority: request.authority,
        fields: scanned.kept,
        length: request.length,
        wantsTrailers: scanned.wantsTrailers,
      },
      this.upstream,
      reply,
      {
        replyToFailure: (failure, sink) => answerFailure(failure, sink),
        replyToLargeBody: (sink) => answer(sink, 413, 'too large'),
        exchangeEnded: (outcome) => void this.outcomes.push(outcome),
      },
      { rules: this.#rules, maxBodyBytes: this.#options.maxBodyBytes ?? 1 << 30 },
    )
  }

  refuse(refusal: RefusedRequest, reply: ReplySink): void {
    this.refusals.push(refusal)
    answer(reply, refusal.status, refusal.code)
  }

  async close(): Promise<void> {
    for (const downstream of this.downstreams) downstream.destroy()
    this.upstream.close()
    this.#deadlines.close()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #serve(socket: Socket, onBug: (error: unknown) => void): void {
    const downstream = new Http1Downstream(socket, this, {
      deadlines: this.#deadlines,
      limits: {},
      headerTimeoutMs: this.#options.headerTimeoutMs ?? 10_000,
      idleTimeoutMs: this.#options.idleTimeoutMs ?? 60_000,
      onBug,
    })
    this.downstreams.add(downstream)
    socket.once('close', () => this.downstreams.delete(downstream))
  }
}

function answerFailure(failure: UpstreamFailure, reply: ReplySink): number {
  const status = { upstream_unavailable: 503, upstream_timeout: 504 } as const
  const known: Record<string, number> = status
  return answer(reply, known[failure.reason] ?? 502, failure.reason)
}

function answer(reply: ReplySink, status: number, text: string): number {
  const body = Buffer.from(text)
  reply.replyHead({
    status,
    reason: '',
    fields: [],
    length: body.length,
    connectionOptions: [],
    closeAfter: status < 500,
  })
  reply.replyData(body)
  reply.replyEnd([])
  return status
}
