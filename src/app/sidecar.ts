import { randomBytes } from 'node:crypto'
import { HealthServer } from '../admin/health-server.ts'
import { formatProblem } from '../config/problem.ts'
import { checkAgainstBundles } from '../config/products-file.ts'
import type { SidecarConfig } from '../config/sidecar-config.ts'
import { type Clock, wait } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { InboundContext } from '../inbound/context.ts'
import { DecisionIds } from '../policy/decision-ids.ts'
import { InboundServer } from '../inbound/inbound-server.ts'
import type { ConnectionDescription } from '../inbound/open-connection.ts'
import { Verdicts } from '../inbound/verdicts.ts'
import { OutboundServers } from '../outbound/outbound-servers.ts'
import { RateLimiter } from '../policy/rate-limiter.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { Deadlines } from '../proxy/deadlines.ts'
import { HeaderRules } from '../proxy/header-rules.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { X509Svid } from '../spiffe/x509-svid.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { CallerFiles } from './caller-files.ts'
import { CrlWatch } from './crl-watch.ts'
import { listeningAt } from './listening-at.ts'
import { outboundRoutes } from './outbound-routes.ts'
import { bundleValidities, OwnIdentity } from './own-identity.ts'
import { TrustStore } from './trust-store.ts'
import { type WorkloadAddress, WorkloadUpstreams } from './workload-upstreams.ts'

export interface SidecarOptions {
  readonly config: SidecarConfig
  /** Loaded before the start: without them there is nothing to decide by. */
  readonly files: CallerFiles
  readonly parseAddress: (text: string) => WorkloadAddress
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Told of each new epoch. */
  readonly onNewEpoch?: (state: TrustState) => void
}

export interface SidecarPorts {
  readonly inbound: number
  /** In the order of the configuration. */
  readonly outbound: readonly number[]
  readonly health: number
}

/**
 * The running sidecar: listener, trust state and health endpoints, wired. Whoever follows the Workload API and the files
 * tells it what changed; it never reads them itself.
 */
export class Sidecar {
  readonly #options: SidecarOptions
  readonly #trust: TrustStore
  readonly #identity: OwnIdentity
  readonly #crls: CrlWatch
  readonly #deadlines: Deadlines
  readonly #upstreams: WorkloadUpstreams
  readonly #decisionIds = new DecisionIds(randomBytes(8))
  readonly #outbound: OutboundServers
  #inbound: InboundServer | undefined
  #health: HealthServer | undefined
  #draining = false

  private constructor(options: SidecarOptions) {
    const { config, files, clock, logger, telemetry } = options
    this.#options = options
    this.#deadlines = new Deadlines(clock)
    this.#trust = new TrustStore({ ...files, bundles: new Map() }, (state) => {
      this.#onNewEpoch(state)
    })
    telemetry.epoch(this.#trust.current.epoch)
    this.#crls = new CrlWatch({
      clock,
      logger,
      telemetry,
      onStandingChange: () => this.#trust.raise(),
    })
    this.#crls.watch(files.products)
    this.#upstreams = new WorkloadUpstreams({
      address: config.inbound.upstream,
      protocol: config.inbound.upstreamProtocol,
      deadlines: this.#deadlines,
      connectTimeoutMs: config.inbound.limits.upstreamConnectTimeoutMs,
      responseTimeoutMs: config.inbound.limits.upstreamResponseTimeoutMs,
      maxConnections: config.inbound.limits.maxUpstreamConnections,
      queue: {
        maxRequests: config.inbound.limits.maxUpstreamQueue,
        timeoutMs: config.inbound.limits.upstreamQueueTimeoutMs,
        onChange: (change) => telemetry.upstreamWaiting(change),
      },
      parse: options.parseAddress,
      logger,
    })
    this.#outbound = new OutboundServers(
      {
        clock,
        logger,
        telemetry,
        trust: this.#trust,
        rules: HeaderRules.outbound(),
        decisionIds: this.#decisionIds,
        deadlines: this.#deadlines,
      },
      outboundRoutes(config.outbound),
    )
    this.#identity = new OwnIdentity({
      clock,
      logger,
      user: {
        useIdentity: (svid) => this.#serveWith(svid),
        loseIdentity: () => this.#serveNobody(),
      },
    })
  }

  /**
   * Binds the port and the health endpoints; ready once an identity is held. The caller closes it.
   * Throws `PosternError` ERR_LISTEN_FAILED.
   */
  static async start(options: SidecarOptions): Promise<Sidecar> {
    const sidecar = new Sidecar(options)
    try {
      await sidecar.#listen()
    } catch (error) {
      await sidecar.close()
      throw error
    }
    return sidecar
  }

  /** Bound ports; they differ from the files where these say 0. */
  get ports(): SidecarPorts {
    return {
      inbound: this.#inbound?.port ?? 0,
      outbound: this.#outbound.ports,
      health: this.#health?.address.port ?? 0,
    }
  }

  /** Open connections of callers, and of the workload. */
  get connections(): number {
    return (this.#inbound?.connections ?? 0) + this.#outbound.connections
  }

  /** Open connections of the workload to each entry of `outbound`. */
  get outboundConnections(): readonly number[] {
    return this.#outbound.connectionsOfEach
  }

  /** What is known of each open connection. */
  describeConnections(): Iterable<ConnectionDescription> {
    return this.#inbound?.describeConnections() ?? []
  }

  /** Our own identity, expired or not. */
  get svid(): X509Svid | undefined {
    return this.#identity.svid
  }

  get trust(): TrustState {
    return this.#trust.current
  }

  /** Our identity, and whom we can verify, as of now. */
  holdIdentity(svid: X509Svid, bundles: TrustBundles): void {
    this.#trust.update({ bundles })
    this.#options.telemetry.bundles(bundleValidities(bundles))
    this.#identity.hold(svid)
  }

  /** Our identity was taken back: it may not be used any more. */
  dropIdentity(): void {
    this.#identity.drop()
  }

  /** The files changed and are valid. Taken as one: no decision sees one without the other. */
  useFiles(files: CallerFiles): void {
    this.#trust.update(files)
    this.#crls.watch(files.products)
    const addresses = [...files.products.products.values()].map((product) => product.upstream)
    this.#upstreams.keepOnly(new Set(addresses.filter((address) => address !== undefined)))
  }

  /** What is missing before callers can be served; empty: ready. */
  missing(): readonly string[] {
    return [
      ...(this.#identity.isUsable ? [] : ['identity']),
      ...(this.#inbound === undefined ? ['listener'] : []),
      ...(this.#options.telemetry.canRecord ? [] : ['audit']),
      ...this.#outbound.unbound.map((upstream) => `outbound ${upstream}`),
      ...(this.#draining ? ['draining'] : []),
    ]
  }

  /**
   * Not ready from now on; after the delay nothing new is accepted and what runs may finish until the timeout. The workload's own
   * calls go on until the last request to it is answered, which may need them.
   */
  async drain(): Promise<void> {
    const { clock, config } = this.#options
    this.#draining = true
    if (config.drain.delayMs > 0) await wait(clock, config.drain.delayMs)
    const endMs = clock.monotonic() + config.drain.timeoutMs
    await this.#inbound?.drain(config.drain.timeoutMs)
    await this.#outbound.drain(endMs - clock.monotonic())
  }

  /** Cuts what is open and releases everything. Idempotent. */
  async close(): Promise<void> {
    this.#identity.close()
    this.#crls.close()
    this.#inbound?.close()
    this.#outbound.close()
    this.#upstreams.close()
    this.#deadlines.close()
    await this.#health?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #listen(): Promise<void> {
    const { config, telemetry } = this.#options
    const { limits, listen, plaintext, protocol, balancers } = config.inbound
    const health = HealthServer.start({
      ...config.health.listen,
      logger: this.#options.logger,
      readiness: this,
      metrics: (format) => telemetry.metricsText(format),
    })
    this.#health = await listeningAt('health.listen', health)
    const inbound = InboundServer.start({
      context: this.#inboundContext(),
      host: listen.host,
      port: listen.port,
      protocol,
      plaintext,
      tls: {
        protocols: protocol === 'http' ? ['h2', 'http/1.1'] : [],
        handshakeTimeoutMs: limits.handshakeTimeoutMs,
      },
      maxConnections: limits.maxConnections,
      maxConnectionsPerAddress: limits.maxConnectionsPerAddress,
      maxHandshakes: limits.maxHandshakes,
      balancers,
    })
    this.#inbound = await listeningAt('inbound.listen', inbound)
    await listeningAt('outbound[].listen', this.#outbound.listen())
  }

  #inboundContext(): InboundContext {
    const { clock, logger, telemetry, config } = this.#options
    const { limits, untrustedCertificate, forwardClientCert, apiKeyHeader } = config.inbound
    const { addresses } = config.inbound
    return {
      clock,
      logger,
      telemetry,
      trust: this.#trust,
      verdicts: new Verdicts(),
      rules: HeaderRules.inbound(apiKeyHeader),
      limiter: new RateLimiter(),
      decisionIds: this.#decisionIds,
      upstreams: this.#upstreams,
      deadlines: this.#deadlines,
      settings: { ...limits, untrustedCertificate, addresses, forwardClientCert },
      ownId: () => this.#identity.svid?.id.toString(),
    }
  }

  #serveWith(svid: X509Svid): void {
    const presented = {
      certificateChainPem: svid.chainPem(),
      privateKeyPem: svid.privateKeyPem(),
    }
    this.#inbound?.useIdentity(presented)
    this.#outbound.useIdentity(presented, svid.notAfterMs)
    this.#trust.update({ hasIdentity: true })
    const spiffeId = svid.id.toString()
    const { notBeforeMs } = svid.leaf
    this.#options.telemetry.identity({ spiffeId, notBeforeMs, notAfterMs: svid.notAfterMs })
    this.#options.logger.info('identity in service', {
      spiffeId,
      notAfter: new Date(svid.notAfterMs).toISOString(),
    })
  }

  #serveNobody(): void {
    this.#inbound?.loseIdentity()
    this.#outbound.loseIdentity()
    this.#trust.update({ hasIdentity: false })
    this.#options.telemetry.identity(undefined)
  }

  #onNewEpoch(state: TrustState): void {
    this.#options.telemetry.epoch(state.epoch)
    this.#options.onNewEpoch?.(state)
    this.#options.logger.info('trust changed', { epoch: state.epoch })
    for (const problem of checkAgainstBundles(state.products, state.bundles)) {
      this.#options.logger.error('two sources for one trust domain, the Workload API wins', {
        problem: formatProblem(problem),
      })
    }
    this.#inbound?.rejudge(state)
    this.#outbound.rejudge(state)
  }
}
