import type { Socket } from 'node:net'
import {
  discardedRequest,
  noConnectionLeft,
  type OutgoingRequest,
  type ReplySink,
  type RequestSink,
  type Upstream,
  type WebSocketUpstream,
} from './ends.ts'
import {
  Http2WorkloadConnection,
  type Http2WorkloadConnectionOptions,
} from './http2-workload-connection.ts'
import { type QueueLimits, RequestQueue } from './request-queue.ts'

export interface Http2UpstreamOptions extends Http2WorkloadConnectionOptions {
  /** Dials the workload; the socket may still be connecting. */
  readonly connect: () => Socket
  /** Connections at once. Requests above what they carry wait; WebSockets are refused. Default 64. */
  readonly maxConnections?: number
  /** Default: none waits, and requests above it fail `upstream_overloaded` at once. */
  readonly queue?: QueueLimits
}

const defaultMaxConnections = 64
const noQueue: QueueLimits = { maxRequests: 0, timeoutMs: 0 }

/** HTTP/2 with prior knowledge to one workload address: requests share few connections. */
export class Http2Upstream implements Upstream, WebSocketUpstream {
  readonly #options: Http2UpstreamOptions
  /** The oldest first: it is filled before the next one is asked. */
  readonly #connections: Http2WorkloadConnection[] = []
  readonly #queue: RequestQueue
  /** What the workload allowed on a connection last: a new one is not given more before its own SETTINGS come. */
  #allowedStreams = Infinity
  #isClosed = false

  constructor(options: Http2UpstreamOptions) {
    this.#options = options
    const { deadlines, onBug, queue = noQueue } = options
    this.#queue = new RequestQueue({ ...queue, deadlines, onBug })
  }

  /** Connections that are open now, for gauges and tests. */
  get connections(): number {
    return this.#connections.length
  }

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    const connection = this.#choose(fresh)
    if (connection === undefined) return this.#queue.add(request, reply, fresh)
    return this.#openOn(connection, request, reply)
  }

  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink {
    return this.#choose(false)?.openWebSocket(request, reply) ?? refuse(reply)
  }

  /** Idle connections close now, busy ones when their exchanges end. Idempotent. */
  close(): void {
    this.#isClosed = true
    for (const connection of [...this.#connections]) connection.finish()
  }

  #openOn(
    connection: Http2WorkloadConnection,
    request: OutgoingRequest,
    reply: ReplySink,
  ): RequestSink {
    const sink = connection.open(request, reply)
    if (this.#isClosed) connection.finish()
    return sink ?? refuse(reply)
  }

  /** A stream has ended, a connection has gone, or the workload allows more. */
  #serveWaiting(): void {
    while (!this.#queue.isEmpty) {
      const connection = this.#choose(this.#queue.isFirstFresh)
      if (connection === undefined) return
      this.#queue.serveFirst((request, reply) => this.#openOn(connection, request, reply))
    }
  }

  /**
   * The first connection that takes a stream. One whose window is used up is passed over, because the workload may have
   * stopped reading one stream of it, which must not hold up everybody's; it is still better than none.
   */
  #choose(fresh: boolean): Http2WorkloadConnection | undefined {
    let secondBest: Http2WorkloadConnection | undefined
    for (const connection of this.#connections) {
      if (!connection.isAvailable || this.#isFilledOnTrust(connection)) continue
      if (!connection.isWindowUsedUp && !(fresh && connection.isProven)) return connection
      secondBest ??= connection
    }
    return this.#dial() ?? secondBest
  }

  #dial(): Http2WorkloadConnection | undefined {
    const { connect, maxConnections = defaultMaxConnections } = this.#options
    if (this.#connections.length >= maxConnections) return undefined
    const connection = new Http2WorkloadConnection(connect(), this.#options, {
      onSettings: (allowedStreams) => (this.#allowedStreams = Math.max(1, allowedStreams)),
      onRoom: () => this.#serveWaiting(),
      onGone: () => this.#forget(connection),
    })
    this.#connections.push(connection)
    return connection
  }

  #forget(connection: Http2WorkloadConnection): void {
    const at = this.#connections.indexOf(connection)
    if (at !== -1) this.#connections.splice(at, 1)
    this.#serveWaiting()
  }

  #isFilledOnTrust({ connection }: Http2WorkloadConnection): boolean {
    return !connection.hasPeerSettings && connection.streamCount >= this.#allowedStreams
  }
}

function refuse(reply: ReplySink): RequestSink {
  reply.replyFailed(noConnectionLeft)
  return discardedRequest
}
