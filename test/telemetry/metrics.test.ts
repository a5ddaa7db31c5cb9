import assert from 'node:assert/strict'
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import fc from 'fast-check'
import type { Decision } from '../../src/policy/decision.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { mostProducts } from '../../src/telemetry/product-cells.ts'
import { durationBounds } from '../../src/telemetry/request-histogram.ts'
import { parsePrometheus } from './support/prometheus.ts'
import { allow, deny } from './support/records.ts'

/** DESIGN.md 10, and what is lost. */
const expected = {
  postern_decisions_total: 'counter',
  postern_request_duration_seconds: 'histogram',
  postern_outbound_request_duration_seconds: 'histogram',
  postern_outbound_decisions_total: 'counter',
  postern_outbound_connections: 'gauge',
  postern_connections: 'gauge',
  postern_handshakes_total: 'counter',
  postern_upstream_errors_total: 'counter',
  postern_upstream_waiting_requests: 'gauge',
  postern_svid_not_after_seconds: 'gauge',
  postern_svid_not_before_seconds: 'gauge',
  postern_bundle_not_after_seconds: 'gauge',
  postern_crl_next_update_seconds: 'gauge',
  postern_identity_updates_total: 'counter',
  postern_workload_api_connected: 'gauge',
  postern_epoch: 'gauge',
  postern_connections_reevaluated_total: 'counter',
  postern_config_reloads_total: 'counter',
  postern_config_file_refused: 'gauge',
  postern_audit_lines_dropped_total: 'counter',
  postern_audit_writable: 'gauge',
  postern_spans_dropped_total: 'counter',
}

describe('metrics', () => {
  let metrics: Metrics

  beforeEach(() => {
    metrics = new Metrics()
  })

  it('are all there with HELP and TYPE before anything has happened', async () => {
    const families = parsePrometheus(await metrics.text())
    const types = Object.fromEntries([...families].map(([name, { type }]) => [name, type]))
    assert.deepEqual(types, expected)
  })

  it('are the same numbers in OpenMetrics, where counters, units, bounds and the end look otherwise', async () => {
    metrics.requests.observe('payments', 200, 3)
    const plain = await metrics.text()
    const open = await metrics.text('openmetrics')
    assert.match(open, /# TYPE postern_handshakes counter\npostern_handshakes_total\{/)
    assert.match(open, /# UNIT postern_request_duration_seconds seconds\n/)
    assert.match(open, /,le="1\.0"\}/)
    assert.ok(open.endsWith('\n# EOF\n'))
    const samples = (text: string) => text.replaceAll('le="1.0"', 'le="1"').match(/^[^#].*$/gm)
    const whole = open.replaceAll('le="5.0"', 'le="5"').replaceAll('le="10.0"', 'le="10"')
    assert.deepEqual(samples(whole), samples(plain))
  })

  it('have a zero for every label that is known beforehand', async () => {
    const samples = await allSamples()
    for (const sample of [
      'postern_connections{protocol="h2"}',
      'postern_handshakes_total{result="failed"}',
      'postern_upstream_errors_total{reason="upstream_timeout"}',
      'postern_identity_updates_total{result="rejected"}',
      'postern_workload_api_connected',
      'postern_epoch',
      'postern_connections_reevaluated_total{result="ended"}',
      'postern_config_reloads_total{file="api-keys",result="refused"}',
      'postern_audit_lines_dropped_total',
      'postern_spans_dropped_total{reason="queue_full"}',
    ]) {
      assert.equal(samples.get(sample), 0, sample)
    }
  })

  const events: { name: string; happen: () => void; expect: Record<string, number> }[] = [
    {
      name: 'decisions by outcome, reason, product and credential',
      happen: () => {
        metrics.decisions.count(allow())
        metrics.decisions.count(allow())
        metrics.decisions.count(deny({ reason: 'credential_missing', status: 401 }))
        metrics.decisions.count(
          allow({ reason: 'api_key', credential: 'api-key', product: 'a"b\\c' }),
        )
      },
      expect: {
        'postern_decisions_total{outcome="allow",reason="svid_id",product="payments",credential="x509-svid"}': 2,
        'postern_decisions_total{outcome="deny",reason="credential_missing",product="",credential=""}': 1,
        'postern_decisions_total{outcome="allow",reason="api_key",product="a\\"b\\\\c",credential="api-key"}': 1,
      },
    },
    {
      name: 'the duration of requests by product and code',
      happen: () => {
        metrics.requests.observe('payments', 200, 1)
        metrics.requests.observe('payments', 200, 1.5)
        metrics.requests.observe('payments', 503, 20_000)
      },
      expect: {
        'postern_request_duration_seconds_bucket{product="payments",code="200",le="0.001"}': 1,
        'postern_request_duration_seconds_bucket{product="payments",code="200",le="0.0025"}': 2,
        'postern_request_duration_seconds_bucket{product="payments",code="200",le="+Inf"}': 2,
        'postern_request_duration_seconds_sum{product="payments",code="200"}': 0.0025,
        'postern_request_duration_seconds_count{product="payments",code="200"}': 2,
        'postern_request_duration_seconds_bucket{product="payments",code="503",le="10"}': 0,
        'postern_request_duration_seconds_count{product="payments",code="503"}': 1,
      },
    },
    {
      name: 'connections that open and close',
      happen: () => {
        metrics.connections(1, 'h2')
        metrics.connections(1, 'h2')
        metrics.connections(-1, 'h2')
      },
      expect: {
        'postern_connections{protocol="h2"}': 1,
        'postern_connections{protocol="http/1.1"}': 0,
      },
    },
    {
      name: 'handshakes and failures of the workload',
      happen: () => {
        metrics.handshake('certificate')
        metrics.upstreamError('upstream_reset')
      },
      expect: {
        'postern_handshakes_total{result="certificate"}': 1,
        'postern_upstream_errors_total{reason="upstream_reset"}': 1,
      },
    },
    {
      name: 'our own identity, and forgets the one before',
      happen: () => {
        metrics.identity({
          spiffeId: 'spiffe://corp.example/old',
          notBeforeMs: 0,
          notAfterMs: 1_000,
        })
        metrics.identity({
          spiffeId: 'spiffe://corp.example/api',
          notBeforeMs: 1_795_129_200_000,
          notAfterMs: 1_795_132_800_000,
        })
        metrics.identityUpdate('accepted')
        metrics.workloadApiConnected(true)
      },
      expect: {
        'postern_svid_not_after_seconds{spiffe_id="spiffe://corp.example/api"}': 1_795_132_800,
        'postern_svid_not_before_seconds{spiffe_id="spiffe://corp.example/api"}': 1_795_129_200,
        'postern_identity_updates_total{result="accepted"}': 1,
        postern_workload_api_connected: 1,
      },
    },
    {
      name: 'the trust bundles that are held',
      happen: () => {
        metrics.bundles([{ trustDomain: 'gone.example', notAfterMs: 1_000 }])
        metrics.bundles([
          { trustDomain: 'corp.example', notAfterMs: 2_000 },
          { trustDomain: 'partner-a.example', notAfterMs: 3_000 },
        ])
      },
      expect: {
        'postern_bundle_not_after_seconds{trust_domain="corp.example"}': 2,
        'postern_bundle_not_after_seconds{trust_domain="partner-a.example"}': 3,
      },
    },
    {
      name: 'the revocation lists of authorities',
      happen: () => {
        metrics.crls([{ authority: 'gone', nextUpdateMs: 1_000 }])
        metrics.crls([{ authority: 'partner-b', nextUpdateMs: 2_000 }])
      },
      expect: { 'postern_crl_next_update_seconds{authority="partner-b"}': 2 },
    },
    {
      name: 'changes of trust',
      happen: () => {
        metrics.epoch(4)
        metrics.epoch(5)
        metrics.reevaluated('kept', 9_999)
        metrics.reevaluated('ended', 1)
        metrics.configReload('products', 'refused')
      },
      expect: {
        postern_epoch: 5,
        'postern_connections_reevaluated_total{result="kept"}': 9_999,
        'postern_connections_reevaluated_total{result="ended"}': 1,
        'postern_config_reloads_total{file="products",result="refused"}': 1,
        'postern_config_file_refused{file="products"}': 1,
        'postern_config_file_refused{file="api-keys"}': 0,
      },
    },
    {
      name: 'a file that is good again',
      happen: () => {
        metrics.configReload('products', 'refused')
        metrics.configReload('products', 'unchanged')
        metrics.configReload('crl', 'refused')
        metrics.configReload('crl', 'accepted')
      },
      expect: {
        'postern_config_file_refused{file="products"}': 0,
        'postern_config_file_refused{file="crl"}': 0,
      },
    },
    {
      name: 'what is lost',
      happen: () => {
        metrics.auditDropped(3)
        metrics.spansDropped(2, 'export_failed')
      },
      expect: {
        postern_audit_lines_dropped_total: 3,
        'postern_spans_dropped_total{reason="export_failed"}': 2,
      },
    },
  ]
  for (const { name, happen, expect } of events) {
    it(`count ${name}`, async () => {
      happen()
      const samples = await allSamples()
      for (const [sample, value] of Object.entries(expect)) {
        assert.equal(samples.get(sample), value, sample)
      }
    })
  }

  it('forget an identity and bundles that are gone', async () => {
    metrics.identity({ spiffeId: 'spiffe://corp.example/api', notBeforeMs: 0, notAfterMs: 1 })
    metrics.identity(undefined)
    metrics.bundles([{ trustDomain: 'corp.example', notAfterMs: 1 }])
    metrics.bundles([])
    const families = parsePrometheus(await metrics.text())
    assert.equal(families.get('postern_svid_not_after_seconds')?.samples.size, 0)
    assert.equal(families.get('postern_svid_not_before_seconds')?.samples.size, 0)
    assert.equal(families.get('postern_bundle_not_after_seconds')?.samples.size, 0)
  })

  it('tell codes apart that have a meaning, and the others by class', async () => {
    for (const status of [200, 299, 418, 499, 599, 99, 600, 1_000, 0, -1, 200.5, Number.NaN]) {
      metrics.requests.observe('payments', status, 1)
    }
    const codes = [...(await allSamples()).keys()].flatMap((sample) => {
      const [, code] = /duration_seconds_count\{product="payments",code="(.*)"\}/.exec(sample) ?? []
      return code === undefined ? [] : [code]
    })
    assert.deepEqual(codes, ['200', '2xx', '418', '499', '5xx', 'other'])
  })

  it('take a duration that is no number for zero', async () => {
    for (const durationMs of [Number.NaN, -5]) metrics.requests.observe('payments', 200, durationMs)
    const samples = await allSamples()
    const labels = '{product="payments",code="200"}'
    assert.equal(samples.get(`postern_request_duration_seconds_sum${labels}`), 0)
    assert.equal(samples.get(`postern_request_duration_seconds_count${labels}`), 2)
  })

  it('put products above the bound under one name', async () => {
    for (let i = 0; i < mostProducts + 100; i++)
      metrics.decisions.count(allow({ product: `p${i}` }))
    const families = parsePrometheus(await metrics.text())
    const { samples } = families.get('postern_decisions_total') ?? assert.fail()
    assert.equal(samples.size, mostProducts + 1)
    assert.equal(
      samples.get(
        'postern_decisions_total{outcome="allow",reason="svid_id",product="_other",credential="x509-svid"}',
      ),
      100,
    )
  })

  it('let the event loop go on while they are written', async () => {
    for (let i = 0; i < 1_000; i++) metrics.requests.observe(`p${i}`, 200, 1)
    let turns = 0
    const count = () => {
      turns++
      next = setImmediate(count)
    }
    let next = setImmediate(count)
    await metrics.text()
    clearImmediate(next)
    assert.ok(turns >= 4, `${turns} turns`)
  })

  it('say what the SDK would say of the same events', async () => {
    const decision = fc.constantFrom<Decision>(
      allow(),
      allow({ product: 'orders' }),
      deny(),
      deny({ reason: 'request_not_allowed', product: 'orders', credential: 'x509' }),
      allow({ reason: 'api_key', credential: 'api-key' }),
    )
    const event = fc.record({
      decision,
      status: fc.constantFrom(200, 204, 404, 503),
      // Binary fractions: their sum does not depend on the order.
      durationMs: fc.nat(200_000).map((n) => n / 8),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 60 }), async (happened) => {
        const ours = new Metrics()
        const sdk = new SdkMetrics()
        for (const { decision: made, status, durationMs } of happened) {
          ours.decisions.count(made)
          ours.requests.observe(made.product, status, durationMs)
          sdk.record(made, status, durationMs)
        }
        assert.deepEqual(hotSamples(await ours.text()), hotSamples(await sdk.text()))
      }),
      { numRuns: 50 },
    )
  })

  async function allSamples(): Promise<Map<string, number>> {
    const families = parsePrometheus(await metrics.text())
    return new Map([...families.values()].flatMap(({ samples }) => [...samples]))
  }
})

/** The two metrics on the hot path, sums rounded to what the order of adding leaves alone. */
function hotSamples(text: string): [string, number][] {
  const families = parsePrometheus(text)
  return ['postern_decisions_total', 'postern_request_duration_seconds']
    .flatMap((name) => [...(families.get(name)?.samples ?? [])])
    .map(([sample, value]): [string, number] => [sample, Number(value.toFixed(9))])
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The same two metrics by the SDK's instruments and serializer. */
class SdkMetrics {
  readonly #reader = new OnDemandReader()
  readonly #meter = new MeterProvider({ readers: [this.#reader] }).getMeter('test')
  readonly #decisions = this.#meter.createCounter('postern_decisions_total', { description: 'd' })
  readonly #requests = this.#meter.createHistogram('postern_request_duration_seconds', {
    description: 'd',
    advice: { explicitBucketBoundaries: [...durationBounds] },
  })

  record(decision: Decision, status: number, durationMs: number): void {
    const { outcome, reason, product = '', credential = '' } = decision
    this.#decisions.add(1, { outcome, reason, product, credential })
    this.#requests.record(durationMs / 1_000, { product, code: `${status}` })
  }

  async text(): Promise<string> {
    const { resourceMetrics } = await this.#reader.collect()
    return new PrometheusSerializer(undefined, false, undefined, true, true).serialize(
      resourceMetrics,
    )
  }
}

class OnDemandReader extends MetricReader {
  protected override onShutdown(): Promise<void> {
    return Promise.resolve()
  }

  protected override onForceFlush(): Promise<void> {
    return Promise.resolve()
  }
}
