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

export interface Http2UpstreamOptions extends Http2WorkloadConnectionOptions {
  /** Dials the workload; the socket may still be connecting. */
  readonly connect: () => Socket
  /** Connections at once; above it requests fail `upstream_overloaded`. Default 64. */
  readonly maxConnections?: number
}

const defaultMaxConnections = 64

/** HTTP/2 with prior knowledge to one workload address: requests share few connections. */
export class Http2Upstream implements Upstream, WebSocketUpstream {
  readonly #options: Http2UpstreamOptions
  /** The oldest first: it is filled before the next one is asked. */
  readonly #connections: Http2WorkloadConnection[] = []
  #isClosed = false

  constructor(options: Http2UpstreamOptions) {
    this.#options = options
  }

  /** Connections that are open now, for gauges and tests. */
  get connections(): number {
    return this.#connections.length
  }

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    const connection = this.#choose(fresh)
    const sink = connection?.open(request, reply)
    if (this.#isClosed) connection?.finish()
    return sink ?? refuse(reply)
  }

  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink {
    return this.#choose(false)?.openWebSocket(request, reply) ?? refuse(reply)
  }

  /** Idle connections close now, busy ones when their exchanges end. Idempotent. */
  close(): void {
    this.#isClosed = true
    for (const connection of [...this.#connections]) connection.finish()
  }

  /**
   * The first connection that takes a stream. One whose window is used up is passed over, because the workload may have
   * stopped reading one stream of it, which must not hold up everybody's; it is still better than none.
   */
  #choose(fresh: boolean): Http2WorkloadConnection | undefined {
    let secondBest: Http2WorkloadConnection | undefined
    for (const connection of this.#connections) {
      if (!connection.isAvailable) continue
      if (!connection.isWindowUsedUp && !(fresh && connection.isProven)) return connection
      secondBest ??= connection
    }
    return this.#dial() ?? secondBest
  }

  #dial(): Http2WorkloadConnection | undefined {
    const { connect, maxConnections = defaultMaxConnections } = this.#options
    if (this.#connections.length >= maxConnections) return undefined
    const connection = new Http2WorkloadConnection(connect(), this.#options, () =>
      this.#forget(connection),
    )
    this.#connections.push(connection)
    return connection
  }

  #forget(connection: Http2WorkloadConnection): void {
    const at = this.#connections.indexOf(connection)
    if (at !== -1) this.#connections.splice(at, 1)
  }
}

function refuse(reply: ReplySink): RequestSink {
  reply.replyFailed(noConnectionLeft)
  return discardedRequest
}
