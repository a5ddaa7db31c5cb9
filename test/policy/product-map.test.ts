import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseSpiffeIdSelector, type Selector } from '../../src/policy/caller.ts'
import type { Peer } from '../../src/policy/peer.ts'
import type { Product } from '../../src/policy/product.ts'
import { findConflicts, ProductMap } from '../../src/policy/product-map.ts'
import { PosternError } from '../../src/core/errors.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { authority, certificate, mapOf, product, svid } from './support/policy.ts'

type MappedPeer = Extract<Peer, { kind: 'svid' | 'certificate' }>

describe('ProductMap', () => {
  describe('lets the most specific caller win', () => {
    const map = mapOf(
      product('domain', { callers: ['trustDomain: a.example'] }),
      product('authority', { callers: ['authority: near', 'authority: far'] }),
      product('subtree', { callers: ['spiffeId: spiffe://a.example/ns/**'] }),
      product('deeper', { callers: ['spiffeId: spiffe://a.example/ns/prod/**'] }),
      product('children', { callers: ['spiffeId: spiffe://a.example/ns/prod/*'] }),
      product('exact', { callers: ['spiffeId: spiffe://a.example/ns/prod/web'] }),
      product('nearest', { callers: ['authority: nearest'] }),
    )
    const cases: readonly {
      readonly id: string
      readonly authorities?: string[]
      readonly wins: string | undefined
    }[] = [
      { id: '/ns/prod/web', authorities: ['near'], wins: 'exact' },
      { id: '/ns/prod/api', authorities: ['near'], wins: 'children' },
      { id: '/ns/prod/api/v2', authorities: ['near'], wins: 'deeper' },
      { id: '/ns/prod', authorities: ['near'], wins: 'subtree' },
      { id: '/ns/test/web', wins: 'subtree' },
      { id: '/ns', authorities: ['near'], wins: 'authority' },
      { id: '/nsx/prod', authorities: ['nearest', 'near'], wins: 'nearest' },
      { id: '/nsx/prod', authorities: ['unmapped', 'far', 'nearest'], wins: 'authority' },
      { id: '/nsx/prod', authorities: ['unmapped'], wins: 'domain' },
      { id: '/ns', wins: 'domain' },
    ]
    for (const { id, authorities = [], wins } of cases) {
      it(`${id} of [${authorities.join(' ')}] goes to ${wins ?? 'nobody'}`, () => {
        const peer = svid(`spiffe://a.example${id}`, { authorities })
        assert.equal(map.find(peer as MappedPeer)?.product.name, wins)
      })
    }
  })

  it('knows nothing of other trust domains', () => {
    const map = mapOf(
      product('p', { callers: ['trustDomain: a.example', 'spiffeId: spiffe://a.example/**'] }),
    )
    assert.equal(map.find(svid('spiffe://b.example/a.example') as MappedPeer), undefined)
    assert.equal(map.find(svid('spiffe://a.example.b/x') as MappedPeer), undefined)
    assert.equal(map.find(svid('spiffe://a.example/x') as MappedPeer)?.product.name, 'p')
  })

  it('maps a certificate without a SPIFFE ID by its authority alone', () => {
    const map = mapOf(product('p', { callers: ['authority: b', 'trustDomain: a.example'] }))
    const subject = 'CN=spiffe://a.example/x'
    const by = (authorities: string[]) =>
      map.find(certificate(subject, { authorities }) as MappedPeer)
    assert.equal(by(['b'])?.reason, 'authority')
    assert.equal(by(['c']), undefined)
    assert.equal(by([]), undefined)
  })

  it('says which entry won, with its place in the file', () => {
    const one = product('p', { callers: ['spiffeId: spiffe://a.example/batch/*'] })
    const match = mapOf(one).find(svid('spiffe://a.example/batch/x') as MappedPeer)
    assert.equal(match?.caller, one.callers[0])
    assert.equal(match?.caller.text, 'spiffeId: spiffe://a.example/batch/*')
  })

  it('agrees with a naive search through all callers', () => {
    fc.assert(
      fc.property(fc.array(anyCaller, { maxLength: 12 }), anySvid, (callers, peer) => {
        const products = [...new Set(callers)].map((text, i) =>
          product(`p${i}`, { callers: [text] }),
        )
        const expected = naiveFind(products, peer)
        assert.equal(mapOf(...products).find(peer)?.product.name, expected?.name)
      }),
      { numRuns: 1_000 },
    )
  })

  it('refuses conflicts that nobody looked for', () => {
    const twice = [
      product('p', { callers: ['trustDomain: a.example'] }),
      product('q', { callers: ['trustDomain: a.example'] }),
    ]
    assert.throws(() => ProductMap.of(twice, []), TypeError)
    assert.equal(ProductMap.of(twice.slice(1), []).products.size, 1)
  })
})

describe('findConflicts', () => {
  const selectors = [
    'trustDomain: a.example',
    'spiffeId: spiffe://a.example/x',
    'spiffeId: spiffe://a.example/x/*',
    'spiffeId: spiffe://a.example/x/**',
    'authority: b',
  ]
  for (const text of selectors) {
    it(`finds ${text} in two products`, () => {
      const first = product('p', { callers: [text] })
      const second = product('q', { callers: ['trustDomain: other.example', text] })
      const [conflict, ...others] = findConflicts([first, second], [authority('b')])
      assert.deepEqual(others, [])
      assert.ok(conflict?.kind === 'selector')
      assert.deepEqual(conflict.first, { product: 'p', position: first.callers[0]?.position })
      assert.deepEqual(conflict.second, { product: 'q', position: second.callers[1]?.position })
    })
  }

  it('finds nothing among selectors that only overlap', () => {
    const products = selectors.map((text, i) => product(`p${i}`, { callers: [text] }))
    assert.deepEqual(findConflicts(products, [authority('b')]), [])
  })

  it('leaves a selector twice in one product to lint', () => {
    const twice = product('p', { callers: ['trustDomain: a.example', 'trustDomain: a.example'] })
    assert.deepEqual(findConflicts([twice], []), [])
  })

  it('finds a caller of an authority that is not defined', () => {
    const one = product('p', { callers: ['authority: b', 'authority: c'] })
    const conflicts = findConflicts([one], [authority('b')])
    assert.deepEqual(conflicts, [
      { kind: 'unknown-authority', product: 'p', alias: 'c', position: one.callers[1]?.position },
    ])
  })

  it('finds one anchor in two authorities, also when its certificate was made anew', () => {
    const old = anchor('CN=Root B', 'key b', '01')
    const renewed = anchor('CN=Root B', 'key b', '02')
    const first = authority('b', { anchors: [old] })
    for (const again of [old, renewed]) {
      const second = authority('c', { anchors: [anchor('CN=Root C', 'key c', '03'), again] })
      const [conflict] = findConflicts([], [first, second])
      assert.ok(conflict?.kind === 'anchor')
      assert.equal(conflict.first, first)
      assert.equal(conflict.second, second)
    }
  })

  it('accepts old and new certificates of one CA in one authority, and CAs that share only a name or a key', () => {
    const rotated = authority('b', {
      anchors: [anchor('CN=Root', 'old key', '01'), anchor('CN=Root', 'old key', '02')],
    })
    const sameName = authority('c', { anchors: [anchor('CN=Root', 'other key', '03')] })
    const sameKey = authority('d', { anchors: [anchor('CN=Other', 'old key', '04')] })
    assert.deepEqual(findConflicts([], [rotated, sameName, sameKey]), [])
  })
})

describe('parseSpiffeIdSelector', () => {
  const kinds: Readonly<Record<string, Selector['kind']>> = {
    'spiffe://a.example/x': 'spiffe-id',
    'spiffe://a.example/x/*': 'children',
    'spiffe://a.example/*': 'children',
    'spiffe://a.example/x/**': 'subtree',
    'spiffe://a.example/**': 'subtree',
  }
  for (const [text, kind] of Object.entries(kinds)) {
    it(`reads ${text}`, () => assert.equal(parseSpiffeIdSelector(text).kind, kind))
  }

  const bad = [
    'spiffe://a.example',
    'spiffe://a.example/',
    'spiffe://a.example/x/***',
    'spiffe://a.example/x*',
    'spiffe://a.example/*/x',
    'spiffe://*/x',
    'spiffe://A.example/x',
    'spiffe://a.example/x/../*',
    'http://a.example/x',
    '**',
    '',
  ]
  for (const text of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseSpiffeIdSelector(text),
        (thrown) => thrown instanceof PosternError && thrown.code === 'ERR_SPIFFE_ID_INVALID',
      )
    })
  }
})

const anyId = fc
  .tuple(
    fc.constantFrom('a.example', 'b.example'),
    fc.array(fc.constantFrom('x', 'y', 'xy'), { minLength: 1, maxLength: 4 }),
  )
  .map(([domain, segments]) => `spiffe://${domain}/${segments.join('/')}`)

const anyCaller = fc.oneof(
  anyId.map((id) => `spiffeId: ${id}`),
  anyId.map((id) => `spiffeId: ${id}/*`),
  anyId.map((id) => `spiffeId: ${id}/**`),
  fc.constantFrom(
    'spiffeId: spiffe://a.example/*',
    'spiffeId: spiffe://a.example/**',
    'trustDomain: a.example',
    'trustDomain: b.example',
    'authority: one',
    'authority: two',
  ),
)

const anySvid = fc
  .tuple(anyId, fc.subarray(['one', 'two', 'three']))
  .map(([id, authorities]) => svid(id, { authorities }) as Extract<Peer, { kind: 'svid' }>)

/** DESIGN.md 4 word by word: every caller is asked, then the most specific is taken. */
function naiveFind(
  products: readonly Product[],
  peer: Extract<Peer, { kind: 'svid' }>,
): Product | undefined {
  const ranked = products.flatMap((candidate) =>
    candidate.callers.flatMap(({ selector }) => {
      const rank = naiveRank(selector, peer)
      return rank === undefined ? [] : [{ candidate, rank }]
    }),
  )
  return ranked.sort((a, b) => compare(a.rank, b.rank))[0]?.candidate
}

function naiveRank(
  selector: Selector,
  peer: Extract<Peer, { kind: 'svid' }>,
): readonly [number, number] | undefined {
  const segments = peer.id.path.split('/').slice(1)
  const isBelow = (parent: string, depth: number) =>
    `${peer.id.toString()}/`.startsWith(`${parent}/`) &&
    segments.length - (parent.split('/').length - 3) >= depth
  switch (selector.kind) {
    case 'spiffe-id':
      return selector.id.equals(peer.id) ? [0, 0] : undefined
    case 'children': {
      const parent = selector.parent.toString()
      return isBelow(parent, 1) && !isBelow(parent, 2) ? [1, 0] : undefined
    }
    case 'subtree': {
      const parent = selector.parent.toString()
      return isBelow(parent, 1) ? [2, -parent.length] : undefined
    }
    case 'authority': {
      const distance = peer.authorities.indexOf(selector.alias)
      return distance === -1 ? undefined : [3, distance]
    }
    case 'trust-domain':
      return selector.trustDomain.equals(peer.id.trustDomain) ? [4, 0] : undefined
  }
}

function compare(a: readonly [number, number], b: readonly [number, number]): number {
  return a[0] - b[0] || a[1] - b[1]
}

/** The three things that tell anchors apart. */
function anchor(subject: string, key: string, sha256: string): Certificate {
  const publicKeyInfo = Buffer.from(key)
  return {
    subject,
    subjectName: { canonical: subject },
    sha256,
    publicKeyInfo,
  } as unknown as Certificate
}
