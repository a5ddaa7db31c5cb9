import assert from 'node:assert/strict'
import fc from 'fast-check'
import { IpAddress } from '../../src/core/ip-address.ts'
import { authenticate } from '../../src/policy/authenticate.ts'
import { CidrSet, parseCidr } from '../../src/policy/cidr-set.ts'
import { decide, type DecisionInput } from '../../src/policy/decide.ts'
import type { Decision } from '../../src/policy/decision.ts'
import type { Peer } from '../../src/policy/peer.ts'
import type { Product } from '../../src/policy/product.ts'
import { ProductMap, type MappedAuthority } from '../../src/policy/product-map.ts'
import { unlimited } from '../../src/policy/rate-limiter.ts'
import { Replay } from '../../src/policy/replay.ts'
import type { TrustBundles } from '../../src/spiffe/trust-bundle.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { AuditLines } from '../../src/telemetry/audit-line.ts'
import { readAuditLine } from '../../src/telemetry/audit-reader.ts'
import type { DecisionRecord } from '../../src/telemetry/telemetry.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { authority, day, keysOf, product } from '../policy/support/policy.ts'
import { TestCa } from '../support/test-ca.ts'
import { deny, outbound, outcomeOf, recordOf } from './support/records.ts'

const now = Date.now()
const traceId = '0af7651916cd43dd8448eb211c80319c'

/** Chains of each kind, and the CAs that the maps may name. */
interface World {
  readonly chains: Readonly<Record<string, readonly Certificate[]>>
  readonly cas: Readonly<Record<'team' | 'b' | 'c', TestCa>>
  readonly bundles: TrustBundles
  /** Verdicts by chain and held authorities: signatures are the slow part. */
  readonly verdicts: Map<string, Peer>
}

/** What one product map says; all that a property test changes. */
interface MapPlan {
  /** Product of each caller entry, or none. */
  readonly callers: readonly (0 | 1 | undefined)[]
  readonly held: { readonly team: boolean; readonly b: boolean; readonly c: boolean }
  readonly require: readonly [Product['require'], Product['require']]
  readonly apiKeys: Product['apiKeys']
  readonly until: number | undefined
  readonly hasRules: boolean
  /** Of both products. */
  readonly allow: string | undefined
}

const selectors = [
  'trustDomain: corp.example',
  'spiffeId: spiffe://corp.example/a',
  'spiffeId: spiffe://corp.example/*',
  'authority: team',
  'authority: b',
  'authority: c',
  'trustDomain: c.example',
]

describe('a recorded call', () => {
  let world: World

  before(async () => {
    world = await makeWorld()
  })

  it('is decided by a replay with any files as the sidecar with these files would', () => {
    const changes = new Set<string>()
    fc.assert(
      fc.property(plan, plan, call, (before, after, asked) => {
        const old = inputOf(world, before, asked)
        const recorded = decide(old.input)
        const read = readAuditLine(lineOf(old.peer, recorded, old.input))
        assert.equal(read.kind, 'call')
        // Its certificate is not in the log: it is as bad as it was.
        if (old.peer.kind === 'untrusted' && asked.untrusted === 'refuse') return
        const fresh = inputOf(world, after, asked)
        const expected = decide({ ...fresh.input, ...worst(old.peer, fresh) })
        const { products, apiKeys } = fresh.files
        const replayed = new Replay({ products, apiKeys }).decide(read.call)
        assert.deepEqual(facts(replayed), facts(expected))
        changes.add(`${recorded.reason} ${replayed.reason}`)
      }),
      { numRuns: 3_000 },
    )
    assert.ok(changes.size > 25, `only ${changes.size} kinds of change were met`)
  })

  it('is as it was with the files of before, and each key as it was', () => {
    fc.assert(
      fc.property(plan, call, (before, asked) => {
        const { peer, input, files } = inputOf(world, before, asked)
        const recorded = decide(input)
        const read = readAuditLine(lineOf(peer, recorded, input))
        assert.equal(read.kind, 'call')
        const replayed = new Replay({ products: files.products }).decide(read.call)
        assert.deepEqual(facts(replayed), facts(recorded))
        const { outcome, reason, product: name, principal } = recorded
        const { answer } = read.call
        assert.deepEqual(
          [answer.outcome, answer.reason, answer.product, answer.principal],
          [outcome, reason, name, principal],
        )
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a line of the audit log that is no call', () => {
  const line = (parts: Partial<DecisionRecord>, error?: string) =>
    new AuditLines().render(
      traceId,
      recordOf(parts),
      outcomeOf(error === undefined ? {} : { error }),
    )

  it('is passed over with the reason', () => {
    const reasonOf = (text: string) => {
      const read = readAuditLine(text)
      return read.kind === 'skipped' ? read.reason : 'none'
    }
    assert.equal(reasonOf(line({})), 'none')
    assert.equal(reasonOf(line({ previousReason: 'svid_id' })), 'ended_connection')
    assert.equal(reasonOf(line({}, 'trust_changed')), 'ended_connection')
    assert.equal(reasonOf(line({ direction: 'outbound', decision: outbound() })), 'outbound')
    const request = { method: 'GET', host: 'h', path: `/${'x'.repeat(5_000)}` }
    assert.equal(reasonOf(line({ request })), 'truncated')
    const refused = deny({ reason: 'address_not_allowed' })
    assert.equal(reasonOf(line({ decision: refused })), 'listener_address')
    assert.equal(reasonOf(line({ decision: { ...refused, product: 'payments' } })), 'none')
    for (const text of ['', '{', '7', 'null', '{"time":1}', line({}).slice(0, -20)]) {
      assert.equal(reasonOf(text), 'unreadable')
    }
  })

  it('never makes it throw, whatever bytes it holds', () => {
    const good = line({})
    fc.assert(
      fc.property(fc.nat(good.length), fc.string({ maxLength: 4 }), (at, text) => {
        readAuditLine(good.slice(0, at) + text + good.slice(at + text.length))
      }),
    )
  })
})

async function makeWorld(): Promise<World> {
  const [corp, b, c] = await Promise.all(['corp', 'b', 'c'].map((name) => TestCa.root(name)))
  assert.ok(corp && b && c)
  const team = await corp.intermediate()
  const leaves = await Promise.all([
    corp.leaf({ spiffeId: 'spiffe://corp.example/a' }),
    team.leaf({ spiffeId: 'spiffe://corp.example/deep/b' }),
    b.leaf({ subject: '/O=B/CN=client' }),
    c.leaf({ spiffeId: 'spiffe://c.example/x', subject: '/O=C/CN=x' }),
    (await TestCa.root('stranger')).leaf({ spiffeId: 'spiffe://corp.example/a' }),
  ])
  const names = ['corp', 'team', 'b', 'c', 'stranger']
  return {
    chains: Object.fromEntries(names.map((name, i) => [name, leaves[i]?.certificates ?? []])),
    cas: { team, b, c },
    bundles: new Map([['corp.example', corp.bundle('corp.example')]]),
    verdicts: new Map(),
  }
}

const requirement = fc.constantFrom<Product['require']>('any', 'certificate', 'apiKey', 'both')
const plan: fc.Arbitrary<MapPlan> = fc.record({
  callers: fc.array(fc.constantFrom(0 as const, 1 as const, undefined), {
    minLength: selectors.length,
    maxLength: selectors.length,
  }),
  held: fc.record({ team: fc.boolean(), b: fc.boolean(), c: fc.boolean() }),
  require: fc.tuple(requirement, requirement),
  apiKeys: fc.constantFrom('accept', 'warn', 'refuse'),
  until: fc.constantFrom(undefined, now - day, now + day),
  hasRules: fc.boolean(),
  allow: fc.constantFrom(undefined, undefined, '10.0.0.0/8', '192.168.0.0/16'),
})

interface AskedCall {
  readonly chain: string
  readonly key: string | undefined
  readonly untrusted: 'refuse' | 'ignore'
  readonly path: string
  readonly isTcp: boolean
}

const call: fc.Arbitrary<AskedCall> = fc.record({
  chain: fc.constantFrom('none', 'plaintext', 'corp', 'team', 'b', 'c', 'stranger'),
  key: fc.constantFrom(undefined, 'zero', 'one', 'old', 'young', 'lost', 'nobody'),
  untrusted: fc.constantFrom('refuse', 'ignore'),
  path: fc.constantFrom('/v1/x?secret=1', '/v2', '/v1/%2e%2e/v2', '*'),
  isTcp: fc.boolean(),
})

function inputOf(world: World, map: MapPlan, asked: AskedCall) {
  const files = filesOf(world, map)
  const peer = peerOf(world, files.products, asked.chain)
  const input: DecisionInput = {
    peer,
    address: IpAddress.parse('10.1.2.3'),
    ...(asked.isTcp ? {} : { request: { method: 'GET', host: 'api.example', path: asked.path } }),
    apiKey: asked.key,
    trust: { epoch: 1, ...files, hasIdentity: true },
    rules: { untrustedCertificate: asked.untrusted },
    nowMs: now,
    limiter: unlimited,
  }
  return { peer, input, files }
}

function filesOf({ cas }: World, map: MapPlan) {
  const authorities: MappedAuthority[] = [
    ...(map.held.team ? [authority('team', { anchors: [cas.team.certificate] })] : []),
    ...(map.held.b ? [authority('b', { anchors: [cas.b.certificate] })] : []),
    ...(map.held.c
      ? [
          authority('c', {
            anchors: [cas.c.certificate],
            trustDomain: TrustDomain.parse('c.example'),
          }),
        ]
      : []),
  ]
  const aliases = new Set(authorities.map(({ alias }) => `authority: ${alias}`))
  const callersOf = (index: 0 | 1) =>
    selectors.filter(
      (text, i) => map.callers[i] === index && (!text.startsWith('authority') || aliases.has(text)),
    )
  const products = ([0, 1] as const).map((index) =>
    product(String(index), {
      callers: callersOf(index),
      require: map.require[index],
      apiKeys: map.apiKeys,
      ...(map.until === undefined ? {} : { apiKeysUntilMs: map.until }),
      ...(map.allow === undefined
        ? {}
        : { addresses: { allow: new CidrSet([parseCidr(map.allow)]) } }),
      ...(map.hasRules ? { requests: [{ methods: ['GET'], paths: ['/v1/**'] }] } : {}),
    }),
  )
  const apiKeys = keysOf({
    zero: { product: '0', id: 'k_zero', consumer: 'acme' },
    one: { product: '1', id: 'k_one', consumer: 'blue' },
    old: { product: '0', id: 'k_old', expiresMs: now - day },
    young: { product: '0', id: 'k_young', notBeforeMs: now + day },
    lost: { product: 'gone', id: 'k_lost' },
  })
  return { products: ProductMap.of(products, authorities), apiKeys }
}

function peerOf({ chains, bundles, verdicts }: World, products: ProductMap, chain: string): Peer {
  if (chain === 'none') return { kind: 'anonymous' }
  if (chain === 'plaintext') return { kind: 'plaintext' }
  const { authorities } = products
  const name = [chain, ...authorities.keys()].join()
  const known = verdicts.get(name)
  if (known !== undefined) return known
  const verdict = authenticate(chains[chain] ?? [], { bundles, authorities }, now)
  verdicts.set(name, verdict)
  return verdict
}

/**
 * What the log does not hold. A certificate that was untrusted stays so, although the new map may hold its CA; and whether a
 * certificate that becomes untrusted would be ignored is a setting that an audit line tells of the untrusted ones alone.
 */
function worst(old: Peer, fresh: { readonly peer: Peer }): Partial<DecisionInput> {
  if (old.kind === 'untrusted') return { peer: old }
  return fresh.peer.kind === 'untrusted' ? { rules: { untrustedCertificate: 'refuse' } } : {}
}

function lineOf(peer: Peer, decision: Decision, { request }: DecisionInput): string {
  const { request: recorded, ...record } = recordOf({ peer, decision, atMs: now })
  assert.ok(recorded)
  const text = new AuditLines().render(
    traceId,
    request === undefined ? { ...record, protocol: 'tcp' } : { ...record, request },
    outcomeOf(),
  )
  return text.trimEnd()
}

function facts(decision: Decision): object {
  const { outcome, reason, product: name, principal, consumer, credential, apiKeyId } = decision
  return { outcome, reason, name, principal, consumer, credential, apiKeyId }
}
