import type { IncomingMessage, Server, ServerOptions } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { PosternError } from '../core/errors.ts'
import { listenHost } from '../core/listen-host.ts'
import type { Logger } from '../core/logger.ts'

/** What one port may cost, whoever connects. */
export interface EndpointLimits {
  readonly maxConnections: number
  readonly maxHeaderBytes: number
  readonly maxHeaders: number
  /** Longest wait for a whole request, also the first of a connection; milliseconds, looked at every second. */
  readonly requestTimeoutMs: number
  /** Longest silence, also of a client that does not read its reply; milliseconds. */
  readonly idleTimeoutMs: number
  /** Default: any number. */
  readonly requestsPerConnection?: number
}

export interface HttpEndpointOptions {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly limits: EndpointLimits
  readonly logger: Logger
  /** What the log says of an error of the listening socket. */
  readonly failure: string
}

/** What `createServer` of node:http or node:https needs to keep the limits. */
export function endpointServerOptions(limits: EndpointLimits): ServerOptions {
  const { maxHeaderBytes, requestTimeoutMs, idleTimeoutMs } = limits
  return {
    maxHeaderSize: maxHeaderBytes,
    requestTimeout: requestTimeoutMs,
    headersTimeout: requestTimeoutMs,
    keepAliveTimeout: idleTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
    requireHostHeader: true,
    insecureHTTPParser: false,
  }
}

/**
 * A port of our own that answers in HTTP/1.1, beside the data path: health, the operator's port, the webhook. It has the limits,
 * the start and the end of one; who owns it routes and answers.
 */
export class HttpEndpoint {
  readonly #server: Server | TlsServer
  readonly #options: HttpEndpointOptions
  #closing: Promise<void> | undefined

  /** Takes over a server that was made with `endpointServerOptions` of the same limits. */
  constructor(server: Server | TlsServer, options: HttpEndpointOptions) {
    const { maxConnections, maxHeaders, requestsPerConnection, idleTimeoutMs } = options.limits
    this.#server = server
    this.#options = options
    server.maxConnections = maxConnections
    server.maxHeadersCount = maxHeaders
    if (requestsPerConnection !== undefined) server.maxRequestsPerSocket = requestsPerConnection
    // A reply that nobody reads: the server's own time limits are those of requests.
    server.setTimeout(idleTimeoutMs)
  }

  /** Where it listens. */
  get address(): { readonly host: string; readonly port: number } {
    const { address, port } = this.#server.address() as AddressInfo
    return { host: address, port }
  }

  /** Resolves when the port is bound; throws `PosternError` ERR_LISTEN_FAILED. The caller closes it. */
  listen(): Promise<void> {
    const { host, port, logger, failure } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        const message = `cannot listen on ${host}:${port}: ${cause.message}`
        reject(new PosternError('ERR_LISTEN_FAILED', message, { cause }))
      })
      this.#server.listen({ port, host: listenHost(host) }, () => {
        this.#server.removeAllListeners('error')
        this.#server.on('error', (error) => logger.warn(failure, { error: error.message }))
        resolve()
      })
    })
  }

  /**
   * Takes no new connections and finishes what was asked; who owns it says `connection: close` in every reply from now on.
   * Resolves when the last connection is gone.
   */
  drain(): Promise<void> {
    this.#closing ??= new Promise((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    return this.#closing
  }

  /** Cuts all connections. Idempotent. */
  close(): Promise<void> {
    const drained = this.drain()
    this.#server.closeAllConnections()
    return drained
  }
}

/** Whether a body follows the head. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}
