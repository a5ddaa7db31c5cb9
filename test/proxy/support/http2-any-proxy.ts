import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { type Clock, systemClock } from '../../../src/core/clock.ts'
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
import { Http2Downstream } from '../../../src/proxy/http2-downstream.ts'
import { Http2Upstream } from '../../../src/proxy/http2-upstream.ts'
import type { QueueLimits } from '../../../src/proxy/request-queue.ts'
import type { Http2Limits } from '../../../src/http2/limits.ts'
import { answer } from './http2-local-answer.ts'
import { patienceMs } from './patience.ts'

export interface AnyProxyOptions {
  readonly downstream: 'http1' | 'h2'
  readonly upstream: 'http1' | 'h2c'
  readonly upstreamPort: number
  readonly clock?: Clock
  readonly limits?: Partial<Http2Limits>
  readonly maxBodyBytes?: number
  readonly headerTimeoutMs?: number
  readonly idleTimeoutMs?: number
  readonly bodyTimeoutMs?: number
  readonly connectTimeoutMs?: number
  readonly responseTimeoutMs?: number
  readonly maxUpstreamConnections?: number
  readonly queue?: QueueLimits
  /** Dials the workload instead of `upstreamPort`. */
  readonly dial?: () => Socket
}

type Upstream = Http1Upstream | Http2Upstream
type Downstream = Http1Downstream | Http2Downstream

/** One end of either protocol on both sides, joined by an `Exchange` over real sockets; everything is let through. */
export class AnyProxy implements RequestServer {
  readonly outcomes: ExchangeOutcome[] = []
  readonly failures: UpstreamFailure[] = []
  readonly refusals: RefusedRequest[] = []
  readonly bugs: unknown[] = []
  readonly downstreams = new Set<Downstream>()
  readonly downstreamSockets = new Set<Socket>()
  readonly upstreamSockets = new Set<Socket>()
  readonly upstream: Upstream
  /** Requests that are under way. */
  open = 0
  /** Body bytes that came in and have not left again, at their highest, of both directions of all requests together. */
  peakHeldBytes = 0
  heldBytes = 0
  /** Answers a request here; undefined: it is forwarded. */
  answerLocally: (request: IncomingRequest, reply: ReplySink) => RequestSink | undefined = () =>
    undefined
  readonly #options: AnyProxyOptions
  readonly #deadlines: Deadlines
  readonly #rules = HeaderRules.inbound('x-api-key')
  readonly #server: Server

  private constructor(options: AnyProxyOptions) {
    this.#options = options
    this.#deadlines = new Deadlines(options.clock ?? systemClock)
    this.upstream = this.#newUpstream()
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket))
  }

  static async start(options: AnyProxyOptions): Promise<AnyProxy> {
    const proxy = new AnyProxy(options)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Bytes that wait in sockets for callers and workload to read. */
  get unwrittenBytes(): number {
    return [...this.downstreamSockets, ...this.upstreamSockets].reduce(
      (sum, socket) => sum + socket.writableLength,
      0,
    )
  }

  /** Streams of the callers' HTTP/2 connections that are not closed. */
  get downstreamStreams(): number {
    let streams = 0
    for (const end of this.downstreams) {
      if (end instanceof Http2Downstream) streams += end.connection.streamCount
    }
    return streams
  }

  serve(request: IncomingRequest, reply: ReplySink): RequestSink {
    const local = this.answerLocally(request, reply)
    if (local !== undefined) return local
    const scanned = this.#rules.scanRequest(request.fields, request.connectionOptions)
    this.open++
    const hold = (bytes: number) => {
      this.heldBytes += bytes
      this.peakHeldBytes = Math.max(this.peakHeldBytes, this.heldBytes)
    }
    const exchange = Exchange.open(
      {
        method: request.method,
        path: request.path,
        authority: request.authority,
        fields: scanned.kept,
        length: request.length,
        wantsTrailers: scanned.wantsTrailers,
      },
      this.upstream,
      countingReply(reply, hold),
      {
        replyToFailure: (failure, sink) => {
          this.failures.push(failure)
          return answer(sink, statuses[failure.reason], failure.reason)
        },
        replyToLargeBody: (sink) => answer(sink, 413, 'too large', { closeAfter: true }),
        exchangeEnded: (outcome) => {
          this.open--
          this.outcomes.push(outcome)
        },
      },
      { rules: this.#rules, maxBodyBytes: this.#options.maxBodyBytes ?? 1 << 30 },
    )
    return countingRequest(exchange, hold)
  }

  refuse(refusal: RefusedRequest, reply: ReplySink): void {
    this.refusals.push(refusal)
    answer(reply, refusal.status, refusal.code, { closeAfter: true })
  }

  async close(): Promise<void> {
    for (const downstream of this.downstreams) downstream.destroy()
    this.upstream.close()
    for (const socket of this.upstreamSockets) socket.destroy()
    this.#deadlines.close()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #newUpstream(): Upstream {
    const { upstreamPort, dial, maxUpstreamConnections, queue } = this.#options
    const options = {
      connect: () => this.#watched(dial?.() ?? connect(upstreamPort, '127.0.0.1')),
      deadlines: this.#deadlines,
      connectTimeoutMs: this.#options.connectTimeoutMs ?? 2_000,
      responseTimeoutMs: this.#options.responseTimeoutMs ?? 10_000,
      ...(maxUpstreamConnections === undefined ? {} : { maxConnections: maxUpstreamConnections }),
      ...(queue === undefined ? {} : { queue }),
      onBug: (error: unknown) => void this.bugs.push(error),
    }
    return this.#options.upstream === 'http1'
      ? new Http1Upstream(options)
      : new Http2Upstream(options)
  }

  #watched(socket: Socket): Socket {
    this.upstreamSockets.add(socket)
    socket.once('close', () => this.upstreamSockets.delete(socket))
    return socket
  }

  #serve(socket: Socket): void {
    const options = {
      deadlines: this.#deadlines,
      limits: this.#options.limits ?? {},
      headerTimeoutMs: this.#options.headerTimeoutMs ?? patienceMs,
      idleTimeoutMs: this.#options.idleTimeoutMs ?? patienceMs,
      bodyTimeoutMs: this.#options.bodyTimeoutMs ?? patienceMs,
      onBug: (error: unknown) => void this.bugs.push(error),
    }
    const downstream =
      this.#options.downstream === 'http1'
        ? new Http1Downstream(socket, this, { ...options, limits: {} })
        : new Http2Downstream(socket, this, options)
    this.downstreams.add(downstream)
    this.downstreamSockets.add(socket)
    socket.once('close', () => {
      this.downstreams.delete(downstream)
      this.downstreamSockets.delete(socket)
    })
  }
}

type Hold = (bytes: number) => void

function countingReply(reply: ReplySink, hold: Hold): ReplySink {
  return {
    replyInformational: (status, fields) => reply.replyInformational(status, fields),
    replyHead: (head) => reply.replyHead(head),
    replyData: (chunk) => {
      hold(chunk.length)
      reply.replyData(chunk)
    },
    replyEnd: (trailers) => reply.replyEnd(trailers),
    replyFailed: (failure) => reply.replyFailed(failure),
    requestTaken: (bytes) => {
      hold(-bytes)
      reply.requestTaken(bytes)
    },
    replyFlush: () => reply.replyFlush(),
  }
}

function countingRequest(request: RequestSink, hold: Hold): RequestSink {
  return {
    requestData: (chunk) => {
      hold(chunk.length)
      request.requestData(chunk)
    },
    requestEnd: (trailers) => request.requestEnd(trailers),
    requestAborted: () => request.requestAborted(),
    replyTaken: (bytes) => {
      hold(-bytes)
      request.replyTaken(bytes)
    },
    requestFlush: () => request.requestFlush(),
  }
}

const statuses = {
  upstream_unavailable: 503,
  upstream_overloaded: 503,
  upstream_timeout: 504,
  upstream_reset: 502,
  upstream_malformed: 502,
  websocket_unsupported: 501,
} as const
