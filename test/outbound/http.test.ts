import assert from 'node:assert/strict'
import { Agent, request as httpRequest } from 'node:http'
import type { TlsOptions } from 'node:tls'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually, settle } from '../proxy/support/eventually.ts'
import {
  billing,
  OutboundHarness,
  type OutboundHarnessOptions,
  ownId,
  TestMesh,
} from './support/outbound-harness.ts'
import { TestPeer } from './support/test-peer.ts'

describe('calls of the workload over HTTP', () => {
  let mesh: TestMesh
  let peer: TestPeer
  let harness: OutboundHarness

  before(async () => {
    mesh = await TestMesh.create()
  })

  async function start(options: TlsOptions = {}, own: Partial<OutboundHarnessOptions> = {}) {
    peer = await TestPeer.start(await mesh.corp.leaf({ spiffeId: billing }), options)
    harness = await OutboundHarness.start(mesh, { upstreamPort: peer.port, ...own })
  }

  afterEach(async () => {
    harness.close()
    await peer.close()
  })

  for (const local of ['http/1.1', 'h2'] as const) {
    for (const remote of ['http/1.1', 'h2'] as const) {
      it(`go from ${local} to ${remote}, with body and trailers both ways`, async () => {
        await start({ ALPNProtocols: [remote] })
        peer.answerWith((seen, response) => {
          response.setHeader('trailer', 'x-after')
          response.write(seen.body.toUpperCase())
          response.addTrailers({ 'x-after': 'done' })
          response.end()
        })
        const call = {
          method: 'POST',
          path: '/v1/x?y=z',
          body: 'hello',
          headers: { te: 'trailers' },
        }
        const reply = await (local === 'h2' ? harness.callHttp2(call) : harness.call(call))

        assert.deepEqual([reply.status, reply.text], [200, 'HELLO'])
        assert.equal(reply.trailers['x-after'], 'done')
        const [seen] = peer.seen
        assert.equal(seen?.version, remote === 'h2' ? '2.0' : '1.1')
        assert.deepEqual([seen.method, seen.url, seen.body], ['POST', '/v1/x?y=z', 'hello'])
        if (remote === 'h2') assert.equal(seen.headers[':scheme'], 'https')
      })
    }
  }

  it('share one connection over HTTP/2, however many come before it is there', async () => {
    await start({ ALPNProtocols: ['h2'] })
    const replies = await Promise.all(Array.from({ length: 30 }, () => harness.call()))

    assert.ok(replies.every(({ status }) => status === 200))
    assert.equal(peer.sessions.length, 1)
    assert.equal(harness.telemetry.openPeerConnections, 1)
  })

  it('use a connection of HTTP/1.1 again, and as many as they need at once', async () => {
    await start({ ALPNProtocols: ['http/1.1'] })
    for (let i = 0; i < 5; i++) assert.equal((await harness.call()).status, 200)
    assert.equal(peer.sessions.length, 1)
    let waiting = 0
    const held: (() => void)[] = []
    peer.answerWith((_, response) => {
      waiting++
      held.push(() => response.end('late'))
    })
    const calls = Array.from({ length: 4 }, () => harness.call())
    await eventually(() => waiting === 4)
    for (const answer of held) answer()

    assert.ok((await Promise.all(calls)).every(({ text }) => text === 'late'))
    assert.equal(peer.sessions.length, 4)
  })

  const rests = [
    { name: '55 s', field: undefined, restMs: 55_000 },
    { name: '55 s at most', field: 'timeout=600', restMs: 55_000 },
    { name: 'a second before the peer drops them', field: 'timeout=20', restMs: 19_000 },
  ]
  for (const { name, field, restMs } of rests) {
    it(`keep connections of HTTP/1.1 that are idle: ${name}`, async () => {
      const clock = new FakeClock(Date.now())
      await start({ ALPNProtocols: ['http/1.1'] }, { clock })
      peer.answerWith((_, response) => {
        // Node says how long it waits, unless it is told what to say.
        response.setHeader('connection', 'keep-alive')
        if (field !== undefined) response.setHeader('keep-alive', field)
        response.end()
      })
      await harness.call()
      clock.advance(restMs - 500)
      await harness.call()
      assert.equal(peer.sessions.length, 1)
      clock.advance(restMs - 500)
      await settle()
      assert.equal(harness.telemetry.openPeerConnections, 1)
      clock.advance(1_000)
      await eventually(() => harness.telemetry.openPeerConnections === 0)
    })
  }

  it('say who is at the other end, once for each', async () => {
    await start()
    await harness.call({ path: '/a?secret=1' })
    await harness.callHttp2({ path: '/b' })
    await eventually(() => harness.telemetry.ended.length === 2)

    const [first, second] = harness.telemetry.ended
    assert.equal(harness.telemetry.decisions.length, 2)
    assert.equal(first?.record.direction, 'outbound')
    assert.deepEqual(first.record.request, {
      method: 'GET',
      host: `127.0.0.1:${harness.port}`,
      path: '/a',
    })
    const { decision, peer: judged, protocol } = first.record
    assert.deepEqual(
      [decision.outcome, decision.reason, decision.principal, protocol],
      ['allow', 'svid_id', billing, 'http/1.1'],
    )
    assert.equal(judged.kind === 'svid' && judged.id.toString(), billing)
    assert.equal(first.outcome.status, 200)
    assert.equal(second?.record.protocol, 'h2')
  })

  it('pass no identity header in either direction, and everything else', async () => {
    await start()
    peer.answerWith((_, response) => {
      response.setHeader('x-postern-product', 'forged')
      response.setHeader('x_postern_principal', 'forged')
      response.setHeader('x-forwarded-client-cert', 'forged')
      response.setHeader('x-other', 'kept')
      response.end('x')
    })
    const reply = await harness.call({
      headers: {
        'x-postern-principal': 'spiffe://corp.example/admin',
        X_Postern_Product: 'all',
        'x-forwarded-client-cert': 'By=me',
        'x-api-key': 'pst_k_secret',
        authorization: 'ApiKey pst_k_secret',
        'x-forwarded-for': '10.1.1.1',
        'x-request-id': 'r-1',
        cookie: 'a=b',
      },
    })

    const headers = peer.seen[0]?.headers ?? {}
    const names = Object.keys(headers).filter((name) => /postern|client-cert/i.test(name))
    assert.deepEqual(names, [])
    assert.deepEqual(
      ['x-api-key', 'authorization', 'x-forwarded-for', 'x-request-id', 'cookie'].map(
        (name) => headers[name],
      ),
      ['pst_k_secret', 'ApiKey pst_k_secret', '10.1.1.1', 'r-1', 'a=b'],
    )
    assert.equal(typeof headers['traceparent'], 'string')
    assert.equal(reply.headers['x-other'], 'kept')
    assert.deepEqual(
      Object.keys(reply.headers).filter((name) => /postern|client-cert/i.test(name)),
      [],
    )
  })

  it('make a request id where there is none: that of the record', async () => {
    await start({ ALPNProtocols: ['http/1.1'] })
    await harness.call()

    assert.equal(peer.seen[0]?.headers['x-request-id'], harness.telemetry.decisions[0]?.id)
  })

  it('keep Host, but where it names our own port the peer is named', async () => {
    await start({ ALPNProtocols: ['http/1.1'] })
    await harness.call({ headers: { host: 'billing.internal' } })
    await harness.call({ headers: { host: `localhost:${harness.port}` } })
    await harness.call()

    const own = `127.0.0.1:${peer.port}`
    assert.deepEqual(
      peer.seen.map(({ headers }) => headers['host']),
      ['billing.internal', own, own],
    )
  })

  it('pass 103 and 100 on', async () => {
    await start({ ALPNProtocols: ['http/1.1'] })
    peer.answerWith((_, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.end('x')
    })
    const informational: number[] = []
    await new Promise((resolve, reject) => {
      const request = httpRequest({
        port: harness.port,
        agent: new Agent(),
        method: 'POST',
        headers: { expect: '100-continue' },
      })
      request.on('information', ({ statusCode }) => informational.push(statusCode))
      request.on('continue', () => request.end('body'))
      request.on('response', (response) => response.resume().on('end', resolve))
      request.on('error', reject)
      request.flushHeaders()
    })

    assert.deepEqual(informational, [100, 103])
    assert.equal(peer.seen[0]?.body, 'body')
  })

  it('are sent once more when a pooled connection turns out to be gone, and nothing else is', async () => {
    await start({ ALPNProtocols: ['http/1.1'] })
    await harness.call()
    peer.answerWith((_, response) => response.socket?.destroy())
    const failed = await harness.call({ method: 'POST', body: 'x' })

    assert.deepEqual([failed.status, failed.json['reason']], [502, 'upstream_reset'])
    assert.match(String(failed.json['detail']), /^the other end /)
    assert.equal(peer.seen.length, 2)
    await harness.call()
    assert.equal(peer.seen.length, 3)
  })

  it('end at the peer when the workload leaves', async () => {
    await start({ ALPNProtocols: ['h2'] })
    let isAborted = false
    peer.answerWith((_, response) => {
      response.write('begun')
      response.on('close', () => (isAborted = true))
    })
    const request = httpRequest({ port: harness.port, agent: false }, (response) => {
      response.on('error', () => undefined)
      response.once('data', () => request.destroy())
    })
    request.on('error', () => undefined)
    request.end()
    await eventually(() => isAborted)
    await eventually(() => harness.telemetry.ended.length === 1)

    assert.equal(harness.telemetry.ended[0]?.outcome.error, 'downstream_aborted')
  })

  it('keep no more than a window of a body that the peer does not read', async () => {
    await start({ ALPNProtocols: ['http/1.1'] })
    peer.answerWith(() => undefined)
    const chunk = Buffer.alloc(64 * 1024)
    let sent = 0
    const request = httpRequest({ port: harness.port, agent: false, method: 'POST' })
    request.on('error', () => undefined)
    // The peer is stopped as soon as it is there.
    const stop = setInterval(() => peer.sessions[0]?.socket.pause(), 1)
    const pump = (): void => {
      while (sent < 64 * 1024 * 1024 && request.write(chunk)) sent += chunk.length
    }
    request.on('drain', pump)
    pump()
    await eventually(() => peer.sessions.length === 1)
    let before = -1
    while (before !== sent) {
      before = sent
      for (let i = 0; i < 20; i++) await settle()
    }
    clearInterval(stop)
    request.destroy()

    assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken`)
  })

  it('are refused while they cannot be recorded', async () => {
    await start()
    harness.telemetry.canRecord = false
    const { status, json } = await harness.call()

    assert.deepEqual([status, json['reason']], [503, 'audit_unavailable'])
    assert.equal(peer.sessions.length, 0)
  })

  it('fail when the peer does not answer in time', async () => {
    await start({}, { limits: { upstreamResponseTimeoutMs: 300 } })
    peer.answerWith(() => undefined)
    const { status, json } = await harness.call()

    assert.deepEqual([status, json['reason']], [504, 'upstream_timeout'])
    assert.match(String(json['detail']), /^the other end /)
  })

  it('are bounded in their head', async () => {
    await start({}, { limits: { maxHeaderBytes: 1_024 } })
    const reply = await harness.call({ headers: { 'x-large': 'x'.repeat(2_000) } })

    assert.equal(reply.status, 431)
    assert.equal(peer.sessions.length, 0)
  })

  it('are bounded in the fields of their head', async () => {
    await start({}, { limits: { maxHeaderFields: 20 } })
    const fields = Array.from({ length: 21 }, (_, i) => [`x-${i}`, 'v'] as const)
    const reply = await harness.call({ headers: Object.fromEntries(fields) })

    assert.equal(reply.status, 431)
    assert.equal(peer.sessions.length, 0)
    const served = await harness.call({ headers: Object.fromEntries(fields.slice(0, 10)) })
    assert.equal(served.status, 200)
  })

  it('show our SVID on every connection', async () => {
    await start()
    await harness.call()

    assert.deepEqual(
      peer.sessions.map(({ client }) => client),
      [`URI:${ownId}`],
    )
  })
})
