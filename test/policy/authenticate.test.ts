import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import {
  authenticate,
  authenticateDer,
  type CallerTrust,
  longestSubject,
  mostPresented,
} from '../../src/policy/authenticate.ts'
import type { Authority } from '../../src/policy/authority.ts'
import type { Peer } from '../../src/policy/peer.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { type Certificate, largestCertificate } from '../../src/x509/certificate.ts'
import type { NameSource, NameSpec } from '../support/certificate-writer.ts'
import { TestCa, type TestLeafOptions } from '../support/test-ca.ts'

const hourMs = 3_600_000
const nowMs = Math.floor(Date.now() / 1000) * 1000
const spiffeId = 'spiffe://corp.example/api'

interface TrustOptions {
  readonly bundles?: Readonly<Record<string, readonly TestCa[]>>
  readonly authorities?: Readonly<Record<string, readonly TestCa[]>>
  /** Trust domain by alias. */
  readonly trustDomains?: Readonly<Record<string, string>>
}

function trustOf({ bundles = {}, authorities = {}, trustDomains = {} }: TrustOptions): CallerTrust {
  return {
    bundles: new Map(
      Object.entries(bundles).map(([name, cas]) => [
        name,
        { trustDomain: TrustDomain.parse(name), anchors: certificatesOf(cas) },
      ]),
    ),
    authorities: new Map(
      Object.entries(authorities).map(([alias, cas]) => [
        alias,
        authorityOf(alias, cas, trustDomains[alias]),
      ]),
    ),
  }
}

function authorityOf(alias: string, cas: readonly TestCa[], domain: string | undefined): Authority {
  const anchors = certificatesOf(cas)
  return domain === undefined
    ? { alias, anchors }
    : { alias, anchors, trustDomain: TrustDomain.parse(domain) }
}

function certificatesOf(cas: readonly TestCa[]): Certificate[] {
  return cas.map((ca) => ca.certificate)
}

/** The kind and what it proves, or the reason. */
function summary(peer: Peer): string {
  switch (peer.kind) {
    case 'svid':
      return `svid ${peer.id.toString()} [${peer.authorities.join()}]`
    case 'certificate':
      return `certificate ${peer.subject} [${peer.authorities.join()}]`
    case 'untrusted':
      return peer.reason
    case 'anonymous':
    case 'plaintext':
      return peer.kind
  }
}

describe('authenticate', () => {
  let corp: TestCa
  let corpIssuer: TestCa
  let partner: TestCa
  let partnerIssuer: TestCa

  before(async () => {
    corp = await TestCa.root('corp.example')
    corpIssuer = await corp.intermediate()
    partner = await TestCa.root('partner.example')
    partnerIssuer = await partner.intermediate()
  })

  const judge = async (ca: TestCa, options: TestLeafOptions, trust: TrustOptions) => {
    const { certificates } = await ca.leaf(options)
    return summary(authenticate(certificates, trustOf(trust), nowMs))
  }

  describe('an SVID', () => {
    it('is proven by the bundle of its trust domain', async () => {
      const { certificates } = await corpIssuer.leaf({ spiffeId })
      const trust = trustOf({ bundles: { 'corp.example': [corp] } })
      const peer = authenticate(certificates, trust, nowMs)
      assert.ok(peer.kind === 'svid')
      assert.equal(peer.id.toString(), spiffeId)
      assert.deepEqual(peer.path.certificates, [...certificates, corp.certificate])
      assert.deepEqual(peer.authorities, [])
    })

    it('is not proven by the bundle of another trust domain', async () => {
      const bundles = { 'corp.example': [corp], 'partner.example': [partner] }
      const partnerId = 'spiffe://partner.example/x'
      assert.equal(await judge(partnerIssuer, { spiffeId }, { bundles }), 'issuer_unknown')
      assert.equal(
        await judge(partnerIssuer, { spiffeId: partnerId }, { bundles }),
        `svid ${partnerId} []`,
      )
    })

    it('names the authorities on its path, nearest to the leaf first', async () => {
      const trust = (authorities: Record<string, TestCa[]>) => ({
        bundles: { 'corp.example': [corp] },
        authorities,
      })
      const onPath = trust({ far: [corp], other: [partner], near: [corpIssuer] })
      assert.equal(await judge(corpIssuer, { spiffeId }, onPath), `svid ${spiffeId} [near,far]`)
      const offPath = trust({ other: [partner] })
      assert.equal(await judge(corpIssuer, { spiffeId }, offPath), `svid ${spiffeId} []`)
    })

    it('names an authority by certificate and not by name or key', async () => {
      const { key, subjectDer: subject } = corpIssuer
      const renewed = await corp.intermediate({ key, subject })
      const bundles = { 'corp.example': [corp] }
      const authorities = { near: [corpIssuer] }
      assert.equal(
        await judge(renewed, { spiffeId }, { bundles, authorities }),
        `svid ${spiffeId} []`,
      )
    })

    it('does not name an authority that lists the leaf itself', async () => {
      const leaf = await corpIssuer.leaf({ spiffeId })
      const bundles = trustOf({ bundles: { 'corp.example': [corp] } }).bundles
      const authorities = new Map([
        ['pinned', { alias: 'pinned', anchors: [leaf.certificate] }],
        ['near', { alias: 'near', anchors: [corpIssuer.certificate] }],
      ])
      const peer = authenticate(leaf.certificates, { bundles, authorities }, nowMs)
      assert.equal(summary(peer), `svid ${spiffeId} [near]`)
    })

    it('names an authority once, though old and new CA certificates lie on the path', async () => {
      const bundles = { 'corp.example': [corp] }
      const authorities = { both: [corp, corpIssuer] }
      assert.equal(
        await judge(corpIssuer, { spiffeId }, { bundles, authorities }),
        `svid ${spiffeId} [both]`,
      )
    })
  })

  describe('an authority and a SPIFFE ID', () => {
    it('cannot vouch for a trust domain that we hold a bundle for', async () => {
      const authorities = { partner: [partner] }
      const held = { bundles: { 'corp.example': [corp] }, authorities }
      assert.equal(await judge(partnerIssuer, { spiffeId }, held), 'issuer_unknown')
      const notHeld = { bundles: { 'other.example': [corp] }, authorities }
      assert.equal(
        await judge(partnerIssuer, { spiffeId }, notHeld),
        'certificate CN=leaf [partner]',
      )
    })

    it('cannot vouch for it when the bundle is empty either', async () => {
      const trust = { bundles: { 'corp.example': [] }, authorities: { partner: [partner] } }
      assert.equal(await judge(partnerIssuer, { spiffeId }, trust), 'issuer_unknown')
    })

    it('proves SPIFFE IDs of its own trust domain and of no other', async () => {
      const trust = {
        authorities: { partner: [partner] },
        trustDomains: { partner: 'partner.example' },
      }
      const own = 'spiffe://partner.example/x'
      assert.equal(await judge(partnerIssuer, { spiffeId: own }, trust), `svid ${own} [partner]`)
      assert.equal(await judge(partnerIssuer, { spiffeId }, trust), 'trust_domain_unknown')
      assert.equal(await judge(partnerIssuer, {}, trust), 'svid_malformed')
    })

    it('joins authorities of one trust domain, and keeps them apart from the others', async () => {
      const second = await TestCa.root('second')
      const trust = {
        authorities: { one: [partner], two: [second], plain: [corp] },
        trustDomains: { one: 'partner.example', two: 'partner.example' },
      }
      const own = 'spiffe://partner.example/x'
      assert.equal(await judge(partner, { spiffeId: own }, trust), `svid ${own} [one]`)
      assert.equal(await judge(second, { spiffeId: own }, trust), `svid ${own} [two]`)
      assert.equal(await judge(corp, { spiffeId: own }, trust), 'issuer_unknown')
      assert.equal(await judge(second, {}, trust), 'issuer_unknown')
    })

    it('gives way to a bundle of the trust domain itself', async () => {
      const trust = {
        bundles: { 'corp.example': [corp] },
        authorities: { partner: [partner] },
        trustDomains: { partner: 'corp.example' },
      }
      assert.equal(await judge(partner, { spiffeId }, trust), 'issuer_unknown')
      assert.equal(await judge(corp, { spiffeId }, trust), `svid ${spiffeId} []`)
    })

    it('proves no SPIFFE ID without a trust domain, but the subject', async () => {
      const trust = { authorities: { partner: [partner] } }
      const foreign = { spiffeId: 'spiffe://partner.example/x', subject: '/O=Partner/CN=x' }
      assert.equal(
        await judge(partnerIssuer, foreign, trust),
        'certificate CN=x,O=Partner [partner]',
      )
    })

    it('cannot mend several URI names of which one is of a trust domain that we hold', async () => {
      const trust = { bundles: { 'corp.example': [corp] }, authorities: { partner: [partner] } }
      const names = [{ uri: 'https://partner.example/' }, { uri: spiffeId }]
      for (const ca of [partner, corp])
        assert.equal(await judge(ca, { names }, trust), 'svid_malformed')
      const foreign = [{ uri: 'https://partner.example/' }, { uri: 'spiffe://other.example/x' }]
      assert.equal(await judge(partner, { names: foreign }, trust), 'certificate CN=leaf [partner]')
    })

    for (const uri of [
      'SPIFFE://corp.example/api',
      'spiffe://CORP.example/api',
      'spiffe://corp.example//api',
      'spiffe://corp.example/%61pi',
      'spiffe://corp.example:443/api',
      'spiffe:corp.example',
    ])
      it(`cannot vouch for ${uri}, which is no SPIFFE ID`, async () => {
        const trust = { bundles: { 'corp.example': [corp] }, authorities: { partner: [partner] } }
        for (const ca of [partner, corp])
          assert.equal(await judge(ca, { names: [{ uri }] }, trust), 'svid_malformed')
      })
  })

  describe('a certificate of an authority', () => {
    const trust = () => ({ authorities: { partner: [partner] } })

    it('is proven by a root as well as by an intermediate', async () => {
      const expected = 'certificate CN=leaf [partner]'
      assert.equal(await judge(partnerIssuer, {}, trust()), expected)
      const issuerOnly = { authorities: { partner: [partnerIssuer] } }
      assert.equal(await judge(partnerIssuer, {}, issuerOnly), expected)
      assert.equal(await judge(partner, {}, issuerOnly), 'issuer_unknown')
    })

    it('goes to the authority that it was issued under', async () => {
      const other = await TestCa.root('other')
      const authorities = { partner: [partner], other: [other] }
      assert.equal(await judge(partner, {}, { authorities }), 'certificate CN=leaf [partner]')
      assert.equal(await judge(other, {}, { authorities }), 'certificate CN=leaf [other]')
    })

    it('keeps its authority while a CA is rotated', async () => {
      const successor = await TestCa.root('partner.example')
      const rotating = { authorities: { partner: [partner, successor] } }
      for (const ca of [partner, successor])
        assert.equal(await judge(ca, {}, rotating), 'certificate CN=leaf [partner]')
      const rotated = { authorities: { partner: [successor] } }
      assert.equal(await judge(partner, {}, rotated), 'issuer_unknown')
    })

    const principals: readonly { subject: NameSource; names?: NameSpec[]; expected: string }[] = [
      { subject: '/C=US/O=Corp, Inc./CN=x', expected: 'CN=x,O=Corp\\, Inc.,C=US' },
      { subject: '/CN=x', names: [{ dns: 'y' }], expected: 'CN=x' },
      { subject: '', names: [{ dns: 'a.test' }, { email: 'a@b' }], expected: 'dns:a.test' },
      { subject: '', names: [{ ip: '0a000001' }, { email: 'a@b' }], expected: 'email:a@b' },
      { subject: '', names: [{ uri: 'urn:x' }, { dns: 'a.test' }], expected: 'uri:urn:x' },
      { subject: '/CN=dns:a.test', expected: 'CN=dns:a.test' },
    ]
    for (const { subject, names = [], expected } of principals)
      it(`has the principal ${expected}`, async () => {
        assert.equal(
          await judge(partner, { subject, names }, trust()),
          `certificate ${expected} [partner]`,
        )
      })

    it('has no principal without subject and name, or with one that is too long', async () => {
      const nameless = { subject: '', names: [{ ip: '0a000001' }] }
      assert.equal(await judge(partner, nameless, trust()), 'certificate_malformed')
      const subject = (length: number) => [['CN', 'x'.repeat(length - 3)]] as const
      const longest = await judge(partner, { subject: subject(longestSubject) }, trust())
      assert.match(longest, /^certificate CN=x+ \[partner\]$/)
      const longer = await judge(partner, { subject: subject(longestSubject + 1) }, trust())
      assert.equal(longer, 'certificate_malformed')
    })

    it('may lack key usage, extended key usage and all extensions', async () => {
      const expected = 'certificate CN=leaf [partner]'
      const bare = { keyUsage: null, extendedKeyUsage: null, basicConstraints: null }
      assert.equal(await judge(partner, bare, trust()), expected)
      assert.equal(await judge(partner, { version: 1 }, trust()), expected)
    })

    const misuses: readonly { name: string; options: TestLeafOptions }[] = [
      { name: 'a CA certificate', options: { basicConstraints: { isCa: true } } },
      {
        name: 'one that may sign certificates',
        options: { keyUsage: ['digitalSignature', 'keyCertSign'] },
      },
      { name: 'one that may not sign', options: { keyUsage: ['keyEncipherment'] } },
      { name: 'one for servers', options: { extendedKeyUsage: ['serverAuth'] } },
    ]
    for (const { name, options } of misuses)
      it(`is not ${name}`, async () => {
        assert.equal(await judge(partner, options, trust()), 'certificate_not_for_client_auth')
      })
  })

  describe('the reason', () => {
    const past = { notBeforeMs: nowMs - 2 * hourMs, notAfterMs: nowMs - hourMs }
    const future = { notBeforeMs: nowMs + hourMs, notAfterMs: nowMs + 2 * hourMs }

    it('is the date of the leaf before anything else', async () => {
      const stranger = await TestCa.root('stranger')
      for (const names of [[{ uri: 'spiffe://BAD' }], [{ uri: spiffeId }], []]) {
        const bad = { names, extendedKeyUsage: ['serverAuth'] }
        assert.equal(await judge(stranger, { ...bad, ...past }, {}), 'certificate_expired')
        assert.equal(await judge(stranger, { ...bad, ...future }, {}), 'certificate_not_yet_valid')
      }
    })

    it('is the missing bundle for a SPIFFE ID that nobody vouches for', async () => {
      assert.equal(await judge(corp, { spiffeId }, {}), 'trust_domain_unknown')
      const trust = { authorities: { partner: [partner] } }
      assert.equal(await judge(corp, { spiffeId }, trust), 'trust_domain_unknown')
    })

    it('is the broken rule when an authority did issue it', async () => {
      const trust = { authorities: { partner: [partner] } }
      const expired = await partner.intermediate(past)
      assert.equal(await judge(expired, { spiffeId }, trust), 'certificate_expired')
      const noCa = await partner.intermediate({ basicConstraints: null })
      assert.equal(await judge(noCa, { spiffeId }, trust), 'path_invalid')
    })

    it('is the missing SPIFFE ID where there is no other way to be known', async () => {
      const bundles = { 'corp.example': [corp] }
      assert.equal(await judge(corp, {}, { bundles }), 'svid_malformed')
      const authorities = { partner: [partner] }
      assert.equal(await judge(corp, {}, { bundles, authorities }), 'issuer_unknown')
    })

    it('is the purpose for an SVID for servers', async () => {
      const bundles = { 'corp.example': [corp] }
      const options = { spiffeId, extendedKeyUsage: ['serverAuth'] }
      assert.equal(await judge(corp, options, { bundles }), 'certificate_not_for_client_auth')
    })
  })

  describe('what was claimed', () => {
    it('is told of a refused certificate', async () => {
      const leaf = await corp.leaf({ spiffeId, subject: '/CN=x' })
      const peer = authenticate(leaf.certificates, trustOf({}), nowMs)
      assert.ok(peer.kind === 'untrusted')
      assert.deepEqual(peer.claimed, {
        subject: 'CN=x',
        issuer: 'CN=root,O=corp.example',
        spiffeId,
        sha256: leaf.certificate.sha256,
        notAfterMs: leaf.certificate.notAfterMs,
      })
    })

    it('is short, on one line and free of control characters', async () => {
      const subject = [['CN', `a\r\nb\u202e${'x'.repeat(4000)}`]] as const
      const uri = `spiffe://${'A'.repeat(4000)}`
      const { certificates } = await corp.leaf({ subject, names: [{ uri }] })
      const peer = authenticate(certificates, trustOf({}), nowMs)
      assert.ok(peer.kind === 'untrusted')
      const { subject: claimed = '', issuer = '', spiffeId: id = '' } = peer.claimed
      for (const text of [claimed, issuer, id, peer.detail]) {
        assert.ok(text.length > 0 && text.length <= 256)
        assert.doesNotMatch(text, /[\p{Cc}\p{Cf}]/u)
      }
    })
  })

  describe('of DER', () => {
    const bundles = () => ({ bundles: { 'corp.example': [corp] } })

    it('proves what the same certificates prove', async () => {
      const { certificates } = await corpIssuer.leaf({ spiffeId })
      const ders = certificates.map((certificate) => certificate.der)
      assert.equal(summary(authenticateDer(ders, trustOf(bundles()), nowMs)), `svid ${spiffeId} []`)
    })

    it('refuses a chain in which one certificate does not parse', async () => {
      const { certificates } = await corpIssuer.leaf({ spiffeId })
      const ders = certificates.map((certificate) => certificate.der)
      for (const garbage of [Buffer.alloc(0), Buffer.from('garbage'), Buffer.alloc(1000, 0x30)]) {
        const later = authenticateDer([...ders, garbage], trustOf(bundles()), nowMs)
        assert.ok(later.kind === 'untrusted')
        assert.equal(later.reason, 'certificate_malformed')
        assert.equal(later.claimed.spiffeId, spiffeId)
        const first = authenticateDer([garbage, ...ders], trustOf(bundles()), nowMs)
        assert.ok(first.kind === 'untrusted')
        assert.equal(first.reason, 'certificate_malformed')
        const sha256 = createHash('sha256').update(garbage).digest('hex')
        assert.deepEqual(first.claimed, { sha256 })
      }
    })

    it('refuses nothing at all, as no certificate proves nobody', () => {
      assert.equal(summary(authenticateDer([], trustOf(bundles()), nowMs)), 'certificate_malformed')
      assert.equal(summary(authenticate([], trustOf(bundles()), nowMs)), 'certificate_malformed')
    })

    it('refuses too many certificates without a look at them', async () => {
      const { certificates } = await corp.leaf({ spiffeId })
      const [leaf] = certificates
      const filler = Array.from({ length: mostPresented - 1 }, () => corpIssuer.certificate)
      const most = [leaf, ...filler]
      assert.equal(summary(authenticate(most, trustOf(bundles()), nowMs)), `svid ${spiffeId} []`)
      const oneMore = [...most, corpIssuer.certificate]
      const tooMany = authenticate(oneMore, trustOf(bundles()), nowMs)
      assert.equal(summary(tooMany), 'certificate_malformed')
      const unreadable = oneMore.map((certificate, i) => (i === 0 ? poisoned() : certificate.der))
      assert.equal(
        summary(authenticateDer(unreadable, trustOf(bundles()), nowMs)),
        'certificate_malformed',
      )
    })

    it('refuses a certificate that is too large without a look at it', async () => {
      const { certificates } = await corp.leaf({ spiffeId })
      const large = new Uint8Array(largestCertificate + 1)
      const ders = [certificates[0].der, large]
      assert.equal(
        summary(authenticateDer(ders, trustOf(bundles()), nowMs)),
        'certificate_malformed',
      )
    })

    it('never throws and never believes, whatever the bytes', async () => {
      const { certificates } = await corpIssuer.leaf({ spiffeId })
      const good = certificates.map((certificate) => certificate.der)
      const trust = trustOf({ ...bundles(), authorities: { partner: [partner] } })
      const splice = fc.tuple(fc.nat(1), fc.nat(1200), fc.nat(8), fc.uint8Array({ maxLength: 8 }))
      fc.assert(
        fc.property(
          splice,
          fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 3 }),
          (cut, more) => {
            const [index, offset, removed, inserted] = cut
            const original = good[index]!
            const at = offset % original.length
            const spliced = Buffer.concat([
              original.subarray(0, at),
              inserted,
              original.subarray(at + removed),
            ])
            const ders = [...good.with(index, spliced), ...more]
            const isUnchanged = spliced.equals(original) && more.length === 0
            const peer = authenticateDer(ders, trust, nowMs)
            assert.equal(peer.kind, isUnchanged ? 'svid' : 'untrusted')
          },
        ),
        { numRuns: 500 },
      )
    })
  })
})

/** Bytes that must not be read. */
function poisoned(): Uint8Array {
  return new Proxy(new Uint8Array(8), {
    get(target, property) {
      if (property === 'length') return target.length
      throw new Error(`it was looked at: ${String(property)}`)
    },
  })
}
