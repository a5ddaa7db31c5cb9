import assert from 'node:assert/strict'
import { InboundHarness, type Reply } from './support/inbound-harness.ts'
import type { TestLeaf } from '../support/test-ca.ts'

const own = 'spiffe://corp.example/checkout/web'

describe('one port', () => {
  let harness: InboundHarness

  before(async () => {
    harness = await InboundHarness.start({
      keys: [{ product: 'reports' }, { product: 'reports', expiresMs: Date.UTC(2020, 0) }],
    })
  })

  after(() => harness.close())

  /** The workload was reached and told exactly this. */
  function assertAllowed(reply: Reply, expected: Record<string, string>): void {
    assert.equal(reply.status, 200, reply.text)
    const { headers } = harness.workload.seen.at(-1) ?? { headers: {} }
    const told = Object.fromEntries(
      Object.entries(headers).filter(([name]) => name.startsWith('x-postern-')),
    )
    assert.deepEqual(told, expected)
  }

  /** The caller was told why, and the workload was not reached. */
  function assertDenied(reply: Reply, status: number, reason: string, reached: number): void {
    assert.equal(reply.status, status, reply.text)
    assert.equal(reply.json.reason, reason)
    assert.equal(reply.headers['content-type'], 'application/problem+json')
    assert.match(reply.json.decision_id ?? '', /^d_[0-9a-z]+_[0-9a-z]+$/)
    assert.equal(harness.workload.seen.length, reached)
    const record = harness.telemetry.decisions.at(-1)
    assert.equal(record?.id, reply.json.decision_id)
    assert.equal(record?.decision.reason, reason)
  }

  it('allows an SVID of our own trust domain', async () => {
    const reply = await harness.call({ leaf: await harness.corp.leaf({ spiffeId: own }) })
    assertAllowed(reply, {
      'x-postern-product': 'checkout',
      'x-postern-principal': own,
      'x-postern-credential': 'x509-svid',
    })
  })

  it('allows nobody while nothing can be recorded, and denies with the reason of ever', async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const reached = harness.workload.seen.length
    harness.telemetry.canRecord = false
    try {
      assertDenied(await harness.call({ leaf }), 503, 'audit_unavailable', reached)
      assertDenied(await harness.call({}), 401, 'credential_missing', reached)
    } finally {
      harness.telemetry.canRecord = true
    }
    assert.equal((await harness.call({ leaf })).status, 200)
  })

  it('allows an SVID of a federated trust domain, issued by an intermediate', async () => {
    const intermediate = await harness.partnerA.intermediate()
    const leaf = await intermediate.leaf({ spiffeId: 'spiffe://partner-a.example/billing' })
    assertAllowed(await harness.call({ leaf }), {
      'x-postern-product': 'payments',
      'x-postern-principal': 'spiffe://partner-a.example/billing',
      'x-postern-credential': 'x509-svid',
    })
  })

  it("allows a certificate of a partner's own CA, by its subject", async () => {
    const leaf = await harness.partnerB.leaf({ subject: '/O=Partner B/CN=batch' })
    assertAllowed(await harness.call({ leaf }), {
      'x-postern-product': 'settlement',
      'x-postern-principal': 'CN=batch,O=Partner B',
      'x-postern-credential': 'x509',
    })
  })

  it('allows an API key when no certificate is presented, and keeps it from the workload', async () => {
    const key = harness.keys[0]?.key ?? ''
    for (const headers of [{ 'x-api-key': key }, { authorization: `ApiKey ${key}` }]) {
      assertAllowed(await harness.call({ headers }), {
        'x-postern-product': 'reports',
        'x-postern-principal': 'acme',
        'x-postern-credential': 'api-key',
        'x-postern-consumer': 'acme',
      })
      assert.ok(!JSON.stringify(harness.workload.seen.at(-1)).includes(key))
    }
  })

  it('asks for a credential when there is none', async () => {
    const reached = harness.workload.seen.length
    const reply = await harness.call()
    assertDenied(reply, 401, 'credential_missing', reached)
    assert.match(String(reply.headers['www-authenticate']), /^ApiKey /)
  })

  it('tells an expired key from an unknown one', async () => {
    const reached = harness.workload.seen.length
    const expired = { 'x-api-key': harness.keys[1]?.key ?? '' }
    assertDenied(await harness.call({ headers: expired }), 401, 'api_key_expired', reached)
    const unknown = { 'x-api-key': 'x'.repeat(60) }
    assertDenied(await harness.call({ headers: unknown }), 401, 'api_key_unknown', reached)
  })

  it('refuses two different keys in one request', async () => {
    const reached = harness.workload.seen.length
    const headers = { 'x-api-key': harness.keys[0]?.key ?? '', authorization: 'ApiKey other' }
    assertDenied(await harness.call({ headers }), 401, 'api_key_unknown', reached)
  })

  const bad: {
    name: string
    leaf: (h: InboundHarness) => Promise<TestLeaf>
    reason: string
  }[] = [
    {
      name: "our SPIFFE ID from the partner's CA",
      leaf: (h) => h.partnerB.leaf({ spiffeId: own }),
      reason: 'issuer_unknown',
    },
    {
      name: 'our SPIFFE ID from a federated trust domain',
      leaf: (h) => h.partnerA.leaf({ spiffeId: own }),
      reason: 'issuer_unknown',
    },
    {
      name: 'a trust domain that nobody knows',
      leaf: (h) => h.corp.leaf({ spiffeId: 'spiffe://elsewhere.example/x' }),
      reason: 'trust_domain_unknown',
    },
    {
      name: 'an expired SVID',
      leaf: (h) => h.corp.leaf({ spiffeId: own, notAfterMs: Date.now() - 60_000 }),
      reason: 'certificate_expired',
    },
    {
      name: 'an SVID that is not valid yet',
      leaf: (h) => h.corp.leaf({ spiffeId: own, notBeforeMs: Date.now() + 3_600_000 }),
      reason: 'certificate_not_yet_valid',
    },
    {
      name: 'two URI names',
      leaf: (h) => h.corp.leaf({ spiffeId: own, names: [{ uri: 'spiffe://corp.example/other' }] }),
      reason: 'svid_malformed',
    },
    {
      name: 'an SVID that no product takes',
      leaf: (h) => h.corp.leaf({ spiffeId: 'spiffe://corp.example/unknown' }),
      reason: 'product_unmapped',
    },
  ]
  for (const { name, leaf, reason } of bad) {
    it(`refuses ${name}, with a good key beside it too`, async () => {
      const presented = await leaf(harness)
      const reached = harness.workload.seen.length
      const headers = { 'x-api-key': harness.keys[0]?.key ?? '' }
      assertDenied(await harness.call({ leaf: presented }), 403, reason, reached)
      assertDenied(await harness.call({ leaf: presented, headers }), 403, reason, reached)
    })
  }

  it('ends the connection of an untrusted certificate after its clean 403', async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own, notAfterMs: Date.now() - 60_000 })
    const reply = await harness.call({ leaf })
    assert.equal(reply.headers['connection'], 'close')
  })

  it('removes what a caller says about itself, in every spelling', async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const reply = await harness.call({
      leaf,
      headers: {
        'X-Postern-Product': 'payments',
        x_postern_principal: 'spiffe://corp.example/root',
        'X-Postern_Consumer': 'acme',
        'x-forwarded-client-cert': 'By=spiffe://corp.example/root',
        'x-forwarded-for': '10.0.0.1',
        connection: 'x-postern-credential',
      },
    })
    assertAllowed(reply, {
      'x-postern-product': 'checkout',
      'x-postern-principal': own,
      'x-postern-credential': 'x509-svid',
    })
    const names = Object.keys(harness.workload.seen.at(-1)?.headers ?? {})
    assert.deepEqual(
      names.filter((name) => /postern.*_|_postern|client-cert/.test(name)),
      [],
    )
    assert.equal(harness.workload.seen.at(-1)?.headers['x-forwarded-for'], '127.0.0.1')
  })

  it('never resumes a session', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const leaf = await harness.corp.leaf({ spiffeId: own })
      const only = { minVersion: version, maxVersion: version }
      const first = await harness.connect(leaf, only)
      let session: Buffer | undefined = first.getSession()
      first.on('session', (given: Buffer) => (session = given))
      await new Promise((resolve) => {
        first.once('data', resolve)
        first.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
      })
      first.destroy()
      const second = await harness.connect(
        leaf,
        session === undefined ? only : { ...only, session },
      )
      assert.equal(second.isSessionReused(), false, version)
      second.destroy()
    }
  })

  it('closes a connection that speaks no TLS, and serves on', async () => {
    const reply = await fetch(`http://127.0.0.1:${harness.port}/`).catch((error: unknown) => error)
    assert.ok(reply instanceof Error)
    const leaf = await harness.corp.leaf({ spiffeId: own })
    assert.equal((await harness.call({ leaf })).status, 200)
  })

  it('answers 503 while we hold no identity ourselves', async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const reached = harness.workload.seen.length
    harness.setHasIdentity(false)
    try {
      assertDenied(await harness.call({ leaf }), 503, 'identity_unavailable', reached)
    } finally {
      harness.setHasIdentity(true)
    }
  })
})
