import assert from 'node:assert/strict'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { parseWorkloadApiAddress } from '../../../src/workload-api/address.ts'
import {
  type IdentitySnapshot,
  X509Source,
  type X509SourceOptions,
} from '../../../src/workload-api/x509-source.ts'
import type { SpireAgent } from '../../support/spire-agent.ts'
import type { SpireDomain } from '../../support/spire-domain.ts'
import { until } from '../../support/spire-process.ts'
import { SpireCluster, requireSpire } from '../../support/spire.ts'

describe('X509Source with a real SPIRE', function () {
  this.timeout(180_000)
  const opened: X509Source[] = []
  let cluster: SpireCluster | undefined
  let corp: SpireDomain
  let partner: SpireDomain

  before(async function () {
    const binaries = requireSpire(this)
    cluster = await SpireCluster.start(binaries, {
      trustDomains: ['corp.example', 'partner-a.example'],
    })
    corp = cluster.domain('corp.example')
    partner = cluster.domain('partner-a.example')
  })

  afterEach(async function () {
    cluster?.printLogsIfFailed(this)
    for (const source of opened.splice(0)) await source.close()
  })

  after(async () => {
    await cluster?.close()
  })

  it('waits for an entry that comes late', async () => {
    const source = follow(await corp.startAgent('late'))
    await until('the denial', async () =>
      source.state.kind === 'waiting' ? source.state.error : undefined,
    )

    await corp.createEntry({ agent: 'late', spiffeId: 'spiffe://corp.example/late' })

    const { svid } = await source.firstIdentity()
    assert.equal(svid.id.toString(), 'spiffe://corp.example/late')
  })

  it('uses the SVID with the hint that it was told', async () => {
    const agent = await corp.startAgent('hint')
    const entry = { agent: 'hint' }
    await corp.createEntry({ ...entry, spiffeId: 'spiffe://corp.example/in', hint: 'internal' })
    await corp.createEntry({ ...entry, spiffeId: 'spiffe://corp.example/out', hint: 'external' })

    const inside = await follow(agent, { hint: 'internal' }).firstIdentity()
    const outside = await follow(agent, { hint: 'external' }).firstIdentity()

    assert.equal(inside.svid.id.toString(), 'spiffe://corp.example/in')
    assert.equal(outside.svid.id.toString(), 'spiffe://corp.example/out')
  })

  it('takes over each renewed SVID and keeps the bundle', async () => {
    const spiffeId = 'spiffe://corp.example/short'
    await corp.createEntry({ agent: 'short', spiffeId, ttlSeconds: 10 })
    const source = follow(await corp.startAgent('short'))
    const first = await source.firstIdentity()

    const next = await snapshotOf(source, 'another SVID', (it) => leaf(it) !== leaf(first))

    assert.deepEqual(roots(next, 'corp.example'), roots(first, 'corp.example'))
  })

  it('follows its CA: prepared, activated, tainted, revoked', async () => {
    const spiffeId = 'spiffe://partner-a.example/a'
    await partner.createEntry({ agent: 'authorities', spiffeId })
    const source = follow(await partner.startAgent('authorities'))
    const before = await source.firstIdentity()
    const oldRoots = roots(before, 'partner-a.example')
    const { active: oldCa } = await partner.authorities()

    const newCa = await partner.prepareCa()
    const both = await snapshotOf(source, 'both roots', (it) => rootCount(it) === 2)
    assert.equal(issuer(both), issuer(before))

    await partner.activateCa(newCa)
    await partner.taintCa(oldCa)
    await snapshotOf(source, 'an SVID of the new CA', (it) => issuer(it) !== issuer(before))

    await partner.revokeCa(oldCa)
    const after = await snapshotOf(source, 'the new root alone', (it) => rootCount(it) === 1)
    assert.notDeepEqual(roots(after, 'partner-a.example'), oldRoots)

    function rootCount(snapshot: IdentitySnapshot): number {
      return roots(snapshot, 'partner-a.example').length
    }
  })

  it('gains and loses the bundle of a federated trust domain', async () => {
    const spiffeId = 'spiffe://corp.example/federated'
    const id = await corp.createEntry({ agent: 'federated', spiffeId })
    const source = follow(await corp.startAgent('federated'))
    assert.deepEqual([...(await source.firstIdentity()).bundles.keys()], ['corp.example'])

    await corp.setBundleOf(partner)
    await corp.updateEntry(id, { federatesWith: ['partner-a.example'] })
    await snapshotOf(source, 'the bundle', (it) => roots(it, 'partner-a.example').length > 0)

    await corp.deleteBundleOf('partner-a.example')
    await snapshotOf(source, 'no bundle', (it) => !it.bundles.has('partner-a.example'))
  })

  it('gives the identity up when its entry is deleted, and takes it again', async () => {
    const entry = { agent: 'entry', spiffeId: 'spiffe://corp.example/entry' }
    const id = await corp.createEntry(entry)
    const source = follow(await corp.startAgent('entry'))
    await source.firstIdentity()

    await corp.deleteEntry(id)
    await until('withdrawn', async () => source.state.kind === 'withdrawn' || undefined)
    assert.equal(source.snapshot, undefined)

    await corp.createEntry(entry)
    await snapshotOf(source, 'the identity again', () => true)
  })

  it('keeps the identity while its agent is down, and follows the one that comes back', async () => {
    const spiffeId = 'spiffe://corp.example/crash'
    await corp.createEntry({ agent: 'crash', spiffeId })
    const agent = await corp.startAgent('crash')
    const source = follow(agent)
    const before = await source.firstIdentity()

    await agent.kill()
    await until('disconnected', async () => !source.connected || undefined)
    assert.equal(source.snapshot, before)

    await agent.start()
    await until('connected', async () => source.connected || undefined)
    assert.equal(source.snapshot.svid.id.toString(), spiffeId)
  })

  it('hears nothing while the server is down: only notAfter tells that the SVID has expired', async () => {
    const spiffeId = 'spiffe://corp.example/expiring'
    await corp.createEntry({ agent: 'expiring', spiffeId, ttlSeconds: 4 })
    const source = follow(await corp.startAgent('expiring'))
    await source.firstIdentity()

    await corp.stopServer()
    const expired = await snapshotOf(source, 'expiry', (it) => it.svid.notAfterMs < Date.now())
    assert.equal(source.state.kind, 'held')
    assert.equal(source.connected, true)

    await corp.startServer()
    await snapshotOf(source, 'a fresh SVID', (it) => leaf(it) !== leaf(expired))
  })

  function follow(agent: SpireAgent, options: Partial<X509SourceOptions> = {}): X509Source {
    const source = X509Source.start({
      address: parseWorkloadApiAddress(agent.endpoint),
      clock: systemClock,
      logger: silentLogger,
      ...options,
    })
    opened.push(source)
    return source
  }
})

function snapshotOf(
  source: X509Source,
  what: string,
  isWanted: (snapshot: IdentitySnapshot) => boolean,
): Promise<IdentitySnapshot> {
  return until(what, async () => {
    const { snapshot } = source
    return snapshot !== undefined && isWanted(snapshot) ? snapshot : undefined
  })
}

function leaf(snapshot: IdentitySnapshot): string {
  return snapshot.svid.leaf.sha256
}

/** SPIRE gives each of its CAs a subject of its own. */
function issuer(snapshot: IdentitySnapshot): string {
  return snapshot.svid.leaf.issuer
}

function roots(snapshot: IdentitySnapshot, trustDomain: string): readonly string[] {
  return snapshot.bundles.get(trustDomain)?.anchors.map((anchor) => anchor.sha256) ?? []
}
