import assert from 'node:assert/strict'
import { authenticateServerDer } from '../../src/policy/authenticate.ts'
import { decidePeer, denyPeer, parseExpectedPeer } from '../../src/policy/peer-decision.ts'
import { TestCa, type TestLeafOptions } from '../support/test-ca.ts'
import {
  anonymous,
  certificate,
  hour,
  now,
  plaintext,
  svid,
  trustOf,
  untrusted,
} from './support/policy.ts'

const billing = 'spiffe://corp.example/billing'

function decide(peer: Parameters<typeof decidePeer>[0], expect = billing, hasIdentity = true) {
  return decidePeer(peer, parseExpectedPeer('b:1', expect), trustOf({ hasIdentity }), now)
}

describe('the decision on a peer', () => {
  const matches: readonly { expect: string; id: string; reason: string }[] = [
    { expect: billing, id: billing, reason: 'svid_id' },
    { expect: billing, id: `${billing}/db`, reason: 'peer_unexpected' },
    { expect: billing, id: `${billing}2`, reason: 'peer_unexpected' },
    { expect: billing, id: 'spiffe://other.example/billing', reason: 'peer_unexpected' },
    { expect: `${billing}/*`, id: `${billing}/db`, reason: 'svid_id' },
    { expect: `${billing}/*`, id: `${billing}/db/1`, reason: 'peer_unexpected' },
    { expect: `${billing}/*`, id: billing, reason: 'peer_unexpected' },
    { expect: `${billing}/*`, id: `${billing}2/db`, reason: 'peer_unexpected' },
    { expect: `${billing}/**`, id: `${billing}/db/1`, reason: 'svid_id' },
    { expect: `${billing}/**`, id: billing, reason: 'peer_unexpected' },
    { expect: 'corp.example', id: billing, reason: 'svid_trust_domain' },
    { expect: 'corp.example', id: 'spiffe://corp.example2/billing', reason: 'peer_unexpected' },
    { expect: 'corp.example', id: 'spiffe://a.corp.example/billing', reason: 'peer_unexpected' },
  ]
  for (const { expect, id, reason } of matches) {
    it(`is ${reason} for ${id} where ${expect} is expected`, () => {
      const decision = decide(svid(id), expect)

      assert.equal(decision.reason, reason)
      assert.equal(decision.outcome, reason.startsWith('svid') ? 'allow' : 'deny')
      assert.equal(decision.principal, id)
      assert.equal(decision.rule, `expect: ${expect}`)
    })
  }

  for (const peer of [
    anonymous,
    plaintext,
    certificate('CN=billing'),
    untrusted('issuer_unknown'),
  ]) {
    it(`is peer_untrusted for one that is ${peer.kind}`, () => {
      const decision = decide(peer)

      assert.equal(decision.reason, 'peer_untrusted')
      assert.equal(decision.status, 502)
    })
  }

  it('names the fault of an untrusted peer in its steps', () => {
    const detail = decide(untrusted('issuer_unknown')).steps.at(-1)?.detail ?? ''

    assert.match(detail, /^issuer_unknown: /)
  })

  it('trusts no path that has ended since it was validated', () => {
    assert.equal(decide(svid(billing, { notAfterMs: now - 1 })).reason, 'peer_untrusted')
    assert.equal(decide(svid(billing, { notAfterMs: now })).reason, 'svid_id')
  })

  it('is identity_unavailable before anything else while we have nothing to present', () => {
    assert.equal(decide(svid(billing), billing, false).reason, 'identity_unavailable')
    assert.equal(decide(untrusted('path_invalid'), billing, false).reason, 'identity_unavailable')
  })

  const statuses = {
    identity_unavailable: 503,
    upstream_unavailable: 503,
    upstream_timeout: 504,
    handshake_failed: 502,
  } as const
  for (const [reason, status] of Object.entries(statuses)) {
    it(`answers ${reason} with ${status}`, () => {
      const expected = parseExpectedPeer('b:1', billing)
      const decision = denyPeer(reason as keyof typeof statuses, expected, 7, 'why')

      assert.deepEqual([decision.status, decision.epoch, decision.upstream], [status, 7, 'b:1'])
    })
  }
})

describe('authenticateServerDer', () => {
  let corp: TestCa
  let other: TestCa

  before(async () => {
    corp = await TestCa.root('corp')
    other = await TestCa.root('other')
  })

  async function judge(ca: TestCa, options: TestLeafOptions): Promise<string> {
    const leaf = await ca.leaf(options)
    const bundles = new Map([
      ['corp.example', corp.bundle('corp.example')],
      ['other.example', other.bundle('other.example')],
    ])
    const ders = leaf.certificates.map(({ der }) => der)
    const peer = authenticateServerDer(ders, { bundles, authorities: new Map() }, Date.now())
    return peer.kind === 'untrusted' ? peer.reason : peer.kind
  }

  it('takes an SVID by the bundle of its own trust domain', async () => {
    assert.equal(await judge(corp, { spiffeId: billing }), 'svid')
    assert.equal(await judge(await corp.intermediate(), { spiffeId: billing }), 'svid')
    assert.equal(await judge(other, { spiffeId: 'spiffe://other.example/x' }), 'svid')
  })

  const bad: readonly { name: string; options: TestLeafOptions; reason: string }[] = [
    { name: 'without a SPIFFE ID', options: { dnsNames: ['a.example'] }, reason: 'svid_malformed' },
    {
      name: 'of a trust domain without a bundle',
      options: { spiffeId: 'spiffe://unknown.example/x' },
      reason: 'trust_domain_unknown',
    },
    {
      name: 'that another trust domain issued',
      options: { spiffeId: 'spiffe://other.example/x' },
      reason: 'issuer_unknown',
    },
    {
      name: 'for clients only',
      options: { spiffeId: billing, extendedKeyUsage: ['clientAuth'] },
      reason: 'certificate_not_for_server_auth',
    },
    {
      name: 'that has expired',
      options: {
        spiffeId: billing,
        notBeforeMs: Date.now() - 2 * hour,
        notAfterMs: Date.now() - hour,
      },
      reason: 'certificate_expired',
    },
  ]
  for (const { name, options, reason } of bad) {
    it(`refuses one ${name}`, async () => assert.equal(await judge(corp, options), reason))
  }

  it('takes one for servers only, which is what it is', async () => {
    const options = { spiffeId: billing, extendedKeyUsage: ['serverAuth'] as const }
    assert.equal(await judge(corp, options), 'svid')
  })

  it('refuses nothing at all, and bytes that are no certificate', () => {
    for (const ders of [[], [Buffer.from('nonsense')]]) {
      const peer = authenticateServerDer(
        ders,
        { bundles: new Map(), authorities: new Map() },
        Date.now(),
      )
      assert.equal(peer.kind === 'untrusted' && peer.reason, 'certificate_malformed')
    }
  })
})
