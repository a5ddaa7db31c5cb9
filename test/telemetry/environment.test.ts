import assert from 'node:assert/strict'
import { type Environment, readTracingSettings } from '../../src/telemetry/environment.ts'

const otlp = { OTEL_TRACES_EXPORTER: 'otlp' }

function read(env: Environment) {
  const refused: string[] = []
  const settings = readTracingSettings(env, (variable) => refused.push(variable))
  return { ...settings, refused }
}

describe('the OTEL_* variables', () => {
  it('export nothing when none is set, and sample what callers sampled', () => {
    assert.deepEqual(read({}), {
      exporter: { kind: 'none' },
      sampling: { root: 'always', parentBased: true },
      batch: { maxQueueSize: 2_048, maxBatchSize: 512, delayMs: 5_000, exportTimeoutMs: 30_000 },
      resource: { 'service.name': 'postern' },
      refused: [],
    })
  })

  const exporters: { name: string; env: Environment; kind: string; refused?: string[] }[] = [
    { name: 'console', env: { OTEL_TRACES_EXPORTER: 'console' }, kind: 'console' },
    { name: 'otlp', env: otlp, kind: 'otlp' },
    { name: 'any case', env: { OTEL_TRACES_EXPORTER: ' OTLP ' }, kind: 'otlp' },
    { name: 'empty as not set', env: { OTEL_TRACES_EXPORTER: '' }, kind: 'none' },
    { name: 'an endpoint alone', env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:1' }, kind: 'otlp' },
    {
      name: 'an endpoint for traces alone',
      env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:1' },
      kind: 'otlp',
    },
    {
      name: 'none beside an endpoint',
      env: { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:1' },
      kind: 'none',
    },
    {
      name: 'an exporter that is not known',
      env: { OTEL_TRACES_EXPORTER: 'zipkin', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:1' },
      kind: 'none',
      refused: ['OTEL_TRACES_EXPORTER'],
    },
    {
      name: 'the whole SDK switched off',
      env: { ...otlp, OTEL_SDK_DISABLED: 'True' },
      kind: 'none',
    },
    {
      name: 'an endpoint that is no URL',
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
      kind: 'none',
      refused: ['OTEL_EXPORTER_OTLP_ENDPOINT'],
    },
    {
      name: 'an endpoint of another scheme',
      env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'ftp://collector' },
      kind: 'none',
      refused: ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
    },
    {
      name: 'another protocol',
      env: { ...otlp, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
      kind: 'otlp',
      refused: ['OTEL_EXPORTER_OTLP_PROTOCOL'],
    },
  ]
  for (const { name, env, kind, refused = [] } of exporters) {
    it(`choose the exporter by ${name}`, () => {
      const settings = read(env)
      assert.equal(settings.exporter.kind, kind)
      assert.deepEqual(settings.refused, refused)
    })
  }

  const endpoints: { name: string; env: Environment; url: string }[] = [
    { name: 'the default', env: otlp, url: 'http://localhost:4318/v1/traces' },
    {
      name: 'the default of gRPC',
      env: { ...otlp, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' },
      url: 'http://localhost:4317/',
    },
    {
      name: 'a base for gRPC, without a path',
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c:1', OTEL_EXPORTER_OTLP_PROTOCOL: 'GRPC' },
      url: 'https://c:1/',
    },
    {
      name: 'a base with the path added',
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c.example/otlp' },
      url: 'https://c.example/otlp/v1/traces',
    },
    {
      name: 'a base that ends with a slash',
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c.example/' },
      url: 'http://c.example/v1/traces',
    },
    {
      name: 'one for traces as it is, before the base',
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c.example',
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t.example/x',
      },
      url: 'http://t.example/x',
    },
  ]
  for (const { name, env, url } of endpoints) {
    it(`give the endpoint: ${name}`, () => assert.equal(otlpOf(env).url, url))
  }

  it('give headers, timeout, compression and files, those for traces first', () => {
    const settings = otlpOf({
      ...otlp,
      OTEL_EXPORTER_OTLP_HEADERS: 'X-Tenant=a%20b, authorization=Basic%20eA==',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'Authorization=Bearer%20t',
      OTEL_EXPORTER_OTLP_TIMEOUT: '100',
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: '200',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_CERTIFICATE: '/ca.pem',
      OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: '/traces-ca.pem',
      OTEL_EXPORTER_OTLP_CLIENT_KEY: '/key.pem',
    })
    assert.deepEqual(settings, {
      kind: 'otlp',
      protocol: 'http/protobuf',
      url: 'http://localhost:4318/v1/traces',
      headers: { 'x-tenant': 'a b', authorization: 'Bearer t' },
      timeoutMs: 200,
      compression: 'gzip',
      files: { ca: '/traces-ca.pem', key: '/key.pem' },
    })
  })

  const samplers: { env: Environment; expected: object; refused?: string[] }[] = [
    {
      env: { OTEL_TRACES_SAMPLER: 'always_on' },
      expected: { root: 'always', parentBased: false },
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'always_off' },
      expected: { root: 'never', parentBased: false },
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'parentbased_always_off' },
      expected: { root: 'never', parentBased: true },
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' },
      expected: { root: { ratio: 0.25 }, parentBased: false },
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' },
      expected: { root: { ratio: 1 }, parentBased: true },
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1.5' },
      expected: { root: { ratio: 1 }, parentBased: false },
      refused: ['OTEL_TRACES_SAMPLER_ARG'],
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: 'half' },
      expected: { root: { ratio: 1 }, parentBased: false },
      refused: ['OTEL_TRACES_SAMPLER_ARG'],
    },
    {
      env: { OTEL_TRACES_SAMPLER: 'jaeger_remote' },
      expected: { root: 'always', parentBased: true },
      refused: ['OTEL_TRACES_SAMPLER'],
    },
  ]
  for (const { env, expected, refused = [] } of samplers) {
    it(`choose the sampler by ${Object.values(env).join(' ')}`, () => {
      const settings = read(env)
      assert.deepEqual(settings.sampling, expected)
      assert.deepEqual(settings.refused, refused)
    })
  }

  it('bound the batches, never above the queue', () => {
    const env = {
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_BSP_EXPORT_TIMEOUT: '60',
    }
    assert.deepEqual(read(env).batch, {
      maxQueueSize: 100,
      maxBatchSize: 100,
      delayMs: 50,
      exportTimeoutMs: 60,
    })
    assert.equal(read({ OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '7' }).batch.maxBatchSize, 7)
  })

  for (const text of ['0', '-1', '1.5', 'ten', '2147483648', 'Infinity', '1e99']) {
    it(`refuse ${text} for a number and take the default`, () => {
      const settings = read({ ...otlp, OTEL_BSP_SCHEDULE_DELAY: text })
      assert.equal(settings.batch.delayMs, 5_000)
      assert.deepEqual(settings.refused, ['OTEL_BSP_SCHEDULE_DELAY'])
    })
  }

  it('name the resource, OTEL_SERVICE_NAME before service.name', () => {
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: 'service.name=a,team=red%2Cblue' }
    assert.deepEqual(read(attributes).resource, { 'service.name': 'a', team: 'red,blue' })
    assert.deepEqual(read({ ...attributes, OTEL_SERVICE_NAME: 'b' }).resource, {
      'service.name': 'b',
      team: 'red,blue',
    })
  })

  for (const text of ['novalue', '=x', 'a=%zz', 'a=1,b']) {
    it(`refuse ${text} for pairs, all of it`, () => {
      const settings = read({ OTEL_RESOURCE_ATTRIBUTES: text })
      assert.deepEqual(settings.resource, { 'service.name': 'postern' })
      assert.deepEqual(settings.refused, ['OTEL_RESOURCE_ATTRIBUTES'])
    })
  }

  it('refuse a header that HTTP cannot carry and keep the others', () => {
    const env = { ...otlp, OTEL_EXPORTER_OTLP_HEADERS: 'a=1,b%20b=2,c=3%0d%0ad:4' }
    assert.deepEqual(otlpOf(env).headers, { a: '1' })
    assert.deepEqual(read(env).refused, [
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_EXPORTER_OTLP_HEADERS',
    ])
  })
})

function otlpOf(env: Environment) {
  const { exporter } = read(env)
  assert.equal(exporter.kind, 'otlp')
  return exporter
}
