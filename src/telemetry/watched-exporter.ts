import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'

export interface WatchedExporterOptions {
  readonly exporter: SpanExporter
  readonly clock: Clock
  readonly logger: Logger
  /** After so long an export counts as failed. */
  readonly timeoutMs: number
  /** So many spans have left or are lost. Called exactly once for each span that was given to `export`. */
  readonly onDone: (spans: number, lost: boolean) => void
  /** An export ran out of time: cut what it holds on to. */
  readonly onTimeout: () => void
}

/**
 * An exporter whose every export ends, in time, and whose losses are counted. The OTLP exporter itself waits without end
 * for a server that sends its reply byte by byte, and reports failures only to a logger that is global to the process.
 */
export class WatchedExporter implements SpanExporter {
  readonly #options: WatchedExporterOptions
  readonly #underWay = new Set<Promise<void>>()
  #isFailing = false

  constructor(options: WatchedExporterOptions) {
    this.#options = options
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    const over = this.#exportInTime(spans).then((result) => {
      this.#underWay.delete(over)
      this.#ended(spans.length, result)
      done(result)
    })
    this.#underWay.add(over)
  }

  /** Resolves when every export that has begun is over. */
  async forceFlush(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  shutdown(): Promise<void> {
    return this.#options.exporter.shutdown()
  }

  #exportInTime(spans: ReadableSpan[]): Promise<ExportResult> {
    const { exporter, clock, timeoutMs, onTimeout } = this.#options
    return new Promise((resolve) => {
      const timer = clock.setTimer(timeoutMs, () => {
        resolve(failure(new Error('the export took too long')))
        onTimeout()
      })
      const finish = (result: ExportResult) => {
        timer.cancel()
        resolve(result)
      }
      try {
        exporter.export(spans, finish)
      } catch (error) {
        finish(failure(error instanceof Error ? error : new Error('the exporter threw')))
      }
    })
  }

  #ended(spans: number, result: ExportResult): void {
    const lost = result.code !== ExportResultCode.SUCCESS
    this.#options.onDone(spans, lost)
    if (lost !== this.#isFailing) this.#report(lost, result.error)
    this.#isFailing = lost
  }

  /** Only a change is worth a line: a collector that is away for an hour must not fill the log. */
  #report(lost: boolean, error: Error | undefined): void {
    const { logger } = this.#options
    if (lost) logger.warn('spans cannot be exported', { error: describe(error) })
    else logger.info('spans are exported again')
  }
}

function failure(error: Error): ExportResult {
  return { code: ExportResultCode.FAILED, error }
}

const longestMessage = 200

/** Message and code; the reply's body, which some errors carry, is the collector's business. */
function describe(error: Error | undefined): string {
  const code = error !== undefined && 'code' in error ? ` (${String(error.code)})` : ''
  return `${error?.message ?? 'unknown'}${code}`.slice(0, longestMessage)
}
