import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { endpointServerOptions, hasBody, HttpEndpoint } from '../http-endpoint/http-endpoint.ts'
import type { MetricFormat } from '../telemetry/metric-text.ts'

/** What is not there yet, or no more, for the sidecar to take requests (DESIGN.md 9). */
export interface Readiness {
  /** Names of the missing conditions (`identity`, `files`, `listener`, `draining`); empty when ready. */
  missing(): readonly string[]
}

export interface HealthServerOptions {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly readiness: Readiness
  /** All metrics in this format. */
  readonly metrics: (format: MetricFormat) => Promise<string>
  readonly logger: Logger
  /** Milliseconds. Default 5000. */
  readonly requestTimeoutMs?: number
}

/** Enough for a kubelet and several scrapers, and little to be had for anyone else. */
const limits = {
  maxConnections: 256,
  maxHeaderBytes: 8 * 1024,
  maxHeaders: 64,
  requestTimeoutMs: 5_000,
  idleTimeoutMs: 10_000,
  requestsPerConnection: 1_000,
} as const

/**
 * `/livez`, `/readyz` and `/metrics` in plaintext. It answers probes from outside the pod, so that it tells nothing but
 * states and numbers.
 */
export class HealthServer {
  readonly #endpoint: HttpEndpoint
  readonly #options: HealthServerOptions
  readonly #scrapes: Partial<Record<MetricFormat, Promise<string> | undefined>> = {}

  private constructor(options: HealthServerOptions) {
    this.#options = options
    const { host, port, logger } = options
    const { requestTimeoutMs = limits.requestTimeoutMs } = options
    const ownLimits = { ...limits, requestTimeoutMs }
    this.#endpoint = new HttpEndpoint(
      createServer(
        endpointServerOptions(ownLimits),
        (request, reply) => void this.#answer(request, reply),
      ),
      { host, port, limits: ownLimits, logger, failure: 'health server failed' },
    )
  }

  /** Resolves when it listens; throws `PosternError` ERR_LISTEN_FAILED. The caller closes it. */
  static async start(options: HealthServerOptions): Promise<HealthServer> {
    const server = new HealthServer(options)
    await server.#endpoint.listen()
    return server
  }

  /** Where it listens. */
  get address(): { readonly host: string; readonly port: number } {
    return this.#endpoint.address
  }

  /** Cuts all connections. Idempotent. */
  close(): Promise<void> {
    return this.#endpoint.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    // Nobody has a body to send here; what comes nevertheless is not read, and the connection ends.
    if (hasBody(request)) reply.setHeader('connection', 'close')
    try {
      send(reply, await this.#replyTo(request))
    } catch (error) {
      this.#options.logger.error('health request failed', { error: messageOf(error) })
      send(reply, { status: 500, body: json({ status: 'error' }) })
    }
  }

  async #replyTo({ method, url = '', headers }: IncomingMessage): Promise<Reply> {
    const path = url.split('?', 1)[0]
    if (path !== '/livez' && path !== '/readyz' && path !== '/metrics') {
      return { status: 404, body: json({ status: 'not found' }) }
    }
    if (method !== 'GET' && method !== 'HEAD') {
      return { status: 405, body: json({ status: 'method not allowed' }), allow: 'GET, HEAD' }
    }
    switch (path) {
      case '/livez':
        return { status: 200, body: json({ status: 'ok' }) }
      case '/readyz':
        return readinessReply(this.#options.readiness.missing())
      case '/metrics':
        return this.#metrics(formatFor(headers.accept))
    }
  }

  async #metrics(format: MetricFormat): Promise<Reply> {
    return { status: 200, body: await this.#scrape(format), type: metricTypes[format] }
  }

  /** Scrapes at the same time share one text, which may be megabytes. */
  #scrape(format: MetricFormat): Promise<string> {
    return (this.#scrapes[format] ??= this.#options
      .metrics(format)
      .finally(() => (this.#scrapes[format] = undefined)))
  }
}

interface Reply {
  readonly status: number
  readonly body: string
  readonly type?: string
  readonly allow?: string
}

const metricTypes: Readonly<Record<MetricFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** OpenMetrics for who asks for it by name, and for nothing else more eagerly. */
function formatFor(accept = ''): MetricFormat {
  const openMetrics = /application\/openmetrics-text(?:;(?!version=0)[^,]*)?(?=,|$)/i.exec(accept)
  if (openMetrics === null) return 'prometheus'
  const plain = /text\/plain[^,]*/i.exec(accept)
  return weightOf(openMetrics[0]) > 0 && weightOf(openMetrics[0]) >= weightOf(plain?.[0])
    ? 'openmetrics'
    : 'prometheus'
}

/** RFC 9110 12.4.2; 0 for what is not named. */
function weightOf(range: string | undefined): number {
  return range === undefined ? 0 : Number(/;\s*q=([\d.]+)/.exec(range)?.[1] ?? 1)
}

function readinessReply(missing: readonly string[]): Reply {
  return missing.length === 0
    ? { status: 200, body: json({ status: 'ready', missing }) }
    : { status: 503, body: json({ status: 'not ready', missing }) }
}

function json(value: object): string {
  return `${JSON.stringify(value)}\n`
}

/** Node leaves the body out where HEAD was asked. */
function send(
  reply: ServerResponse,
  { status, body, type = 'application/json', allow }: Reply,
): void {
  reply.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(allow === undefined ? {} : { allow }),
  })
  reply.end(body)
}
