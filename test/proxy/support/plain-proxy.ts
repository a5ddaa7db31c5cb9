import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { type Clock, systemClock } from '../../../src/core/clock.ts'
import type { Http1Limits } from '../../../src/http1/limits.ts'
import { Deadlines } from '../../../src/proxy/deadlines.ts'
import {
  discardedRequest,
  type IncomingRequest,
  type RefusedRequest,
  type ReplySink,
  type RequestServer,
  type RequestSink,
  type UpstreamFailure,
} from '../../../src/proxy/ends.ts'
import { Exchange, type ExchangeOutcome } from '../../../src/proxy/exchange.ts'
import { HeaderRules, type ScannedRequest } from '../../../src/proxy/header-rules.ts'
import { Http1Downstream } from '../../../src/proxy/http1-downstream.ts'
import { Http1Upstream } from '../../../src/proxy/http1-upstream.ts'
import type { Dial } from '../../../src/proxy/http1-workload-connection.ts'
import type { QueueLimits } from '../../../src/proxy/request-queue.ts'
import { eventually } from './eventually.ts'
import { patienceMs } from './patience.ts'

export interface PlainProxyOptions {
  readonly upstreamPort: number
  /** Of all deadlines. Default: the real one. */
  readonly clock?: Clock
  readonly limits?: Partial<Http1Limits>
  readonly maxBodyBytes?: number
  readonly headerTimeoutMs?: number
  readonly idleTimeoutMs?: number
  readonly bodyTimeoutMs?: number
  readonly connectTimeoutMs?: number
  readonly responseTimeoutMs?: number
  readonly maxConnections?: number
  readonly queue?: QueueLimits
  /** In the place of dialling `upstreamPort`. */
  readonly connect?: Dial
  /** Answered with 403 in the workload's stead. */
  readonly denies?: (request: IncomingRequest) => boolean
}

/** What the proxy says of every caller, in the place of an identity. */
export const identityFields = ['x-postern-product', 'plain', 'x-postern-principal', 'tester']

/** The two HTTP/1.1 ends joined by an `Exchange` over real sockets, with a server that lets everything through. */
export class PlainProxy implements RequestServer {
  readonly requests: IncomingRequest[] = []
  readonly scans: ScannedRequest[] = []
  readonly outcomes: ExchangeOutcome[] = []
  readonly refusals: RefusedRequest[] = []
  readonly failures: UpstreamFailure[] = []
  readonly bugs: unknown[] = []
  readonly downstreams = new Set<Http1Downstream>()
  /** The callers' sockets, open and closed. */
  readonly sockets: Socket[] = []
  /** Those to the workload, open and closed. */
  readonly workloadSockets: Socket[] = []
  readonly upstream: Http1Upstream
  /** Sent to the workload besides. */
  addFields: readonly string[] = []
  /** Called before an outcome is noted. */
  onOutcome: () => void = () => undefined
  /** Called before a failure of the workload is answered. */
  onFailure: () => void = () => undefined
  readonly #options: PlainProxyOptions
  readonly #deadlines: Deadlines
  readonly #rules = HeaderRules.inbound('x-api-key')
  readonly #server: Server

  private constructor(options: PlainProxyOptions) {
    this.#options = options
    this.#deadlines = new Deadlines(options.clock ?? systemClock)
    const { maxConnections, queue } = options
    const to = { port: options.upstreamPort, host: '127.0.0.1' }
    const dial = options.connect ?? ((onread) => connect({ ...to, onread }))
    this.upstream = new Http1Upstream({
      connect: (onread) => {
        const socket = dial(onread)
        this.workloadSockets.push(socket)
        return socket
      },
      deadlines: this.#deadlines,
      connectTimeoutMs: options.connectTimeoutMs ?? 2_000,
      responseTimeoutMs: options.responseTimeoutMs ?? patienceMs,
      ...(maxConnections === undefined ? {} : { maxConnections }),
      ...(queue === undefined ? {} : { queue }),
      onBug: this.onBug,
    })
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  static async start(options: PlainProxyOptions): Promise<PlainProxy> {
    const proxy = new PlainProxy(options)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  readonly onBug = (error: unknown): void => {
    this.bugs.push(error)
  }

  serve(request: IncomingRequest, reply: ReplySink): RequestSink {
    this.requests.push(request)
    if (this.#options.denies?.(request) === true) {
      answer(reply, 403, 'denied', false)
      return discardedRequest
    }
    const scanned = this.#rules.scanRequest(request.fields, request.connectionOptions)
    this.scans.push(scanned)
    scanned.kept.push(...identityFields, ...this.addFields)
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
        replyToFailure: (failure, sink) => {
          this.onFailure()
          this.failures.push(failure)
          return answerFailure(failure, sink)
        },
        replyToLargeBody: (sink) => answer(sink, 413, 'body_too_large', true),
        exchangeEnded: (outcome) => {
          this.onOutcome()
          this.outcomes.push(outcome)
        },
      },
      { rules: this.#rules, maxBodyBytes: this.#options.maxBodyBytes ?? 1 << 30 },
    )
  }

  refuse(refusal: RefusedRequest, reply: ReplySink): void {
    this.refusals.push(refusal)
    answer(reply, refusal.status, refusal.code, true)
  }

  /** The end of a connection over any stream. */
  attach(socket: Socket): Http1Downstream {
    const downstream = new Http1Downstream(socket, this, {
      deadlines: this.#deadlines,
      limits: this.#options.limits ?? {},
      headerTimeoutMs: this.#options.headerTimeoutMs ?? patienceMs,
      idleTimeoutMs: this.#options.idleTimeoutMs ?? patienceMs,
      bodyTimeoutMs: this.#options.bodyTimeoutMs ?? this.#options.idleTimeoutMs ?? patienceMs,
      onBug: this.onBug,
    })
    this.downstreams.add(downstream)
    socket.once('close', () => this.downstreams.delete(downstream))
    return downstream
  }

  /** The outcome of the exchange with this number, once it has ended. */
  async outcome(index: number): Promise<ExchangeOutcome> {
    await eventually(
      () => this.outcomes.length > index,
      () => `exchange ${index} did not end`,
    )
    return this.outcomes[index]!
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

  #accept(socket: Socket): void {
    this.sockets.push(socket)
    this.attach(socket)
  }
}

const statusOfFailure = {
  upstream_unavailable: 503,
  upstream_overloaded: 503,
  upstream_timeout: 504,
  upstream_reset: 502,
  upstream_malformed: 502,
  websocket_unsupported: 501,
} as const

function answerFailure(failure: UpstreamFailure, reply: ReplySink): number {
  return answer(reply, statusOfFailure[failure.reason], failure.reason, false)
}

function answer(reply: ReplySink, status: number, text: string, closeAfter: boolean): number {
  const body = Buffer.from(text)
  reply.replyHead({
    status,
    reason: '',
    fields: ['x-answered-by', 'proxy'],
    length: body.length,
    connectionOptions: [],
    closeAfter,
  })
  reply.replyData(body)
  reply.replyEnd([])
  return status
}
