import assert from 'node:assert/strict'
import { stringify } from 'yaml'
import type { ReplaySummary } from '../../src/policy/replay-report.ts'
import { assertAuditLine } from '../support/audit-schema.ts'
import { type AuditLine, PosternProcess } from '../support/postern-process.ts'
import type { Reply } from './support/caller.ts'
import { expiredCaller } from './support/caller-cases.ts'
import { checkoutId, Mesh, threeCallers } from './support/mesh.ts'
import { OtlpReceiver, type ReceivedSpan } from './support/otlp-receiver.ts'

const partnerAId = 'spiffe://partner-a.example/shop'
const limitedId = 'spiffe://corp.example/limited'
const products = {
  ...threeCallers,
  ledger: { callers: [{ trustDomain: 'partner-c.example' }] },
  limited: { callers: [{ spiffeId: limitedId }], limit: { rate: '1/h' } },
}
const serverKind = 2

describe('the records of what was decided', () => {
  let mesh: Mesh
  let receiver: OtlpReceiver

  before(async () => {
    receiver = await OtlpReceiver.start()
    mesh = await Mesh.start({
      products,
      keys: {
        reports: { product: 'reports' },
        expired: { product: 'reports', expires: '2020-01-01' },
      },
      env: {
        LOG_LEVEL: 'debug',
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
        OTEL_BSP_SCHEDULE_DELAY: '50',
      },
    })
    await decideAll()
    await mesh.postern.until('a span for each', () => {
      return authorizeSpans().length >= mesh.postern.audit.length
    })
  })

  after(async () => {
    await mesh.close()
    await receiver.close()
  })

  /** Callers of all kinds, denials of each kind, and a live connection that a change of trust ends. */
  async function decideAll(): Promise<void> {
    const checkout = await mesh.svidCaller(checkoutId)
    const limited = await (await mesh.svidCaller(limitedId)).open()
    const partner = await (await mesh.svidCaller(partnerAId)).open('h2')
    const replies = [
      await checkout.call({ path: '/pay?secret=1' }),
      await checkout.call({}, 'h2'),
      await (await mesh.partnerBCaller()).call(),
      await mesh.keyCaller('reports').call({ method: 'POST', body: 'x' }),
      await mesh.anonymous().call({ headers: { authorization: `ApiKey ${mesh.key('reports')}` } }),
      await partner.call(),
      await limited.call(),
      await limited.call(),
      await (await mesh.svidCaller('spiffe://corp.example/stranger')).call(),
      await (await expiredCaller(mesh)).call({ headers: { 'x-api-key': mesh.key('reports') } }),
      await mesh.anonymous().call(),
      await mesh.keyCaller('expired').call({}, 'h2'),
      await mesh.anonymous().call({ headers: { 'x-api-key': mistyped(mesh.key('reports')) } }),
    ]
    assert.deepEqual(
      replies.map(({ status }) => status),
      [200, 200, 200, 200, 200, 200, 200, 429, 403, 403, 401, 401, 401],
    )
    const without = { ...products, payments: { callers: [] } }
    await mesh.postern.write({ 'products.yaml': stringify(mesh.products(without)) })
    await partner.ended
    await mesh.postern.until('every line', () => mesh.postern.audit.length === replies.length + 1)
    partner.close()
    limited.close()
  }

  function authorizeSpans(): ReceivedSpan[] {
    return receiver.spans.filter(({ name }) => name === 'authorize')
  }

  it('have one audit line and one authorize span for each, which say the same', () => {
    const ids = mesh.postern.audit.map(({ id }) => id)
    assert.equal(new Set(ids).size, ids.length)
    const spans = new Map(
      authorizeSpans().map((span) => [span.attributes['postern.decision_id'], span]),
    )
    assert.equal(authorizeSpans().length, ids.length)
    for (const line of mesh.postern.audit) {
      const span = spans.get(line.id)
      assert.ok(span, `no span for ${line.id}`)
      assert.equal(span.traceId, line.trace)
      assert.deepEqual(recordedBy(span), recordedIn(line))
    }
  })

  it('are lines as docs/audit.schema.json describes them', () => {
    assert.ok(mesh.postern.audit.length > 10)
    for (const line of mesh.postern.audit) assertAuditLine(line)
  })

  it('are decided again as they were, and show what another map would change', async () => {
    const audit = mesh.postern.audit.map((line) => JSON.stringify(line)).join('\n')
    const without = mesh.products({ ...products, payments: { callers: [] } })
    const files = { ...mesh.files(), 'audit.jsonl': audit, 'without.yaml': without }
    const replay = (...args: string[]) =>
      PosternProcess.runToEnd(['replay', '--audit', 'audit.jsonl', ...args, '-o', 'json'], {
        files,
      })
    const same = await replay('--products', 'products.yaml', '--api-keys', 'api-keys.yaml')
    assert.equal(same.code, 0, same.stdout + same.stderr)
    const summary = JSON.parse(same.stdout) as ReplaySummary
    assert.equal(summary.unchanged, mesh.postern.audit.length - 1)
    assert.equal(summary.skipped.ended_connection, 1)
    const other = await replay('--products', 'without.yaml')
    assert.equal(other.code, 2, other.stderr)
    const { changed, changes } = JSON.parse(other.stdout) as ReplaySummary
    assert.deepEqual(changed, { allow_to_deny: 1, deny_to_allow: 0, answer: 0 })
    assert.equal(changes[0]?.callers[0]?.principal, partnerAId)
  })

  it('have one count for each', async () => {
    for (const [labels, count] of countBy(mesh.postern.audit)) {
      const [outcome = '', reason = '', product = '', credential = ''] = labels.split('|')
      const wanted = { outcome, reason, product, credential }
      assert.equal(await mesh.postern.metric('postern_decisions_total', wanted), count, labels)
    }
    const total = await mesh.postern.metric('postern_decisions_total')
    assert.equal(total, mesh.postern.audit.length)
  })

  it('have one span for each request, above its authorize span', () => {
    const requests = mesh.postern.audit.filter(({ error }) => error !== 'trust_changed')
    const servers = receiver.spans.filter(({ kind }) => kind === serverKind)
    assert.equal(servers.length, requests.length)
    const byTrace = new Map(servers.map((span) => [span.traceId, span]))
    for (const line of requests) {
      const server = byTrace.get(line.trace)
      const authorize = authorizeSpans().find(({ traceId }) => traceId === line.trace)
      assert.equal(authorize?.parentSpanId, server?.spanId)
      assert.equal(server?.attributes['http.response.status_code'], line.status)
    }
  })

  it('have one duration for each request', async () => {
    const requests = mesh.postern.audit.filter(({ error }) => error !== 'trust_changed')
    const count = await mesh.postern.metric('postern_request_duration_seconds_count')
    assert.equal(count, requests.length)
    const none = { code: '0' }
    assert.equal(await mesh.postern.metric('postern_request_duration_seconds_count', none), 0)
  })

  it('have an authorize span of its own for a connection that a change of trust ended', () => {
    const line = mesh.postern.audit.find(({ error }) => error === 'trust_changed')
    const span = authorizeSpans().find(({ traceId }) => traceId === line?.trace)
    assert.equal(span?.parentSpanId, '')
    assert.equal(span.attributes['postern.reason'], 'product_unmapped')
    assert.equal(span.attributes['postern.previous_reason'], 'svid_trust_domain')
  })

  it('name whom they are about', () => {
    const find = (id: string) =>
      authorizeSpans().find(({ attributes }) => attributes['postern.principal'] === id)?.attributes
    const checkout = find(checkoutId)
    assert.equal(checkout?.['postern.decision'], 'allow')
    assert.equal(checkout['spiffe.id'], checkoutId)
    assert.equal(checkout['spiffe.trust_domain'], 'corp.example')
    assert.equal(checkout['postern.rule'], 'spiffeId: spiffe://corp.example/checkout/**')
    assert.match(String(checkout['tls.client.hash.sha256']), /^[0-9A-F]{64}$/)
    assert.equal(find('acme')?.['postern.consumer'], 'acme')
    const expired = authorizeSpans().find(
      ({ attributes }) => attributes['postern.reason'] === 'certificate_expired',
    )
    assert.equal(expired?.attributes['spiffe.id'], undefined)
    assert.equal(
      expired?.attributes['postern.claimed_spiffe_id'],
      'spiffe://partner-c.example/ledger',
    )
  })

  describe('in a trace of the caller', () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const spanId = '00f067aa0ba902b7'

    async function seenWith(headers: Record<string, string>): Promise<Seen> {
      const caller = await mesh.svidCaller(checkoutId)
      return (await caller.call({ headers }, 'h2')).json.headers ?? {}
    }

    it('continue it, and so does the workload', async () => {
      const seen = await seenWith({
        traceparent: `00-${traceId}-${spanId}-01`,
        tracestate: 'vendor=value',
      })
      const [version, trace, parent, flags] = String(seen['traceparent']).split('-')
      assert.deepEqual([version, trace, flags], ['00', traceId, '01'])
      assert.equal(seen['tracestate'], 'vendor=value')
      const find = () => receiver.spans.find((span) => span.spanId === parent)
      await mesh.postern.until('its span', () => find() !== undefined)
      assert.equal(find()?.kind, serverKind)
      assert.equal(find()?.parentSpanId, spanId)
      assert.equal(find()?.traceState, 'vendor=value')
      assert.equal((await mesh.postern.audited(seen['x-request-id'])).trace, traceId)
    })

    it('leave a caller alone that wants no spans', async () => {
      const unsampled = traceId.replace('4', '5')
      const seen = await seenWith({ traceparent: `00-${unsampled}-${spanId}-00` })
      assert.match(String(seen['traceparent']), new RegExp(`^00-${unsampled}-[0-9a-f]{16}-00$`))
      assert.equal((await mesh.postern.audited(seen['x-request-id'])).trace, unsampled)
      assert.equal(
        receiver.spans.find((span) => span.traceId === unsampled),
        undefined,
      )
    })

    it('begin one of their own where the context is malformed', async () => {
      const seen = await seenWith({ traceparent: `00-${'0'.repeat(32)}-${spanId}-01` })
      assert.match(String(seen['traceparent']), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
      assert.ok(!String(seen['traceparent']).includes('0'.repeat(32)))
    })

    it('keep a request id that is well-formed', async () => {
      assert.equal((await seenWith({ 'x-request-id': 'abc-1' }))['x-request-id'], 'abc-1')
      assert.notEqual((await seenWith({ 'x-request-id': 'a b' }))['x-request-id'], 'a b')
    })
  })
})

describe('the console exporter', () => {
  it('prints the spans beside the audit log', async () => {
    await using mesh = await Mesh.start({
      env: { OTEL_TRACES_EXPORTER: 'console', OTEL_BSP_SCHEDULE_DELAY: '50' },
    })
    const reply = await (await mesh.svidCaller(checkoutId)).call()
    const id = reply.json.headers?.['x-request-id'] ?? ''
    await mesh.postern.audited(id)
    await mesh.postern.until('the span', () =>
      mesh.postern.output.includes(`'postern.decision_id': '${id}'`),
    )
  })
})

type Seen = NonNullable<Reply['json']['headers']>

/** What an audit line says of its decision, in the words of the span's attributes. */
function recordedIn({ decision }: AuditLine): Record<string, unknown> {
  return {
    'postern.decision': decision.outcome,
    'postern.reason': decision.reason,
    'postern.product': decision['product'],
    'postern.principal': decision['principal'],
    'postern.consumer': decision['consumer'],
    'postern.credential': decision['credential'],
    'postern.api_key_id': decision['key'],
    'postern.rule': decision['rule'],
    'postern.epoch': decision['epoch'],
  }
}

function recordedBy({ attributes }: ReceivedSpan): Record<string, unknown> {
  return {
    'postern.decision': attributes['postern.decision'],
    'postern.reason': attributes['postern.reason'],
    'postern.product': attributes['postern.product'],
    'postern.principal': attributes['postern.principal'],
    'postern.consumer': attributes['postern.consumer'],
    'postern.credential': attributes['postern.credential'],
    'postern.api_key_id': attributes['postern.api_key_id'],
    'postern.rule': attributes['postern.rule'],
    'postern.epoch': attributes['postern.epoch'],
  }
}

/** By the labels of the metric. */
function countBy(lines: readonly AuditLine[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { decision } of lines) {
    const { outcome, reason, product = '', credential = '' } = decision as Record<string, unknown>
    const labels = [outcome, reason, product, credential].join('|')
    counts.set(labels, (counts.get(labels) ?? 0) + 1)
  }
  return counts
}

/** Another last character: a key as a tired person types it. */
function mistyped(key: string): string {
  return key.slice(0, -1) + (key.endsWith('a') ? 'b' : 'a')
}
