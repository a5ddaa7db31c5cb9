import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { Recorder, type RecorderOptions } from '../../../src/telemetry/recorder.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { CapturingLogger, FakeSink } from './fakes.ts'

/** A recorder with everything around it in memory. */
export async function startRecorder(options: Partial<RecorderOptions> = {}) {
  const clock = new FakeClock()
  const sink = new FakeSink()
  const logger = new CapturingLogger()
  const exporter = new InMemorySpanExporter()
  const recorder = await Recorder.start({
    env: {},
    clock,
    logger,
    audit: { sink },
    serviceVersion: '1.2.3',
    spanExporter: exporter,
    ...options,
  })
  return {
    recorder,
    clock,
    sink,
    logger,
    /** Those that ended until now, oldest first. */
    spans: async (): Promise<ReadableSpan[]> => {
      await recorder.flush()
      return exporter.getFinishedSpans()
    },
  }
}
