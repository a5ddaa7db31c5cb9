import assert from 'node:assert/strict'
import type { z } from 'zod'
import * as scalars from '../../src/config/scalars.ts'

interface Case {
  readonly schema: z.ZodType
  readonly good: Readonly<Record<string, unknown>>
  readonly bad: readonly string[]
}

const same = (...texts: string[]) => Object.fromEntries(texts.map((text) => [text, text]))

const cases: Readonly<Record<string, Case>> = {
  'duration of 1s to 10m': {
    schema: scalars.duration('1s', '10m'),
    good: { '1s': 1_000, '1000ms': 1_000, '10m': 600_000, '600s': 600_000 },
    bad: ['', '10', '999ms', '601s', '1h', '1.5s', '-1s', '1 s', '1S', '1d', 's', '1e3ms'],
  },
  'duration or none': {
    schema: scalars.durationOrNone('0s', '24h'),
    good: { none: Infinity, '0s': 0, '24h': 86_400_000 },
    bad: ['None', '25h', ''],
  },
  'size of 1KiB to 1MiB': {
    schema: scalars.size('1KiB', '1MiB'),
    good: { '1KiB': 1_024, '1024B': 1_024, '1MiB': 1_048_576 },
    bad: ['1023B', '2MiB', '1KB', '16k', '16', '1 KiB', '1.5KiB', 'none'],
  },
  'size or none': {
    schema: scalars.sizeOrNone('1B', '1024GiB'),
    good: { none: Infinity, '10MiB': 10_485_760, '1024GiB': 2 ** 40 },
    bad: ['0B', '1025GiB', 'unlimited'],
  },
  rate: {
    schema: scalars.rate,
    good: {
      '100/s': { text: '100/s', count: 100, periodMs: 1_000 },
      '600/m': { text: '600/m', count: 600, periodMs: 60_000 },
      '5/h': { text: '5/h', count: 5, periodMs: 3_600_000 },
    },
    bad: ['0/s', '100', '100/d', '100/sec', '-1/s', '1.5/s', '100 /s', '12345678/s'],
  },
  moment: {
    schema: scalars.moment,
    good: {
      '2026-11-01': Date.UTC(2026, 10, 1),
      '2028-02-29': Date.UTC(2028, 1, 29),
      '2026-11-01T10:00:00Z': Date.UTC(2026, 10, 1, 10),
      '2026-11-01T10:00:00.25Z': Date.UTC(2026, 10, 1, 10, 0, 0, 250),
      '2026-11-01T10:00:00+02:00': Date.UTC(2026, 10, 1, 8),
    },
    bad: [
      '',
      '2026',
      '2026-11',
      '2026-2-1',
      '2027-02-29',
      '2026-13-01',
      '2026-00-01',
      '2026-11-31',
      '2026-11-01T10:00',
      '2026-11-01T25:00:00Z',
      '2026-11-01T10:60:00Z',
      '2026-11-01 10:00:00Z',
      '2026-11-01T10:00:00',
      '2026-11-01T10:00:00+25:00',
      '01.11.2026',
      'tomorrow',
    ],
  },
  'TCP address': {
    schema: scalars.tcpAddress,
    good: { 'a.example:1': { kind: 'tcp', host: 'a.example', port: 1 } },
    bad: ['unix:/a', 'a.example'],
  },
  'local TCP address': {
    schema: scalars.localTcpAddress,
    good: { '127.0.0.1:1': { kind: 'tcp', host: '127.0.0.1', port: 1 } },
    bad: ['0.0.0.0:1', '10.0.0.1:1', 'unix:/a'],
  },
  'local TCP address or none': {
    schema: scalars.localTcpAddressOrNone,
    good: { none: 'none', '127.0.0.1:1': { kind: 'tcp', host: '127.0.0.1', port: 1 } },
    bad: ['0.0.0.0:1', 'off', 'None', ''],
  },
  'address text': {
    schema: scalars.addressText,
    good: { 'unix:///a': 'unix:/a', '[::1]:1': '[::1]:1', 'A.example:1': 'a.example:1' },
    bad: ['a.example'],
  },
  'file path': {
    schema: scalars.filePath,
    good: same('a.yaml', '/etc/a.yaml', 'a b.yaml', '-'),
    bad: ['', 'a\0b', 'x'.repeat(4_097)],
  },
  name: {
    schema: scalars.name,
    good: same('payments', 'a', '3ds', 'A.b_c-d', 'x'.repeat(63)),
    bad: ['', '-a', '.a', 'a b', 'a/b', 'ä', 'a\n', '__proto__', 'x'.repeat(64)],
  },
  consumer: {
    schema: scalars.consumer,
    good: same('acme', 'Acme, Inc. <x@y>', 'a', '"quoted"'),
    bad: ['', ' acme', 'acme ', 'a\nb', 'a\r', 'Müller', 'x'.repeat(129), 'pst_k_1_x'],
  },
  'key id': {
    schema: scalars.keyId,
    good: same('k_8f3a2c91', '1', 'a-b'),
    bad: ['', '_a', 'a.b', 'a b', 'x'.repeat(65), 'pst_k_1_x'],
  },
  'SHA-256': {
    schema: scalars.sha256,
    good: { ['aB'.repeat(32)]: 'ab'.repeat(32) },
    bad: ['', 'ab', 'g'.repeat(64), 'a'.repeat(63), 'a'.repeat(65), `${'a'.repeat(64)}\n`],
  },
  method: {
    schema: scalars.method,
    good: same('GET', 'M-SEARCH', 'BASELINE-CONTROL'),
    bad: ['get', 'Get', '', 'GET ', '*'],
  },
  description: {
    schema: scalars.description,
    good: same('', 'Card payments', 'zwei\nZeilen, ä', 'x'.repeat(1_000)),
    bad: ['x'.repeat(1_001)],
  },
  'trust domain': {
    schema: scalars.trustDomain,
    good: same('corp.example', 'a'),
    bad: ['', 'Corp.example', 'spiffe://corp.example', 'a/b', '*.example'],
  },
  'SPIFFE ID selector': {
    schema: scalars.spiffeIdSelector,
    good: same('spiffe://a.example/x', 'spiffe://a.example/x/*', 'spiffe://a.example/**'),
    bad: ['spiffe://a.example', 'spiffe://a.example/x*', 'a.example', ''],
  },
  'expected peer': {
    schema: scalars.expectedPeer,
    good: same('spiffe://a.example/x', 'spiffe://a.example/**', 'a.example'),
    bad: ['spiffe://a.example', 'A.example', '', 'a.example/x'],
  },
  'header name': {
    schema: scalars.headerName,
    good: same('x-api-key', 'api-key', 'apikey'),
    bad: [
      '',
      'X-Api-Key',
      'x_api_key',
      'x api',
      'host',
      'authorization',
      'cookie',
      'content-length',
      'transfer-encoding',
      'connection',
      'x-postern-product',
      'x-forwarded-for',
      'proxy-authorization',
      'traceparent',
    ],
  },
  hint: {
    schema: scalars.hint,
    good: same('internal', 'ä'.repeat(512)),
    bad: ['', 'ä'.repeat(513)],
  },
  'Workload API address': {
    schema: scalars.workloadApiAddress,
    good: same('unix:///run/agent.sock', 'tcp://127.0.0.1:8081'),
    bad: ['', '/run/agent.sock', 'http://127.0.0.1'],
  },
  'host pattern': {
    schema: scalars.hostPattern,
    good: same('api.example', '*.api.example', '127.0.0.1'),
    bad: ['', 'API.example', '*', 'a.*.example'],
  },
  'path pattern': {
    schema: scalars.pathPattern,
    good: same('/', '/v1/payments/**', '/v1/*/items'),
    bad: ['', 'v1', '/a/../b', '/**/a', '/a?b'],
  },
}

describe('scalars', () => {
  for (const [name, { schema, good, bad }] of Object.entries(cases)) {
    describe(name, () => {
      for (const [text, value] of Object.entries(good)) {
        it(`reads ${JSON.stringify(text.slice(0, 40))}`, () => {
          assert.deepEqual(schema.parse(text), value)
        })
      }

      for (const text of bad) {
        it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
          const result = schema.safeParse(text)
          assert.equal(result.success, false)
          assert.match(
            result.error.issues[0]?.message ?? '',
            /^(is |this |"|SPIFFE ID |trust domain |spiffe:)/,
          )
        })
      }

      it('refuses what is no text', () => {
        for (const value of [1, true, null, undefined, [], {}]) {
          assert.equal(schema.safeParse(value).success, false)
        }
      })
    })
  }

  it('never repeats what stands in place of a digest', () => {
    const key = 'pst_k_8f3a2c91_secret'
    const result = scalars.sha256.safeParse(key)
    assert.ok(!JSON.stringify(result.error?.issues).includes('secret'))
  })
})
