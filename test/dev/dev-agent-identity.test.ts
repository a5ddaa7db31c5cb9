import assert from 'node:assert/strict'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { DevAgent } from '../../src/dev/dev-agent.ts'
import { type SvidVerdict, verifySvid } from '../../src/spiffe/verify-svid.ts'
import { parseWorkloadApiAddress } from '../../src/workload-api/address.ts'
import { type IdentitySnapshot, X509Source } from '../../src/workload-api/x509-source.ts'
import { parsePemCertificates } from '../../src/x509/pem.ts'
import { eventually } from '../workload-api/support/eventually.ts'
import { RecordingObserver } from '../workload-api/support/recording-observer.ts'
import { temporaryFolder } from '../workload-api/support/temporary-folder.ts'

const billing = 'spiffe://corp.example/billing'
const shop = 'spiffe://partner.example/shop'

/** The embedded agent with our own client, and our own verifier as the judge of what came through. */
describe('X509Source on a DevAgent', () => {
  const folder = temporaryFolder()
  let agent: DevAgent
  let source: X509Source
  let observer: RecordingObserver

  beforeEach(async () => {
    observer = new RecordingObserver()
    agent = await DevAgent.start({
      clock: systemClock,
      logger: silentLogger,
      trustDomains: ['corp.example', 'partner.example'],
      propagationMs: 0,
    })
    const socketPath = folder.path('a.sock')
    await agent.listen({ socketPath, spiffeId: billing })
    source = X509Source.start({
      address: parseWorkloadApiAddress(`unix:${socketPath}`),
      clock: systemClock,
      logger: silentLogger,
      observer,
      random: () => 0.99,
    })
    await source.firstIdentity()
  })

  afterEach(async () => {
    await source.close()
    await agent.close()
  })

  async function snapshot(sequence: number): Promise<IdentitySnapshot> {
    await eventually(() => observer.count(`identity ${sequence}`) > 0)
    const current = source.snapshot
    assert.equal(current?.sequence, sequence)
    return current
  }

  function verdict(chainPem: string, by: IdentitySnapshot): string {
    const chain = parsePemCertificates(chainPem)
    const conditions = { nowMs: systemClock.now(), purpose: 'client' } as const
    const result: SvidVerdict = verifySvid(chain, by.bundles, conditions)
    return result.kind === 'verified' ? result.id.toString() : result.reason
  }

  it('gets an SVID that its own bundle verifies', async () => {
    const current = await snapshot(1)
    assert.equal(verdict(current.svid.chainPem(), current), billing)
  })

  it('verifies callers of its own and of a federated trust domain, until the federation ends', async () => {
    const before = await snapshot(1)
    const own = await agent.mint({ trustDomain: 'corp.example', spiffeId: billing })
    const foreign = await agent.mint({ trustDomain: 'partner.example', spiffeId: shop })
    assert.equal(verdict(own.certificatePem, before), billing)
    assert.equal(verdict(foreign.certificatePem, before), shop)
    await agent.defederate('corp.example', 'partner.example')
    const after = await snapshot(2)
    assert.equal(verdict(own.certificatePem, after), billing)
    assert.equal(verdict(foreign.certificatePem, after), 'trust_domain_unknown')
  })

  it('refuses what the old CA signed once it is withdrawn, and not before', async () => {
    const old = await agent.mint({ trustDomain: 'corp.example', spiffeId: billing })
    await agent.rotateCa('corp.example')
    const both = await snapshot(3)
    const fresh = await agent.mint({ trustDomain: 'corp.example', spiffeId: billing })
    assert.equal(verdict(old.certificatePem, both), billing)
    assert.equal(verdict(fresh.certificatePem, both), billing)
    await agent.withdrawOldCa('corp.example')
    const withdrawn = await snapshot(4)
    assert.equal(verdict(old.certificatePem, withdrawn), 'issuer_unknown')
    assert.equal(verdict(fresh.certificatePem, withdrawn), billing)
  })

  it('loses its identity with its entry and gets it back', async () => {
    await agent.removeEntry(billing)
    await eventually(() => source.state.kind === 'withdrawn')
    await agent.addEntry(billing)
    await snapshot(2)
  })

  it('keeps its identity while the agent is down, and hears of what changed meanwhile', async () => {
    await agent.stopServing()
    await eventually(() => !source.connected)
    assert.equal(source.state.kind, 'held')
    await agent.renewNow()
    await agent.startServing()
    await snapshot(2)
    assert.equal(source.connected, true)
  })

  it('follows many renewals one by one without leaving anything behind', async () => {
    for (let sequence = 2; sequence <= 50; sequence++) {
      await agent.renewNow(billing)
      await snapshot(sequence)
    }
    assert.equal(observer.count('unchanged'), 0)
    assert.equal(observer.events.length, 51)
  })
})
