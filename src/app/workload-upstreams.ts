import { connect, type OnReadOpts, type Socket } from 'node:net'
import type { Logger } from '../core/logger.ts'
import { stackOf } from '../core/errors.ts'
import type { Upstreams } from '../inbound/context.ts'
import type { Deadlines } from '../proxy/deadlines.ts'
import { AutoUpstream } from '../proxy/auto-upstream.ts'
import type { Upstream, WebSocketUpstream } from '../proxy/ends.ts'
import { Http1Upstream } from '../proxy/http1-upstream.ts'
import { Http2Upstream } from '../proxy/http2-upstream.ts'
import type { QueueLimits } from '../proxy/request-queue.ts'

/** Where a workload listens. */
export type WorkloadAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

export interface WorkloadUpstreamsOptions {
  readonly address: WorkloadAddress
  /** What the workload speaks; `auto`: gRPC goes h2c, the rest HTTP/1.1. */
  readonly protocol: 'auto' | 'http1' | 'h2c'
  readonly deadlines: Deadlines
  readonly connectTimeoutMs: number
  readonly responseTimeoutMs: number
  /** To each address. */
  readonly maxConnections: number
  /** Of requests above that, for each address. */
  readonly queue: QueueLimits
  /** Reads the address that a product names; it was checked when the product map was loaded. */
  readonly parse: (address: string) => WorkloadAddress
  readonly logger: Logger
}

type WorkloadPool = Upstream & WebSocketUpstream

/** Each of them carries many requests at once. */
const mostHttp2Connections = 64

/** The workload's ports: the listener's own, and those that products name. One pool each, made at first use. */
export class WorkloadUpstreams implements Upstreams {
  readonly #options: WorkloadUpstreamsOptions
  readonly #own: WorkloadPool
  readonly #byAddress = new Map<string, WorkloadPool>()

  constructor(options: WorkloadUpstreamsOptions) {
    this.#options = options
    this.#own = this.#pool(options.address)
  }

  at(address: string | undefined): WorkloadPool {
    if (address === undefined) return this.#own
    const known = this.#byAddress.get(address)
    if (known !== undefined) return known
    const pool = this.#pool(this.#options.parse(address))
    this.#byAddress.set(address, pool)
    return pool
  }

  dial(address: string | undefined): Socket {
    const { address: own, parse } = this.#options
    return dial(address === undefined ? own : parse(address), { allowHalfOpen: true })
  }

  /** Forgets the pools of addresses that no product names any more; their running exchanges finish. */
  keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, pool] of this.#byAddress) {
      if (addresses.has(address)) continue
      this.#byAddress.delete(address)
      pool.close()
    }
  }

  close(): void {
    this.#own.close()
    this.keepOnly(new Set())
  }

  #pool(address: WorkloadAddress): WorkloadPool {
    const { protocol, deadlines, connectTimeoutMs, responseTimeoutMs, logger } = this.#options
    const { maxConnections, queue } = this.#options
    const options = {
      connect: (onread?: OnReadOpts) => dial(address, { onread }),
      deadlines,
      connectTimeoutMs,
      responseTimeoutMs,
      maxConnections,
      queue,
      onBug: (error: unknown) => logger.error('unexpected exception', { error: stackOf(error) }),
    }
    const shared = { ...options, maxConnections: Math.min(maxConnections, mostHttp2Connections) }
    switch (protocol) {
      case 'http1':
        return new Http1Upstream(options)
      case 'h2c':
        return new Http2Upstream(shared)
      case 'auto':
        return new AutoUpstream(new Http1Upstream(options), new Http2Upstream(shared))
    }
  }
}

function dial(
  address: WorkloadAddress,
  options: { readonly allowHalfOpen?: boolean; readonly onread?: OnReadOpts | undefined },
): Socket {
  return address.kind === 'unix'
    ? connect({ path: address.path, ...options })
    : connect({ port: address.port, host: address.host, ...options })
}
