import assert from 'node:assert/strict'
import { describeTrustChange } from '../../../src/admin/memory/trust-change.ts'
import { TrustHistory } from '../../../src/admin/memory/trust-history.ts'
import type { ApiKeys } from '../../../src/policy/api-keys.ts'
import { TrustDomain } from '../../../src/spiffe/trust-domain.ts'
import type { TrustBundles } from '../../../src/spiffe/trust-bundle.ts'
import { keysOf, mapOf, now, product, trustOf } from '../../policy/support/policy.ts'
import { TestCa } from '../../support/test-ca.ts'

describe('TrustHistory', () => {
  it('finds the state that a decision was made by, as long as it is one of the last', () => {
    const states = Array.from({ length: 12 }, (_, i) => trustOf({ epoch: i + 1 }))
    const [first, ...more] = states
    const history = new TrustHistory(first!, now)
    for (const state of more) history.add(state, now + state.epoch)

    assert.equal(history.find(12), states[11])
    assert.equal(history.find(5), states[4])
    assert.equal(history.find(4), undefined)
    assert.deepEqual(
      history.epochs.map(({ epoch }) => epoch),
      Array.from({ length: 12 }, (_, i) => 12 - i),
    )
    assert.deepEqual(history.epochs.at(-1)?.changes, ['the sidecar started'])
  })

  it('holds no second table of very many keys, but always the current state', () => {
    const large = { size: 1_000_000, entries: () => [] } as unknown as ApiKeys
    const history = new TrustHistory(trustOf({ epoch: 1, apiKeys: large }), now)
    history.add(trustOf({ epoch: 2, apiKeys: large }), now)

    assert.equal(history.find(1), undefined)
    assert.equal(history.find(2)?.epoch, 2)
    assert.equal(history.epochs.length, 2)
  })
})

describe('describeTrustChange', () => {
  let old: TestCa
  let renewed: TestCa

  before(async () => {
    old = await TestCa.root('Old')
    renewed = await TestCa.root('Renewed')
  })

  const bundles = (domains: Readonly<Record<string, readonly TestCa[]>>): TrustBundles =>
    new Map(
      Object.entries(domains).map(([name, cas]) => [
        name,
        {
          trustDomain: TrustDomain.parse(name),
          anchors: cas.map(({ certificate }) => certificate),
        },
      ]),
    )

  it('names anchors and trust domains that came and went', () => {
    const changes = describeTrustChange(
      trustOf({ bundles: bundles({ 'a.example': [old], 'b.example': [old] }) }),
      trustOf({ bundles: bundles({ 'a.example': [renewed], 'c.example': [old, renewed] }) }),
    )
    const [oldId, newId] = [old, renewed].map(({ certificate }) => certificate.sha256.slice(0, 8))
    assert.deepEqual(changes, [
      'trust domain c.example came, with 2 anchors',
      'trust domain b.example went',
      `trust domain a.example: anchor ${newId} (${renewed.certificate.subject}) came`,
      `trust domain a.example: anchor ${oldId} (${old.certificate.subject}) went`,
    ])
  })

  it('names products, their callers and their settings', () => {
    const changes = describeTrustChange(
      trustOf({
        products: mapOf(
          product('kept', { callers: ['trustDomain: a.example'], apiKeys: 'accept' }),
          product('gone'),
        ),
      }),
      trustOf({
        products: mapOf(
          product('kept', {
            callers: ['trustDomain: b.example'],
            apiKeys: 'warn',
            apiKeysUntilMs: Date.UTC(2027, 2, 31),
            requests: [{ methods: ['GET'] }],
          }),
          product('new'),
        ),
      }),
    )
    assert.deepEqual(changes, [
      'product new came',
      'product gone went',
      'product kept: caller trustDomain: b.example came',
      'product kept: caller trustDomain: a.example went',
      'product kept: apiKeys was accept, is warn',
      'product kept: apiKeysUntil was none, is 2027-03-31',
      'product kept: other requests are allowed',
    ])
  })

  it('names keys by their ids', () => {
    const entry = { product: 'p' }
    const changes = describeTrustChange(
      trustOf({ apiKeys: keysOf({ a: { ...entry, id: 'k_a' }, b: { ...entry, id: 'k_b' } }) }),
      trustOf({
        apiKeys: keysOf({
          b: { ...entry, id: 'k_b', expiresMs: now },
          c: { ...entry, id: 'k_c' },
          d: { ...entry, id: 'k_d' },
        }),
      }),
    )
    assert.deepEqual(changes, ['API keys k_c, k_d came', 'API key k_a went', 'API key k_b changed'])
  })

  it('says at most twenty things and how many more', () => {
    const many = Array.from({ length: 100 }, (_, i) => product(`p${i}`))
    const changes = describeTrustChange(trustOf(), trustOf({ products: mapOf(...many) }))
    assert.equal(changes.length, 21)
    assert.equal(changes.at(-1), 'and 80 more changes')
  })
})
