import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  type SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { SDK_INFO } from '@opentelemetry/core'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  type ReadableSpan,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { BatchSettings } from './environment.ts'
import type { SpanSink } from './otlp-exporter.ts'
import { RandomIds } from './random-ids.ts'
import { WatchedExporter } from './watched-exporter.ts'

/** Why spans were lost: there was no room for them, or their export failed. */
export type LostSpansReason = 'queue_full' | 'export_failed'

export interface SpanPipelineOptions {
  readonly sink: SpanSink
  readonly batch: BatchSettings
  readonly resource: Readonly<Record<string, string>>
  readonly clock: Clock
  readonly logger: Logger
  readonly serviceVersion: string
  readonly onLost: (spans: number, reason: LostSpansReason) => void
}

/** One span that is over. */
export interface EndedSpan {
  readonly name: string
  readonly kind: SpanKind
  readonly traceId: string
  /** The id that was handed on; drawn at random where nobody has seen it. */
  readonly spanId?: string
  readonly parent: SpanContext | undefined
  readonly attributes: Attributes
  /** What failed, of a small set. */
  readonly error?: string
  readonly startMs: number
  readonly endMs: number
}

/** The SDK's tracer, its batches, and the bound on them. */
export class SpanPipeline {
  readonly #ids = new PresetIds()
  readonly #sink: SpanSink
  readonly #provider: TracerProvider
  readonly #tracer: ReturnType<TracerProvider['getTracer']>
  readonly #watched: WatchedExporter

  constructor(options: SpanPipelineOptions) {
    const { sink, batch } = options
    this.#sink = sink
    const queue = new BoundedQueue(batch.maxQueueSize, options.onLost)
    this.#watched = new WatchedExporter({
      exporter: sink.exporter,
      clock: options.clock,
      logger: options.logger,
      timeoutMs: batch.exportTimeoutMs,
      onDone: (spans, lost) => queue.release(spans, lost),
      onTimeout: () => sink.disconnect(),
    })
    queue.next = new BatchSpanProcessor({
      exporter: this.#watched,
      maxQueueSize: batch.maxQueueSize,
      maxExportBatchSize: batch.maxBatchSize,
      scheduledDelayMillis: batch.delayMs,
      // Ours above is to come first: the processor's own tells nobody.
      exportTimeoutMillis: batch.exportTimeoutMs + 1_000,
    })
    this.#provider = createProvider(options, queue, this.#ids)
    this.#tracer = this.#provider.getTracer('postern', options.serviceVersion)
  }

  /** Makes it and queues it for export; drops it when the queue is full. */
  span(ended: EndedSpan): void {
    this.#ids.preset(ended.traceId, ended.spanId)
    const span = this.#tracer.startSpan(
      ended.name,
      { kind: ended.kind, startTime: ended.startMs },
      contextOf(ended.parent),
    )
    // Not among the options above: for a sampler, which is not asked, they would be copied twice, 4 us.
    span.setAttributes(ended.attributes)
    if (ended.error !== undefined) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: ended.error })
    }
    span.end(ended.endMs)
  }

  /** Exports what is waiting; rejects when that fails. */
  async flush(): Promise<void> {
    await this.#provider.forceFlush()
    // The processor does not wait for a batch that was already on its way.
    await this.#watched.forceFlush()
  }

  /** Exports what is waiting and releases the exporter; rejects when that fails. */
  async shutdown(): Promise<void> {
    try {
      // The processor's own shutdown does not wait for batches on their way, whose connections would be cut below.
      await this.flush()
    } finally {
      await this.#provider.shutdown()
      this.disconnect()
    }
  }

  /** Cuts the exporter's connections. */
  disconnect(): void {
    this.#sink.disconnect()
  }
}

function contextOf(parent: SpanContext | undefined): Context {
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent)
}

function createProvider(
  options: SpanPipelineOptions,
  processor: SpanProcessor,
  idGenerator: IdGenerator,
): TracerProvider {
  return new TracerProvider({
    // Only spans of traces that were already chosen reach the tracer.
    sampler: new AlwaysOnSampler(),
    idGenerator,
    spanProcessors: [processor],
    resource: resourceFromAttributes({
      ...SDK_INFO,
      'service.version': options.serviceVersion,
      ...options.resource,
    }),
  })
}

/** Gives the tracer the ids that were handed to the workload before there was a span. */
class PresetIds implements IdGenerator {
  readonly #random = new RandomIds()
  #traceId = ''
  #spanId: string | undefined

  preset(traceId: string, spanId: string | undefined): void {
    this.#traceId = traceId
    this.#spanId = spanId
  }

  generateTraceId(): string {
    return this.#traceId
  }

  generateSpanId(): string {
    return this.#spanId ?? this.#random.spanId()
  }
}

/**
 * Counts spans that are waiting or on their way, and refuses more than fit. The SDK's processor has the same bound, but
 * tells nobody what it drops.
 */
class BoundedQueue implements SpanProcessor {
  next: SpanProcessor | undefined
  readonly #size: number
  readonly #onLost: SpanPipelineOptions['onLost']
  #held = 0

  constructor(size: number, onLost: SpanPipelineOptions['onLost']) {
    this.#size = size
    this.#onLost = onLost
  }

  onStart(): void {
    // Spans are complete when they start.
  }

  onEnd(span: ReadableSpan): void {
    if (this.#held >= this.#size) {
      this.#onLost(1, 'queue_full')
      return
    }
    this.#held++
    this.next?.onEnd(span)
  }

  release(spans: number, lost: boolean): void {
    this.#held -= spans
    if (lost) this.#onLost(spans, 'export_failed')
  }

  async forceFlush(): Promise<void> {
    await this.next?.forceFlush()
  }

  async shutdown(): Promise<void> {
    await this.next?.shutdown()
  }
}
