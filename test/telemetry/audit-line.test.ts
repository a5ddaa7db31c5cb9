import assert from 'node:assert/strict'
import fc from 'fast-check'
import { denyPeer, parseExpectedPeer } from '../../src/policy/peer-decision.ts'
import { AuditLines } from '../../src/telemetry/audit-line.ts'
import type { DecisionRecord, Outcome } from '../../src/telemetry/telemetry.ts'
import { assertAuditLine } from '../support/audit-schema.ts'
import {
  allow,
  certificatePeer,
  deny,
  now,
  outcomeOf,
  recordOf,
  recordWithoutRequest,
  svidPeer,
  type SvidPeer,
} from './support/records.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'

describe('a line of the audit log', () => {
  let peer: SvidPeer

  before(async () => {
    peer = await svidPeer()
  })

  it('says which reason held before, of a live connection that was judged again', () => {
    const line = parsed({ ...recordOf({ peer }), previousReason: 'svid_id' }) as object
    assert.equal('previous_reason' in line && line.previous_reason, 'svid_id')
  })

  it('holds everything that is needed to decide about an SVID again', () => {
    const { path } = peer
    assert.deepEqual(parsed(recordOf({ peer })), {
      time: '2026-11-20T00:00:00.000Z',
      id: 'd_1y2p0ij32e8e7_2s',
      trace: traceId,
      direction: 'inbound',
      protocol: 'http/1.1',
      client: { address: '10.1.2.3', port: 51_234 },
      peer: {
        kind: 'svid',
        spiffe_id: 'spiffe://corp.example/checkout',
        subject: path.leaf.subject,
        issuer: path.leaf.issuer,
        chain: path.certificates.map(({ sha256 }) => sha256),
        not_after: new Date(path.notAfterMs).toISOString(),
        authorities: ['team-a'],
      },
      request: { method: 'GET', host: 'api.example:8443', path: '/v1/payments/17' },
      decision: {
        outcome: 'allow',
        reason: 'svid_id',
        product: 'payments',
        principal: 'spiffe://corp.example/checkout',
        credential: 'x509-svid',
        rule: 'spiffeId: spiffe://corp.example/checkout',
        epoch: 7,
        steps: allow().steps,
      },
      status: 200,
      request_bytes: 0,
      reply_bytes: 12,
      duration_ms: 3.25,
    })
  })

  it('names three certificates of a chain with an intermediate, the leaf first', () => {
    const { chain } = parsed(recordOf({ peer })).peer
    assert.equal(chain?.length, 3)
    assert.equal(chain[0], peer.path.leaf.sha256)
    assert.equal(chain[2], peer.path.anchor.sha256)
  })

  it('holds the principal of a certificate without a SPIFFE ID', async () => {
    const partner = await certificatePeer()
    const { peer: written } = parsed(recordOf({ peer: partner }))
    assert.equal(written.kind, 'certificate')
    assert.equal(written.principal, partner.subject)
    assert.deepEqual(written.authorities, ['partner-b'])
  })

  it('says what an untrusted certificate claims, apart from what is proven', () => {
    const line = parsed(
      recordOf({
        peer: {
          kind: 'untrusted',
          reason: 'issuer_unknown',
          detail: 'no anchor of corp.example signed it',
          claimed: { spiffeId: 'spiffe://corp.example/admin', sha256: 'ab', notAfterMs: now },
        },
        decision: deny({ reason: 'issuer_unknown' }),
      }),
      outcomeOf({ status: 403 }),
    )
    assert.deepEqual(line.peer, {
      kind: 'untrusted',
      reason: 'issuer_unknown',
      detail: 'no anchor of corp.example signed it',
      claimed: {
        spiffe_id: 'spiffe://corp.example/admin',
        sha256: 'ab',
        not_after: '2026-11-20T00:00:00.000Z',
      },
    })
  })

  it('holds the id of the key, the consumer and that the key was only just accepted', () => {
    const decision = allow({
      reason: 'api_key',
      credential: 'api-key',
      principal: 'acme',
      consumer: 'acme',
      apiKeyId: 'k_8f3a2c91',
      apiKeyWarned: true,
      ignoredCertificate: 'certificate_expired',
      upstream: '127.0.0.1:8081',
    })
    const { decision: written } = parsed(recordOf({ decision }))
    assert.equal(written.key, 'k_8f3a2c91')
    assert.equal(written.consumer, 'acme')
    assert.equal(written.key_warned, true)
    assert.equal(written.ignored_certificate, 'certificate_expired')
    assert.equal(written.upstream, '127.0.0.1:8081')
  })

  it('holds the status of a deny and when to come again', () => {
    const decision = deny({ reason: 'rate_limited', status: 429, retryAfterSeconds: 3 })
    const line = parsed(recordOf({ decision }), outcomeOf({ status: 429, error: 'rate_limited' }))
    assert.equal(line.decision.status, 429)
    assert.equal(line.decision.retry_after, 3)
    assert.equal(line.status, 429)
    assert.equal(line.error, 'rate_limited')
  })

  it('has no request and no status where no HTTP was spoken', () => {
    for (const protocol of ['tcp', 'handshake'] as const) {
      const line = parsed(recordWithoutRequest(protocol), outcomeOf({ status: 0 }))
      assert.equal(line.protocol, protocol)
      assert.ok(!('request' in line))
      assert.ok(!('status' in line))
    }
  })

  it('never holds a query, and says so when something was cut', () => {
    const path = `/v1/${'x'.repeat(10_000)}`
    const cut = parsed(recordOf({ request: { method: 'GET', host: 'h', path } })).request
    assert.equal(cut?.path.length, 4_096)
    assert.equal(cut.truncated, true)
    const plain = { method: 'GET', host: 'h', path: '/v1?token=secret' }
    assert.deepEqual(parsed(recordOf({ request: plain })).request, { ...plain, path: '/v1' })
  })

  it('says of each request of a connection what is true of that request', () => {
    const asked = [
      recordOf({ peer }),
      recordOf({ peer, decision: deny({ product: 'payments', reason: 'request_not_allowed' }) }),
      recordOf({ peer, decision: allow({ epoch: 8 }) }),
      recordOf({ peer, decision: allow({ product: 'orders' }) }),
      recordOf({ peer, decision: allow({ upstream: '127.0.0.1:81' }) }),
      recordOf({ peer, decision: allow({ steps: allow().steps.slice(1) }) }),
      recordOf({ peer, clientPort: 2 }),
      recordOf({ peer, clientAddress: '10.9.9.9' }),
      recordOf({ peer, protocol: 'websocket' }),
      recordOf({ peer, direction: 'outbound' }),
      recordOf({ peer, direction: 'outbound', decision: outboundTo('a.example:1') }),
      recordOf({ peer, direction: 'outbound', decision: outboundTo('b.example:1') }),
      recordOf({ peer, atMs: now + 1 }),
      recordOf({ peer, decision: allow({ rule: 'trustDomain: corp.example' }) }),
      recordOf({ peer, decision: allow({ apiKeyId: 'k_1' }) }),
      recordOf({ peer, decision: allow({ consumer: 'acme' }) }),
      recordOf({ peer, decision: allow({ apiKeyWarned: true }) }),
      recordOf({ peer, decision: allow({ ignoredCertificate: 'path_invalid' }) }),
      recordOf({ peer, decision: allow({ credential: 'x509' }) }),
      recordOf({ peer, decision: allow({ reason: 'svid_trust_domain' }) }),
      recordOf({ peer, decision: limited(1) }),
      recordOf({ peer, decision: limited(2) }),
      recordOf({ peer, decision: deny({ status: 401 }) }),
      recordOf({ peer, decision: deny() }),
      recordOf({ peer, decision: deny({ principal: 'acme' }) }),
      recordOf({ peer: { kind: 'plaintext' } }),
      recordOf({ peer }),
    ]
    const known = recordOf({ peer })
    for (const record of [...asked, ...asked.map(({ decision }) => recordOf({ decision }))]) {
      const lines = new AuditLines()
      for (const one of [known, record, known, record]) {
        const line = lines.render(traceId, one, outcomeOf())
        assert.equal(line, new AuditLines().render(traceId, one, outcomeOf()))
      }
    }
    for (const [i, record] of asked.entries()) {
      const lines = new AuditLines()
      for (const one of [record, asked[i + 1] ?? known]) {
        const line = lines.render(traceId, one, outcomeOf())
        assert.equal(line, new AuditLines().render(traceId, one, outcomeOf()))
      }
    }
  })

  it('is one line of printable ASCII that reads back, whatever callers send', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 })
    fc.assert(
      fc.property(text, text, text, text, fc.double(), (a, b, c, d, durationMs) => {
        const record = recordOf({
          id: a,
          clientAddress: b,
          request: { method: a, host: b, path: c },
          decision: deny({
            product: d,
            principal: a,
            steps: [{ name: 'api-key', outcome: 'deny', detail: c }],
          }),
        })
        const line = new AuditLines().render(traceId, record, outcomeOf({ durationMs, error: d }))
        assert.match(line, /^[\x20-\x7e]+\n$/)
        const read = JSON.parse(line) as Line
        assertAuditLine(read)
        assert.equal(read.id, a)
        assert.equal(read.client.address, b)
        assert.equal(read.request?.path, c.split('?')[0])
        assert.equal(read.decision.product, d)
        assert.equal(read.decision.steps[0]?.detail, c)
        assert.equal(read.error, d)
      }),
    )
  })

  it('fits what the log copies it into, 256 KiB, when every text is as long as it can be', () => {
    const long = '\u{1f511}'.repeat(50_000)
    const step = { name: 'api-key', outcome: 'deny', detail: long } as const
    const line = new AuditLines().render(
      traceId,
      recordOf({
        id: long,
        clientAddress: long,
        request: { method: long, host: long, path: long },
        peer: {
          kind: 'untrusted',
          reason: 'svid_malformed',
          detail: long,
          claimed: { subject: long, issuer: long, spiffeId: long, sha256: long },
        },
        decision: deny({
          product: long,
          principal: long,
          consumer: long,
          apiKeyId: long,
          rule: long,
          steps: Array.from({ length: 100 }, () => step),
        }),
      }),
      outcomeOf({ error: long }),
    )
    assert.ok(line.length < 256 * 1024, `${line.length}`)
    assertAuditLine(JSON.parse(line))
    assert.equal((JSON.parse(line) as Line).decision.steps.length, 16)
  })
})

function limited(retryAfterSeconds: number) {
  return deny({ reason: 'rate_limited', status: 429, retryAfterSeconds })
}

interface Line {
  id: string
  protocol: string
  client: { address: string; port: number }
  peer: { kind: string; principal?: string; authorities?: string[]; chain?: string[] }
  request?: { method: string; host: string; path: string; truncated?: boolean }
  decision: {
    status?: number
    retry_after?: number
    upstream?: string
    product?: string
    consumer?: string
    key?: string
    key_warned?: boolean
    ignored_certificate?: string
    steps: { detail: string }[]
  }
  status?: number
  error?: string
}

function parsed(record: DecisionRecord, outcome: Outcome = outcomeOf()): Line {
  const line = new AuditLines().render(traceId, record, outcome)
  assert.match(line, /^[^\n]*\n$/)
  return JSON.parse(line) as Line
}

function outboundTo(upstream: string) {
  return denyPeer('peer_untrusted', parseExpectedPeer(upstream, 'corp.example'), 7, 'no identity')
}
