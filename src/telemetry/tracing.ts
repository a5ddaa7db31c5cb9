import type { Clock } from '../core/clock.ts'
import { HandshakeSpanBudget } from './handshake-span-budget.ts'
import { RandomIds } from './random-ids.ts'
import type { Sample } from './sampling.ts'
import type { Spans, SpansOptions } from './spans.ts'
import type { DecisionRecord, FailedHandshake, Outcome, Recording, Trace } from './telemetry.ts'
import {
  type CallerSpan,
  formatTraceparent,
  parseTraceparent,
  parseTracestate,
  unsampled,
} from './trace-context.ts'

/**
 * W3C context and spans. Spans are made when they are over, from the record: an unsampled request then costs no more than
 * its ids, and nothing is left open when a connection dies.
 */
export class Tracing {
  readonly #clock: Clock
  readonly #ids = new RandomIds()
  readonly #sample: Sample | undefined
  readonly #spans: Spans | undefined
  readonly #handshakes = new HandshakeSpanBudget()

  private constructor(clock: Clock, spans: Spans | undefined) {
    this.#clock = clock
    this.#spans = spans
    this.#sample = spans?.sample
  }

  /** Without an exporter nothing is recorded, and the context of the caller passes as it came. */
  static async start(options: SpansOptions): Promise<Tracing> {
    const { exporter, settings, clock } = options
    if (exporter === undefined && settings.exporter.kind === 'none') {
      return new Tracing(clock, undefined)
    }
    const { Spans } = await import('./spans.ts')
    return new Tracing(clock, await Spans.open(options))
  }

  begin(traceparent: string | undefined, tracestate: string | undefined): Trace {
    const caller = parseTraceparent(traceparent)
    return caller === undefined
      ? this.#beginNew()
      : this.#continue(caller, parseTracestate(tracestate))
  }

  #beginNew(): Trace {
    const traceId = this.#ids.traceId()
    if (this.#sample === undefined) return { traceId, traceparent: undefined }
    const spanId = this.#ids.spanId()
    if (!this.#sample(traceId, undefined)) {
      return { traceId, traceparent: formatTraceparent(traceId, spanId, false) }
    }
    return {
      traceId,
      traceparent: formatTraceparent(traceId, spanId, true),
      recording: this.#record(spanId),
    }
  }

  #continue(caller: CallerSpan, tracestate: string | undefined): Trace {
    const { traceId } = caller
    const state = tracestate === undefined ? {} : { tracestate }
    if (this.#sample === undefined) return { traceId, traceparent: caller.traceparent, ...state }
    if (!this.#sample(traceId, caller.sampled)) {
      return { traceId, traceparent: unsampled(caller), ...state }
    }
    const spanId = this.#ids.spanId()
    return {
      traceId,
      traceparent: formatTraceparent(traceId, spanId, true),
      ...state,
      recording: { ...this.#record(spanId), parentSpanId: caller.spanId },
    }
  }

  #record(spanId: string): Recording {
    return { spanId, startMs: this.#clock.now(), startMonotonicMs: this.#clock.monotonic() }
  }

  /** The `authorize` span: below the span of the request, or alone where there is no HTTP request. */
  decided(trace: Trace, record: DecisionRecord): void {
    this.#spans?.decided(trace, record)
  }

  /** The span of the request. */
  finished(trace: Trace, record: DecisionRecord, outcome: Outcome): void {
    this.#spans?.finished(trace, record, outcome)
  }

  /** The span of a handshake that failed in TLS: alone in its trace, for nothing was decided and no request came. */
  handshakeFailed(failed: FailedHandshake): void {
    const trace = this.#beginNew()
    if (trace.recording === undefined) return
    const { spanId, startMs, startMonotonicMs } = trace.recording
    const leftOut = this.#handshakes.take(failed.clientAddress, startMonotonicMs)
    if (leftOut === undefined) return
    this.#spans?.handshakeFailed({ traceId: trace.traceId, spanId, startMs }, failed, leftOut)
  }

  /** Exports what is waiting; rejects when that fails. */
  async flush(): Promise<void> {
    await this.#spans?.flush()
  }

  /** Exports what is waiting and releases the exporter; rejects when that fails. */
  async shutdown(): Promise<void> {
    await this.#spans?.shutdown()
  }

  /** Cuts the exporter's connections. */
  disconnect(): void {
    this.#spans?.disconnect()
  }
}
