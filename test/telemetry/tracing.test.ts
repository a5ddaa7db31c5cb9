import assert from 'node:assert/strict'
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace as traceApi,
} from '@opentelemetry/api'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace'
import { denyPeer, parseExpectedPeer } from '../../src/policy/peer-decision.ts'
import type { Environment } from '../../src/telemetry/environment.ts'
import type { DecisionRecord, Outcome } from '../../src/telemetry/telemetry.ts'
import { startRecorder } from './support/recorder.ts'
import {
  allow,
  certificatePeer,
  deny,
  outcomeOf,
  recordOf,
  recordWithoutRequest,
  svidPeer,
} from './support/records.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const sampledCaller = `00-${traceId}-${spanId}-01`
const unsampledCaller = `00-${traceId}-${spanId}-00`

async function spansOf(
  record: DecisionRecord,
  outcome: Outcome = outcomeOf(),
  options: { traceparent?: string; tracestate?: string; env?: Environment } = {},
) {
  const started = await startRecorder({ env: options.env ?? {} })
  const { recorder, clock } = started
  const trace = recorder.begin(options.traceparent, options.tracestate)
  clock.advance(1)
  recorder.decided(trace, record)
  clock.advance(outcome.durationMs)
  recorder.finished(trace, record, outcome)
  const ended = await started.spans()
  return {
    trace,
    ended,
    authorize: ended.find(({ name }) => name === 'authorize'),
    request: ended.find(({ name }) => name !== 'authorize'),
  }
}

describe('the span of a request', () => {
  it('follows the HTTP semantic conventions', async () => {
    const { request } = await spansOf(recordOf({ peer: await svidPeer() }))
    assert.equal(request?.name, 'GET')
    assert.equal(request.kind, SpanKind.SERVER)
    assert.deepEqual(request.attributes, {
      'http.request.method': 'GET',
      'url.scheme': 'https',
      'url.path': '/v1/payments/17',
      'server.address': 'api.example',
      'server.port': 8443,
      'client.address': '10.1.2.3',
      'client.port': 51_234,
      'network.peer.address': '10.1.2.3',
      'network.peer.port': 51_234,
      'network.protocol.name': 'http',
      'network.protocol.version': '1.1',
      'http.response.status_code': 200,
      'http.request.body.size': 0,
      'http.response.body.size': 12,
    })
    assert.equal(request.status.code, SpanStatusCode.UNSET)
  })

  it('lasts from its begin to its end, with the decision inside', async () => {
    const { request, authorize } = await spansOf(recordOf(), outcomeOf({ durationMs: 40 }))
    assert.deepEqual(request?.duration, [0, 41e6])
    assert.deepEqual(authorize?.startTime, request.startTime)
    assert.deepEqual(authorize.duration, [0, 1e6])
  })

  it('says h2 as version 2, and plaintext as http', async () => {
    const { request } = await spansOf(recordOf({ protocol: 'h2', peer: { kind: 'plaintext' } }))
    assert.equal(request?.attributes['network.protocol.version'], '2')
    assert.equal(request.attributes['url.scheme'], 'http')
  })

  it('has a small set of names, also for methods that nobody knows', async () => {
    const request = { method: 'SMUGGLE', host: 'h', path: '/' }
    const { request: span } = await spansOf(recordOf({ request }))
    assert.equal(span?.name, 'HTTP')
    assert.equal(span.attributes['http.request.method'], '_OTHER')
    assert.equal(span.attributes['http.request.method_original'], 'SMUGGLE')
  })

  for (const { host, address, port } of [
    { host: 'api.example', address: 'api.example', port: undefined },
    { host: '[2001:db8::1]:443', address: '2001:db8::1', port: 443 },
    { host: '[::1]', address: '::1', port: undefined },
    { host: 'a:b:c', address: 'a:b:c', port: undefined },
    { host: '', address: undefined, port: undefined },
  ]) {
    it(`takes the server from host ${JSON.stringify(host)}`, async () => {
      const { request } = await spansOf(recordOf({ request: { method: 'GET', host, path: '/' } }))
      assert.equal(request?.attributes['server.address'], address)
      assert.equal(request?.attributes['server.port'], port)
    })
  }

  it('is a client span where the workload calls out', async () => {
    const { request } = await spansOf(
      recordOf({ direction: 'outbound' }),
      outcomeOf({ status: 404 }),
    )
    assert.equal(request?.kind, SpanKind.CLIENT)
    assert.equal(request.status.code, SpanStatusCode.ERROR)
  })

  it('names the peer and its certificate as the server of a call of the workload', async () => {
    const decision = denyPeer('peer_unexpected', parseExpectedPeer('b.example:8443', 'b'), 1, '')
    const claimed = { subject: 'CN=billing' }
    const peer = { kind: 'untrusted', reason: 'issuer_unknown', detail: '', claimed } as const
    const { request, authorize } = await spansOf(
      recordOf({ direction: 'outbound', decision, peer }),
    )
    assert.equal(request?.attributes['server.address'], 'b.example')
    assert.equal(request.attributes['server.port'], 8443)
    assert.equal(request.attributes['url.full'], 'https://api.example:8443/v1/payments/17')
    assert.equal(request.attributes['client.address'], undefined)
    assert.equal(authorize?.attributes['tls.server.subject'], 'CN=billing')
    assert.equal(authorize.attributes['tls.client.subject'], undefined)
    assert.equal(authorize.attributes['postern.upstream'], 'b.example:8443')
  })

  const statuses: { name: string; outcome: Partial<Outcome>; error?: string; type?: string }[] = [
    { name: '404', outcome: { status: 404 } },
    { name: '403', outcome: { status: 403 } },
    { name: '500', outcome: { status: 500 }, error: '500', type: '500' },
    {
      name: '503 with a reason',
      outcome: { status: 503, error: 'upstream_unavailable' },
      error: 'upstream_unavailable',
      type: 'upstream_unavailable',
    },
    {
      name: 'a reply that broke off',
      outcome: { status: 200, error: 'upstream_reset' },
      error: 'upstream_reset',
      type: 'upstream_reset',
    },
    {
      name: 'a caller that left',
      outcome: { status: 499, error: 'downstream_aborted' },
      type: 'downstream_aborted',
    },
  ]
  for (const { name, outcome, error, type } of statuses) {
    it(`${error === undefined ? 'is no error' : 'is an error'} with ${name}`, async () => {
      const { request } = await spansOf(recordOf(), outcomeOf(outcome))
      const code = error === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR
      assert.equal(request?.status.code, code)
      assert.equal(request.status.message, error)
      assert.equal(request.attributes['error.type'], type)
    })
  }
})

describe('the authorize span', () => {
  it('says which reason held before, of a live connection that was judged again', async () => {
    const peer = await svidPeer()
    const { authorize } = await spansOf({ ...recordOf({ peer }), previousReason: 'svid_id' })
    assert.equal(authorize?.attributes['postern.previous_reason'], 'svid_id')
  })

  it('says everything of an allowed SVID', async () => {
    const peer = await svidPeer()
    const { leaf } = peer.path
    const decision = allow({ consumer: 'acme', apiKeyId: 'k_1' })
    const { authorize } = await spansOf(recordOf({ peer, decision }))
    assert.equal(authorize?.kind, SpanKind.INTERNAL)
    assert.equal(authorize.status.code, SpanStatusCode.UNSET)
    assert.deepEqual(authorize.attributes, {
      'postern.decision': 'allow',
      'postern.reason': 'svid_id',
      'postern.decision_id': 'd_1y2p0ij32e8e7_2s',
      'postern.direction': 'inbound',
      'postern.product': 'payments',
      'postern.principal': 'spiffe://corp.example/checkout',
      'postern.consumer': 'acme',
      'postern.credential': 'x509-svid',
      'postern.api_key_id': 'k_1',
      'postern.rule': 'spiffeId: spiffe://corp.example/checkout',
      'postern.epoch': 7,
      'spiffe.id': 'spiffe://corp.example/checkout',
      'spiffe.trust_domain': 'corp.example',
      'tls.client.subject': leaf.subject,
      'tls.client.issuer': leaf.issuer,
      'tls.client.not_after': new Date(leaf.notAfterMs).toISOString(),
      'tls.client.hash.sha256': leaf.sha256.toUpperCase(),
      'client.address': '10.1.2.3',
      'client.port': 51_234,
      'network.peer.address': '10.1.2.3',
      'network.peer.port': 51_234,
    })
  })

  it('names the certificate of a caller outside SPIFFE, and no SPIFFE ID', async () => {
    const peer = await certificatePeer()
    const { authorize } = await spansOf(recordOf({ peer }))
    assert.equal(authorize?.attributes['tls.client.subject'], peer.path.leaf.subject)
    assert.equal(authorize.attributes['spiffe.id'], undefined)
  })

  it('never takes a claimed SPIFFE ID for a proven one', async () => {
    const { authorize } = await spansOf(
      recordOf({
        peer: {
          kind: 'untrusted',
          reason: 'issuer_unknown',
          detail: 'no anchor signed it',
          claimed: { spiffeId: 'spiffe://corp.example/admin', subject: '', notAfterMs: 9e15 },
        },
        decision: deny({ reason: 'issuer_unknown' }),
      }),
    )
    assert.ok(authorize)
    assert.equal(authorize.attributes['spiffe.id'], undefined)
    assert.equal(authorize.attributes['spiffe.trust_domain'], undefined)
    assert.equal(authorize.attributes['postern.claimed_spiffe_id'], 'spiffe://corp.example/admin')
    assert.ok(!('tls.client.subject' in authorize.attributes))
    assert.ok(!('tls.client.not_after' in authorize.attributes))
  })

  it('is no error when it denies, and one when we have no identity', async () => {
    const denied = await spansOf(recordOf({ decision: deny() }), outcomeOf({ status: 403 }))
    assert.equal(denied.authorize?.attributes['postern.decision'], 'deny')
    assert.equal(denied.authorize.status.code, SpanStatusCode.UNSET)
    assert.equal(denied.request?.status.code, SpanStatusCode.UNSET)
    const decision = deny({ reason: 'identity_unavailable', status: 503 })
    const without = await spansOf(recordOf({ decision }), outcomeOf({ status: 503 }))
    assert.equal(without.authorize?.status.code, SpanStatusCode.ERROR)
    assert.equal(without.request?.status.code, SpanStatusCode.ERROR)
  })

  it('is the child of the span of the request', async () => {
    const { trace, authorize, request } = await spansOf(recordOf())
    assert.equal(authorize?.spanContext().traceId, trace.traceId)
    assert.equal(request?.spanContext().traceId, trace.traceId)
    assert.equal(authorize.parentSpanContext?.spanId, request.spanContext().spanId)
    assert.notEqual(authorize.spanContext().spanId, request.spanContext().spanId)
    assert.equal(request.parentSpanContext, undefined)
  })

  for (const protocol of ['tcp', 'handshake'] as const) {
    it(`stands alone for a ${protocol}`, async () => {
      const { ended, authorize } = await spansOf(
        recordWithoutRequest(protocol),
        outcomeOf({ status: 0 }),
      )
      assert.equal(ended.length, 1)
      assert.equal(authorize?.parentSpanContext, undefined)
    })
  }

  it('is bounded, whatever a caller sends', async () => {
    const long = 'x'.repeat(100_000)
    const { ended } = await spansOf(
      recordOf({
        clientAddress: long,
        request: { method: long, host: long, path: `/${long}` },
        decision: deny({ principal: long, product: long, rule: long }),
      }),
    )
    assert.equal(ended.length, 2)
    for (const value of ended.flatMap(({ attributes }) => Object.values(attributes))) {
      assert.ok(String(value).length <= 4_096)
    }
  })
})

describe('trace context', () => {
  it('goes on from a sampled caller to the workload', async () => {
    const { trace, request } = await spansOf(recordOf(), outcomeOf(), {
      traceparent: sampledCaller,
      tracestate: 'rojo=1, congo=2',
    })
    assert.equal(request?.spanContext().traceId, traceId)
    assert.equal(request.parentSpanContext?.spanId, spanId)
    assert.equal(request.parentSpanContext.isRemote, true)
    assert.equal(request.spanContext().traceState?.serialize(), 'rojo=1,congo=2')
    assert.equal(trace.traceparent, `00-${traceId}-${request.spanContext().spanId}-01`)
    assert.equal(trace.tracestate, 'rojo=1,congo=2')
  })

  it('passes an unsampled caller as it came, and records nothing', async () => {
    const { trace, ended } = await spansOf(recordOf(), outcomeOf(), {
      traceparent: unsampledCaller,
      tracestate: 'rojo=1',
    })
    assert.deepEqual(ended, [])
    assert.equal(trace.traceparent, unsampledCaller)
    assert.equal(trace.tracestate, 'rojo=1')
  })

  it('begins with us where there is none, with new ids each time', async () => {
    const { recorder } = await startRecorder()
    const traces = Array.from({ length: 2_000 }, () => recorder.begin(undefined, undefined))
    assert.equal(new Set(traces.map((trace) => trace.traceId)).size, 2_000)
    for (const { traceparent, traceId: id } of traces) {
      assert.match(traceparent ?? '', new RegExp(`^00-${id}-[0-9a-f]{16}-01$`))
    }
  })

  it('drops a tracestate without a good traceparent', async () => {
    const { recorder } = await startRecorder()
    const trace = recorder.begin(`00-${'0'.repeat(32)}-${spanId}-01`, 'rojo=1')
    assert.notEqual(trace.traceId, '0'.repeat(32))
    assert.equal(trace.tracestate, undefined)
  })

  it('keeps the ids of a caller that is sampled where we sample nothing', async () => {
    const { recorder } = await startRecorder({ env: { OTEL_TRACES_SAMPLER: 'always_off' } })
    assert.equal(recorder.begin(sampledCaller, undefined).traceparent, unsampledCaller)
  })

  it('passes as it came while nothing is exported, and none is made up', async () => {
    const { recorder } = await startRecorder({
      // Undefined leaves the choice to the environment, which names no exporter.
      ...({ spanExporter: undefined } as object),
    })
    const passed = recorder.begin(sampledCaller, 'rojo=1')
    assert.equal(passed.traceparent, sampledCaller)
    assert.equal(passed.tracestate, 'rojo=1')
    const fresh = recorder.begin(undefined, undefined)
    assert.equal(fresh.traceparent, undefined)
    assert.match(fresh.traceId, /^[0-9a-f]{32}$/)
  })
})

describe('sampling', () => {
  const root = (ratio: string) => ({ OTEL_TRACES_SAMPLER_ARG: ratio })
  const cases: { env: Environment; like: Sampler }[] = [
    { env: { OTEL_TRACES_SAMPLER: 'always_on' }, like: new AlwaysOnSampler() },
    { env: { OTEL_TRACES_SAMPLER: 'always_off' }, like: new AlwaysOffSampler() },
    {
      env: { OTEL_TRACES_SAMPLER: 'traceidratio', ...root('0.3') },
      like: new TraceIdRatioBasedSampler(0.3),
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'parentbased_always_on' },
      like: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'parentbased_always_off' },
      like: new ParentBasedSampler({ root: new AlwaysOffSampler() }),
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', ...root('0.3') },
      like: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0.3) }),
    },
  ]
  for (const { env, like } of cases) {
    it(`chooses as the SDK does: ${like.toString()}`, async () => {
      const { recorder } = await startRecorder({ env })
      for (let i = 1; i <= 300; i++) {
        const id = (BigInt(i) * 0x9e3779b97f4a7c15f39cc0605cedc835n).toString(16).slice(-32)
        const padded = id.padStart(32, '0')
        for (const flag of ['00', '01'] as const) {
          const trace = recorder.begin(`00-${padded}-${spanId}-${flag}`, undefined)
          const expected = sdkSamples(like, padded, flag === '01')
          assert.equal(trace.recording !== undefined, expected, `${padded} ${flag}`)
          assert.equal(trace.traceparent?.endsWith('-01'), expected)
        }
      }
    })
  }

  it('samples about the ratio of what begins with us', async () => {
    const env = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', ...root('0.3') }
    const { recorder } = await startRecorder({ env })
    const sampled = Array.from({ length: 4_000 }, () =>
      recorder.begin(undefined, undefined),
    ).filter(({ recording }) => recording !== undefined)
    // Six standard deviations.
    assert.ok(Math.abs(sampled.length - 1_200) < 175, `${sampled.length}`)
  })
})

describe('the resource of spans', () => {
  it('names the service, its version and the SDK', async () => {
    const env = { OTEL_SERVICE_NAME: 'edge', OTEL_RESOURCE_ATTRIBUTES: 'team=red' }
    const { request } = await spansOf(recordOf(), outcomeOf(), { env })
    const attributes = request?.resource.attributes ?? {}
    assert.equal(attributes['service.name'], 'edge')
    assert.equal(attributes['service.version'], '1.2.3')
    assert.equal(attributes['team'], 'red')
    assert.equal(attributes['telemetry.sdk.name'], 'opentelemetry')
  })

  it('is not registered for the whole process', async () => {
    await startRecorder()
    const span: Partial<ReadableSpan> & { isRecording(): boolean } = traceApi
      .getTracer('other')
      .startSpan('other')
    assert.equal(span.isRecording(), false)
    assert.equal(context.active(), ROOT_CONTEXT)
  })
})

function sdkSamples(sampler: Sampler, id: string, callerSampled: boolean): boolean {
  const caller = {
    traceId: id,
    spanId,
    traceFlags: callerSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
  }
  const { decision } = sampler.shouldSample(
    traceApi.setSpanContext(ROOT_CONTEXT, caller),
    id,
    'GET',
    SpanKind.SERVER,
    {},
    [],
  )
  return decision === SamplingDecision.RECORD_AND_SAMPLED
}
