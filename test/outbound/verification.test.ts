import assert from 'node:assert/strict'
import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { TlsOptions } from 'node:tls'
import { eventually } from '../proxy/support/eventually.ts'
import type { TestLeaf } from '../support/test-ca.ts'
import {
  billing,
  OutboundHarness,
  type OutboundHarnessOptions,
  ownId,
  TestMesh,
} from './support/outbound-harness.ts'
import { Sink } from './support/sink.ts'
import { TestPeer } from './support/test-peer.ts'

const hour = 3_600_000

describe('a call of the workload', () => {
  let mesh: TestMesh
  const closers: (() => unknown)[] = []

  before(async () => {
    mesh = await TestMesh.create()
  })

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })

  async function peerWith(leaf: TestLeaf, options: TlsOptions = {}): Promise<TestPeer> {
    const peer = await TestPeer.start(leaf, options)
    closers.push(() => peer.close())
    return peer
  }

  async function harnessTo(port: number, options: Partial<OutboundHarnessOptions> = {}) {
    const harness = await OutboundHarness.start(mesh, { upstreamPort: port, ...options })
    closers.push(() => harness.close())
    return harness
  }

  async function between(leaf: TestLeaf, options: TlsOptions = {}) {
    const peer = await peerWith(leaf, options)
    return { peer, harness: await harnessTo(peer.port) }
  }

  async function sinkWith(leaf: TestLeaf, protocol: string): Promise<Sink> {
    const sink = await Sink.start(leaf, protocol)
    closers.push(() => sink.close())
    return sink
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`shows the peer our SVID in ${version}, and no name for an address`, async () => {
      const { peer, harness } = await between(await mesh.corp.leaf({ spiffeId: billing }), {
        maxVersion: version,
      })

      assert.equal((await harness.call()).status, 200)
      assert.equal(peer.sessions[0]?.client, `URI:${ownId}`)
      assert.equal(peer.sessions[0].version, version)
      assert.ok(!peer.sessions[0].servername, String(peer.sessions[0].servername))
    })
  }

  it('says the name of the peer where it has one', async () => {
    const peer = await peerWith(await mesh.corp.leaf({ spiffeId: billing }))
    const harness = await harnessTo(peer.port, { upstreamHost: 'localhost' })

    assert.equal((await harness.call()).status, 200)
    assert.equal(peer.sessions[0]?.servername, 'localhost')
  })

  it('speaks no version below TLS 1.2', async () => {
    const { peer, harness } = await between(await mesh.corp.leaf({ spiffeId: billing }), {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    })

    assert.equal((await harness.call()).json['reason'], 'handshake_failed')
    assert.equal(peer.sessions.length, 0)
  })

  it('takes a chain with an intermediate, and one of a federated trust domain', async () => {
    const below = await (await mesh.corp.intermediate()).leaf({ spiffeId: billing })
    assert.equal((await (await between(below)).harness.call()).status, 200)

    const partner = await mesh.partner.leaf({ spiffeId: 'spiffe://partner.example/api' })
    const peer = await peerWith(partner)
    const harness = await harnessTo(peer.port, { expect: 'partner.example' })
    assert.equal((await harness.call()).status, 200)
    const { decision } = harness.telemetry.decisions[0]!
    assert.deepEqual(
      [decision.outcome, decision.reason, decision.principal],
      ['allow', 'svid_trust_domain', 'spiffe://partner.example/api'],
    )
  })

  const liars: readonly {
    name: string
    leaf: (mesh: TestMesh) => Promise<TestLeaf>
    reason: string
    detail?: RegExp
  }[] = [
    {
      name: 'has the right CA and another SPIFFE ID',
      leaf: ({ corp }) => corp.leaf({ spiffeId: 'spiffe://corp.example/mallory' }),
      reason: 'peer_unexpected',
    },
    {
      name: 'has the right SPIFFE ID by a CA that may not vouch for it',
      leaf: ({ partner }) => partner.leaf({ spiffeId: billing }),
      reason: 'peer_untrusted',
      detail: /issuer_unknown/,
    },
    {
      name: 'has an SVID that has expired',
      leaf: ({ corp }) =>
        corp.leaf({
          spiffeId: billing,
          notBeforeMs: Date.now() - 2 * hour,
          notAfterMs: Date.now() - hour,
        }),
      reason: 'peer_untrusted',
      detail: /certificate_expired/,
    },
    {
      name: 'has an SVID for clients only',
      leaf: ({ corp }) => corp.leaf({ spiffeId: billing, extendedKeyUsage: ['clientAuth'] }),
      reason: 'peer_untrusted',
      detail: /certificate_not_for_server_auth/,
    },
    {
      name: 'has a certificate for its name and no SPIFFE ID',
      leaf: ({ corp }) => corp.leaf({ dnsNames: ['localhost'] }),
      reason: 'peer_untrusted',
      detail: /svid_malformed/,
    },
    {
      name: 'has two SPIFFE IDs, one of them right',
      leaf: ({ corp }) =>
        corp.leaf({ spiffeId: billing, names: [{ uri: 'spiffe://corp.example/mallory' }] }),
      reason: 'peer_untrusted',
      detail: /svid_malformed/,
    },
  ]
  it('reaches the right peer of the same kind', async () => {
    for (const protocol of ['http/1.1', 'h2']) {
      const sink = await sinkWith(await mesh.corp.leaf({ spiffeId: billing }), protocol)
      const harness = await harnessTo(sink.port)
      harness.call({ method: 'POST', body: 'secret' }).catch(() => undefined)
      await eventually(() => sink.receivedBytes > 0)
    }
  })

  for (const { name, leaf, reason, detail } of liars) {
    for (const protocol of ['http/1.1', 'h2']) {
      it(`sends no byte to a peer that ${name} (${protocol})`, async () => {
        const sink = await sinkWith(await leaf(mesh), protocol)
        const harness = await harnessTo(sink.port)
        const { status, json } = await harness.call({ method: 'POST', body: 'secret' })
        await eventually(() => sink.accepted > 0 && sink.open === 0)

        assert.deepEqual([status, json['reason']], [502, reason])
        if (detail !== undefined) assert.match(String(json['detail']), detail)
        assert.equal(sink.receivedBytes, 0)
        const [record] = harness.telemetry.decisions
        assert.deepEqual([record?.direction, record?.decision.reason], ['outbound', reason])
        assert.equal(record?.id, json['decision_id'])
        assert.equal(harness.telemetry.ended.length, 1)
      })
    }
  }

  it('resumes no session, although the peer offers to', async () => {
    const { peer, harness } = await between(await mesh.corp.leaf({ spiffeId: billing }), {
      ALPNProtocols: ['http/1.1'],
      maxVersion: 'TLSv1.3',
      sessionTimeout: 3_600,
    })
    peer.answerWith((_, response) => {
      response.setHeader('connection', 'close')
      response.end('x')
    })
    for (let i = 0; i < 3; i++) assert.equal((await harness.call()).status, 200)

    assert.equal(peer.sessions.length, 3)
    for (const { isReused, client } of peer.sessions) {
      assert.equal(isReused, false)
      assert.equal(client, `URI:${ownId}`)
    }
  })

  it('speaks HTTP/1.1 to a peer that knows no ALPN', async () => {
    const { createServer: createHttpsServer } = await import('node:https')
    const leaf = await mesh.corp.leaf({ spiffeId: billing })
    const server = createHttpsServer(
      { cert: leaf.pem, key: leaf.keyPem, ALPNProtocols: [] },
      (_, response) => response.end('plain'),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => {
      server.closeAllConnections()
      server.close()
    })
    const harness = await harnessTo((server.address() as AddressInfo).port)

    assert.equal((await harness.callHttp2()).text, 'plain')
  })

  describe('to a peer that is not there', () => {
    it('is 503 when nobody listens', async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as AddressInfo
      await new Promise((resolve) => server.close(resolve))
      const harness = await harnessTo(port)
      const { status, json } = await harness.call()

      assert.deepEqual([status, json['reason']], [503, 'upstream_unavailable'])
      assert.equal(harness.telemetry.ended[0]?.outcome.error, 'upstream_unavailable')
    })

    async function rawPeer(onSocket: (socket: Socket) => void): Promise<Server> {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on('error', () => undefined)
        onSocket(socket)
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      closers.push(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
      return server
    }

    it('is 504 when it says nothing in its handshake', async () => {
      const server = await rawPeer(() => undefined)
      const harness = await harnessTo((server.address() as AddressInfo).port, {
        limits: { handshakeTimeoutMs: 300 },
      })
      const { status, json } = await harness.call()

      assert.deepEqual([status, json['reason']], [504, 'upstream_timeout'])
    })

    it('is 502 when it speaks no TLS', async () => {
      const server = await rawPeer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
      const harness = await harnessTo((server.address() as AddressInfo).port)
      const { status, json } = await harness.call()

      assert.deepEqual([status, json['reason']], [502, 'handshake_failed'])
    })

    it('is told gRPC in its own words', async () => {
      const server = await rawPeer((socket) => socket.destroy())
      const harness = await harnessTo((server.address() as AddressInfo).port)
      const headers = { 'content-type': 'application/grpc', te: 'trailers' }
      const reply = await harness.callHttp2({ method: 'POST', headers, body: 'x' })

      assert.equal(reply.status, 200)
      assert.equal(reply.headers['grpc-status'], '14')
      assert.match(String(reply.headers['grpc-message']), /^handshake_failed: /)
    })
  })
})
