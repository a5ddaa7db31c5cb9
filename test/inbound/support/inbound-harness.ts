import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { type ConnectionOptions, connect as tlsConnect, type TLSSocket } from 'node:tls'
import { systemClock } from '../../../src/core/clock.ts'
import { type Logger, silentLogger } from '../../../src/core/logger.ts'
import { DecisionIds } from '../../../src/policy/decision-ids.ts'
import { InboundServer } from '../../../src/inbound/inbound-server.ts'
import { Verdicts } from '../../../src/inbound/verdicts.ts'
import type { AddressRules } from '../../../src/policy/address-rules.ts'
import { CidrSet, parseCidr } from '../../../src/policy/cidr-set.ts'
import { createApiKey, type NewApiKey } from '../../../src/policy/api-key.ts'
import { type ApiKeyEntry, ApiKeyTable } from '../../../src/policy/api-key-table.ts'
import { ApiKeys } from '../../../src/policy/api-keys.ts'
import type { Caller, Selector } from '../../../src/policy/caller.ts'
import { parseSpiffeIdSelector } from '../../../src/policy/caller.ts'
import { type MappedAuthority, ProductMap } from '../../../src/policy/product-map.ts'
import type { Product } from '../../../src/policy/product.ts'
import { RateLimiter } from '../../../src/policy/rate-limiter.ts'
import type { TrustState } from '../../../src/policy/trust-state.ts'
import { Deadlines } from '../../../src/proxy/deadlines.ts'
import { HeaderRules } from '../../../src/proxy/header-rules.ts'
import { Http1Upstream } from '../../../src/proxy/http1-upstream.ts'
import { Http2Upstream } from '../../../src/proxy/http2-upstream.ts'
import { TrustDomain } from '../../../src/spiffe/trust-domain.ts'
import { RecordingTelemetry } from '../../support/recording-telemetry.ts'
import { TestCa, type TestLeaf } from '../../support/test-ca.ts'
import { patienceMs } from '../../proxy/support/patience.ts'
import { Workload } from '../../support/workload.ts'

const position = { file: 'products.yaml', line: 1, column: 1 }

function caller(selector: Selector, text: string): Caller {
  return { selector, text, position }
}

export function bySpiffeId(text: string): Caller {
  return caller(parseSpiffeIdSelector(text), `spiffeId: ${text}`)
}

function byTrustDomain(name: string): Caller {
  const trustDomain = TrustDomain.parse(name)
  return caller({ kind: 'trust-domain', trustDomain }, `trustDomain: ${name}`)
}

function byAuthority(alias: string): Caller {
  return caller({ kind: 'authority', alias }, `authority: ${alias}`)
}

export function product(name: string, parts: Partial<Product> = {}): Product {
  return { name, callers: [], apiKeys: 'refuse', require: 'any', position, ...parts }
}

/** A reply as the caller got it. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** Of a problem reply, or of the workload's echo. */
  readonly json: {
    readonly reason?: string
    readonly decision_id?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly [member: string]: unknown
  }
}

export interface HarnessOptions {
  readonly untrustedCertificate?: 'refuse' | 'ignore'
  readonly plaintext?: 'refuse' | 'allow'
  readonly products?: readonly Product[]
  readonly keys?: readonly Partial<ApiKeyEntry>[]
  readonly forwardClientCert?: boolean
  readonly logger?: Logger
  /** From where anybody may connect. */
  readonly addresses?: AddressRules
  /** Ranges whose connections begin with a PROXY header. */
  readonly balancers?: readonly string[]
  readonly limits?: HarnessLimits
  /** `protocol: tcp`, with the workload on this port. */
  readonly tcpPort?: number
  /** Of another workload than `workload`, which then gets nothing. */
  readonly workloadPort?: number
  /** Default `http1`. */
  readonly upstreamProtocol?: 'http1' | 'h2c'
  /** Default 10 min: what ends in a test is not to end because it is idle. */
  readonly idleTimeoutMs?: number
  /** Default 5 s. */
  readonly responseTimeoutMs?: number
}

export interface HarnessLimits {
  readonly maxConnections?: number
  readonly maxConnectionsPerAddress?: number
  readonly maxHandshakes?: number
  readonly bodyTimeoutMs?: number
  readonly maxHeaderBytes?: number
  readonly maxHeaderFields?: number
  readonly maxBodyBytes?: number
  readonly headerTimeoutMs?: number
  /** Default 64. */
  readonly maxUpstreamConnections?: number
}

/**
 * The inbound listener in this process, with real sockets, TLS and workload, and with test CAs in the place of an agent:
 * trust domains corp.example (ours) and partner-a.example, and the authority partner-b outside SPIFFE.
 */
export class InboundHarness {
  readonly telemetry = new RecordingTelemetry()
  readonly corp: TestCa
  readonly partnerA: TestCa
  readonly partnerB: TestCa
  readonly workload: Workload
  readonly keys: NewApiKey[] = []
  readonly #deadlines = new Deadlines(systemClock)
  readonly #upstream: Http1Upstream | Http2Upstream
  #trust: TrustState
  #server: InboundServer | undefined

  private constructor(
    cas: { corp: TestCa; partnerA: TestCa; partnerB: TestCa },
    workload: Workload,
    options: HarnessOptions,
  ) {
    this.corp = cas.corp
    this.partnerA = cas.partnerA
    this.partnerB = cas.partnerB
    this.workload = workload
    const Upstream = options.upstreamProtocol === 'h2c' ? Http2Upstream : Http1Upstream
    this.#upstream = new Upstream({
      connect: () => connect(options.workloadPort ?? workload.port, '127.0.0.1'),
      deadlines: this.#deadlines,
      connectTimeoutMs: 2_000,
      responseTimeoutMs: options.responseTimeoutMs ?? 5_000,
      maxConnections: options.limits?.maxUpstreamConnections ?? 64,
      onBug: (error) => {
        throw error
      },
    })
    this.#trust = {
      epoch: 1,
      hasIdentity: true,
      bundles: new Map([
        ['corp.example', cas.corp.bundle('corp.example')],
        ['partner-a.example', cas.partnerA.bundle('partner-a.example')],
      ]),
      products: ProductMap.of(options.products ?? defaultProducts, [this.authority()]),
      apiKeys: this.#makeKeys(options.keys ?? [{ product: 'reports' }]),
    }
  }

  static async start(options: HarnessOptions = {}): Promise<InboundHarness> {
    const [corp, partnerA, partnerB] = await Promise.all([
      TestCa.root('corp'),
      TestCa.root('partner-a'),
      TestCa.root('partner-b'),
    ])
    const harness = new InboundHarness(
      { corp, partnerA, partnerB },
      await Workload.start(),
      options,
    )
    await harness.#listen(options)
    return harness
  }

  get port(): number {
    return this.server.port
  }

  get server(): InboundServer {
    if (this.#server === undefined) throw new TypeError('not started')
    return this.#server
  }

  get trust(): TrustState {
    return this.#trust
  }

  authority(): MappedAuthority {
    return {
      alias: 'partner-b',
      anchors: [this.partnerB.certificate],
      position,
      certificatesFile: 'partner-b.pem',
      crlFiles: [],
    }
  }

  /** Changes the trust state and raises the epoch, as the app does. */
  changeTrust(change: Partial<TrustState>): void {
    this.#trust = { ...this.#trust, ...change, epoch: this.#trust.epoch + 1 }
    this.server.rejudge(this.#trust)
  }

  /** Changes only whether we hold an identity. */
  setHasIdentity(hasIdentity: boolean): void {
    this.#trust = { ...this.#trust, hasIdentity }
  }

  async serveWith(ca: TestCa, spiffeId = 'spiffe://corp.example/sidecar'): Promise<TestLeaf> {
    const leaf = await ca.leaf({ spiffeId })
    this.server.useIdentity({ certificateChainPem: leaf.pem, privateKeyPem: leaf.keyPem })
    return leaf
  }

  /** A TLS connection; resolves when the handshake is done. */
  async connect(leaf?: TestLeaf, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = tlsConnect({
      host: '127.0.0.1',
      port: this.port,
      rejectUnauthorized: false,
      ...(leaf === undefined ? {} : { cert: leaf.pem, key: leaf.keyPem }),
      ...options,
    })
    await new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
    })
    return socket
  }

  /** One request on a connection of its own. */
  async call(
    options: {
      leaf?: TestLeaf
      path?: string
      method?: string
      headers?: Record<string, string>
      body?: string
    } = {},
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        host: '127.0.0.1',
        port: this.port,
        path: options.path ?? '/',
        method: options.method ?? 'GET',
        headers: options.headers ?? {},
        rejectUnauthorized: false,
        agent: false,
        ...(options.leaf === undefined ? {} : { cert: options.leaf.pem, key: options.leaf.keyPem }),
      })
      request.on('error', reject)
      request.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const json = text.startsWith('{') ? (JSON.parse(text) as Reply['json']) : {}
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
        })
      })
      request.end(options.body)
    })
  }

  async close(): Promise<void> {
    this.#server?.close()
    this.#upstream.close()
    this.#deadlines.close()
    await this.workload.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #listen(options: HarnessOptions): Promise<void> {
    const trust = { get: () => this.#trust }
    this.#server = await InboundServer.start({
      context: {
        clock: systemClock,
        logger: options.logger ?? silentLogger,
        telemetry: this.telemetry,
        trust: {
          get current() {
            return trust.get()
          },
        },
        verdicts: new Verdicts(),
        rules: HeaderRules.inbound('x-api-key'),
        limiter: new RateLimiter(),
        decisionIds: new DecisionIds(Buffer.alloc(8, 7)),
        upstreams: {
          at: () => this.#upstream,
          dial: () =>
            connect({ port: options.tcpPort ?? 0, host: '127.0.0.1', allowHalfOpen: true }),
        },
        deadlines: this.#deadlines,
        ownId: () => 'spiffe://corp.example/sidecar',
        settings: {
          untrustedCertificate: options.untrustedCertificate ?? 'refuse',
          addresses: options.addresses,
          forwardClientCert: options.forwardClientCert ?? false,
          maxBodyBytes: options.limits?.maxBodyBytes ?? 1 << 20,
          maxHeaderBytes: options.limits?.maxHeaderBytes ?? 16_384,
          maxHeaderFields: options.limits?.maxHeaderFields ?? 128,
          headerTimeoutMs: options.limits?.headerTimeoutMs ?? 2_000,
          idleTimeoutMs: options.idleTimeoutMs ?? patienceMs,
          bodyTimeoutMs: options.limits?.bodyTimeoutMs ?? 10_000,
          upstreamConnectTimeoutMs: 2_000,
          maxConcurrentStreams: 100,
        },
      },
      host: '127.0.0.1',
      port: 0,
      protocol: options.tcpPort === undefined ? 'http' : 'tcp',
      plaintext: options.plaintext ?? 'refuse',
      tls: {
        protocols: options.tcpPort === undefined ? ['h2', 'http/1.1'] : [],
        handshakeTimeoutMs: 2_000,
      },
      maxConnections: options.limits?.maxConnections ?? 1_000,
      maxConnectionsPerAddress: options.limits?.maxConnectionsPerAddress ?? 1_000,
      maxHandshakes: options.limits?.maxHandshakes ?? 1_000,
      balancers: options.balancers && new CidrSet(options.balancers.map(parseCidr)),
    })
    await this.serveWith(this.corp)
  }

  #makeKeys(entries: readonly Partial<ApiKeyEntry>[]): ApiKeys {
    const table = new ApiKeyTable()
    for (const entry of entries) {
      const key = createApiKey((size) => crypto.getRandomValues(new Uint8Array(size)))
      this.keys.push(key)
      table.add({
        id: key.id,
        sha256: key.sha256,
        product: 'reports',
        consumer: 'acme',
        notBeforeMs: -Infinity,
        expiresMs: Infinity,
        line: this.keys.length,
        ...entry,
      })
    }
    return ApiKeys.from(table)
  }
}

const defaultProducts: readonly Product[] = [
  product('checkout', { callers: [bySpiffeId('spiffe://corp.example/checkout/**')] }),
  product('payments', { callers: [byTrustDomain('partner-a.example')] }),
  product('settlement', { callers: [byAuthority('partner-b')] }),
  product('reports', { apiKeys: 'accept' }),
]
