import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Clock } from '../core/clock.ts'
import { messageOf, stackOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { endpointServerOptions, hasBody, HttpEndpoint } from '../http-endpoint/http-endpoint.ts'
import { type AdminApi, AdminInputError } from './admin-api.ts'
import { refuseForeign } from './local-request.ts'
import { readStatusPage, type StaticFile } from './static-files.ts'
import { DecisionStreams } from './decision-stream.ts'

export interface AdminServerOptions {
  /** A loopback address: whoever reaches it may read what it shows. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly api: AdminApi
  readonly clock: Clock
  readonly logger: Logger
}

/** Enough for a few browsers and scripts, and little to be had for anyone else. */
const limits = {
  maxConnections: 64,
  maxHeaderBytes: 16 * 1024,
  maxHeaders: 64,
  requestTimeoutMs: 5_000,
  idleTimeoutMs: 10_000,
  requestsPerConnection: 1_000,
} as const

const longestQuery = 8 * 1024

/**
 * The operator's port, on loopback: the status page, what it is made of as JSON, decisions as they are made, and
 * `POST /reload`, which alone changes anything and needs the token of this process. It holds up nothing: `close` cuts
 * whoever is connected.
 */
export class AdminServer {
  readonly #options: AdminServerOptions
  readonly #endpoint: HttpEndpoint
  readonly #streams: DecisionStreams
  readonly #page: ReadonlyMap<string, StaticFile>
  /**
   * Drawn for each process. `GET /token` hands it to who can read a reply of ours, which a page of another site
   * cannot: it proves that a reload was meant.
   */
  readonly #token = randomBytes(32).toString('base64url')

  private constructor(options: AdminServerOptions) {
    const { host, port, api, clock, logger } = options
    this.#options = options
    this.#page = readStatusPage()
    this.#streams = new DecisionStreams({ clock, recent: api.recent, epoch: () => api.epoch })
    this.#endpoint = new HttpEndpoint(
      createServer(
        endpointServerOptions(limits),
        (request, reply) => void this.#answer(request, reply),
      ),
      { host, port, limits, logger, failure: 'admin server failed' },
    )
  }

  /** Resolves when it listens; throws `PosternError` ERR_LISTEN_FAILED. The caller closes it. */
  static async start(options: AdminServerOptions): Promise<AdminServer> {
    const server = new AdminServer(options)
    await server.#endpoint.listen()
    return server
  }

  get port(): number {
    return this.#endpoint.address.port
  }

  /** Cuts all connections. Idempotent. */
  close(): Promise<void> {
    this.#streams.close()
    return this.#endpoint.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    // Nobody has a body to send here; what comes nevertheless is not read, and the connection ends.
    if (hasBody(request)) reply.setHeader('connection', 'close')
    try {
      const refusal = refuseForeign(request.headers)
      if (refusal !== undefined) send(reply, problem(403, refusal))
      else await this.#route(request, reply)
    } catch (error) {
      this.#fail(reply, error)
    }
  }

  #fail(reply: ServerResponse, error: unknown): void {
    if (error instanceof AdminInputError) {
      send(reply, problem(400, error.message))
      return
    }
    this.#options.logger.error('admin request failed', { error: stackOf(error) })
    if (reply.headersSent) reply.destroy()
    else send(reply, problem(500, 'this is a bug; the log says more'))
  }

  async #route(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    const { path, query } = splitTarget(url)
    if (path === '/reload') {
      if (method !== 'POST') send(reply, { ...problem(405, 'expected POST'), allow: 'POST' })
      else send(reply, await this.#reload(request))
    } else if (method !== 'GET' && method !== 'HEAD') {
      send(reply, { ...problem(405, 'expected GET'), allow: 'GET, HEAD' })
    } else if (path === '/decisions' && wantsStream(request)) {
      this.#stream(reply, query)
    } else {
      send(reply, this.#get(path, query))
    }
  }

  #get(path: string, query: URLSearchParams): Reply {
    const file = this.#page.get(path)
    if (file !== undefined) return { status: 200, ...file }
    const { api } = this.#options
    const id = /^\/decisions\/([\w-]{1,100})$/.exec(path)?.[1]
    if (id !== undefined) return jsonOrMissing(api.decision(id), `no decision ${id} is held here`)
    switch (path) {
      case '/status':
        return json(200, api.status())
      case '/decisions':
        return json(200, api.decisions(query))
      case '/migration':
        return json(200, api.migration(query))
      case '/explain':
        return json(200, api.explain(query))
      case '/token':
        return json(200, { token: this.#token })
      default:
        return problem(404, 'there is nothing here')
    }
  }

  async #reload(request: IncomingMessage): Promise<Reply> {
    const given = request.headers['x-postern-token']
    if (typeof given !== 'string' || !isSame(given, this.#token)) {
      return problem(403, 'expected the header x-postern-token with what GET /token says')
    }
    try {
      return json(200, await this.#options.api.reload())
    } catch (error) {
      return problem(500, `the files were not read: ${messageOf(error)}`)
    }
  }

  #stream(reply: ServerResponse, query: URLSearchParams): void {
    const filter = this.#options.api.filter(query)
    // Node's own limit is for replies that nobody reads; here a stream that is not read is given up by its length.
    reply.socket?.setTimeout(0)
    reply.writeHead(200, { ...commonHeaders, 'content-type': 'text/event-stream' })
    if (!this.#streams.add(reply, filter)) reply.end('event: full\ndata: {}\n\n')
  }
}

interface Reply {
  readonly status: number
  readonly body: string
  readonly type: string
  readonly allow?: string
}

/** Nothing on a page of ours comes from elsewhere, runs inline, or is shown inside another page. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const commonHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const

function splitTarget(url: string): { path: string; query: URLSearchParams } {
  const at = url.indexOf('?')
  if (at === -1) return { path: url, query: new URLSearchParams() }
  if (url.length - at > longestQuery) {
    throw new AdminInputError(`the query is longer than ${longestQuery} characters`)
  }
  return { path: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) }
}

function wantsStream({ headers }: IncomingMessage): boolean {
  return headers.accept?.includes('text/event-stream') === true
}

function isSame(given: string, token: string): boolean {
  const a = Buffer.from(given)
  const b = Buffer.from(token)
  return a.length === b.length && timingSafeEqual(a, b)
}

function jsonOrMissing(value: object | undefined, missing: string): Reply {
  return value === undefined ? problem(404, missing) : json(200, value)
}

function problem(status: number, detail: string): Reply {
  return json(status, { status: 'error', detail })
}

function json(status: number, value: object): Reply {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}

/** Node leaves the body out where HEAD was asked. */
function send(reply: ServerResponse, { status, body, type, allow }: Reply): void {
  reply.writeHead(status, {
    ...commonHeaders,
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    ...(allow === undefined ? {} : { allow }),
  })
  reply.end(body)
}
