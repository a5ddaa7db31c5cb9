import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { messageOf, PosternError, stackOf } from '../../core/errors.ts'
import type { Logger } from '../../core/logger.ts'
import { endpointServerOptions, HttpEndpoint } from '../../http-endpoint/http-endpoint.ts'
import { listenerTlsOptions, type ServerIdentity } from '../../tls/context.ts'
import type { InjectOptions } from '../pod/inject.ts'
import { type Admission, type AdmissionOutcome, admit } from './admission.ts'

export interface WebhookServerOptions {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly inject: Omit<InjectOptions, 'byDefault'>
  readonly logger: Logger
  /** Called for every answer. */
  readonly onAnswer: (outcome: AdmissionOutcome | 'malformed') => void
  /** Longest wait for a whole request, milliseconds. Default 5000. */
  readonly requestTimeoutMs?: number
}

/** The paths that an API server calls, and whether a pod that says nothing gets the sidecar there. */
export const webhookPaths = {
  /** For namespaces that ask. */
  namespace: '/inject/namespace',
  /** For pods that ask, in all others. */
  pod: '/inject/pod',
} as const

/** An object may have 1.5 MiB in etcd, and comes once; enough for all API servers of a cluster, and little for anyone else. */
const limits = {
  maxConnections: 256,
  maxHeaderBytes: 16 * 1024,
  maxHeaders: 64,
  /** The API server gives up sooner. */
  requestTimeoutMs: 5_000,
  idleTimeoutMs: 60_000,
} as const

const maxBodyBytes = 4 * 1024 * 1024
const handshakeTimeoutMs = 5_000

/**
 * The HTTPS endpoint of a mutating admission webhook. It answers whoever asks: an answer follows from the question and from
 * flags alone, and tells nothing else. Until `useIdentity` gives it a certificate, handshakes fail.
 */
export class WebhookServer {
  readonly #server: Server
  readonly #options: WebhookServerOptions
  readonly #endpoint: HttpEndpoint
  #isDraining = false

  private constructor(options: WebhookServerOptions) {
    this.#options = options
    const { host, port, logger } = options
    const { requestTimeoutMs = limits.requestTimeoutMs } = options
    const ownLimits = { ...limits, requestTimeoutMs }
    this.#server = createServer(
      { ...endpointServerOptions(ownLimits), handshakeTimeout: handshakeTimeoutMs },
      (request, reply) => void this.#answer(request, reply),
    )
    this.#server.on('tlsClientError', (error) =>
      logger.debug('handshake failed', { error: error.message }),
    )
    const failure = 'accept failed'
    this.#endpoint = new HttpEndpoint(this.#server, {
      ...{ host, port, limits: ownLimits, logger, failure },
    })
  }

  /** Resolves when it listens; throws `PosternError` ERR_LISTEN_FAILED. The caller closes it. */
  static async start(options: WebhookServerOptions): Promise<WebhookServer> {
    const server = new WebhookServer(options)
    await server.#endpoint.listen()
    return server
  }

  get port(): number {
    return this.#endpoint.address.port
  }

  /** Serves new handshakes with this certificate. Throws `PosternError` ERR_TLS_CONTEXT; the one before then serves on. */
  useIdentity(identity: ServerIdentity): void {
    const listener = { protocols: ['http/1.1'], handshakeTimeoutMs }
    try {
      // API servers seldom have a certificate for webhooks, and we have nothing to decide by it.
      const options = { ...listenerTlsOptions(identity, listener), requestCert: false }
      this.#server.setSecureContext(options)
    } catch (cause) {
      const message = `certificate not taken into service: ${messageOf(cause)}`
      throw new PosternError('ERR_TLS_CONTEXT', message, { cause })
    }
  }

  /** Takes no new connections and finishes what was asked. Resolves when the last connection is gone. */
  drain(): Promise<void> {
    this.#isDraining = true
    return this.#endpoint.drain()
  }

  /** Cuts all connections. Idempotent. */
  close(): Promise<void> {
    this.#isDraining = true
    return this.#endpoint.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    try {
      send(reply, await this.#replyTo(request), this.#isDraining)
    } catch (error) {
      if (request.destroyed && !request.complete) return
      this.#options.logger.error('admission failed', { error: stackOf(error) })
      send(reply, refusal(500, 'internal error'), true)
    }
  }

  async #replyTo(request: IncomingMessage): Promise<Reply> {
    const path = request.url?.split('?', 1)[0]
    if (path !== webhookPaths.namespace && path !== webhookPaths.pod) {
      return refusal(404, 'not found')
    }
    if (request.method !== 'POST') return refusal(405, 'expected POST')
    const type = request.headers['content-type']?.split(';', 1)[0]?.trim()
    if (type !== 'application/json') return refusal(415, 'expected application/json')
    const body = await readBody(request)
    if (body === undefined) return refusal(413, `expected at most ${maxBodyBytes} bytes`)
    const admission = this.#admit(body, path === webhookPaths.namespace)
    this.#record(admission)
    return admission.kind === 'answered'
      ? { status: 200, body: JSON.stringify(admission.reply) }
      : refusal(400, admission.message)
  }

  #admit(body: string, byDefault: boolean): Admission {
    try {
      return admit(JSON.parse(body), { ...this.#options.inject, byDefault })
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      return { kind: 'malformed', message: 'the body is no JSON' }
    }
  }

  #record(admission: Admission): void {
    const { logger, onAnswer } = this.#options
    if (admission.kind === 'malformed') {
      onAnswer('malformed')
      logger.info('admission malformed', { error: admission.message })
      return
    }
    onAnswer(admission.outcome)
    const fields = { outcome: admission.outcome, ...admission.facts }
    if (admission.outcome === 'denied') logger.info('pod denied', fields)
    else logger.debug('pod admitted', fields)
  }
}

interface Reply {
  readonly status: number
  readonly body: string
}

function refusal(status: number, message: string): Reply {
  return { status, body: JSON.stringify({ error: message }) }
}

/** undefined: it is too large; the rest is not read. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) return undefined
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBodyBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** A connection whose request was not read to its end cannot take another. */
function send(reply: ServerResponse, { status, body }: Reply, isLast: boolean): void {
  if (reply.headersSent || reply.destroyed) return
  reply.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(isLast || status !== 200 ? { connection: 'close' } : {}),
  })
  reply.end(body)
}
