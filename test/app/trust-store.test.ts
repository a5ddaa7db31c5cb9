import assert from 'node:assert/strict'
import { TrustStore } from '../../src/app/trust-store.ts'
import { ApiKeyTable } from '../../src/policy/api-key-table.ts'
import { ApiKeys } from '../../src/policy/api-keys.ts'
import { ProductMap } from '../../src/policy/product-map.ts'
import type { TrustState } from '../../src/policy/trust-state.ts'
import type { TrustBundles } from '../../src/spiffe/trust-bundle.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { TestCa } from '../support/test-ca.ts'

const products = ProductMap.of([], [])

describe('TrustStore', () => {
  let one: Certificate
  let two: Certificate
  let store: TrustStore
  let told: TrustState[]

  before(async () => {
    one = (await TestCa.root('one')).certificate
    two = (await TestCa.root('two')).certificate
  })

  beforeEach(() => {
    told = []
    store = new TrustStore(
      { products, apiKeys: ApiKeys.empty, bundles: bundlesOf({ 'corp.example': [one] }) },
      (state) => told.push(state),
    )
  })

  it('begins with epoch 1, and without an identity of ours', () => {
    assert.equal(store.current.epoch, 1)
    assert.equal(store.current.hasIdentity, false)
  })

  it('raises the epoch for each change of bundles, products or keys, and tells of it', () => {
    store.update({ bundles: bundlesOf({ 'corp.example': [one, two] }) })
    store.update({ products: ProductMap.of([], []) })
    store.update({ apiKeys: ApiKeys.from(new ApiKeyTable()) })
    assert.deepEqual(
      told.map((state) => state.epoch),
      [2, 3, 4],
    )
    assert.equal(store.current, told.at(-1))
  })

  it('raises it when time alone has changed what the same state says', () => {
    const before = store.current
    store.raise()
    assert.deepEqual(told, [{ ...before, epoch: 2 }])
    assert.equal(store.current, told[0])
  })

  it('raises it once for a change of several parts', () => {
    store.update({ products: ProductMap.of([], []), bundles: new Map() })
    assert.deepEqual(
      told.map((state) => state.epoch),
      [2],
    )
  })

  const differences: readonly [string, () => Bundles][] = [
    ['one anchor more', () => ({ 'corp.example': [one, two] })],
    ['another anchor', () => ({ 'corp.example': [two] })],
    ['no anchor left', () => ({ 'corp.example': [] })],
    ['one trust domain more', () => ({ 'corp.example': [one], 'partner.example': [] })],
    ['no trust domain', () => ({})],
    ['the anchors of another trust domain', () => ({ 'partner.example': [one] })],
  ]
  for (const [name, bundles] of differences) {
    it(`raises the epoch for ${name}`, () => {
      store.update({ bundles: bundlesOf(bundles()) })
      assert.equal(store.current.epoch, 2)
      assert.deepEqual([...store.current.bundles.keys()], Object.keys(bundles()))
    })
  }

  it('raises no epoch for bundles that say the same, in another order and twice', () => {
    store.update({ bundles: bundlesOf({ 'corp.example': [one, two], 'b.example': [one] }) })
    const { bundles } = store.current
    store.update({ bundles: bundlesOf({ 'b.example': [one, one], 'corp.example': [two, one] }) })
    assert.equal(store.current.epoch, 2)
    assert.equal(store.current.bundles, bundles)
    assert.equal(told.length, 1)
  })

  it('takes an anchor that comes in the place of a double', () => {
    store.update({ bundles: bundlesOf({ 'corp.example': [one, one] }) })
    store.update({ bundles: bundlesOf({ 'corp.example': [one, two] }) })
    assert.deepEqual(store.current.bundles.get('corp.example')?.anchors, [one, two])
  })

  it('raises no epoch for the same files', () => {
    store.update({ products, apiKeys: ApiKeys.empty })
    assert.deepEqual([store.current.epoch, told.length], [1, 0])
  })

  it('raises no epoch when our own identity comes or goes', () => {
    store.update({ hasIdentity: true })
    assert.deepEqual([store.current.epoch, store.current.hasIdentity, told.length], [1, true, 0])
  })

  it('leaves a state that was handed out as it is', () => {
    const before = store.current
    store.update({ bundles: new Map(), hasIdentity: true })
    assert.deepEqual([before.epoch, before.hasIdentity, before.bundles.size], [1, false, 1])
  })
})

type Bundles = Readonly<Record<string, readonly Certificate[]>>

function bundlesOf(bundles: Bundles): TrustBundles {
  return new Map(
    Object.entries(bundles).map(([name, anchors]) => [
      name,
      { trustDomain: TrustDomain.parse(name), anchors },
    ]),
  )
}
