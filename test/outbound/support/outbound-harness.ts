import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { request as httpRequest } from 'node:http'
import { type Clock, systemClock } from '../../../src/core/clock.ts'
import { type Logger, silentLogger } from '../../../src/core/logger.ts'
import type { OutboundLimits } from '../../../src/outbound/context.ts'
import { OutboundServers } from '../../../src/outbound/outbound-servers.ts'
import { ApiKeys } from '../../../src/policy/api-keys.ts'
import { DecisionIds } from '../../../src/policy/decision-ids.ts'
import { parseExpectedPeer } from '../../../src/policy/peer-decision.ts'
import { ProductMap } from '../../../src/policy/product-map.ts'
import type { TrustState } from '../../../src/policy/trust-state.ts'
import { Deadlines } from '../../../src/proxy/deadlines.ts'
import { HeaderRules } from '../../../src/proxy/header-rules.ts'
import { RecordingTelemetry } from '../../support/recording-telemetry.ts'
import { TestCa, type TestLeaf } from '../../support/test-ca.ts'

export const billing = 'spiffe://corp.example/billing'
export const ownId = 'spiffe://corp.example/checkout'

export interface OutboundHarnessOptions {
  /** Port of the peer. */
  readonly upstreamPort: number
  readonly upstreamHost?: string
  /** Default 0: any free one. */
  readonly listenPort?: number
  readonly expect?: string
  readonly protocol?: 'http' | 'tcp'
  /** Default: the real one. */
  readonly clock?: Clock
  readonly limits?: Partial<OutboundLimits>
  readonly logger?: Logger
}

/** A reply as the workload got it. */
export interface LocalReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}

export interface LocalCall {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** The CAs of a mesh: corp.example, which is ours, and partner.example. */
export class TestMesh {
  readonly corp: TestCa
  readonly partner: TestCa

  private constructor(corp: TestCa, partner: TestCa) {
    this.corp = corp
    this.partner = partner
  }

  static async create(): Promise<TestMesh> {
    return new TestMesh(await TestCa.root('corp'), await TestCa.root('partner'))
  }

  get bundles(): TrustState['bundles'] {
    return new Map([
      ['corp.example', this.corp.bundle('corp.example')],
      ['partner.example', this.partner.bundle('partner.example')],
    ])
  }
}

/** The outbound listener in this process, with real sockets and TLS, and a test CA in the place of an agent. */
export class OutboundHarness {
  readonly telemetry = new RecordingTelemetry()
  readonly mesh: TestMesh
  readonly servers: OutboundServers
  readonly #deadlines: Deadlines
  #trust: TrustState

  private constructor(mesh: TestMesh, options: OutboundHarnessOptions) {
    this.mesh = mesh
    this.#deadlines = new Deadlines(options.clock ?? systemClock)
    this.#trust = {
      epoch: 1,
      hasIdentity: false,
      bundles: mesh.bundles,
      products: ProductMap.empty,
      apiKeys: ApiKeys.empty,
    }
    const trust = { get: () => this.#trust }
    const { upstreamHost = '127.0.0.1', upstreamPort, expect = billing } = options
    this.servers = new OutboundServers(
      {
        clock: options.clock ?? systemClock,
        logger: options.logger ?? silentLogger,
        telemetry: this.telemetry,
        trust: {
          get current() {
            return trust.get()
          },
        },
        rules: HeaderRules.outbound(),
        decisionIds: new DecisionIds(Buffer.alloc(8, 7)),
        deadlines: this.#deadlines,
      },
      [
        {
          listen: { host: '127.0.0.1', port: options.listenPort ?? 0 },
          upstream: { host: upstreamHost, port: upstreamPort },
          expected: parseExpectedPeer(`${upstreamHost}:${upstreamPort}`, expect),
          protocol: options.protocol ?? 'http',
          limits: {
            maxConnections: 100,
            maxHeaderBytes: 16_384,
            maxHeaderFields: 128,
            headerTimeoutMs: 600_000,
            idleTimeoutMs: 600_000,
            upstreamConnectTimeoutMs: 5_000,
            handshakeTimeoutMs: 5_000,
            upstreamResponseTimeoutMs: 10_000,
            maxConcurrentStreams: 100,
            ...options.limits,
          },
        },
      ],
    )
  }

  static async start(mesh: TestMesh, options: OutboundHarnessOptions): Promise<OutboundHarness> {
    const harness = new OutboundHarness(mesh, options)
    await harness.servers.listen()
    await harness.identify()
    return harness
  }

  /** Not listening yet. */
  static unbound(mesh: TestMesh, options: OutboundHarnessOptions): OutboundHarness {
    return new OutboundHarness(mesh, options)
  }

  get port(): number {
    return this.servers.ports[0]!
  }

  /** A new SVID of ours. */
  async identify(options: { readonly notAfterMs?: number } = {}): Promise<TestLeaf> {
    const leaf = await this.mesh.corp.leaf({ spiffeId: ownId, ...options })
    this.servers.useIdentity(
      { certificateChainPem: leaf.pem, privateKeyPem: leaf.keyPem },
      leaf.certificate.notAfterMs,
    )
    this.#trust = { ...this.#trust, hasIdentity: true }
    return leaf
  }

  loseIdentity(): void {
    this.servers.loseIdentity()
    this.#trust = { ...this.#trust, hasIdentity: false }
  }

  /** Changes the trust state and raises the epoch, as the app does. */
  changeTrust(change: Partial<TrustState>): void {
    this.swapTrust(change)
    this.servers.rejudge(this.#trust)
  }

  /** The moment between a change and the turn of a connection to be judged again. */
  swapTrust(change: Partial<TrustState>): void {
    this.#trust = { ...this.#trust, ...change, epoch: this.#trust.epoch + 1 }
  }

  /** One request of the workload over HTTP/1.1, on a connection of its own. */
  call(call: LocalCall = {}): Promise<LocalReply> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        host: '127.0.0.1',
        port: this.port,
        agent: false,
        method: call.method ?? 'GET',
        path: call.path ?? '/',
        headers: call.headers ?? {},
      })
      request.on('error', reject)
      request.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const { statusCode: status = 0, headers, trailers } = response
          resolve(replyOf(status, headers, trailers, chunks))
        })
      })
      request.end(call.body)
    })
  }

  /** One request of the workload over HTTP/2 with prior knowledge, on a connection of its own. */
  async callHttp2(call: LocalCall = {}): Promise<LocalReply> {
    const session = connectHttp2(`http://127.0.0.1:${this.port}`)
    try {
      const stream = session.request(
        {
          ':method': call.method ?? 'GET',
          ':path': call.path ?? '/',
          ...call.headers,
        },
        { endStream: call.body === undefined },
      )
      if (call.body !== undefined) stream.end(call.body)
      let trailers: LocalReply['trailers'] = {}
      stream.on('trailers', (received: LocalReply['trailers']) => (trailers = received))
      const [headers] = (await once(stream, 'response')) as [Record<string, string>]
      const chunks: Buffer[] = []
      for await (const chunk of stream) chunks.push(chunk as Buffer)
      return replyOf(Number(headers[':status']), headers, trailers, chunks)
    } finally {
      session.destroy()
    }
  }

  close(): void {
    this.servers.close()
    this.#deadlines.close()
  }
}

function replyOf(
  status: number,
  headers: LocalReply['headers'],
  trailers: LocalReply['trailers'],
  chunks: readonly Buffer[],
): LocalReply {
  const text = Buffer.concat(chunks).toString()
  const json = text.startsWith('{') ? (JSON.parse(text) as LocalReply['json']) : {}
  return { status, headers, trailers, text, json }
}
