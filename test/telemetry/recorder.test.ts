import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Telemetry } from '../../src/telemetry/telemetry.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { denyPeer, parseExpectedPeer } from '../../src/policy/peer-decision.ts'
import { Recorder } from '../../src/telemetry/recorder.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeSink, gate, settle } from './support/fakes.ts'
import { parsePrometheus } from './support/prometheus.ts'
import { startRecorder } from './support/recorder.ts'
import {
  allow,
  deny,
  outcomeOf,
  recordOf,
  recordWithoutRequest,
  svidPeer,
} from './support/records.ts'

async function value(recorder: Telemetry, sample: string): Promise<number | undefined> {
  const families = parsePrometheus(await recorder.metricsText())
  return [...families.values()]
    .flatMap(({ samples }) => [...samples])
    .find(([name]) => name === sample)?.[1]
}

describe('the recorder', () => {
  it('writes one line, two spans and two metrics of a request, with the same ids', async () => {
    const { recorder, sink, spans } = await startRecorder()
    const record = recordOf({ peer: await svidPeer() })
    const trace = recorder.begin(undefined, undefined)
    recorder.decided(trace, record)
    recorder.finished(trace, record, outcomeOf())
    const ended = await spans()
    const line = JSON.parse(sink.lines[0] ?? '') as { id: string; trace: string }
    assert.equal(sink.lines.length, 1)
    assert.equal(line.id, record.id)
    assert.equal(line.trace, trace.traceId)
    assert.deepEqual(
      ended.map((span) => span.spanContext().traceId),
      [trace.traceId, trace.traceId],
    )
    assert.equal(ended[0]?.attributes['postern.decision_id'], record.id)
    const labels = 'reason="svid_id",product="payments",credential="x509-svid"'
    assert.equal(await value(recorder, `postern_decisions_total{outcome="allow",${labels}}`), 1)
    assert.equal(
      await value(
        recorder,
        'postern_request_duration_seconds_count{product="payments",code="200"}',
      ),
      1,
    )
  })

  it('counts a decision when it is made, and a request when it is over', async () => {
    const { recorder, sink } = await startRecorder()
    const decision = deny({ product: 'payments', reason: 'request_not_allowed' })
    const record = recordOf({ decision })
    const trace = recorder.begin(undefined, undefined)
    recorder.decided(trace, record)
    const decided =
      'postern_decisions_total{outcome="deny",reason="request_not_allowed",product="payments",credential=""}'
    const finished = 'postern_request_duration_seconds_count{product="payments",code="403"}'
    assert.equal(await value(recorder, decided), 1)
    assert.equal(await value(recorder, finished), undefined)
    recorder.finished(trace, record, outcomeOf({ status: 403 }))
    assert.equal(await value(recorder, decided), 1)
    assert.equal(await value(recorder, finished), 1)
    await recorder.flush()
    assert.equal(sink.lines.length, 1)
  })

  it('counts calls of the workload apart, by where they go', async () => {
    const { recorder } = await startRecorder()
    const decision = denyPeer('peer_untrusted', parseExpectedPeer('b.example:1', 'b'), 1, '')
    const record = recordOf({ direction: 'outbound', decision })
    const trace = recorder.begin(undefined, undefined)
    recorder.decided(trace, record)
    recorder.finished(trace, record, outcomeOf({ status: 502 }))
    const labels = '{outcome="deny",reason="peer_untrusted",upstream="b.example:1"}'
    assert.equal(await value(recorder, `postern_outbound_decisions_total${labels}`), 1)
    const duration = 'postern_outbound_request_duration_seconds_count'
    assert.equal(await value(recorder, `${duration}{upstream="b.example:1",code="502"}`), 1)
    assert.doesNotMatch(await recorder.metricsText(), /^postern_(?:decisions|request).*[^0]$/m)
  })

  it('keeps a TCP connection out of the duration of requests, and in the audit log', async () => {
    const { recorder, sink } = await startRecorder()
    const record = recordWithoutRequest('tcp')
    const trace = recorder.begin(undefined, undefined)
    recorder.decided(trace, record)
    recorder.finished(trace, record, outcomeOf({ status: 0, durationMs: 3_600_000 }))
    await recorder.flush()
    assert.equal(sink.lines.length, 1)
    const families = parsePrometheus(await recorder.metricsText())
    assert.equal(families.get('postern_request_duration_seconds')?.samples.size, 0)
    assert.equal(families.get('postern_decisions_total')?.samples.size, 1)
  })

  it('records each gauge and counter under its name', async () => {
    const { recorder } = await startRecorder()
    recorder.connectionOpened('h2')
    recorder.connectionOpened('tcp')
    recorder.connectionClosed('tcp')
    recorder.handshake('anonymous')
    recorder.upstreamError('upstream_timeout')
    recorder.identity({
      spiffeId: 'spiffe://corp.example/api',
      notBeforeMs: 4_000,
      notAfterMs: 5_000,
    })
    recorder.bundles([{ trustDomain: 'corp.example', notAfterMs: 6_000 }])
    recorder.identityUpdate('rejected')
    recorder.workloadApiConnected(true)
    recorder.epoch(3)
    recorder.reevaluated('ended')
    recorder.reevaluated('kept', 2)
    recorder.configReload('config', 'accepted')
    for (const [sample, expected] of [
      ['postern_connections{protocol="h2"}', 1],
      ['postern_connections{protocol="tcp"}', 0],
      ['postern_handshakes_total{result="anonymous"}', 1],
      ['postern_upstream_errors_total{reason="upstream_timeout"}', 1],
      ['postern_svid_not_after_seconds{spiffe_id="spiffe://corp.example/api"}', 5],
      ['postern_svid_not_before_seconds{spiffe_id="spiffe://corp.example/api"}', 4],
      ['postern_bundle_not_after_seconds{trust_domain="corp.example"}', 6],
      ['postern_identity_updates_total{result="rejected"}', 1],
      ['postern_workload_api_connected', 1],
      ['postern_epoch', 3],
      ['postern_connections_reevaluated_total{result="ended"}', 1],
      ['postern_connections_reevaluated_total{result="kept"}', 2],
      ['postern_config_reloads_total{file="config",result="accepted"}', 1],
    ] as const) {
      assert.equal(await value(recorder, sample), expected, sample)
    }
  })

  it('shows no secret, no path, no key and no caller in a metric', async () => {
    const { recorder } = await startRecorder()
    const peer = await svidPeer('spiffe://corp.example/caller-7')
    const record = recordOf({
      peer,
      decision: allow({ principal: 'spiffe://corp.example/caller-7', apiKeyId: 'k_8f3a2c91' }),
    })
    const trace = recorder.begin(undefined, undefined)
    recorder.decided(trace, record)
    recorder.finished(trace, record, outcomeOf())
    const text = await recorder.metricsText()
    for (const hidden of ['caller-7', 'k_8f3a2c91', '/v1/payments', '10.1.2.3', record.id]) {
      assert.ok(!text.includes(hidden), hidden)
    }
  })

  it('lets no secret of the query or the environment into any output', async () => {
    const secret = randomBytes(12).toString('hex')
    const { recorder, sink, logger, spans } = await startRecorder({
      env: {
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}`,
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://user:${secret}@127.0.0.1:1`,
        OTEL_TRACES_SAMPLER_ARG: secret,
        OTEL_TRACES_SAMPLER: `parentbased_${secret}`,
        OTEL_EXPORTER_OTLP_COMPRESSION: secret,
      },
    })
    for (const decision of [allow(), deny()]) {
      const path = `/v1/payments?api_key=${secret}`
      const record = recordOf({ decision, request: { method: 'GET', host: 'h', path } })
      const trace = recorder.begin(secret, `x=${secret}`)
      recorder.decided(trace, record)
      recorder.finished(trace, record, outcomeOf())
    }
    const ended = await spans()
    assert.equal(ended.length, 4)
    const told = {
      audit: sink.text,
      spans: JSON.stringify(
        ended.map(({ attributes, resource, status }) => [attributes, resource.attributes, status]),
      ),
      log: JSON.stringify(logger.lines),
      metrics: await recorder.metricsText(),
    }
    for (const [output, text] of Object.entries(told)) {
      assert.ok(!text.includes(secret), `${output}: ${text}`)
    }
    assert.ok(told.audit.includes('/v1/payments'))
    assert.ok(told.spans.includes('/v1/payments'))
    assert.ok(told.log.includes('OTEL_TRACES_SAMPLER'))
    assert.ok(told.metrics.includes('payments'))
  })

  it('counts the lines that a hanging sink loses, and serves on', async () => {
    const sink = new FakeSink()
    sink.answer = () => Promise.resolve({ written: 0 })
    const { recorder } = await startRecorder({ audit: { sink, maxHeldBytes: 20_000 } })
    const record = recordOf()
    for (let i = 0; i < 1_000; i++) {
      recorder.finished(recorder.begin(undefined, undefined), record, outcomeOf())
    }
    const dropped = await value(recorder, 'postern_audit_lines_dropped_total')
    sink.answer = undefined
    await recorder.flush()
    assert.ok(dropped !== undefined && dropped > 900)
    assert.equal(sink.lines.length, 1_000 - dropped)
  })

  it('opens the audit log again when it is told to', async () => {
    const { recorder, sink } = await startRecorder()
    await recorder.reopenAudit()
    assert.equal(sink.reopens, 1)
  })

  it('ends in time although the disk hangs, and only once', async () => {
    const clock = new FakeClock()
    const sink = new FakeSink()
    const { passed } = gate<never>()
    sink.answer = () => passed
    const recorder = await Recorder.start({
      env: {},
      clock,
      logger: silentLogger,
      audit: { sink },
      serviceVersion: '0',
      flushTimeoutMs: 2_000,
    })
    recorder.finished(recorder.begin(undefined, undefined), recordOf(), outcomeOf())
    let closed = 0
    const closing = [recorder.close(), recorder.close()].map((one) => one.then(() => closed++))
    await settle()
    clock.advance(1_999)
    await settle()
    assert.equal(closed, 0)
    clock.advance(1)
    await Promise.all(closing)
    assert.equal(closed, 2)
  })

  it('writes what is left when it is closed', async () => {
    const { recorder, sink } = await startRecorder()
    recorder.finished(recorder.begin(undefined, undefined), recordOf(), outcomeOf())
    await recorder.close()
    assert.equal(sink.lines.length, 1)
    assert.equal(sink.closes, 1)
  })
})
