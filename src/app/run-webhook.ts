import { HealthServer } from '../admin/health-server.ts'
import type { TcpAddress } from '../config/address.ts'
import type { FileWatcher } from '../config/file-watcher.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { InjectOptions } from '../injector/pod/inject.ts'
import { WebhookServer } from '../injector/webhook/webhook-server.ts'
import type { X509Svid } from '../spiffe/x509-svid.ts'
import { LabelledMetric } from '../telemetry/labelled-metric.ts'
import { endOfMetrics } from '../telemetry/metric-text.ts'
import { watchCertificateFiles } from './certificate-files.ts'
import { OwnIdentity } from './own-identity.ts'
import { followWorkloadApi } from './workload-api-identity.ts'

/** Where the certificate of the webhook comes from. */
export type WebhookIdentity =
  /** Its own SVID, which needs a DNS name. `unix:///...` or `tcp://IP:port`. */
  | { readonly kind: 'workload-api'; readonly address: string }
  | { readonly kind: 'files'; readonly certificate: string; readonly key: string }

export interface RunWebhookOptions {
  readonly listen: TcpAddress
  readonly health: TcpAddress
  readonly identity: WebhookIdentity
  readonly inject: Omit<InjectOptions, 'byDefault'>
  /** From SIGTERM, when readiness ends, to the end of accepting. */
  readonly shutdownDelayMs: number
  /** For what was asked to be answered after that. */
  readonly shutdownTimeoutMs: number
}

export interface RunWebhookContext {
  readonly clock: Clock
  readonly logger: Logger
  readonly shutdown: AbortSignal
}

/** Runs the webhook until `shutdown` aborts and it has drained. Throws `PosternError` when it cannot start. */
export async function runWebhook(
  options: RunWebhookOptions,
  context: RunWebhookContext,
): Promise<void> {
  await using webhook = await RunningWebhook.start(options, context)
  await webhook.run()
}

const admissionsMetric = {
  name: 'postern_admissions_total',
  type: 'counter',
  help: 'Answers of the admission webhook.',
} as const

class RunningWebhook {
  readonly #options: RunWebhookOptions
  readonly #context: RunWebhookContext
  readonly #missing = new Set(['listener', 'identity'])
  readonly #admissions = new LabelledMetric<[string]>(
    admissionsMetric,
    ['outcome'],
    [['injected'], ['unchanged'], ['skipped'], ['denied'], ['malformed']],
  )
  /** What was started, in order. */
  readonly #started: { close(): Promise<void> | void }[] = []
  #server: WebhookServer | undefined

  private constructor(options: RunWebhookOptions, context: RunWebhookContext) {
    this.#options = options
    this.#context = context
  }

  static async start(
    options: RunWebhookOptions,
    context: RunWebhookContext,
  ): Promise<RunningWebhook> {
    const webhook = new RunningWebhook(options, context)
    try {
      await webhook.#start()
    } catch (error) {
      await webhook[Symbol.asyncDispose]()
      throw error
    }
    return webhook
  }

  /** Until the shutdown, and its drain. */
  async run(): Promise<void> {
    const { clock, logger, shutdown } = this.#context
    await aborted(shutdown)
    this.#missing.add('draining')
    logger.info('draining')
    await delay(clock, this.#options.shutdownDelayMs)
    const isOver = new AbortController()
    await Promise.race([
      this.#server?.drain(),
      delay(clock, this.#options.shutdownTimeoutMs, isOver.signal),
    ])
    isOver.abort()
    logger.info('drained')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#started.splice(0).reverse()) await one.close()
  }

  async #start(): Promise<void> {
    const { listen, health, inject } = this.#options
    const { logger } = this.#context
    const healthServer = await HealthServer.start({
      ...health,
      readiness: { missing: () => [...this.#missing] },
      metrics: (format) => Promise.resolve(this.#admissions.text(format) + endOfMetrics(format)),
      logger,
    })
    this.#started.push(healthServer)
    const server = await WebhookServer.start({
      ...listen,
      inject,
      logger,
      onAnswer: (outcome) => this.#admissions.add(1, outcome),
    })
    this.#started.push(server)
    this.#server = server
    this.#missing.delete('listener')
    logger.info('listening', { webhookPort: server.port, healthPort: healthServer.address.port })
    await this.#followIdentity(server)
  }

  async #followIdentity(server: WebhookServer): Promise<void> {
    const { identity } = this.#options
    switch (identity.kind) {
      case 'files':
        this.#started.push(await this.#followFiles(identity, server))
        return
      case 'workload-api':
        this.#followAgent(identity.address, server)
    }
  }

  #followFiles(
    { certificate, key }: { certificate: string; key: string },
    server: WebhookServer,
  ): Promise<FileWatcher> {
    const { clock, logger } = this.#context
    return watchCertificateFiles({
      certificate,
      key,
      clock,
      logger,
      onCertificate: (one) => {
        server.useIdentity(one)
        this.#missing.delete('identity')
      },
    })
  }

  #followAgent(address: string, server: WebhookServer): void {
    const { clock, logger } = this.#context
    const own = new OwnIdentity({
      clock,
      logger,
      user: {
        useIdentity: (svid) => {
          server.useIdentity(toPem(svid))
          this.#warnWithoutName(svid)
          this.#missing.delete('identity')
        },
        loseIdentity: () => this.#missing.add('identity'),
      },
    })
    this.#started.push(own)
    const source = followWorkloadApi({
      address,
      hint: undefined,
      clock,
      logger,
      sidecar: { holdIdentity: (svid) => own.hold(svid), dropIdentity: () => own.drop() },
      telemetry: { identityUpdate: () => undefined, workloadApiConnected: () => undefined },
    })
    this.#started.push(source)
  }

  #warnWithoutName(svid: X509Svid): void {
    if (svid.leaf.dnsNames.length > 0) return
    const hint = 'no API server takes it: register it with the DNS name of the Service'
    this.#context.logger.warn('SVID has no DNS name', { spiffeId: svid.id.toString(), hint })
  }
}

function toPem(svid: X509Svid) {
  return { certificateChainPem: svid.chainPem(), privateKeyPem: svid.privateKeyPem() }
}

/** Keeps the process alive meanwhile. */
function delay(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(ms, resolve, { keepAlive: true })
    signal?.addEventListener('abort', () => {
      timer.cancel()
      resolve()
    })
  })
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
