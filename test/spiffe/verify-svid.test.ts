import assert from 'node:assert/strict'
import { verifySvid } from '../../src/spiffe/verify-svid.ts'
import type { TrustBundles } from '../../src/spiffe/trust-bundle.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { testKey } from '../support/certificate-writer.ts'
import { TestCa } from '../support/test-ca.ts'

const hourMs = 3_600_000
const unknownCritical = {
  oid: '1.3.6.1.4.1.99999.1',
  isCritical: true,
  value: Buffer.from('0500', 'hex'),
}
const spiffeId = 'spiffe://a.test/x'

interface World {
  readonly rootA: TestCa
  readonly intermediateA: TestCa
  readonly rootB: TestCa
  readonly intermediateB: TestCa
  readonly nowMs: number
}

type Chain = readonly Certificate[]

interface Case {
  readonly name: string
  readonly chain: (world: World) => Promise<Chain>
  readonly expected: string
}

const past = (world: World) => ({
  notBeforeMs: world.nowMs - 3 * hourMs,
  notAfterMs: world.nowMs - hourMs,
})
const future = (world: World) => ({
  notBeforeMs: world.nowMs + hourMs,
  notAfterMs: world.nowMs + 3 * hourMs,
})

/** The cases that distinguish validators, each with the single fault that its name says. */
const cases: readonly Case[] = [
  {
    name: 'accepts a leaf below an intermediate',
    chain: async ({ intermediateA }) => (await intermediateA.leaf({ spiffeId })).certificates,
    expected: 'verified',
  },
  {
    name: 'accepts a chain that brings its root along',
    chain: async ({ intermediateA, rootA }) => [
      ...(await intermediateA.leaf({ spiffeId })).certificates,
      rootA.certificate,
    ],
    expected: 'verified',
  },
  {
    name: 'refuses a chain without its intermediate',
    chain: async ({ intermediateA }) => [(await intermediateA.leaf({ spiffeId })).certificate],
    expected: 'issuer_unknown',
  },
  {
    name: 'refuses a chain of a CA that nobody knows',
    chain: async () => {
      const stranger = await TestCa.root('stranger.test')
      return (await (await stranger.intermediate()).leaf({ spiffeId })).certificates
    },
    expected: 'issuer_unknown',
  },
  {
    name: 'refuses a leaf with a signature that does not verify',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId, signer: testKey() })).certificates,
    expected: 'issuer_unknown',
  },
  {
    name: 'refuses an expired leaf',
    chain: async (world) =>
      (await world.intermediateA.leaf({ spiffeId, ...past(world) })).certificates,
    expected: 'certificate_expired',
  },
  {
    name: 'refuses a leaf that is not yet valid',
    chain: async (world) =>
      (await world.intermediateA.leaf({ spiffeId, ...future(world) })).certificates,
    expected: 'certificate_not_yet_valid',
  },
  {
    name: 'refuses an expired intermediate',
    chain: async (world) => {
      const expired = await world.rootA.intermediate(past(world))
      return (await expired.leaf({ spiffeId })).certificates
    },
    expected: 'certificate_expired',
  },
  {
    name: 'refuses a leaf for servers only',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId, extendedKeyUsage: ['serverAuth'] })).certificates,
    expected: 'certificate_wrong_purpose',
  },
  {
    name: 'refuses a leaf that is a CA',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId, basicConstraints: { isCa: true } })).certificates,
    expected: 'svid_malformed',
  },
  {
    name: 'refuses a leaf that may sign certificates',
    chain: async ({ intermediateA }) => {
      const keyUsage = ['digitalSignature', 'keyCertSign'] as const
      return (await intermediateA.leaf({ spiffeId, keyUsage })).certificates
    },
    expected: 'svid_malformed',
  },
  {
    name: 'refuses an intermediate too many for pathLen',
    chain: async ({ rootA }) => {
      const last = await rootA.intermediate({ basicConstraints: { isCa: true, pathLength: 0 } })
      return (await (await last.intermediate()).leaf({ spiffeId })).certificates
    },
    expected: 'path_invalid',
  },
  {
    name: 'refuses a leaf that an end entity issued',
    chain: async ({ intermediateA }) => {
      const basicConstraints = { isCa: false }
      const endEntity = await intermediateA.intermediate({
        basicConstraints,
        keyUsage: ['digitalSignature'],
      })
      return (await endEntity.leaf({ spiffeId })).certificates
    },
    expected: 'path_invalid',
  },
  {
    name: 'refuses an intermediate without basic constraints',
    chain: async ({ rootA }) => {
      const bare = await rootA.intermediate({ basicConstraints: null })
      return (await bare.leaf({ spiffeId })).certificates
    },
    expected: 'path_invalid',
  },
  {
    name: 'refuses an intermediate that may not sign certificates',
    chain: async ({ rootA }) => {
      const mute = await rootA.intermediate({ keyUsage: ['digitalSignature'] })
      return (await mute.leaf({ spiffeId })).certificates
    },
    expected: 'path_invalid',
  },
  {
    name: 'refuses an unknown critical extension on the leaf',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId, extensions: [unknownCritical] })).certificates,
    expected: 'path_invalid',
  },
  {
    name: 'refuses an unknown critical extension on an intermediate',
    chain: async ({ rootA }) => {
      const odd = await rootA.intermediate({ extensions: [unknownCritical] })
      return (await odd.leaf({ spiffeId })).certificates
    },
    expected: 'path_invalid',
  },
  {
    name: 'accepts an unknown extension that is not critical',
    chain: async ({ rootA }) => {
      const extensions = [{ ...unknownCritical, isCritical: false }]
      const odd = await rootA.intermediate({ extensions })
      return (await odd.leaf({ spiffeId, extensions })).certificates
    },
    expected: 'verified',
  },
  {
    name: 'refuses a URI outside the name constraints of an intermediate',
    chain: async ({ rootA }) => {
      const nameConstraints = { permitted: [{ uri: 'b.test' }] }
      const limited = await rootA.intermediate({ nameConstraints })
      return (await limited.leaf({ spiffeId })).certificates
    },
    expected: 'path_invalid',
  },
  {
    name: 'accepts a URI within the name constraints of an intermediate',
    chain: async ({ rootA }) => {
      const nameConstraints = { permitted: [{ uri: 'a.test' }] }
      const limited = await rootA.intermediate({ nameConstraints })
      return (await limited.leaf({ spiffeId })).certificates
    },
    expected: 'verified',
  },
  {
    name: 'refuses an SVID that another trust domain issued',
    chain: async ({ intermediateB }) => (await intermediateB.leaf({ spiffeId })).certificates,
    expected: 'issuer_unknown',
  },
  {
    name: 'refuses an SVID of another trust domain that sends its root and an intermediate of ours',
    chain: async ({ intermediateB, rootB, intermediateA }) => [
      ...(await intermediateB.leaf({ spiffeId })).certificates,
      rootB.certificate,
      intermediateA.certificate,
    ],
    expected: 'issuer_unknown',
  },
  {
    name: 'refuses an intermediate of another trust domain that bears the name of ours',
    chain: async ({ rootB, intermediateA }) => {
      const impostor = await rootB.intermediate({ subject: intermediateA.subjectDer })
      return (await impostor.leaf({ spiffeId })).certificates
    },
    expected: 'issuer_unknown',
  },
  {
    name: 'refuses two URI names',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId, names: [{ uri: 'spiffe://a.test/y' }] })).certificates,
    expected: 'svid_malformed',
  },
  {
    name: 'refuses a leaf without a URI name',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ dnsNames: ['x.a.test'] })).certificates,
    expected: 'svid_malformed',
  },
  {
    name: 'refuses a SPIFFE ID without a path',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId: 'spiffe://a.test' })).certificates,
    expected: 'svid_malformed',
  },
  {
    name: 'refuses an upper-case trust domain',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId: 'spiffe://A.test/x' })).certificates,
    expected: 'svid_malformed',
  },
  {
    name: 'refuses a leaf without key usage',
    chain: async ({ intermediateA }) =>
      (await intermediateA.leaf({ spiffeId, keyUsage: null })).certificates,
    expected: 'svid_malformed',
  },
]

describe('verifySvid', () => {
  let world: World
  let bundles: TrustBundles

  before(async () => {
    const rootA = await TestCa.root('a.test')
    const rootB = await TestCa.root('b.test')
    world = {
      rootA,
      rootB,
      intermediateA: await rootA.intermediate(),
      intermediateB: await rootB.intermediate(),
      nowMs: Date.now(),
    }
    bundles = new Map([
      ['a.test', rootA.bundle('a.test')],
      ['b.test', rootB.bundle('b.test')],
    ])
  })

  const verify = (chain: Chain, purpose: 'client' | 'server' = 'client') => {
    const verdict = verifySvid(chain, bundles, { nowMs: world.nowMs, purpose })
    return verdict.kind === 'verified' ? verdict.kind : verdict.reason
  }

  for (const { name, chain, expected } of cases)
    it(name, async () => {
      assert.equal(verify(await chain(world)), expected)
    })

  it('proves the SPIFFE ID and the path of what it accepts', async () => {
    const leaf = await world.intermediateA.leaf({ spiffeId })
    const verdict = verifySvid(leaf.certificates, bundles, {
      nowMs: world.nowMs,
      purpose: 'client',
    })
    assert.ok(verdict.kind === 'verified')
    assert.equal(verdict.id.toString(), spiffeId)
    const path = [...leaf.certificates, world.rootA.certificate]
    assert.deepEqual(verdict.path.certificates, path)
  })

  it('asks for the purpose that the peer has', async () => {
    const forServers = await world.rootA.leaf({ spiffeId, extendedKeyUsage: ['serverAuth'] })
    assert.equal(verify(forServers.certificates, 'server'), 'verified')
    assert.equal(verify(forServers.certificates, 'client'), 'certificate_wrong_purpose')
    const forClients = await world.rootA.leaf({ spiffeId, extendedKeyUsage: ['clientAuth'] })
    assert.equal(verify(forClients.certificates, 'server'), 'certificate_wrong_purpose')
    const forAny = await world.rootA.leaf({ spiffeId, extendedKeyUsage: null })
    assert.equal(verify(forAny.certificates, 'server'), 'verified')
  })

  it('does not know a trust domain without a bundle, and trusts nobody in an empty one', async () => {
    const foreign = await world.rootA.leaf({ spiffeId: 'spiffe://c.test/x' })
    assert.equal(verify(foreign.certificates), 'trust_domain_unknown')
    const { certificates } = await world.rootA.leaf({ spiffeId })
    const { trustDomain } = world.rootA.bundle('a.test')
    const empty = new Map([['a.test', { trustDomain, anchors: [] }]])
    const conditions = { nowMs: world.nowMs, purpose: 'client' } as const
    const verdict = verifySvid(certificates, empty, conditions)
    assert.ok(verdict.kind === 'refused')
    assert.equal(verdict.reason, 'issuer_unknown')
  })

  it('names the date first, then the rules of the standard, then the trust domain', async () => {
    const bad = { spiffeId: 'spiffe://c.test', extendedKeyUsage: ['serverAuth'] }
    const expired = await world.rootA.leaf({ ...bad, ...past(world) })
    assert.equal(verify(expired.certificates), 'certificate_expired')
    const malformed = await world.rootA.leaf(bad)
    assert.equal(verify(malformed.certificates), 'svid_malformed')
    const unknown = await world.rootA.leaf({ ...bad, spiffeId: 'spiffe://c.test/x' })
    assert.equal(verify(unknown.certificates), 'trust_domain_unknown')
  })

  it('proves nothing without a certificate', () => {
    assert.equal(verify([]), 'svid_malformed')
  })
})
