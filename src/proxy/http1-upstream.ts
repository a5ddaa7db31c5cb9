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
  type Dial,
  Http1WorkloadConnection,
  type WorkloadConnectionOptions,
} from './http1-workload-connection.ts'
import { type QueueLimits, RequestQueue } from './request-queue.ts'
import { Http1WebSocketWorkload } from './websocket/http1-workload.ts'

export interface Http1UpstreamOptions extends WorkloadConnectionOptions {
  readonly connect: Dial
  /** Connections at once, idle and busy; above it requests wait. WebSockets apart, which are refused above it. Default 4096. */
  readonly maxConnections?: number
  /** Default: none waits, and requests above `maxConnections` fail `upstream_overloaded` at once. */
  readonly queue?: QueueLimits
}

const defaultMaxConnections = 4_096
const noQueue: QueueLimits = { maxRequests: 0, timeoutMs: 0 }

/** Keeps and hands out HTTP/1.1 connections to one workload address; the most recently used one first. */
export class Http1Upstream implements Upstream, WebSocketUpstream {
  readonly #options: Http1UpstreamOptions
  /** The most recently used one last. */
  readonly #idle: Http1WorkloadConnection[] = []
  readonly #all = new Set<Http1WorkloadConnection>()
  readonly #queue: RequestQueue
  #webSockets = 0
  #isClosed = false

  constructor(options: Http1UpstreamOptions) {
    this.#options = options
    const { deadlines, onBug, queue = noQueue } = options
    this.#queue = new RequestQueue({ ...queue, deadlines, onBug })
  }

  /** Connections that are open now, for gauges and tests. */
  get connections(): number {
    return this.#all.size
  }

  /** Those of them that wait for a request. */
  get idleConnections(): number {
    return this.#idle.length
  }

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    const connection = (fresh ? undefined : this.#takeIdle()) ?? this.#dial()
    if (connection === undefined) return this.#queue.add(request, reply, fresh)
    return begin(connection, request, reply)
  }

  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink {
    const { connect, maxConnections = defaultMaxConnections } = this.#options
    if (this.#webSockets >= maxConnections) return refuse(reply)
    const webSocket = new Http1WebSocketWorkload(request, reply, connect, this.#options, () => {
      this.#webSockets--
    })
    this.#webSockets++
    return webSocket
  }

  /** Idle connections close now, busy ones when their exchange ends. Idempotent. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  #takeIdle(): Http1WorkloadConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined || connection.isUsable) return connection
      connection.destroy()
    }
  }

  #dial(): Http1WorkloadConnection | undefined {
    const { connect, maxConnections = defaultMaxConnections } = this.#options
    if (this.#all.size >= maxConnections) return undefined
    const connection = new Http1WorkloadConnection(connect, this.#options, {
      onIdle: () => this.#release(connection),
      onGone: () => this.#forget(connection),
    })
    this.#all.add(connection)
    return connection
  }

  #release(connection: Http1WorkloadConnection): void {
    if (!this.#queue.isEmpty) this.#reuse(connection)
    else if (this.#isClosed) connection.destroy()
    else this.#idle.push(connection)
  }

  #forget(connection: Http1WorkloadConnection): void {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    if (!this.#queue.isEmpty) this.#serveOn(this.#dial())
  }

  /** For the first that waits; it makes room for a new one where it is not good enough. */
  #reuse(connection: Http1WorkloadConnection): void {
    if (connection.isUsable && !this.#queue.isFirstFresh) this.#serveOn(connection)
    else connection.destroy()
  }

  #serveOn(connection: Http1WorkloadConnection | undefined): void {
    if (connection === undefined) return
    this.#queue.serveFirst((request, reply) => begin(connection, request, reply))
  }
}

/** Throws when the request is none that can be written. */
function begin(
  connection: Http1WorkloadConnection,
  request: OutgoingRequest,
  reply: ReplySink,
): RequestSink {
  try {
    connection.begin(request, reply)
  } catch (bug) {
    connection.destroy()
    throw bug
  }
  return connection
}

function refuse(reply: ReplySink): RequestSink {
  reply.replyFailed(noConnectionLeft)
  return discardedRequest
}
