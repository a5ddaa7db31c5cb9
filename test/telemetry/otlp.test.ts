import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { Recorder } from '../../src/telemetry/recorder.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { Collector } from './support/collector.ts'
import { CapturingLogger, FakeSink } from './support/fakes.ts'
import { parsePrometheus } from './support/prometheus.ts'
import { startRecorder } from './support/recorder.ts'
import { outcomeOf, recordOf } from './support/records.ts'

const token = 'Bearer s3cr3t-token'

/** A recorder that exports to `url`. */
async function startExporting(
  url: string,
  env: Record<string, string> = {},
  clock: Clock = systemClock,
) {
  const logger = new CapturingLogger()
  const recorder = await Recorder.start({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=${encodeURIComponent(token)}`,
      OTEL_BSP_SCHEDULE_DELAY: '10',
      OTEL_EXPORTER_OTLP_TIMEOUT: '1500',
      ...env,
    },
    clock,
    logger,
    audit: { sink: new FakeSink() },
    serviceVersion: '1.2.3',
    flushTimeoutMs: 300,
  })
  return { recorder, logger }
}

function makeRequest(recorder: Recorder): void {
  const trace = recorder.begin(undefined, undefined)
  recorder.decided(trace, recordOf())
  recorder.finished(trace, recordOf(), outcomeOf())
}

async function dropped(recorder: Recorder): Promise<Record<string, number>> {
  const { samples } =
    parsePrometheus(await recorder.metricsText()).get('postern_spans_dropped_total') ??
    assert.fail()
  return Object.fromEntries(
    [...samples].map(([sample, value]) => [/reason="(.*)"/.exec(sample)?.[1] ?? '', value]),
  )
}

describe('export by OTLP', () => {
  const collectors: Collector[] = []

  afterEach(async () => {
    for (const collector of collectors.splice(0)) await collector.close()
  })

  async function collect(...answer: Parameters<typeof Collector.start>): Promise<Collector> {
    const collector = await Collector.start(...answer)
    collectors.push(collector)
    return collector
  }

  it('posts spans that a collector can decode, with the headers of the environment', async () => {
    const collector = await collect()
    const { recorder } = await startExporting(collector.url)
    makeRequest(recorder)
    await recorder.close()
    const [first] = collector.exports
    assert.equal(first?.url, '/v1/traces')
    assert.equal(first.headers['content-type'], 'application/x-protobuf')
    assert.equal(first.headers.authorization, token)
    assert.deepEqual(
      collector.spans.map(({ name }) => name),
      ['authorize', 'GET'],
    )
    assert.equal(collector.spans[0]?.attributes['postern.product'], 'payments')
    assert.equal(collector.spans[0].attributes['postern.epoch'], '7')
    assert.equal(collector.spans[1]?.attributes['url.path'], '/v1/payments/17')
    assert.equal(collector.spans[1].resource['service.name'], 'postern')
    assert.deepEqual(await dropped(recorder), { queue_full: 0, export_failed: 0 })
  })

  it('compresses when it is told to', async () => {
    const collector = await collect()
    const { recorder } = await startExporting(collector.url, {
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    })
    makeRequest(recorder)
    await recorder.close()
    assert.equal(collector.exports[0]?.headers['content-encoding'], 'gzip')
    assert.equal(collector.spans.length, 2)
  })

  it('loses nothing of a full queue when it is closed', async () => {
    const collector = await collect()
    const { recorder } = await startExporting(collector.url, {
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '10',
    })
    for (let i = 0; i < 50; i++) makeRequest(recorder)
    await recorder.close()
    assert.equal(new Set(collector.spans.map(({ spanId }) => spanId)).size, 100)
    assert.deepEqual(await dropped(recorder), { queue_full: 0, export_failed: 0 })
  })

  it('sends by itself, without a flush', async () => {
    const collector = await collect()
    const { recorder } = await startExporting(collector.url)
    const came = collector.next()
    makeRequest(recorder)
    await came
    assert.equal(collector.spans.length, 2)
    await recorder.close()
  })

  it('counts what a collector refuses, tells it once, and tells when it works again', async () => {
    let status = 400
    const collector = await collect((reply) => reply.writeHead(status).end('no'))
    const { recorder, logger } = await startExporting(collector.url)
    makeRequest(recorder)
    await recorder.flush()
    makeRequest(recorder)
    await recorder.flush()
    assert.deepEqual(await dropped(recorder), { queue_full: 0, export_failed: 4 })
    assert.equal(count(logger.messages('warn'), 'spans cannot be exported'), 1)
    status = 200
    makeRequest(recorder)
    await recorder.flush()
    assert.deepEqual(await dropped(recorder), { queue_full: 0, export_failed: 4 })
    assert.deepEqual(logger.messages('info'), ['spans are exported again'])
    await recorder.close()
  })

  for (const { name, start } of [
    {
      name: 'nobody listens',
      start: async () => {
        const port = await closedPort()
        return { url: `http://127.0.0.1:${port}` }
      },
    },
    {
      name: 'the collector is overloaded',
      start: () => collect((reply) => reply.writeHead(503).end()),
    },
    { name: 'the collector never answers', start: () => collect(() => undefined) },
  ]) {
    it(`disturbs no request, bounds the queue and ends in time when ${name}`, async () => {
      const collector = await start()
      const { recorder, logger } = await startExporting(collector.url, {
        OTEL_BSP_MAX_QUEUE_SIZE: '100',
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '10',
      })
      for (let i = 0; i < 1_000; i++) makeRequest(recorder)
      assert.deepEqual(await dropped(recorder), { queue_full: 1_900, export_failed: 0 })
      const startedMs = performance.now()
      await recorder.close()
      assert.ok(performance.now() - startedMs < 5_000)
      assert.ok(logger.messages('warn').includes('records could not be written in time'))
      assert.ok(!JSON.stringify(logger.lines).includes('s3cr3t'))
    })
  }

  it('gives up an export whose reply comes byte by byte', async () => {
    // Each byte would start the exporter's own time limit anew.
    let cut: () => void = () => undefined
    const wasCut = new Promise<void>((resolve) => (cut = resolve))
    const collector = await collect((reply) => {
      const timer = setInterval(() => reply.write('x'), 20)
      reply.on('close', () => {
        clearInterval(timer)
        cut()
      })
    })
    const clock = new FakeClock()
    const { recorder, logger } = await startExporting(
      collector.url,
      { OTEL_BSP_EXPORT_TIMEOUT: '200' },
      clock,
    )
    const came = collector.next()
    makeRequest(recorder)
    const flushed = recorder.flush()
    await came
    clock.advance(199)
    assert.deepEqual(logger.lines, [])
    clock.advance(1)
    await flushed
    await wasCut
    assert.deepEqual(await dropped(recorder), { queue_full: 0, export_failed: 2 })
    assert.ok(logger.messages('warn').includes('spans cannot be exported'))
    // The exporter tries the same batch once more by itself.
    const closed = recorder.close()
    clock.advance(300)
    await closed
  })

  it('survives an exporter that throws', async () => {
    const broken: SpanExporter = {
      export: () => {
        throw new Error('broken')
      },
      shutdown: () => Promise.reject(new Error('broken too')),
    }
    const { recorder, sink, logger } = await startRecorder({ spanExporter: broken })
    makeRequest(recorder)
    await recorder.flush()
    assert.deepEqual(await dropped(recorder), { queue_full: 0, export_failed: 2 })
    await recorder.close()
    assert.equal(sink.lines.length, 1)
    assert.ok(logger.messages('warn').includes('records could not be written'))
  })

  it('has room again after spans have left', async () => {
    const started = await startRecorder({
      env: { OTEL_BSP_MAX_QUEUE_SIZE: '10' },
    })
    const { recorder } = started
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < 6; i++) makeRequest(recorder)
      assert.equal((await started.spans()).length, round * 10)
      assert.deepEqual(await dropped(recorder), { queue_full: round * 2, export_failed: 0 })
    }
  })

  it('says which variable is not usable, and never its value', async () => {
    const { logger, recorder } = await startRecorder({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 's3cr3t', OTEL_TRACES_SAMPLER: 's3cr3t' },
    })
    assert.deepEqual(
      logger.lines.map(({ fields }) => fields['variable']),
      ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_TRACES_SAMPLER'],
    )
    assert.ok(!JSON.stringify(logger.lines).includes('s3cr3t'))
    await recorder.close()
  })

  it('says which certificate file cannot be read, and starts all the same', async () => {
    const { logger, recorder } = await startExporting('https://127.0.0.1:1', {
      OTEL_EXPORTER_OTLP_CERTIFICATE: '/nowhere/ca.pem',
    })
    assert.equal(logger.lines[0]?.fields['file'], '/nowhere/ca.pem')
    await recorder.close()
  })
})

function count(messages: readonly string[], message: string): number {
  return messages.filter((one) => one === message).length
}

/** A port of this machine at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
