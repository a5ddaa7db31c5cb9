import assert from 'node:assert/strict'
import { parseApiKeys } from '../../src/config/api-keys-file.ts'
import { parseProducts } from '../../src/config/products-file.ts'
import { ApiKeys } from '../../src/policy/api-keys.ts'
import { lint } from '../../src/policy/lint.ts'
import type { TrustBundles } from '../../src/spiffe/trust-bundle.ts'
import { finish } from '../../src/core/steps.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import type { RevocationListSpec } from '../support/revocation-list-writer.ts'
import { TestCa } from '../support/test-ca.ts'

const dayMs = 86_400_000
const good = `
version: 1
products:
  payments:
    callers:
      - trustDomain: a.example
      - spiffeId: spiffe://a.example/x/**
`

interface Given {
  readonly products: string
  readonly keys?: string
  readonly bundles?: TrustBundles
  readonly nowMs?: number
  /** Revocation lists of the authority `p`. */
  readonly lists?: readonly RevocationList[]
}

describe('lint', () => {
  let ca: TestCa

  let other: TestCa

  before(async () => {
    ca = await TestCa.root('a')
    other = await TestCa.root('other')
  })

  it('says nothing about a good map', () => {
    const bundles = new Map([['a.example', ca.bundle('a.example')]])
    assert.deepEqual(codes({ products: good, bundles }), [])
  })

  it('warns of a trust domain that a root subtree takes whole', () => {
    const products = good.replace('/x/**', '/**')
    assert.deepEqual(codes({ products }), ['caller_never_wins 6'])
  })

  it('warns of an authority whose trust domain a root subtree takes whole', () => {
    const authority = `      - authority: p
authorities: { p: { certificates: p.pem, trustDomain: a.example } }
`
    const subtree = good.replace('trustDomain: a.example', 'spiffeId: spiffe://a.example/**')
    assert.deepEqual(codes({ products: subtree + authority }), ['caller_never_wins 8'])
    const other = subtree.replaceAll('a.example', 'b.example')
    assert.deepEqual(codes({ products: other + authority }), [])
  })

  it('warns of a trust domain whose CA certificates all belong to authorities that are callers', () => {
    const authority = `      - authority: p\nauthorities: { p: { certificates: p.pem } }\n`
    const mapped = new Map([['a.example', ca.bundle('a.example')]])
    assert.deepEqual(codes({ products: good + authority, bundles: mapped }), [
      'caller_never_wins 6',
    ])
    const wider = new Map([['a.example', ca.bundle('a.example', other)]])
    assert.deepEqual(codes({ products: good + authority, bundles: wider }), [])
    assert.deepEqual(codes({ products: good + authority }), [])
    const uncalled = good + 'authorities: { p: { certificates: p.pem } }\n'
    assert.deepEqual(codes({ products: uncalled, bundles: mapped }), [])
  })

  it('warns of a trust domain that an authority speaks for and is a caller of', () => {
    const authority = `      - authority: p
authorities: { p: { certificates: p.pem, trustDomain: a.example } }
`
    assert.deepEqual(codes({ products: good + authority }), ['caller_never_wins 6'])
  })

  it('warns of a caller that its product names twice', () => {
    const products = good + '      - trustDomain: a.example\n'
    assert.deepEqual(codes({ products }), ['caller_never_wins 8'])
  })

  it('warns of trust domains without a bundle, when the bundles are known', () => {
    assert.deepEqual(codes({ products: good, bundles: new Map() }), [
      'trust_domain_without_bundle 6',
      'trust_domain_without_bundle 7',
    ])
    assert.deepEqual(codes({ products: good }), [])
  })

  it('misses no bundle of a trust domain that an authority speaks for', () => {
    const products = `${good}authorities: { p: { certificates: p.pem, trustDomain: a.example } }\n`
    assert.deepEqual(codes({ products, bundles: new Map() }), [])
  })

  const keys = `version: 1
keys:
  - { id: k_1, sha256: "${'a'.repeat(64)}", product: payments, consumer: acme, expires: 2026-06-01 }
`
  const reach = [
    { name: 'no callers and no keys taken', body: 'callers: []', warns: true },
    { name: 'keys taken, and one there', body: 'callers: []\n    apiKeys: accept', warns: false },
    {
      name: 'keys taken, and the only one expired',
      body: 'callers: []\n    apiKeys: accept',
      nowMs: Date.UTC(2026, 6),
      warns: true,
    },
    {
      name: 'keys taken until a day that is over',
      body: 'callers: []\n    apiKeys: accept\n    apiKeysUntil: 2026-01-01',
      warns: true,
    },
    {
      name: 'keys required and refused',
      body: 'callers: [{ trustDomain: a.example }]\n    require: apiKey',
      warns: true,
    },
    {
      name: 'both required, and both possible',
      body: 'callers: [{ trustDomain: a.example }]\n    require: both\n    apiKeys: accept',
      warns: false,
    },
    {
      name: 'both required, and keys refused',
      body: 'callers: [{ trustDomain: a.example }]\n    require: both',
      warns: true,
    },
  ]
  for (const { name, body, nowMs = Date.UTC(2026, 3), warns } of reach) {
    it(`${warns ? 'warns of' : 'accepts'} a product with ${name}`, () => {
      const products = `version: 1\nproducts:\n  payments:\n    ${body}\n`
      assert.deepEqual(codes({ products, keys, nowMs }), warns ? ['product_unreachable 3'] : [])
    })
  }

  it('warns once of each product that keys name and the map does not hold', () => {
    const orphans = ['payments', 'gone', 'gone'].map(
      (product, i) =>
        `  - { id: k_${i}, sha256: "${String(i).repeat(64)}", product: ${product}, consumer: acme }\n`,
    )
    const text = `version: 1\nkeys:\n${orphans.join('')}`
    assert.deepEqual(codes({ products: good, keys: text }), ['key_product_unknown 4'])
  })

  it('warns of a key that expires before it becomes valid, and not of one that was revoked before', () => {
    const swapped = keys.replace('expires', 'notBefore: 2026-07-01, expires')
    const asked = { products: good, keys: swapped }
    assert.deepEqual(codes({ ...asked, nowMs: Date.UTC(2026, 3) }), ['key_never_valid 3'])
    assert.deepEqual(codes({ ...asked, nowMs: Date.UTC(2026, 5, 2) }), [])
    assert.deepEqual(codes({ products: good, keys, nowMs: Date.UTC(2026, 3) }), [])
  })

  it('warns of an anchor that expires within 30 days, and of one that has', () => {
    const products = `${good}      - authority: p\nauthorities: { p: { certificates: p.pem } }\n`
    const endMs = ca.certificate.notAfterMs
    assert.deepEqual(codes({ products, nowMs: endMs - 31 * dayMs }), [])
    assert.deepEqual(codes({ products, nowMs: endMs - 29 * dayMs }), ['anchor_expires 9'])
    assert.deepEqual(codes({ products, nowMs: endMs + dayMs }), ['anchor_expires 9'])
  })

  describe('about revocation lists', () => {
    const products = `${good}      - authority: p
authorities: { p: { certificates: p.pem, crl: [p.crl] } }
`
    const required = products.replace('[p.crl]', '[p.crl], crlRequired: true')
    const beginMs = () => ca.certificate.notAfterMs - 366 * dayMs
    const listOf = (issuer: TestCa, options: Partial<RevocationListSpec> = {}) => {
      const dates = { thisUpdateMs: beginMs(), nextUpdateMs: beginMs() + 7 * dayMs }
      return finish(RevocationList.read(issuer.revocationList([], { ...dates, ...options })))
    }

    it('says nothing when they are current', () => {
      const lists = [listOf(ca), listOf(other)]
      assert.deepEqual(codes({ products: required, lists }), [])
      assert.deepEqual(codes({ products, lists: [] }), [])
    })

    it('warns of one that has ended, that has not begun, or that never ends', () => {
      const nowMs = beginMs() + 8 * dayMs
      assert.deepEqual(codes({ products, lists: [listOf(ca)], nowMs }), ['crl_not_current 9'])
      const early = listOf(ca, { thisUpdateMs: beginMs() + 2 * dayMs })
      assert.deepEqual(codes({ products, lists: [early] }), ['crl_not_current 9'])
      const endless = listOf(ca, { nextUpdateMs: null })
      assert.deepEqual(codes({ products, lists: [endless], nowMs }), ['crl_never_ends 9'])
    })

    it('says nothing of one that a newer one has replaced', () => {
      const old = listOf(ca, { thisUpdateMs: beginMs() - dayMs, nextUpdateMs: beginMs() })
      assert.deepEqual(codes({ products, lists: [old, listOf(ca)] }), [])
    })

    it('warns of a CA without one where crlRequired asks for it', () => {
      assert.deepEqual(codes({ products: required, lists: [listOf(other)] }), ['crl_missing 9'])
      assert.deepEqual(codes({ products: required }), ['crl_missing 9'])
    })
  })

  /** Code and line of each warning. */
  function codes({ products, keys: keysText, bundles, nowMs, lists }: Given): string[] {
    const map = parseProducts(products, 'products.yaml', { readPem: () => ca.pem })
    const revocation = map.authorities.get('p')?.revocation
    const warnings = lint({
      products:
        revocation === undefined || lists === undefined
          ? map
          : map.withRevocation(new Map([['p', { ...revocation, lists }]])),
      apiKeys: keysText === undefined ? ApiKeys.empty : parseApiKeys(keysText, 'api-keys.yaml'),
      nowMs: nowMs ?? ca.certificate.notAfterMs - 365 * dayMs,
      ...(bundles === undefined ? {} : { bundles }),
    })
    return warnings.map(({ code, position }) => `${code} ${position.line}`)
  }
})
