import assert from 'node:assert/strict'
import { describeTrustChange } from '../../../src/admin/memory/trust-change.ts'
import { TrustHistory } from '../../../src/admin/memory/trust-history.ts'
import { finish } from '../../../src/core/steps.ts'
import type { ApiKeys } from '../../../src/policy/api-keys.ts'
import { CidrSet, parseCidr } from '../../../src/policy/cidr-set.ts'
import { type MappedAuthority, ProductMap } from '../../../src/policy/product-map.ts'
import { TrustDomain } from '../../../src/spiffe/trust-domain.ts'
import type { TrustBundles } from '../../../src/spiffe/trust-bundle.ts'
import { authority, keysOf, mapOf, now, product, trustOf } from '../../policy/support/policy.ts'
import type { Certificate } from '../../../src/x509/certificate.ts'
import { RevocationList } from '../../../src/x509/revocation-list.ts'
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

  it('names ranges of addresses that came and went', () => {
    const set = (...texts: string[]) => new CidrSet(texts.map(parseCidr))
    const changes = describeTrustChange(
      trustOf({
        products: mapOf(
          product('moved', { addresses: { allow: set('10.0.0.0/8'), deny: set('10.1.0.0/16') } }),
          product('closed'),
          product('opened', { addresses: { allow: set('fd00::/8') } }),
          product('same', { addresses: { allow: set('192.0.2.0/24') } }),
        ),
      }),
      trustOf({
        products: mapOf(
          product('moved', { addresses: { allow: set('10.0.0.0/8', '172.16.0.0/12') } }),
          product('closed', { addresses: { allow: set('192.0.2.7') } }),
          product('opened', { addresses: { deny: set('fd01::/16') } }),
          product('same', { addresses: { allow: set('192.0.2.0/24') } }),
        ),
      }),
    )
    assert.deepEqual(changes, [
      'product moved: addresses allow 172.16.0.0/12 came',
      'product moved: addresses deny 10.1.0.0/16 went',
      'product closed: addresses allow was everywhere',
      'product closed: addresses allow 192.0.2.7/32 came',
      'product opened: addresses allow is everywhere',
      'product opened: addresses allow fd00::/8 went',
      'product opened: addresses deny fd01::/16 came',
    ])
  })

  it('names revocation lists by issuer and date, and whether they are required', async () => {
    const leaf = await old.leaf()
    const list = (thisUpdate: string, ...revoked: Certificate[]) => {
      const options = { thisUpdateMs: Date.parse(thisUpdate) }
      return finish(RevocationList.read(old.revocationList(revoked, options)))
    }
    const mapWith = (required: boolean, ...lists: RevocationList[]) => {
      const one = authority('partner-b', { revocation: { lists, required } })
      return trustOf({ products: ProductMap.of([], [one]) })
    }
    const first = list('2026-11-01T06:00:00Z')
    const second = list('2026-11-02T06:00:00Z', leaf.certificate)

    assert.deepEqual(describeTrustChange(mapWith(false, first), mapWith(true, first, second)), [
      `authority partner-b: revocation list of ${second.issuer} of 2026-11-02T06:00:00Z came, with 1 certificate`,
      'authority partner-b: crlRequired was false, is true',
    ])
    assert.deepEqual(describeTrustChange(mapWith(true, first, second), mapWith(true, second)), [
      `authority partner-b: revocation list of ${first.issuer} of 2026-11-01T06:00:00Z went`,
    ])
  })

  it('names the trust domain that an authority speaks for', () => {
    const mapWith = (parts: Partial<MappedAuthority>) =>
      trustOf({ products: ProductMap.of([], [authority('partner-b', parts)]) })
    const trustDomain = TrustDomain.parse('partner-b.example')
    assert.deepEqual(describeTrustChange(mapWith({}), mapWith({ trustDomain })), [
      'authority partner-b: trustDomain was none, is partner-b.example',
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
