import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import type { Certificate } from '../../../src/x509/certificate.ts'
import { spireCommand } from '../../support/spire-process.ts'
import { SpireCluster, requireSpire } from '../../support/spire.ts'
import type { FetchedX509 } from '../../support/spire-agent.ts'
import type { SpireDomain } from '../../support/spire-domain.ts'

describe('the SPIRE of the tests', function () {
  this.timeout(180_000)

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

  afterEach(function () {
    cluster?.printLogsIfFailed(this)
  })

  after(async () => {
    await cluster?.close()
  })

  it('gives a workload the identity that was registered for its agent, and no other', async () => {
    const payments = await corp.startAgent('payments')
    const checkout = await corp.startAgent('checkout')
    await corp.createEntry({ agent: 'payments', spiffeId: 'spiffe://corp.example/payments' })
    await corp.createEntry({ agent: 'checkout', spiffeId: 'spiffe://corp.example/checkout' })

    assert.deepEqual(ids(await payments.waitForX509('an SVID', hasSvids(1))), [
      'spiffe://corp.example/payments',
    ])
    assert.deepEqual(ids(await checkout.waitForX509('an SVID', hasSvids(1))), [
      'spiffe://corp.example/checkout',
    ])
  })

  it('hands out several identities with their hints', async () => {
    const agent = await corp.startAgent('hints')
    const inside = { spiffeId: 'spiffe://corp.example/inside', hint: 'internal' }
    const outside = { spiffeId: 'spiffe://corp.example/outside', hint: 'external' }
    await corp.createEntry({ agent: 'hints', ...inside })
    await corp.createEntry({ agent: 'hints', ...outside })

    const fetched = await agent.waitForX509('two SVIDs', hasSvids(2))

    const told = fetched.svids.map(({ spiffeId, hint }) => ({ spiffeId, hint }))
    assert.deepEqual(
      told.sort((a, b) => a.hint.localeCompare(b.hint)),
      [outside, inside],
    )
  })

  it('renews a short-lived SVID under the same CA', async () => {
    const agent = await corp.startAgent('renewal')
    await corp.createEntry({
      agent: 'renewal',
      spiffeId: 'spiffe://corp.example/short',
      ttlSeconds: 10,
    })
    const first = await agent.waitForX509('an SVID', hasSvids(1))

    const next = await agent.waitForX509('another SVID', (it) => !leaf(it).equals(leaf(first)))

    assert.deepEqual(roots(next), roots(first))
  })

  it('moves from one CA to the next: prepare, activate, taint, revoke', async () => {
    const agent = await partner.startAgent('authorities')
    await partner.createEntry({ agent: 'authorities', spiffeId: 'spiffe://partner-a.example/a' })
    const before = await agent.waitForX509('an SVID', hasSvids(1))
    const { active: oldCa } = await partner.authorities()

    const newCa = await partner.prepareCa()
    const prepared = await agent.waitForX509('both roots', (it) => roots(it).length === 2)
    assert.equal(issuer(prepared), roots(before)[0])

    await partner.activateCa(newCa)
    await partner.taintCa(oldCa)
    const tainted = await agent.waitForX509(
      'an SVID of the new CA',
      (it) => issuer(it) !== issuer(before),
    )
    assert.equal(roots(tainted).length, 2)

    await partner.revokeCa(oldCa)
    const revoked = await agent.waitForX509('the new root alone', (it) => roots(it).length === 1)
    assert.deepEqual(roots(revoked), [issuer(tainted)])
  })

  it('hands out a federated bundle while it is known, and follows its changes', async () => {
    const agent = await corp.startAgent('federation')
    const spiffeId = 'spiffe://corp.example/federated'
    const id = await corp.createEntry({ agent: 'federation', spiffeId })
    await agent.waitForX509('no federation', (it) => it.federatedBundles.size === 0)

    await corp.setBundleOf(partner)
    await corp.updateEntry(id, { federatesWith: ['partner-a.example'] })
    const known = await agent.waitForX509('the bundle', (it) => it.federatedBundles.size === 1)
    const count = known.federatedBundles.get('spiffe://partner-a.example')?.length ?? 0
    assert.ok(count > 0)

    await partner.prepareCa()
    await corp.setBundleOf(partner)
    await agent.waitForX509(
      'one more root',
      (it) => it.federatedBundles.get('spiffe://partner-a.example')?.length === count + 1,
    )

    await corp.deleteBundleOf('partner-a.example')
    await agent.waitForX509('no federation', (it) => it.federatedBundles.size === 0)
  })

  it('denies a workload whose entry was deleted, until there is one again', async () => {
    const agent = await corp.startAgent('entries')
    const entry = { agent: 'entries', spiffeId: 'spiffe://corp.example/entries' }
    const id = await corp.createEntry(entry)
    await agent.waitForX509('an SVID', hasSvids(1))

    await corp.deleteEntry(id)
    await agent.waitForNoIdentity()

    await corp.createEntry(entry)
    await agent.waitForX509('an SVID again', hasSvids(1))
  })

  it('brings an agent back with its identity after a crash', async () => {
    const agent = await corp.startAgent('crash')
    await corp.createEntry({ agent: 'crash', spiffeId: 'spiffe://corp.example/crash' })
    await agent.waitForX509('an SVID', hasSvids(1))

    await agent.kill()
    await assert.rejects(agent.fetchX509())

    await agent.start()
    await agent.waitForX509('an SVID', hasSvids(1))
  })

  it('keeps handing out SVIDs while the server is down, and keeps the CA', async () => {
    const agent = await corp.startAgent('server-down')
    await corp.createEntry({ agent: 'server-down', spiffeId: 'spiffe://corp.example/down' })
    const before = await agent.waitForX509('an SVID', hasSvids(1))

    await corp.stopServer()
    const during = await agent.fetchX509()
    await corp.startServer()

    assert.deepEqual(ids(during), ['spiffe://corp.example/down'])
    assert.equal((await corp.bundlePem()).trim(), before.svids[0]!.bundle[0]!.toPem().trim())
  })

  it('ends an agent that was evicted; a new token brings it back', async () => {
    const agent = await corp.startAgent('evicted')
    await corp.createEntry({ agent: 'evicted', spiffeId: 'spiffe://corp.example/evicted' })
    await agent.waitForX509('an SVID', hasSvids(1))

    await corp.evictAgent(agent)
    await agent.exited()

    agent.forget()
    await agent.start()
    await agent.waitForX509('an SVID', hasSvids(1))
  })

  it('mints a certificate with its key, signed by a root of the bundle', async () => {
    const spiffeId = 'spiffe://corp.example/minted'

    const minted = await corp.mint({ spiffeId, ttlSeconds: 60, dnsNames: ['minted.example'] })

    const certificate = new X509Certificate(minted.certificatePem)
    const root = new X509Certificate(minted.bundlePem)
    assert.equal(certificate.subjectAltName, `DNS:minted.example, URI:${spiffeId}`)
    assert.ok(certificate.verify(root.publicKey))
    assert.match(minted.privateKeyPem, /^-----BEGIN PRIVATE KEY-----/)
  })

  it('accepts the configuration for Kubernetes', async function () {
    const { server, agent } = requireSpire(this)
    const folder = join(import.meta.dirname, '../../../spire/kubernetes')

    await spireCommand(server, ['validate', '-config', join(folder, 'server.conf')])
    await spireCommand(agent, ['validate', '-config', join(folder, 'agent.conf')])
    await assert.rejects(spireCommand(agent, ['validate', '-config', join(folder, 'server.conf')]))
  })

  it('leaves nothing behind when it is closed', async function () {
    const other = await SpireCluster.start(requireSpire(this))
    const agent = other.domain().agent

    await other.close()

    assert.equal(agent.isRunning, false)
    await assert.rejects(agent.fetchX509())
    await other.close()
  })
})

function hasSvids(count: number): (fetched: FetchedX509) => boolean {
  return (fetched) => fetched.svids.length === count
}

function ids(fetched: FetchedX509): readonly string[] {
  return fetched.svids.map((svid) => svid.spiffeId)
}

function leaf(fetched: FetchedX509): Certificate {
  return fetched.svids[0]!.chain[0]!
}

/** Digests of the roots of our own trust domain. */
function roots(fetched: FetchedX509): readonly string[] {
  return fetched.svids[0]!.bundle.map((root) => root.sha256)
}

/** Digest of the root that issued the leaf; SPIRE gives each of its CAs a subject of its own. */
function issuer(fetched: FetchedX509): string {
  const { bundle } = fetched.svids[0]!
  return bundle.find((root) => root.subjectName.equals(leaf(fetched).issuerName))!.sha256
}
