import { type SpanContext, SpanKind, TraceFlags, createTraceState } from '@opentelemetry/api'
import { ConsoleSpanExporter, type SpanExporter } from '@opentelemetry/sdk-trace'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { TracingSettings } from './environment.ts'
import { otlpSink, type SpanSink } from './otlp-exporter.ts'
import { type Sample, sampler } from './sampling.ts'
import {
  authorizeAttributes,
  errorType,
  handshakeAttributes,
  isErrorStatus,
  requestAttributes,
  spanName,
} from './span-attributes.ts'
import { type LostSpansReason, SpanPipeline } from './span-pipeline.ts'
import {
  type DecisionRecord,
  type FailedHandshake,
  isOfRequest,
  type Outcome,
  type Recording,
  type Trace,
} from './telemetry.ts'

export interface SpansOptions {
  readonly settings: TracingSettings
  readonly clock: Clock
  readonly logger: Logger
  readonly serviceVersion: string
  /** Instead of what the settings name. */
  readonly exporter?: SpanExporter
  readonly onLost: (spans: number, reason: LostSpansReason) => void
}

/**
 * Spans, made when they are over, from the record. Here begins what needs the OpenTelemetry SDK: it is loaded only where spans are
 * exported, because it takes a third of a start. No global of the OpenTelemetry API is touched.
 */
export class Spans {
  /** Whether a trace is recorded. */
  readonly sample: Sample
  readonly #clock: Clock
  readonly #pipeline: SpanPipeline

  private constructor({ clock, settings }: SpansOptions, pipeline: SpanPipeline) {
    this.#clock = clock
    this.#pipeline = pipeline
    this.sample = sampler(settings.sampling)
  }

  /** undefined: the settings name no exporter. */
  static async open(options: SpansOptions): Promise<Spans | undefined> {
    const sink = await spanSink(options)
    if (sink === undefined) return undefined
    return new Spans(options, new SpanPipeline({ ...options, ...options.settings, sink }))
  }

  /** The `authorize` span: below the span of the request, or alone where there is no HTTP request. */
  decided(trace: Trace, record: DecisionRecord): void {
    if (trace.recording === undefined) return
    const isAlone = !isOfRequest(record)
    const { decision } = record
    this.#pipeline.span({
      name: 'authorize',
      kind: SpanKind.INTERNAL,
      traceId: trace.traceId,
      ...(isAlone ? { spanId: trace.recording.spanId } : {}),
      parent: isAlone ? callerContext(trace, trace.recording) : ownContext(trace, trace.recording),
      attributes: authorizeAttributes(record),
      // A deny is what this span is for, and no error. To have no identity is one.
      ...(decision.reason === 'identity_unavailable' ? { error: decision.reason } : {}),
      startMs: trace.recording.startMs,
      endMs: this.#elapsed(trace.recording),
    })
  }

  /** The span of the request. */
  finished(trace: Trace, record: DecisionRecord, outcome: Outcome): void {
    if (trace.recording === undefined || !isOfRequest(record)) return
    const { request } = record
    const error = spanError(outcome, record.direction)
    this.#pipeline.span({
      name: spanName(request.method),
      kind: record.direction === 'inbound' ? SpanKind.SERVER : SpanKind.CLIENT,
      traceId: trace.traceId,
      spanId: trace.recording.spanId,
      parent: callerContext(trace, trace.recording),
      attributes: requestAttributes(record, request, outcome),
      ...(error === undefined ? {} : { error }),
      startMs: trace.recording.startMs,
      endMs: this.#elapsed(trace.recording),
    })
  }

  /** The span of a handshake that failed in TLS: alone in its trace, for nothing was decided and no request came. */
  handshakeFailed(
    { traceId, spanId, startMs }: Pick<Trace, 'traceId'> & Pick<Recording, 'spanId' | 'startMs'>,
    failed: FailedHandshake,
    leftOut: number,
  ): void {
    this.#pipeline.span({
      name: 'handshake',
      kind: SpanKind.INTERNAL,
      traceId,
      spanId,
      parent: undefined,
      attributes: handshakeAttributes(failed, leftOut),
      error: failed.reason,
      startMs: startMs - failed.durationMs,
      endMs: startMs,
    })
  }

  /** The wall clock may jump while a request runs. */
  #elapsed(recording: Recording): number {
    return recording.startMs + (this.#clock.monotonic() - recording.startMonotonicMs)
  }

  /** Exports what is waiting; rejects when that fails. */
  async flush(): Promise<void> {
    await this.#pipeline.flush()
  }

  /** Exports what is waiting and releases the exporter; rejects when that fails. */
  async shutdown(): Promise<void> {
    await this.#pipeline.shutdown()
  }

  /** Cuts the exporter's connections. */
  disconnect(): void {
    this.#pipeline.disconnect()
  }
}

/** HTTP spans, "Status": an error with a good status is one that broke off the reply. */
function spanError(outcome: Outcome, direction: DecisionRecord['direction']): string | undefined {
  const isError = isErrorStatus(outcome.status, direction) || outcome.status < 400
  return isError ? errorType(outcome, direction) : undefined
}

function callerContext(trace: Trace, recording: Recording): SpanContext | undefined {
  return recording.parentSpanId === undefined
    ? undefined
    : { ...spanContext(trace, recording.parentSpanId), isRemote: true }
}

function ownContext(trace: Trace, recording: Recording): SpanContext {
  return spanContext(trace, recording.spanId)
}

function spanContext(trace: Trace, spanId: string): SpanContext {
  return {
    traceId: trace.traceId,
    spanId,
    traceFlags: TraceFlags.SAMPLED,
    ...(trace.tracestate === undefined ? {} : { traceState: createTraceState(trace.tracestate) }),
  }
}

async function spanSink({
  exporter,
  settings,
  logger,
}: SpansOptions): Promise<SpanSink | undefined> {
  if (exporter !== undefined) return { exporter, disconnect: () => undefined }
  switch (settings.exporter.kind) {
    case 'none':
      return undefined
    case 'console':
      return { exporter: new ConsoleSpanExporter(), disconnect: () => undefined }
    case 'otlp':
      return otlpSink(settings.exporter, settings.batch, logger)
  }
}
