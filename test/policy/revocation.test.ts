import assert from 'node:assert/strict'
import { finish } from '../../src/core/steps.ts'
import { authenticate } from '../../src/policy/authenticate.ts'
import type { Authority } from '../../src/policy/authority.ts'
import type { Peer } from '../../src/policy/peer.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import {
  issuingDistributionPoint,
  revocationPoints,
  type RevocationListSpec,
  type ScopeSpec,
} from '../support/revocation-list-writer.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

const hourMs = 3_600_000
const nowMs = Math.floor(Date.now() / 1_000) * 1_000

/** A list of `ca` that is current now. */
function listOf(
  ca: TestCa,
  revoked: readonly { readonly certificate: TestLeaf['certificate'] }[] = [],
  options: Partial<RevocationListSpec> = {},
): RevocationList {
  const der = ca.revocationList(
    revoked.map(({ certificate }) => certificate),
    { thisUpdateMs: nowMs - hourMs, nextUpdateMs: nowMs + hourMs, ...options },
  )
  return finish(RevocationList.read(der))
}

interface Held {
  readonly lists: readonly RevocationList[]
  readonly required?: boolean
  readonly anchors?: readonly TestCa[]
  readonly trustDomain?: string
}

describe('revocation', () => {
  let root: TestCa
  let middle: TestCa
  let direct: TestLeaf
  let below: TestLeaf

  before(async () => {
    root = await TestCa.root('partner-b')
    middle = await root.intermediate()
    direct = await root.leaf({ subject: '/CN=direct' })
    below = await middle.leaf({ subject: '/CN=below' })
  })

  const authorityOf = ({
    lists,
    required = false,
    anchors = [root],
    trustDomain,
  }: Held): Authority => ({
    alias: 'partner-b',
    anchors: anchors.map(({ certificate }) => certificate),
    revocation: { lists, required },
    ...(trustDomain !== undefined && { trustDomain: TrustDomain.parse(trustDomain) }),
  })

  const judge = (
    leaf: TestLeaf,
    held: Held,
    {
      at = nowMs,
      bundles = new Map(),
    }: { at?: number; bundles?: Map<string, ReturnType<TestCa['bundle']>> } = {},
  ): Peer => {
    const authorities = new Map([['partner-b', authorityOf(held)]])
    return authenticate(leaf.certificates, { bundles, authorities }, at)
  }
  const verdict = (...[leaf, held, options]: Parameters<typeof judge>) => {
    const peer = judge(leaf, held, options)
    return peer.kind === 'untrusted' ? peer.reason : peer.kind
  }

  describe('of a leaf', () => {
    it('refuses one that is listed, and no other', () => {
      const lists = [listOf(root, [direct])]
      assert.equal(verdict(direct, { lists }), 'certificate_revoked')
      assert.equal(verdict(below, { lists }), 'certificate')
    })

    it('says which certificate was revoked, by whom, when and why', () => {
      const { serial } = direct.certificate
      const entries = [{ serial: BigInt(`0x${serial}`), atMs: nowMs - hourMs, reason: 1 }]
      const peer = judge(direct, { lists: [listOf(root, [], { entries })] })
      assert.equal(peer.kind, 'untrusted')
      const on = new Date(nowMs - hourMs).toISOString()
      assert.equal(
        peer.detail,
        `"CN=direct" was revoked by "CN=root,O=partner-b" on ${on} (keyCompromise)`,
      )
    })

    it('takes no notice of a list that somebody else signed', async () => {
      const twin = await TestCa.root('partner-b')
      assert.equal(verdict(direct, { lists: [listOf(twin, [direct])] }), 'certificate')
      const lists = [listOf(twin)]
      assert.equal(verdict(direct, { lists, required: true }), 'revocation_unknown')
    })

    it('takes no notice of a list whose signer may not sign lists', async () => {
      const mute = await TestCa.root('mute', { keyUsage: ['keyCertSign'] })
      const leaf = await mute.leaf()
      const held = { anchors: [mute], lists: [listOf(mute, [leaf])] }
      assert.equal(verdict(leaf, held), 'certificate')
      assert.equal(verdict(leaf, { ...held, required: true }), 'revocation_unknown')
    })

    it('takes lists of a CA without key usage', async () => {
      const free = await TestCa.root('free', { keyUsage: null })
      const leaf = await free.leaf()
      const held = { anchors: [free], lists: [listOf(free, [leaf])] }
      assert.equal(verdict(leaf, held), 'certificate_revoked')
    })
  })

  describe('of an intermediate', () => {
    it('refuses what is below one that is listed', () => {
      const lists = [listOf(root, [middle])]
      assert.equal(verdict(below, { lists }), 'certificate_revoked')
      assert.equal(verdict(direct, { lists }), 'certificate')
    })

    it('takes the lists of an intermediate when a caller presents its certificate', () => {
      const lists = [listOf(middle, [below])]
      assert.equal(verdict(below, { lists }), 'certificate_revoked')
      assert.equal(verdict(direct, { lists }), 'certificate')
    })

    it('goes round it when another path is good', async () => {
      const other = await TestCa.root('partner-b-2')
      const cross = await other.crossSign(middle)
      const sent = [...below.certificates, cross.certificate] as const
      const leaf = { ...below, certificates: sent }
      const lists = [listOf(root, [middle])]
      assert.equal(verdict(leaf, { lists, anchors: [root, other] }), 'certificate')
      assert.equal(verdict(below, { lists, anchors: [root, other] }), 'certificate_revoked')
    })

    it('never asks about the anchor', () => {
      const lists = [listOf(root, [root, middle]), listOf(middle)]
      assert.equal(verdict(below, { lists, anchors: [middle], required: true }), 'certificate')
    })
  })

  describe('with crlRequired', () => {
    it('wants a list of every CA on the path', () => {
      const required = true
      assert.equal(verdict(below, { lists: [], required }), 'revocation_unknown')
      assert.equal(verdict(below, { lists: [listOf(root)], required }), 'revocation_unknown')
      assert.equal(verdict(below, { lists: [listOf(middle)], required }), 'revocation_unknown')
      const lists = [listOf(root), listOf(middle)]
      assert.equal(verdict(below, { lists, required }), 'certificate')
    })

    it('wants lists that are current, and says until when its answer holds', () => {
      const lists = [
        listOf(root, [], { nextUpdateMs: nowMs + 2 * hourMs }),
        listOf(middle, [], { nextUpdateMs: nowMs + hourMs }),
      ]
      const held = { lists, required: true }
      const peer = judge(below, held)
      assert.ok(peer.kind === 'certificate' && peer.path.revocationUntilMs === nowMs + hourMs)
      assert.equal(verdict(below, held, { at: nowMs + hourMs }), 'certificate')
      assert.equal(verdict(below, held, { at: nowMs + hourMs + 1 }), 'revocation_unknown')
      const early = [listOf(root, [], { thisUpdateMs: nowMs + 1_000 })]
      assert.equal(verdict(direct, { lists: early, required: true }), 'revocation_unknown')
    })

    it('is content with a list that never ends', () => {
      const held = { lists: [listOf(root, [], { nextUpdateMs: null })], required: true }
      const peer = judge(direct, held)
      assert.ok(peer.kind === 'certificate' && peer.path.revocationUntilMs === Infinity)
    })

    it('is what makes the difference: without it, whoever is not listed passes', () => {
      const ended = listOf(root, [], { nextUpdateMs: nowMs - 1_000 })
      for (const lists of [[], [ended]]) {
        assert.equal(verdict(direct, { lists }), 'certificate')
        assert.equal(verdict(direct, { lists, required: true }), 'revocation_unknown')
      }
    })
  })

  it('refuses by the entries of a list that has ended or not begun', () => {
    for (const dates of [{ nextUpdateMs: nowMs - 1_000 }, { thisUpdateMs: nowMs + 1_000 }]) {
      const lists = [listOf(root, [direct], dates)]
      assert.equal(verdict(direct, { lists }), 'certificate_revoked')
      assert.equal(verdict(direct, { lists, required: true }), 'certificate_revoked')
    }
  })

  it('goes by the newest edition of a list alone', () => {
    const older = listOf(root, [direct], { thisUpdateMs: nowMs - 2 * hourMs })
    const newer = listOf(root)
    const ended = listOf(root, [], {
      thisUpdateMs: nowMs - 3 * hourMs,
      nextUpdateMs: nowMs - hourMs,
    })
    for (const lists of [
      [older, newer, ended],
      [ended, newer, older],
    ])
      assert.equal(verdict(direct, { lists, required: true }), 'certificate')
    assert.equal(verdict(direct, { lists: [ended, older] }), 'certificate_revoked')
  })

  it('is not misled by a newer edition that nobody signed', async () => {
    const twin = await TestCa.root('partner-b')
    const lists = [listOf(root, [direct]), listOf(twin, [], { thisUpdateMs: nowMs })]
    assert.equal(verdict(direct, { lists }), 'certificate_revoked')
  })

  it('takes lists that a CA signs with its new key for certificates that it signed with its old one', async () => {
    const renewed = await TestCa.root('partner-b')
    const held = { lists: [listOf(renewed, [direct])], required: true }
    assert.equal(verdict(direct, { ...held, anchors: [root, renewed] }), 'certificate_revoked')
    assert.equal(verdict(direct, held), 'revocation_unknown')
    const good = { lists: [listOf(renewed)], required: true, anchors: [root, renewed] }
    assert.equal(verdict(direct, good), 'certificate')
  })

  describe('by lists that speak of some certificates only', () => {
    const scoped = (ca: TestCa, scope: ScopeSpec, revoked: TestLeaf[] = []) =>
      listOf(ca, revoked, { extensions: [issuingDistributionPoint(scope)] })
    const uri = 'http://crl.example/1.crl'

    it('knows a leaf to be good by a list of leaves, and an intermediate by one of CAs', () => {
      const required = true
      const leaves = scoped(root, { only: 'user' })
      const cas = scoped(root, { only: 'ca' })
      assert.equal(verdict(direct, { lists: [leaves], required }), 'certificate')
      assert.equal(verdict(direct, { lists: [cas], required }), 'revocation_unknown')
      const lists = [cas, listOf(middle)]
      assert.equal(verdict(below, { lists, required }), 'certificate')
      assert.equal(
        verdict(below, { lists: [leaves, listOf(middle)], required }),
        'revocation_unknown',
      )
    })

    it('knows a leaf to be good by the list of its own distribution point', async () => {
      const there = await root.leaf({ extensions: [revocationPoints('ldap://x', uri)] })
      const elsewhere = await root.leaf({ extensions: [revocationPoints(`${uri}2`)] })
      const held = { lists: [scoped(root, { uri })], required: true }
      assert.equal(verdict(there, held), 'certificate')
      assert.equal(verdict(elsewhere, held), 'revocation_unknown')
      assert.equal(verdict(direct, held), 'revocation_unknown')
    })

    it('refuses whoever is listed, whatever else the list says of itself', () => {
      for (const scope of [{ uri }, { only: 'ca' }, { reasons: [1] }] as const)
        assert.equal(
          verdict(direct, { lists: [scoped(root, scope, [direct])] }),
          'certificate_revoked',
        )
    })

    it('wants all reasons covered', () => {
      const required = true
      const some = scoped(root, { reasons: [1, 2] })
      const others = scoped(root, { reasons: [3, 4, 5, 6, 7, 8] })
      assert.equal(verdict(direct, { lists: [some], required }), 'revocation_unknown')
      assert.equal(verdict(direct, { lists: [some, others], required }), 'certificate')
    })

    it('does not take one of them for an edition of another', () => {
      const leaves = scoped(root, { only: 'user' }, [direct])
      const all = listOf(root, [], { thisUpdateMs: nowMs })
      assert.equal(verdict(direct, { lists: [leaves, all] }), 'certificate_revoked')
    })
  })

  describe('of SVIDs', () => {
    const id = 'spiffe://corp.example/batch'
    let corp: TestCa
    let issuing: TestCa
    let svid: TestLeaf
    let other: TestLeaf

    before(async () => {
      corp = await TestCa.root('corp.example')
      issuing = await corp.intermediate()
      svid = await issuing.leaf({ spiffeId: id })
      other = await corp.leaf({ spiffeId: id })
    })

    const bundles = () => new Map([['corp.example', corp.bundle('corp.example')]])
    const ofIssuing = (...[leaf, held]: [TestLeaf, Omit<Held, 'anchors'>]) =>
      verdict(leaf, { ...held, anchors: [issuing] }, { bundles: bundles() })

    it('refuses one whose path runs through the CA of an authority that lists it', () => {
      const lists = [listOf(issuing, [svid])]
      assert.equal(ofIssuing(svid, { lists }), 'certificate_revoked')
      assert.equal(ofIssuing(svid, { lists: [listOf(issuing)] }), 'svid')
    })

    it('refuses it also when it is the CA of the authority that is listed', () => {
      assert.equal(ofIssuing(svid, { lists: [listOf(corp, [issuing])] }), 'certificate_revoked')
    })

    it('wants lists below the CA of the authority only', () => {
      assert.equal(ofIssuing(svid, { lists: [listOf(issuing)], required: true }), 'svid')
      assert.equal(ofIssuing(svid, { lists: [listOf(corp)], required: true }), 'revocation_unknown')
    })

    it('asks no list about an SVID whose path runs through no authority', () => {
      const lists = [listOf(corp, [other]), listOf(issuing, [other])]
      assert.equal(ofIssuing(other, { lists, required: true }), 'svid')
    })

    it('goes by the lists of an authority that is the bundle of its trust domain', async () => {
      const leaf = await root.leaf({ spiffeId: 'spiffe://partner-b.example/x' })
      const trustDomain = 'partner-b.example'
      assert.equal(
        verdict(leaf, { lists: [listOf(root, [leaf])], trustDomain }),
        'certificate_revoked',
      )
      assert.equal(verdict(leaf, { lists: [listOf(root)], trustDomain, required: true }), 'svid')
      assert.equal(verdict(leaf, { lists: [], trustDomain, required: true }), 'revocation_unknown')
    })
  })
})
