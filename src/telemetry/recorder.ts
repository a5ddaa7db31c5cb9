import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { type Clock, wait } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { AuditLines } from './audit-line.ts'
import { AuditLog, type AuditSink } from './audit-log.ts'
import { type Environment, readTracingSettings } from './environment.ts'
import type { MetricFormat } from './metric-text.ts'
import { Metrics } from './metrics.ts'
import {
  type BundleValidity,
  type ConfigFile,
  type ConfigReloadResult,
  type ConnectionProtocol,
  type CrlValidity,
  type DecisionRecord,
  type FailedHandshake,
  type HandshakeResult,
  type IdentityUpdateResult,
  isOfRequest,
  type Outcome,
  type ReevaluationResult,
  type SvidValidity,
  type Telemetry,
  type Trace,
  type UpstreamErrorReason,
  upstreamOf,
} from './telemetry.ts'
import { Tracing } from './tracing.ts'

/** Sees each decision as it is recorded. On the path of every request: it must cost next to nothing, and never throw. */
export interface DecisionObserver {
  decided(record: DecisionRecord): void
}

export interface RecorderOptions {
  /** The standard `OTEL_*` variables are read from it. */
  readonly env: Environment
  readonly clock: Clock
  readonly logger: Logger
  /** The sink is closed with the recorder. `maxHeldBytes`: what waits for it at most; default 8 MiB. */
  readonly audit: {
    readonly sink: AuditSink
    readonly maxHeldBytes?: number
    /** While it cannot be written nothing may be allowed. Default false. */
    readonly isRequired?: boolean
  }
  readonly serviceVersion: string
  /** For the status page. */
  readonly observer?: DecisionObserver
  /** Receives the spans instead of the exporter that `env` names. */
  readonly spanExporter?: SpanExporter
  /** Longest wait for the collector and the disk in `flush` and `close`, milliseconds. Default 5000. */
  readonly flushTimeoutMs?: number
}

const defaultFlushTimeoutMs = 5_000

/** The `Telemetry` of a running sidecar: OpenTelemetry spans, Prometheus metrics, and the audit log. */
export class Recorder implements Telemetry {
  readonly #options: RecorderOptions
  readonly #metrics: Metrics
  readonly #lines = new AuditLines()
  readonly #audit: AuditLog
  readonly #tracing: Tracing
  #closing: Promise<void> | undefined

  private constructor(options: RecorderOptions, metrics: Metrics, tracing: Tracing) {
    const { clock, logger, audit } = options
    this.#options = options
    this.#metrics = metrics
    this.#tracing = tracing
    this.#audit = new AuditLog({
      ...audit,
      clock,
      logger,
      onDropped: (lines) => this.#metrics.auditDropped(lines),
      onFailing: (isFailing) => this.#metrics.auditWritable(!isFailing),
    })
  }

  /** Never fails because of `env`: a setting that is not usable is told to the logger. The caller closes it. */
  static async start(options: RecorderOptions): Promise<Recorder> {
    const { env, logger, spanExporter } = options
    const metrics = new Metrics()
    const tracing = await Tracing.start({
      ...options,
      ...(spanExporter === undefined ? {} : { exporter: spanExporter }),
      settings: readTracingSettings(env, (variable, expected) =>
        logger.warn('OpenTelemetry setting is not usable', { variable, expected }),
      ),
      onLost: (spans, reason) => metrics.spansDropped(spans, reason),
    })
    return new Recorder(options, metrics, tracing)
  }

  get canRecord(): boolean {
    return this.#options.audit.isRequired !== true || this.#audit.isWritable
  }

  begin(traceparent: string | undefined, tracestate: string | undefined): Trace {
    return this.#tracing.begin(traceparent, tracestate)
  }

  decided(trace: Trace, record: DecisionRecord): void {
    if (record.direction === 'inbound') this.#metrics.decisions.count(record.decision)
    else this.#metrics.outbound.decided(record.decision)
    this.#options.observer?.decided(record)
    this.#tracing.decided(trace, record)
  }

  finished(trace: Trace, record: DecisionRecord, outcome: Outcome): void {
    if (isOfRequest(record)) this.#observe(record, outcome)
    this.#tracing.finished(trace, record, outcome)
    this.#audit.append(this.#lines.render(trace.traceId, record, outcome))
  }

  #observe({ direction, decision }: DecisionRecord, { status, durationMs }: Outcome): void {
    if (direction === 'inbound')
      this.#metrics.requests.observe(decision.product, status, durationMs)
    else this.#metrics.outbound.requests.observe(upstreamOf(decision), status, durationMs)
  }

  peerConnectionOpened(protocol: ConnectionProtocol): void {
    this.#metrics.outbound.connections(1, protocol)
  }

  peerConnectionClosed(protocol: ConnectionProtocol): void {
    this.#metrics.outbound.connections(-1, protocol)
  }

  connectionOpened(protocol: ConnectionProtocol): void {
    this.#metrics.connections(1, protocol)
  }

  connectionClosed(protocol: ConnectionProtocol): void {
    this.#metrics.connections(-1, protocol)
  }

  handshake(result: HandshakeResult): void {
    this.#metrics.handshake(result)
  }

  handshakeFailed(failed: FailedHandshake): void {
    this.#tracing.handshakeFailed(failed)
  }

  upstreamError(reason: UpstreamErrorReason): void {
    this.#metrics.upstreamError(reason)
  }

  upstreamWaiting(change: 1 | -1): void {
    this.#metrics.upstreamWaiting(change)
  }

  identity(svid: SvidValidity | undefined): void {
    this.#metrics.identity(svid)
  }

  bundles(bundles: readonly BundleValidity[]): void {
    this.#metrics.bundles(bundles)
  }

  crls(crls: readonly CrlValidity[]): void {
    this.#metrics.crls(crls)
  }

  identityUpdate(result: IdentityUpdateResult): void {
    this.#metrics.identityUpdate(result)
  }

  workloadApiConnected(connected: boolean): void {
    this.#metrics.workloadApiConnected(connected)
  }

  epoch(epoch: number): void {
    this.#metrics.epoch(epoch)
  }

  reevaluated(result: ReevaluationResult, count = 1): void {
    this.#metrics.reevaluated(result, count)
  }

  configReload(file: ConfigFile, result: ConfigReloadResult): void {
    this.#metrics.configReload(file, result)
  }

  metricsText(format?: MetricFormat): Promise<string> {
    return this.#metrics.text(format)
  }

  async flush(): Promise<void> {
    await Promise.all([
      this.#inTime('audit log', this.#audit.flush()),
      this.#inTime('spans', this.#tracing.flush()),
    ])
  }

  reopenAudit(): Promise<void> {
    return this.#audit.reopen()
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await Promise.all([
      this.#inTime('audit log', this.#audit.close()),
      this.#inTime('spans', this.#tracing.shutdown()),
    ])
    this.#tracing.disconnect()
  }

  /** A disk or collector that hangs must not keep a sidecar from its end. */
  async #inTime(what: 'audit log' | 'spans', work: Promise<void>): Promise<void> {
    const { clock, logger, flushTimeoutMs = defaultFlushTimeoutMs } = this.#options
    const stop = new AbortController()
    try {
      const late = wait(clock, flushTimeoutMs, stop.signal)
      if (await Promise.race([work.then(() => false), late])) {
        logger.warn('records could not be written in time', { what, timeoutMs: flushTimeoutMs })
      }
    } catch (error) {
      logger.warn('records could not be written', { what, error: messageOf(error) })
    } finally {
      stop.abort()
    }
  }
}
