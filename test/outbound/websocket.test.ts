import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
} from 'node:http2'
import type { IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type ClientOptions, WebSocket } from 'ws'
import { eventually, settle } from '../proxy/support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { TestCa } from '../support/test-ca.ts'
import {
  billing,
  OutboundHarness,
  type OutboundHarnessOptions,
  ownId,
  TestMesh,
} from './support/outbound-harness.ts'
import { WebSocketPeer, type WebSocketPeerOptions } from './support/websocket-peer.ts'

const key = 'dGhlIHNhbXBsZSBub25jZQ=='

interface Start extends Partial<OutboundHarnessOptions> {
  readonly peerId?: string
  readonly peerNotAfterMs?: number
  readonly peer?: WebSocketPeerOptions
}

/** Real clients and a real server of WebSocket (`ws`) with the outbound listener between them. */
describe('a WebSocket of the workload', () => {
  let mesh: TestMesh
  let peer: WebSocketPeer
  let harness: OutboundHarness
  let clients: WebSocket[]

  before(async () => {
    mesh = await TestMesh.create()
  })

  beforeEach(() => {
    clients = []
  })

  afterEach(() => {
    for (const client of clients) client.terminate()
    harness.close()
    peer.close()
  })

  async function start({ peerId = billing, peerNotAfterMs, ...options }: Start = {}) {
    const leaf = await mesh.corp.leaf({
      spiffeId: peerId,
      ...(peerNotAfterMs === undefined ? {} : { notAfterMs: peerNotAfterMs }),
    })
    peer = await WebSocketPeer.start(leaf, options.peer)
    harness = await OutboundHarness.start(mesh, { upstreamPort: peer.port, ...options })
  }

  function ask(path = '/chat', options: ClientOptions = {}): WebSocket {
    const client = new WebSocket(`ws://127.0.0.1:${harness.port}${path}`, ['chat.v2'], options)
    client.on('error', () => undefined)
    clients.push(client)
    return client
  }

  async function open(path?: string, options?: ClientOptions): Promise<WebSocket> {
    const client = ask(path, options)
    await once(client, 'open')
    return client
  }

  async function echoed(client: WebSocket, message: Buffer): Promise<Buffer> {
    client.send(message)
    const [reply] = (await once(client, 'message')) as [Buffer]
    return reply
  }

  /** The answer of a WebSocket that is refused. */
  async function refused(client: WebSocket): Promise<{ status: number; reason: unknown }> {
    const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage]
    let text = ''
    for await (const chunk of response) text += String(chunk)
    const json = text.startsWith('{') ? (JSON.parse(text) as { reason: unknown }) : { reason: text }
    return { status: response.statusCode ?? 0, reason: json.reason }
  }

  const codeOfClose = async (client: WebSocket) =>
    ((await once(client, 'close')) as [number, Buffer])[0]

  /** Written byte by byte. */
  async function rawAsk(more = ''): Promise<Socket> {
    const socket = connect({ port: harness.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(
      'GET /raw HTTP/1.1\r\nhost: billing.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
        `sec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n${more}`,
    )
    return socket
  }

  it('is echoed, 0 bytes to 4 MiB, by a peer that sees our SVID; and closes in order', async () => {
    await start()
    const client = await open()
    for (const bytes of [0, 1, 125, 126, 65_535, 65_536, 1 << 22]) {
      const message = Buffer.alloc(bytes, `${bytes} of them`)
      assert.equal(Buffer.compare(await echoed(client, message), message), 0, `${bytes} bytes`)
    }
    assert.equal(client.protocol, 'chat.v2')
    assert.equal(harness.telemetry.openPeerConnections, 1)
    client.close(4321, 'enough')
    assert.equal(await codeOfClose(client), 4321)

    const [session] = peer.sessions
    assert.deepEqual([session?.client, session?.protocol], [`URI:${ownId}`, 'http/1.1'])
    await eventually(() => harness.telemetry.openPeerConnections === 0)
    await eventually(() => peer.open === 0)
    assert.equal(harness.telemetry.ended.length, 1)
    const { record, outcome } = harness.telemetry.ended[0]!
    assert.deepEqual(
      [record.direction, record.protocol, record.decision.outcome, record.request?.path],
      ['outbound', 'websocket', 'allow', '/chat'],
    )
    assert.deepEqual([outcome.status, outcome.error], [101, undefined])
    assert.ok(outcome.requestBytes > 1 << 22 && outcome.replyBytes > 1 << 22)
  })

  it('has the fields of the workload, none that pass for ours, and a host that the peer knows', async () => {
    await start()
    await open('/chat?room=7', {
      headers: {
        'X-Postern-Principal': 'spiffe://corp.example/admin',
        x_postern_product: 'forged',
        'X-Forwarded-Client-Cert': 'forged',
        'X-Api-Key': 'for-the-peer',
        Cookie: 'session=1',
      },
      origin: 'https://app.example',
    })
    const { headers, url } = peer.requests[0]!
    assert.equal(url, '/chat?room=7')
    assert.equal(headers.host, `127.0.0.1:${peer.port}`)
    assert.equal(headers['x-api-key'], 'for-the-peer')
    assert.equal(headers.cookie, 'session=1')
    assert.equal(headers.origin, 'https://app.example')
    assert.match(String(headers['x-request-id']), /./)
    assert.match(String(headers['traceparent']), /^00-/)
    for (const name of Object.keys(headers)) {
      assert.doesNotMatch(name, /postern|forwarded/, name)
    }
  })

  it('is not told by the peer who calls', async () => {
    await start()
    peer.onUpgrade = (socket) =>
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
          `sec-websocket-accept: ${acceptOf(peer)}\r\nx-postern-principal: forged\r\nx-own: 1\r\n\r\n`,
      )
    const socket = await rawAsk()
    const [head] = (await once(socket, 'data')) as [Buffer]
    assert.match(String(head), /^HTTP\/1\.1 101 /)
    assert.match(String(head), /x-own: 1/i)
    assert.doesNotMatch(String(head), /postern/i)
    socket.destroy()
  })

  it('may be asked for with its first frame behind it, and half-closes in either direction', async () => {
    await start()
    const told: Buffer[] = []
    peer.onUpgrade = (socket) => {
      socket.on('data', (chunk) => told.push(chunk))
      socket.on('end', () => socket.end(`you said ${Buffer.concat(told).length}`))
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
          `sec-websocket-accept: ${acceptOf(peer)}\r\n\r\n`,
      )
    }
    const socket = await rawAsk('early')
    await once(socket, 'data')
    socket.end(' and late')
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    assert.equal(text, 'you said 14')
    assert.equal(Buffer.concat(told).toString(), 'early and late')
    await eventually(() => harness.telemetry.ended.length === 1)
    assert.deepEqual(harness.telemetry.ended[0]?.outcome.error, undefined)
  })

  describe('over HTTP/2', () => {
    let session: ClientHttp2Session

    async function openSession(): Promise<void> {
      session = connectHttp2(`http://127.0.0.1:${harness.port}`)
      session.on('error', () => undefined)
      await once(session, 'remoteSettings')
    }

    afterEach(() => session.destroy())

    function askOver(path: string): ClientHttp2Stream {
      const stream = session.request(
        {
          ':method': 'CONNECT',
          ':protocol': 'websocket',
          ':path': path,
          ':authority': 'billing.example',
          'sec-websocket-version': '13',
          'x-postern-principal': 'forged',
        },
        { endStream: false },
      )
      stream.on('error', () => undefined)
      return stream
    }

    const statusOf = async (stream: ClientHttp2Stream) =>
      ((await once(stream, 'response')) as [Record<string, unknown>])[0][':status']

    it('goes to the peer by HTTP/1.1, beside calls of the same connection', async () => {
      await start({ peer: { protocols: ['http/1.1'] } })
      await openSession()
      const stream = askOver('/chat')
      assert.equal(await statusOf(stream), 200)
      stream.write(textFrame('hello'))
      const [frame] = (await once(stream, 'data')) as [Buffer]
      assert.deepEqual(frame, Buffer.concat([Buffer.from([0x81, 5]), Buffer.from('hello')]))
      const call = session.request({ ':path': '/plain', ':authority': 'billing.example' })
      assert.equal(await statusOf(call), 200)
      call.resume()
      stream.close()
      await eventually(() => harness.telemetry.ended.length === 2)

      assert.equal(peer.requests[0]?.headers.host, 'billing.example')
      assert.equal(peer.requests[0].headers['x-postern-principal'], undefined)
      const ended = harness.telemetry.ended.find(({ record }) => record.protocol === 'websocket')
      assert.deepEqual([ended?.record.decision.outcome, ended?.outcome.status], ['allow', 101])
    })

    it('is one of as many as there may be connections', async () => {
      await start({ limits: { maxConnections: 2 } })
      await openSession()
      const taken = [askOver('/1'), askOver('/2')]
      for (const stream of taken) assert.equal(await statusOf(stream), 200)
      assert.equal(await statusOf(askOver('/3')), 503)
      assert.equal(peer.sessions.length, 2)
      taken[0]!.close()
      await eventually(() => peer.open === 1)
      assert.equal(await statusOf(askOver('/4')), 200)
    })
  })

  describe('is refused', () => {
    it('without a byte of it, when the peer is somebody else', async () => {
      await start({ peerId: 'spiffe://corp.example/mallory' })
      assert.deepEqual(await refused(ask()), { status: 502, reason: 'peer_unexpected' })
      await settle()
      assert.equal(peer.requests.length, 0)
      await eventually(() => peer.open === 0)
      assert.deepEqual(
        harness.telemetry.ended.map(({ record, outcome }) => [
          record.protocol,
          record.decision.outcome,
          outcome.status,
          outcome.error,
        ]),
        [['websocket', 'deny', 502, 'peer_unexpected']],
      )
    })

    it('without an identity of ours, and while it cannot be recorded', async () => {
      await start()
      harness.loseIdentity()
      assert.deepEqual(await refused(ask()), { status: 503, reason: 'identity_unavailable' })
      await harness.identify()
      harness.telemetry.canRecord = false
      assert.deepEqual(await refused(ask()), { status: 503, reason: 'audit_unavailable' })
      assert.equal(peer.sessions.length, 0)
    })

    it('when nobody listens', async () => {
      await start()
      peer.close()
      assert.deepEqual(await refused(ask()), { status: 503, reason: 'upstream_unavailable' })
    })

    it('by a peer that speaks no HTTP/1.1, in words', async () => {
      await start({ peer: { protocols: ['h2'] } })
      assert.deepEqual(await refused(ask()), { status: 502, reason: 'handshake_failed' })
    })

    it('by the peer, with the answer of the peer', async () => {
      await start()
      peer.onUpgrade = (socket) =>
        socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno')
      assert.deepEqual(await refused(ask()), { status: 403, reason: 'no' })
      await eventually(() => harness.telemetry.openPeerConnections === 0)
    })

    it('when the peer accepts another one than was asked for, or breaks off', async () => {
      await start()
      peer.onUpgrade = (socket) =>
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
            'sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n',
        )
      assert.deepEqual(await refused(ask()), { status: 502, reason: 'upstream_malformed' })
      peer.onUpgrade = (socket) => socket.destroy()
      assert.deepEqual(await refused(ask()), { status: 502, reason: 'upstream_reset' })
    })

    it('when the peer does not answer in time', async () => {
      await start({ limits: { upstreamResponseTimeoutMs: 300 } })
      peer.onUpgrade = () => undefined
      assert.deepEqual(await refused(ask()), { status: 504, reason: 'upstream_timeout' })
      await eventually(() => peer.open === 0)
    })
  })

  describe('ends', () => {
    it('at once when its peer is trusted no more, and not while it is', async () => {
      await start()
      const client = await open()
      harness.changeTrust({ bundles: new Map(mesh.bundles) })
      await eventually(() => harness.telemetry.judged.kept === 1)
      assert.equal(String(await echoed(client, Buffer.from('still'))), 'still')
      const other = await TestCa.root('other')
      harness.changeTrust({ bundles: new Map([['corp.example', other.bundle('corp.example')]]) })

      assert.equal(await codeOfClose(client), 1006)
      await eventually(() => peer.open === 0)
      assert.deepEqual(
        harness.telemetry.ended.map(({ record, outcome }) => [
          record.protocol,
          record.decision.reason,
          record.previousReason,
          record.request?.path,
          outcome.error,
        ]),
        [
          ['websocket', 'peer_untrusted', 'svid_id', '/chat', 'trust_changed'],
          ['websocket', 'svid_id', undefined, '/chat', 'trust_changed'],
        ],
      )
    })

    it('with the certificate of its peer, and not with ours when it is renewed', async () => {
      await start({ peerNotAfterMs: Date.now() + 8_000 })
      const client = await open()
      await harness.identify()
      assert.equal(String(await echoed(client, Buffer.from('on'))), 'on')
      assert.equal(await codeOfClose(client), 1006)
      await eventually(() => harness.telemetry.ended.length === 2)
      assert.equal(harness.telemetry.ended[0]?.record.decision.reason, 'peer_untrusted')
    }).timeout(40_000)

    it('two seconds before our SVID does', async () => {
      const clock = new FakeClock(Date.now())
      const hourMs = 3_600_000
      const day = { idleTimeoutMs: 24 * hourMs }
      await start({ clock, limits: day, peerNotAfterMs: clock.now() + 24 * hourMs })
      await harness.identify({ notAfterMs: clock.now() + hourMs })
      const client = await open()
      clock.advance(hourMs - 10_000)
      assert.equal(String(await echoed(client, Buffer.from('still'))), 'still')
      const closed = codeOfClose(client)
      clock.advance(9_500)
      assert.equal(await closed, 1006)
      assert.equal(harness.telemetry.ended[0]?.outcome.error, 'cut')
    })

    it('after the idle timeout, and not while something moves', async () => {
      const clock = new FakeClock(Date.now())
      await start({ clock, limits: { idleTimeoutMs: 20_000 } })
      const client = await open()
      for (let i = 0; i < 4; i++) {
        clock.advance(15_000)
        assert.equal(String(await echoed(client, Buffer.from('moves'))), 'moves')
      }
      const closed = codeOfClose(client)
      clock.advance(22_000)
      assert.equal(await closed, 1006)
      assert.equal(harness.telemetry.ended[0]?.outcome.error, 'idle')
      await eventually(() => peer.open === 0)
    })

    it('when the workload leaves, at the peer too; and the reverse', async () => {
      await start()
      const socket = await rawAsk()
      await once(socket, 'data')
      socket.resetAndDestroy()
      await eventually(() => peer.open === 0)
      await eventually(() => harness.telemetry.ended.length === 1)
      assert.equal(harness.telemetry.ended[0]?.outcome.error, 'downstream_aborted')
      const second = await open()
      const closed = codeOfClose(second)
      peer.reset()
      assert.equal(await closed, 1006)
      await eventually(() => harness.telemetry.ended.length === 2)
      assert.equal(harness.telemetry.ended[1]?.outcome.error, 'upstream_reset')
      assert.equal(harness.telemetry.openPeerConnections, 0)
    })

    it('before it has begun, when the workload leaves while the peer is dialled', async () => {
      await start()
      const silent = createServer()
      silent.listen(0, '127.0.0.1')
      await once(silent, 'listening')
      const { port: upstreamPort } = silent.address() as AddressInfo
      harness.close()
      const limits = { handshakeTimeoutMs: 600_000 }
      harness = await OutboundHarness.start(mesh, { upstreamPort, limits })
      const client = ask()
      const [dialled] = (await once(silent, 'connection')) as [Socket]
      dialled.on('error', () => undefined).resume()
      client.terminate()
      await new Promise((resolve) => dialled.once('close', resolve))
      await eventually(() => harness.telemetry.ended.length === 1)
      const { record, outcome } = harness.telemetry.ended[0]!
      assert.deepEqual(
        [record.protocol, record.decision.reason, outcome.error],
        ['websocket', 'upstream_unavailable', 'downstream_aborted'],
      )
      silent.close()
    })

    it('with the listener', async () => {
      await start()
      const client = await open()
      const closed = codeOfClose(client)
      harness.close()
      assert.equal(await closed, 1006)
      await eventually(() => peer.open === 0)
    })
  })
})

/** The Sec-WebSocket-Accept for the last request (RFC 6455 4.2.2). */
function acceptOf(peer: WebSocketPeer): string {
  const asked = peer.requests.at(-1)?.headers['sec-websocket-key'] ?? ''
  return createHash('sha1').update(`${asked}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

/** Masked by zeros. */
function textFrame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}
