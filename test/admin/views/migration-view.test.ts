import assert from 'node:assert/strict'
import { type ProductMigration, viewMigration } from '../../../src/admin/views/migration-view.ts'
import type { Product } from '../../../src/policy/product.ts'
import { day, keysOf, mapOf, now, product } from '../../policy/support/policy.ts'
import { allow, deny, recordOf } from '../../telemetry/support/records.ts'
import { FakeSidecar } from '../support/fake-sidecar.ts'

const until = Date.UTC(2027, 2, 31)

/** A product that takes keys of acme, globex and initech. */
function migrating(parts: Partial<Omit<Product, 'callers' | 'requests'>> = {}): FakeSidecar {
  return new FakeSidecar({
    products: mapOf(
      product('payments', { apiKeys: 'accept', callers: ['trustDomain: a.example'], ...parts }),
      product('strict', { callers: ['trustDomain: b.example'] }),
    ),
    apiKeys: keysOf({
      a: { product: 'payments', id: 'k_a', consumer: 'acme' },
      b: { product: 'payments', id: 'k_b', consumer: 'globex' },
      c: { product: 'payments', id: 'k_c', consumer: 'initech' },
    }),
  })
}

function useKey(sidecar: FakeSidecar, consumer: string, apiKeyId: string): void {
  const atMs = sidecar.clock.now()
  const caller = { principal: consumer, consumer, apiKeyId, credential: 'api-key' } as const
  sidecar.decide(recordOf({ atMs, decision: allow({ reason: 'api_key', ...caller }) }))
}

function migrationOf(sidecar: FakeSidecar, query = ''): ProductMigration {
  const { products } = sidecar.api.migration(new URLSearchParams(query))
  assert.equal(products.length, 1)
  return products[0]!
}

describe('viewMigration', () => {
  it('names who used a key lately, and whom apiKeys: refuse would lock out', () => {
    const sidecar = migrating()
    useKey(sidecar, 'acme', 'k_a')
    sidecar.clock.advance(40 * day)
    useKey(sidecar, 'globex', 'k_b')
    const { consumers, breaks, ifRefused } = migrationOf(sidecar)

    assert.deepEqual(
      consumers.map(({ consumer, stillUsesKeys }) => [consumer, stillUsesKeys]),
      [
        ['globex', true],
        ['acme', false],
        ['initech', false],
      ],
    )
    assert.deepEqual(breaks, ['globex'])
    assert.match(ifRefused, /would lock out globex, .* in the last 30 days/)
  })

  it('takes nobody for quiet because the sidecar was off', () => {
    const sidecar = migrating()
    useKey(sidecar, 'acme', 'k_a')
    const countedUntilMs = sidecar.clock.now() + 10 * day
    sidecar.clock.advance(100 * day)
    const { trust, usage } = sidecar
    const facts = { trust, usage, nowMs: sidecar.clock.now(), quietDays: 30 }
    const kept = viewMigration({ ...facts, countedUntilMs })

    assert.equal(kept.countedUntil, new Date(countedUntilMs).toISOString())
    assert.equal(kept.countedLongEnough, false)
    assert.deepEqual(kept.products[0]?.breaks, ['acme'])
    assert.deepEqual(viewMigration(facts).products[0]?.breaks, [])
  })

  it('lets the operator say what quiet means', () => {
    const sidecar = migrating()
    useKey(sidecar, 'acme', 'k_a')
    sidecar.clock.advance(40 * day)
    assert.deepEqual(migrationOf(sidecar, 'days=60').breaks, ['acme'])
    assert.deepEqual(migrationOf(sidecar, 'days=7').breaks, [])
  })

  it('promises nothing before it has counted long enough', () => {
    const sidecar = migrating()
    sidecar.clock.advance(2 * day)
    assert.match(migrationOf(sidecar).ifRefused, /only 2 days ago: too short/)
    sidecar.clock.advance(28 * day)
    assert.match(migrationOf(sidecar).ifRefused, /would break nobody/)
  })

  it('counts no key that was refused as one that is used', () => {
    const sidecar = migrating()
    const refused = { product: 'payments', consumer: 'acme', apiKeyId: 'k_a' }
    sidecar.decide(recordOf({ decision: deny({ reason: 'api_key_expired', ...refused }) }))
    assert.deepEqual(migrationOf(sidecar).breaks, [])
  })

  it('says what the last day of keys will do, and what it did', () => {
    const sidecar = migrating({ apiKeysUntilMs: until })
    assert.equal(
      migrationOf(sidecar).atItsEnd,
      'keys are refused from 2027-03-31, in 131 days; nobody uses one now',
    )
    useKey(sidecar, 'acme', 'k_a')
    assert.match(migrationOf(sidecar).atItsEnd ?? '', /in 131 days, and that would lock out acme/)
    sidecar.clock.advance(until - now)
    assert.equal(migrationOf(sidecar).atItsEnd, 'keys are refused since 2027-03-31')
  })

  it('shows who comes with a certificate already', () => {
    const sidecar = migrating()
    sidecar.decide(recordOf({ decision: allow({ principal: 'spiffe://a.example/acme' }) }))
    const { certificates } = migrationOf(sidecar)
    assert.deepEqual(
      certificates.map(({ principal, credential, allowed }) => [principal, credential, allowed]),
      [['spiffe://a.example/acme', 'x509-svid', 1]],
    )
  })

  it('leaves out a product that takes no keys and never saw one', () => {
    const names = migrating()
      .api.migration(new URLSearchParams())
      .products.map((one) => one.product)
    assert.deepEqual(names, ['payments'])
  })
})
