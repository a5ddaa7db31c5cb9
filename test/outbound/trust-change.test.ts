import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import type { ServerResponse } from 'node:http'
import { eventually } from '../proxy/support/eventually.ts'
import { TestCa } from '../support/test-ca.ts'
import { billing, OutboundHarness, TestMesh } from './support/outbound-harness.ts'
import { TestPeer } from './support/test-peer.ts'

describe('connections to peers', () => {
  let mesh: TestMesh
  let peer: TestPeer
  let harness: OutboundHarness

  before(async () => {
    mesh = await TestMesh.create()
  })

  async function start(protocol: 'http/1.1' | 'h2', notAfterMs?: number) {
    const leaf = await mesh.corp.leaf({
      spiffeId: billing,
      ...(notAfterMs === undefined ? {} : { notAfterMs }),
    })
    peer = await TestPeer.start(leaf, { ALPNProtocols: [protocol] })
    harness = await OutboundHarness.start(mesh, { upstreamPort: peer.port })
  }

  afterEach(async () => {
    harness.close()
    await peer.close()
  })

  /** Without corp.example's CA. */
  async function otherBundles() {
    const other = await TestCa.root('other')
    return new Map([['corp.example', other.bundle('corp.example')]])
  }

  /** A call whose reply has begun and waits. */
  async function running(): Promise<{ finish: () => void; text: Promise<string> }> {
    let held: ServerResponse | undefined
    peer.answerWith((_, response) => {
      held = response
      response.write('begun ')
    })
    const text = new Promise<string>((resolve, reject) => {
      const request = httpRequest({ port: harness.port, agent: false }, (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += chunk.toString()))
        response.on('end', () => resolve(body))
        response.on('error', reject)
      })
      request.on('error', reject)
      request.end()
    })
    text.catch(() => undefined)
    await eventually(() => held !== undefined)
    return { finish: () => held?.end('done'), text }
  }

  for (const protocol of ['http/1.1', 'h2'] as const) {
    describe(`over ${protocol}`, () => {
      it('are kept when the trust changes and their peer is trusted still', async () => {
        await start(protocol)
        await harness.call()
        harness.changeTrust({ bundles: new Map(mesh.bundles) })
        assert.equal((await harness.call()).status, 200)

        assert.equal(peer.sessions.length, 1)
        assert.deepEqual(harness.telemetry.judged, { kept: 1, ended: 0 })
      })

      it('end at once when idle, and with a record, when their peer is trusted no more', async () => {
        await start(protocol)
        await harness.call()
        harness.changeTrust({ bundles: await otherBundles() })
        await eventually(() => peer.open === 0)

        const ended = harness.telemetry.ended.at(-1)
        assert.equal(ended?.record.decision.reason, 'peer_untrusted')
        assert.equal(ended.record.previousReason, 'svid_id')
        assert.equal(ended.outcome.error, 'trust_changed')
        assert.deepEqual(harness.telemetry.judged, { kept: 0, ended: 1 })
        assert.equal((await harness.call()).json['reason'], 'peer_untrusted')
      })

      it('finish the running reply, and carry no other call', async () => {
        await start(protocol)
        const call = await running()
        harness.changeTrust({ bundles: await otherBundles() })
        assert.equal((await harness.call()).json['reason'], 'peer_untrusted')
        assert.equal(peer.seen.length, 1)
        call.finish()

        assert.equal(await call.text, 'begun done')
        await eventually(() => peer.open === 0)
      })

      it('carry no call by a trust that has changed, before their turn to be judged has come', async () => {
        await start(protocol)
        await harness.call()
        harness.swapTrust({ bundles: await otherBundles() })

        assert.equal((await harness.call()).json['reason'], 'peer_untrusted')
        assert.equal(peer.seen.length, 1)
      })

      it('are made with the new SVID, and those with the old one end when they are idle', async () => {
        await start(protocol)
        const call = await running()
        const renewed = await harness.identify()
        peer.answerWith((_, response) => response.end('new'))
        assert.equal((await harness.call()).text, 'new')
        assert.equal(peer.sessions.length, 2)
        const shown = peer.sessions[1]?.socket.getPeerCertificate().fingerprint256
        assert.equal(shown?.replaceAll(':', '').toLowerCase(), renewed.certificate.sha256)
        assert.equal(peer.open, 2)
        call.finish()

        assert.equal(await call.text, 'begun done')
        await eventually(() => peer.open === 1)
        assert.equal((await harness.call()).status, 200)
        assert.equal(peer.sessions.length, 2)
      })

      it('end before the SVID that they were made with does, whatever runs on them', async () => {
        await start(protocol)
        await harness.identify({ notAfterMs: Math.floor(Date.now() / 1000) * 1000 + 9_000 })
        const call = await running()
        await harness.identify()
        await assert.rejects(call.text)

        await eventually(() => peer.open === 0)
      })

      it('end with the certificate of their peer', async () => {
        await start(protocol, Math.floor(Date.now() / 1000) * 1000 + 6_000)
        // Calls go on, so that no connection ends for being idle.
        const statuses = new Set<number>()
        let { status, json } = await harness.call()
        while (status === 200) {
          statuses.add(status)
          ;({ status, json } = await harness.call())
        }
        await eventually(() => peer.open === 0)

        assert.deepEqual([...statuses], [200])
        assert.equal(json['reason'], 'peer_untrusted')
        assert.match(String(json['detail']), /certificate_expired/)
      })

      it('are none while we hold no identity, and are back with the next', async () => {
        await start(protocol)
        await harness.call()
        harness.loseIdentity()
        const { status, json } = await harness.call()
        assert.deepEqual([status, json['reason']], [503, 'identity_unavailable'])
        await eventually(() => peer.open === 0)
        await harness.identify()

        assert.equal((await harness.call()).status, 200)
      })
    })
  }
})
