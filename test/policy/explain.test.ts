import assert from 'node:assert/strict'
import { explain } from '../../src/policy/explain.ts'
import type { Peer } from '../../src/policy/peer.ts'
import { unlimited } from '../../src/policy/rate-limiter.ts'
import { anonymous, certificate, mapOf, now, product, svid, trustOf } from './support/policy.ts'

const products = mapOf(
  product('exact', { callers: ['spiffeId: spiffe://a.example/x/y'] }),
  product('children', { callers: ['spiffeId: spiffe://a.example/x/*'] }),
  product('subtree', { callers: ['spiffeId: spiffe://a.example/x/**'] }),
  product('domain', { callers: ['trustDomain: a.example'] }),
  product('other', { callers: ['trustDomain: b.example'] }),
  product('partner', { callers: ['authority: p'] }),
)

function ask(peer: Peer) {
  const rules = { untrustedCertificate: 'refuse' } as const
  return explain({ peer, trust: trustOf({ products }), rules, nowMs: now, limiter: unlimited })
}

/** Product and result of each rule, in the order given. */
function results(peer: Peer): string[] {
  return ask(peer).rules.map(({ product, result }) => `${product} ${result}`)
}

describe('explain', () => {
  const cases: { name: string; peer: Peer; expected: string[] }[] = [
    {
      name: 'the most specific entry first, then those it beat, then those that do not match',
      peer: svid('spiffe://a.example/x/y'),
      expected: [
        'exact won',
        'children less-specific',
        'subtree less-specific',
        'domain less-specific',
        'partner no-match',
        'other no-match',
      ],
    },
    {
      name: 'a deeper ID past the entry for children',
      peer: svid('spiffe://a.example/x/y/z'),
      expected: [
        'subtree won',
        'domain less-specific',
        'exact no-match',
        'children no-match',
        'partner no-match',
        'other no-match',
      ],
    },
    {
      name: 'a certificate without a SPIFFE ID by its authority alone',
      peer: certificate('CN=x', { authorities: ['p'] }),
      expected: [
        'partner won',
        'exact no-match',
        'children no-match',
        'subtree no-match',
        'domain no-match',
        'other no-match',
      ],
    },
  ]
  for (const { name, peer, expected } of cases) {
    it(`lists ${name}`, () => assert.deepEqual(results(peer), expected))
  }

  it('names the place of each rule in the file', () => {
    for (const { position } of ask(svid('spiffe://a.example/x/y')).rules) {
      assert.equal(position.file, 'products.yaml')
      assert.ok(position.line > 0)
    }
  })

  it('gives the decision of a caller without a certificate and counts the rules', () => {
    const { decision, rules, otherRules } = ask(anonymous)
    assert.equal(decision.reason, 'credential_missing')
    assert.deepEqual([rules.length, otherRules], [0, 6])
  })

  it('compares a request with each entry of its product, and says what differs', () => {
    const reading = product('reading', {
      callers: ['trustDomain: a.example'],
      requests: [{ methods: ['GET'] }, { hosts: ['b.example'] }, { paths: ['/x/*'] }],
    })
    const { requests } = explain({
      peer: svid('spiffe://a.example/x'),
      request: { method: 'PUT', host: 'a.example', path: '/x/1' },
      trust: trustOf({ products: mapOf(reading) }),
      rules: { untrustedCertificate: 'refuse' },
      nowMs: now,
      limiter: unlimited,
    })
    assert.deepEqual(
      requests.map(({ position, matches, why }) => [position, matches, why.split(' ')[0]]),
      [
        [reading.requests?.[0]?.position, false, 'method'],
        [reading.requests?.[1]?.position, false, 'host'],
        [reading.requests?.[2]?.position, true, 'method,'],
      ],
    )
    assert.deepEqual(ask(svid('spiffe://a.example/x/y')).requests, [])
  })

  it('lists those first that have most of the SPIFFE ID in common', () => {
    const many = mapOf(
      product('far', { callers: ['spiffeId: spiffe://a.example/x/c'] }),
      product('near', { callers: ['spiffeId: spiffe://a.example/ns/prod/sa/web2'] }),
      product('middle', { callers: ['spiffeId: spiffe://a.example/ns/test/**'] }),
    )
    const explanation = explain({
      peer: svid('spiffe://a.example/ns/prod/sa/web'),
      trust: trustOf({ products: many }),
      rules: { untrustedCertificate: 'refuse' },
      nowMs: now,
      limiter: unlimited,
    })
    assert.deepEqual(
      explanation.rules.map(({ product: name }) => name),
      ['near', 'middle', 'far'],
    )
  })

  it('lists the nearest of ten thousand rules and counts the rest', () => {
    const many = Array.from({ length: 10_000 }, (_, i) =>
      product(`p${i}`, { callers: [`trustDomain: d${i}.example`] }),
    )
    const explanation = explain({
      peer: svid('spiffe://d7777.example/x'),
      trust: trustOf({ products: mapOf(...many) }),
      rules: { untrustedCertificate: 'refuse' },
      nowMs: now,
      limiter: unlimited,
    })
    assert.equal(explanation.rules[0]?.product, 'p7777')
    assert.equal(explanation.rules.length + explanation.otherRules, 10_000)
    assert.ok(explanation.rules.length <= 50)
  })
})
