import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { renameSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { Metadata, status } from '@grpc/grpc-js'
import { silentLogger } from '../../src/core/logger.ts'
import { DevAgent, type DevAgentOptions } from '../../src/dev/dev-agent.ts'
import type { X509SVIDResponse } from '../../src/workload-api/generated/workload.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { parseCertificates } from '../../src/x509/certificate.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { temporaryFolder } from '../workload-api/support/temporary-folder.ts'
import { RawClient, securityHeader } from './support/raw-stream.ts'

const billing = 'spiffe://corp.example/billing'
const checkout = 'spiffe://corp.example/checkout'

describe('DevAgent', () => {
  const folder = temporaryFolder()
  const opened: { close(): unknown }[] = []
  let clock: FakeClock

  beforeEach(() => {
    clock = new FakeClock()
  })

  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close()
  })

  async function start(options: Partial<DevAgentOptions> = {}): Promise<DevAgent> {
    const agent = await DevAgent.start({
      clock,
      logger: silentLogger,
      trustDomains: ['corp.example', 'partner.example'],
      propagationMs: 0,
      ...options,
    })
    opened.push(agent)
    return agent
  }

  async function serve(agent: DevAgent, spiffeId = billing, name = 'a.sock'): Promise<RawClient> {
    await agent.listen({ socketPath: folder.path(name), spiffeId })
    return dial(name)
  }

  function dial(name = 'a.sock'): RawClient {
    const client = new RawClient(folder.path(name))
    opened.push(client)
    return client
  }

  describe('answers', () => {
    it('an SVID with its chain, key, bundle and the federated bundles at once', async () => {
      const client = await serve(await start())
      const { svids, federatedBundles, crl } = await client.fetchSvids().message(0)
      assert.equal(svids.length, 1)
      assert.equal(svids[0]?.spiffeId, billing)
      assert.equal(svids[0].hint, '')
      assert.deepEqual(leafOf(svids[0].x509Svid).uriNames, [billing])
      assert.equal(parseCertificates(svids[0].bundle).length, 1)
      assert.deepEqual([...federatedBundles.keys()], ['spiffe://partner.example'])
      assert.deepEqual(crl, [])
    })

    it('INVALID_ARGUMENT unless the security header is there exactly once and true', async () => {
      const client = await serve(await start())
      const headers = [
        new Metadata(),
        securityHeader('false'),
        securityHeader('True'),
        securityHeader('true', 'true'),
      ]
      for (const header of headers) {
        assert.equal(await client.fetchSvids(header).ended(), status.INVALID_ARGUMENT)
      }
    })

    it('the bundles alone to those who ask for them', async () => {
      const client = await serve(await start())
      const { bundles } = await client.fetchBundles().message(0)
      assert.deepEqual([...bundles.keys()].sort(), [
        'spiffe://corp.example',
        'spiffe://partner.example',
      ])
    })

    it('UNIMPLEMENTED to the JWT methods', async () => {
      const { client } = await serve(await start())
      const code = await new Promise((resolve) => {
        const request = { audience: ['a'], spiffeId: '' }
        client.fetchJwtsvid(request, securityHeader('true'), (error) => resolve(error?.code))
      })
      assert.equal(code, status.UNIMPLEMENTED)
    })

    it('different identities on different sockets, and several on one with their hints', async () => {
      const agent = await start()
      const first = await serve(agent, billing, 'a.sock')
      const second = await serve(agent, checkout, 'b.sock')
      const socketPath = folder.path('b.sock')
      await agent.listen({ socketPath, spiffeId: billing, hint: 'internal' })
      assert.deepEqual(identities(await first.fetchSvids().message(0)), [[billing, '']])
      assert.deepEqual(identities(await second.fetchSvids().message(0)), [
        [checkout, ''],
        [billing, 'internal'],
      ])
    })
  })

  describe('pushes', () => {
    it('a fresh SVID with a fresh key at half of its life', async () => {
      const client = await serve(await start({ svidTtlMs: 60_000 }))
      const stream = client.fetchSvids()
      const before = await stream.message(0)
      clock.advance(29_999)
      assert.equal(stream.messages.length, 1)
      clock.advance(1)
      const after = await stream.message(1)
      assert.notDeepEqual(after.svids[0]?.x509SvidKey, before.svids[0]?.x509SvidKey)
      assert.equal(leafOf(after.svids[0]!.x509Svid).notAfterMs, clock.now() + 60_000)
      assert.deepEqual(after.svids[0]?.bundle, before.svids[0]?.bundle)
    })

    it('the next one half a life after a renewal on command, not before', async () => {
      const agent = await start({ svidTtlMs: 60_000 })
      const stream = (await serve(agent)).fetchSvids()
      await stream.message(0)
      clock.advance(20_000)
      await agent.renewNow(billing)
      await stream.message(1)
      assert.equal(clock.nextTimerMs, 30_000)
      clock.advance(30_000)
      await stream.message(2)
    })

    it('both roots from preparation on, the new signature at activation, one root after the withdrawal', async () => {
      const agent = await start()
      const stream = (await serve(agent)).fetchSvids()
      const initial = (await stream.message(0)).svids[0]!
      const [oldRoot] = parseCertificates(initial.bundle)

      await agent.prepareCa('corp.example')
      const prepared = (await stream.message(1)).svids[0]!
      const newRoot = parseCertificates(prepared.bundle).find((root) => !root.equals(oldRoot!))
      assert.equal(parseCertificates(prepared.bundle).length, 2)
      assert.deepEqual(prepared.x509Svid, initial.x509Svid)

      await agent.activateCa('corp.example')
      const active = (await stream.message(2)).svids[0]!
      assert.equal(parseCertificates(active.bundle).length, 2)
      assert.ok(isSignedBy(active.x509Svid, newRoot!))
      assert.equal(isSignedBy(active.x509Svid, oldRoot!), false)

      assert.equal(await agent.withdrawOldCa('corp.example'), 1)
      const withdrawn = (await stream.message(3)).svids[0]!
      assert.deepEqual(parseCertificates(withdrawn.bundle), [newRoot])
    })

    it('a rotated CA of a federated trust domain, with the waiting time in between', async () => {
      const agent = await start({ propagationMs: 1_000 })
      const stream = (await serve(agent)).fetchSvids()
      await stream.message(0)
      const rotated = agent.rotateCa('partner.example')
      const prepared = await stream.message(1)
      assert.equal(foreignRoots(prepared), 2)
      assert.equal(stream.messages.length, 2)
      clock.advance(1_000)
      await rotated
      await stream.message(2)
      await agent.withdrawOldCa('partner.example')
      assert.equal(foreignRoots(await stream.message(3)), 1)
    })

    it('no bundle as federated that is the own one of another identity', async () => {
      const agent = await start({ trustDomains: ['corp.example', 'a.example', 'b.example'] })
      const client = await serve(agent)
      const socketPath = folder.path('a.sock')
      await agent.listen({ socketPath, spiffeId: 'spiffe://a.example/one' })
      const { svids, federatedBundles } = await client.fetchSvids().message(0)
      assert.equal(svids.length, 2)
      assert.deepEqual([...federatedBundles.keys()], ['spiffe://b.example'])
    })

    it('the end and the beginning of a federation', async () => {
      const agent = await start()
      const stream = (await serve(agent)).fetchSvids()
      assert.equal((await stream.message(0)).federatedBundles.size, 1)
      await agent.defederate('partner.example', 'corp.example')
      assert.equal((await stream.message(1)).federatedBundles.size, 0)
      await agent.federate('corp.example', 'partner.example')
      assert.equal((await stream.message(2)).federatedBundles.size, 1)
    })

    it('copies of federated bundles that are refreshed on command only, where it is asked to', async () => {
      const agent = await start({ federatedBundles: 'copied' })
      const stream = (await serve(agent)).fetchSvids()
      const partnerRoots = async (message: number) => {
        const { federatedBundles } = await stream.message(message)
        const bundle = federatedBundles.get('spiffe://partner.example')
        return bundle === undefined ? 0 : parseCertificates(bundle).length
      }
      assert.equal(await partnerRoots(0), 1)
      await agent.prepareCa('partner.example')
      assert.equal(await partnerRoots(1), 1)
      await agent.federate('partner.example', 'corp.example')
      assert.equal(await partnerRoots(2), 2)
      await agent.defederate('partner.example', 'corp.example')
      assert.equal(await partnerRoots(3), 0)
    })

    it('only the bundles of the federations that were asked for', async () => {
      const agent = await start({
        trustDomains: ['corp.example', 'a.example', 'b.example'],
        federation: [['a.example', 'corp.example']],
      })
      const { federatedBundles } = await (await serve(agent)).fetchSvids().message(0)
      assert.deepEqual([...federatedBundles.keys()], ['spiffe://a.example'])
    })

    it('PERMISSION_DENIED when the identity is removed, until it is added again', async () => {
      const agent = await start()
      const client = await serve(agent)
      const stream = client.fetchSvids()
      await stream.message(0)
      await agent.removeEntry(billing)
      assert.equal(await stream.ended(), status.PERMISSION_DENIED)
      assert.equal(await client.fetchSvids().ended(), status.PERMISSION_DENIED)
      await agent.addEntry(billing)
      assert.equal((await client.fetchSvids().message(0)).svids.length, 1)
    })

    it('does not bring a removed identity back at the time of its renewal', async () => {
      const agent = await start({ svidTtlMs: 60_000 })
      const client = await serve(agent)
      await agent.removeEntry(billing)
      clock.advance(60_000)
      await agent.renewNow()
      assert.equal(await client.fetchSvids().ended(), status.PERMISSION_DENIED)
      assert.equal(clock.nextTimerMs, undefined)
    })

    it('an SVID with the new validity when it is set', async () => {
      const agent = await start()
      const stream = (await serve(agent)).fetchSvids()
      await stream.message(0)
      await agent.setTtl(10_000)
      const { svids } = await stream.message(1)
      assert.equal(leafOf(svids[0]!.x509Svid).notAfterMs, clock.now() + 10_000)
      assert.equal(clock.nextTimerMs, 5_000)
    })
  })

  describe('its sockets', () => {
    it('go away with stopServing and come back with startServing', async () => {
      const agent = await start()
      const client = await serve(agent)
      const stream = client.fetchSvids()
      await stream.message(0)
      await agent.stopServing()
      assert.notEqual(await stream.ended(), status.OK)
      assert.equal(await dial().fetchSvids().ended(), status.UNAVAILABLE)
      await agent.startServing()
      assert.equal((await dial().fetchSvids().message(0)).svids.length, 1)
    })

    it('are open to their owner only, in a folder that is made when missing', async () => {
      const agent = await start()
      const socketPath = folder.path('deep/er/a.sock')
      await agent.listen({ socketPath, spiffeId: billing })
      assert.equal(statSync(socketPath).mode & 0o777, 0o600)
      assert.equal(statSync(folder.path('deep')).mode & 0o777, 0o700)
    })

    it('replace a socket that a dead process left', async () => {
      await leaveStaleSocket(folder.path('a.sock'))
      const client = await serve(await start())
      assert.equal((await client.fetchSvids().message(0)).svids.length, 1)
    })

    it('do not take the place of a file, of a living socket or of a relative path', async () => {
      const agent = await start()
      writeFileSync(folder.path('file'), 'precious')
      await agent.listen({ socketPath: folder.path('live.sock'), spiffeId: billing })
      const other = await start()
      for (const socketPath of [folder.path('file'), folder.path('live.sock'), 'relative.sock']) {
        await assert.rejects(other.listen({ socketPath, spiffeId: billing }), {
          code: 'ERR_LISTEN_FAILED',
        })
      }
      await other.listen({ socketPath: folder.path('free.sock'), spiffeId: billing })
    })

    it('say why when their folder cannot be made', async () => {
      const agent = await start()
      writeFileSync(folder.path('file'), '')
      const socketPath = folder.path('file/a.sock')
      await assert.rejects(agent.listen({ socketPath, spiffeId: billing }), {
        code: 'ERR_LISTEN_FAILED',
      })
    })
  })

  it('refuses trust domains and identities that are not its own', async () => {
    const agent = await start()
    const socketPath = folder.path('a.sock')
    const foreign = { socketPath, spiffeId: 'spiffe://other.example/a' }
    await assert.rejects(agent.listen(foreign), { code: 'ERR_TRUST_DOMAIN_INVALID' })
    await assert.rejects(agent.rotateCa('other.example'), { code: 'ERR_TRUST_DOMAIN_INVALID' })
    await assert.rejects(agent.removeEntry(billing), { code: 'ERR_SPIFFE_ID_INVALID' })
    await agent.listen({ socketPath, spiffeId: billing })
    await agent.rotateCa('corp.example')
    await agent.removeEntry(billing)
  })

  it('mints PEM certificates that its bundle verifies', async () => {
    const agent = await start()
    const minted = await agent.mint({ trustDomain: 'corp.example', spiffeId: checkout })
    const leaf = new X509Certificate(minted.certificatePem)
    assert.ok(leaf.verify(new X509Certificate(agent.bundlePem('corp.example')).publicKey))
    assert.match(minted.privateKeyPem, /^-----BEGIN PRIVATE KEY-----\n/)
    assert.deepEqual(leafOf(minted.certificates[0]!).uriNames, [checkout])
  })

  it('warns at its start that it is for development', async () => {
    const warnings: string[] = []
    await start({ logger: { ...silentLogger, warn: (message) => warnings.push(message) } })
    assert.equal(warnings.length, 1)
  })

  it('leaves no timer and no socket when it is closed, also twice', async () => {
    const agent = await start()
    await serve(agent)
    await agent.close()
    await agent.close()
    assert.equal(clock.nextTimerMs, undefined)
    assert.equal(statSync(folder.path('a.sock'), { throwIfNoEntry: false }), undefined)
    await assert.rejects(agent.renewNow(), TypeError)
  })
})

function leafOf(chain: Buffer): Certificate {
  const [leaf] = parseCertificates(chain)
  assert.ok(leaf)
  return leaf
}

function isSignedBy(chain: Buffer, root: Certificate): boolean {
  return new X509Certificate(leafOf(chain).der).verify(root.publicKey)
}

function identities(message: X509SVIDResponse): string[][] {
  return message.svids.map(({ spiffeId, hint }) => [spiffeId, hint])
}

function foreignRoots(message: X509SVIDResponse): number {
  return parseCertificates(message.federatedBundles.get('spiffe://partner.example')!).length
}

/** Binds and loses a socket without unlinking it, as a killed process does. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${path}.old`, resolve))
  renameSync(`${path}.old`, path)
  await new Promise((resolve) => server.close(resolve))
}
