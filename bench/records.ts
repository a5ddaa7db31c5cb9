import { ExportResultCode } from '@opentelemetry/core'
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { systemClock } from '../src/core/clock.ts'
import { silentLogger } from '../src/core/logger.ts'
import { AuditLines } from '../src/telemetry/audit-line.ts'
import type { AuditSink } from '../src/telemetry/audit-log.ts'
import { Metrics } from '../src/telemetry/metrics.ts'
import { Recorder } from '../src/telemetry/recorder.ts'
import type { DecisionRecord } from '../src/telemetry/telemetry.ts'
import { allow, outcomeOf, recordOf, svidPeer } from '../test/telemetry/support/records.ts'

const outcome = outcomeOf()
const callerTrace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'

/** Prints what recording costs (DESIGN.md 13): CPU microseconds of one request, and of the parts that it is made of. */
async function main(): Promise<void> {
  const records = await recordsOfOneSecond()
  for (const [name, ratio] of [
    ['unsampled', '0'],
    ['1 % sampled', '0.01'],
    ['sampled', '1'],
  ] as const) {
    await measureRequests(`request, ${name}`, ratio, records)
  }
  await measureRequests('request, unsampled, with traceparent', '0', records, callerTrace)
  measureParts(records)
  await measureLibrary()
  await measureScrape()
}

/** As 50 connections make them: ten requests a millisecond, a decision of its own for each. */
async function recordsOfOneSecond(): Promise<DecisionRecord[]> {
  const peer = await svidPeer()
  const peers = Array.from({ length: 50 }, () => ({ ...peer }))
  const principals = peers.map((_, i) => `spiffe://corp.example/caller-${i}`)
  const { steps } = allow()
  return Array.from({ length: 10_000 }, (_, i) =>
    recordOf({
      id: `d_1y2p0ij32e8e7_${i.toString(36)}`,
      atMs: Date.UTC(2026, 10, 20) + Math.floor(i / 10),
      peer: at(peers, i),
      decision: allow({
        product: `product-${i % 50}`,
        principal: at(principals, i),
        steps: [...steps],
      }),
    }),
  )
}

async function measureRequests(
  name: string,
  ratio: string,
  records: readonly DecisionRecord[],
  traceparent?: string,
): Promise<void> {
  const recorder = await Recorder.start({
    env: { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: ratio },
    clock: systemClock,
    logger: silentLogger,
    audit: { sink: blackHole },
    serviceVersion: '0',
    spanExporter: noExporter,
  })
  const record = (i: number) => {
    const one = at(records, i)
    const trace = recorder.begin(traceparent, undefined)
    recorder.decided(trace, one)
    recorder.finished(trace, one, outcome)
  }
  // In slices of what a busy core serves between two turns of the event loop, so that exports and writes take part.
  await measureInTurns(name, record)
  await recorder.close()
}

const blackHole: AuditSink = {
  append: (bytes) => Promise.resolve({ written: bytes.length }),
  reopen: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

const noExporter: SpanExporter = {
  export: (_, done) => done({ code: ExportResultCode.SUCCESS }),
  shutdown: () => Promise.resolve(),
}

function measureParts(records: readonly DecisionRecord[]): void {
  const lines = new AuditLines()
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  measure('audit line', (i) => lines.render(traceId, at(records, i), outcome).length)
  measure(
    'audit line by JSON.stringify alone, without the peer',
    (i) => JSON.stringify(at(records, i).decision).length,
  )
  const metrics = new Metrics()
  measure('metrics, both', (i) => {
    const { decision } = at(records, i)
    metrics.decisions.count(decision)
    metrics.requests.observe(decision.product, 200, (i % 300) / 10)
  })
}

/** What the SDK would take for the same two metrics. */
async function measureLibrary(): Promise<void> {
  const reader = new OnDemandReader()
  const meter = new MeterProvider({ readers: [reader] }).getMeter('bench')
  const decisions = meter.createCounter('decisions')
  const durations = meter.createHistogram('durations')
  measure('metrics, both, by the SDK', (i) => {
    const product = `product-${i % 50}`
    decisions.add(1, { outcome: 'allow', reason: 'svid_id', product, credential: 'x509-svid' })
    durations.record((i % 300) / 10_000, { product, code: '200' })
  })
  for (let i = 0; i < 4_000; i++) {
    durations.record(0.01, { product: `product-${i >> 2}`, code: `${200 + (i & 3)}` })
  }
  const { resourceMetrics } = await reader.collect()
  const startedMs = performance.now()
  const text = new PrometheusSerializer().serialize(resourceMetrics)
  report('scrape by the SDK, 1,000 products x 4 codes', startedMs, text)
}

class OnDemandReader extends MetricReader {
  protected override onShutdown(): Promise<void> {
    return Promise.resolve()
  }

  protected override onForceFlush(): Promise<void> {
    return Promise.resolve()
  }
}

async function measureScrape(): Promise<void> {
  for (const products of [1_000, 10_000]) {
    const metrics = new Metrics()
    for (let i = 0; i < products * 4; i++) {
      metrics.requests.observe(`product-${i >> 2}`, 200 + (i & 3), 10)
    }
    const startedMs = performance.now()
    const text = await metrics.text()
    report(`scrape, ${products} products x 4 codes`, startedMs, text)
  }
}

function report(name: string, startedMs: number, text: string): void {
  const tookMs = (performance.now() - startedMs).toFixed(0)
  console.log(`${name}: ${tookMs} ms, ${(text.length / 1e6).toFixed(1)} MB`)
}

const requests = 100_000
const requestsPerTurn = 50

async function measureInTurns(name: string, work: (i: number) => void): Promise<void> {
  const run = async (count: number) => {
    for (let i = 0; i < count; i++) {
      work(i)
      if (i % requestsPerTurn === 0) await new Promise(setImmediate)
    }
  }
  await run(requests / 5)
  const before = process.cpuUsage()
  await run(requests)
  print(name, before)
}

function measure(name: string, work: (i: number) => unknown): void {
  for (let i = 0; i < requests / 5; i++) work(i)
  const before = process.cpuUsage()
  for (let i = 0; i < requests; i++) work(i)
  print(name, before)
}

function print(name: string, before: NodeJS.CpuUsage): void {
  const { user, system } = process.cpuUsage(before)
  console.log(`${name}: ${((user + system) / requests).toFixed(2)} us`)
}

function at<Item>(items: readonly Item[], i: number): Item {
  const item = items[i % items.length]
  if (item === undefined) throw new RangeError(`no item ${i}`)
  return item
}

await main()
