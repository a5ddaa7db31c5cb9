import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import { ProductMap } from '../../src/policy/product-map.ts'
import { eventually, settle, unchanged } from '../proxy/support/eventually.ts'
import { RawWorkload } from '../proxy/support/raw-workload.ts'
import {
  bySpiffeId,
  type HarnessOptions,
  InboundHarness,
  product,
} from './support/inbound-harness.ts'

const own = 'spiffe://corp.example/checkout/web'

/** RFC 8441, with Node's own HTTP/2 as the caller. */
describe('WebSocket over HTTP/2', () => {
  let harness: InboundHarness
  let session: ClientHttp2Session
  let closeWorkload: () => Promise<void>

  async function start(options: HarnessOptions = {}): Promise<void> {
    harness = await InboundHarness.start({ plaintext: 'allow', ...options })
    session = await openSession()
  }

  async function openSession(): Promise<ClientHttp2Session> {
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const opened = connect(`https://127.0.0.1:${harness.port}`, {
      rejectUnauthorized: false,
      cert: leaf.pem,
      key: leaf.keyPem,
    })
    opened.on('error', () => undefined)
    await once(opened, 'remoteSettings')
    return opened
  }

  beforeEach(() => {
    closeWorkload = () => Promise.resolve()
  })

  afterEach(async () => {
    session.destroy()
    await closeWorkload()
    await harness.close()
  })

  function ask(headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
    const stream = session.request(
      {
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':path': '/chat?room=7',
        ':authority': 'api.example',
        'sec-websocket-version': '13',
        ...headers,
      },
      { endStream: false },
    )
    stream.on('error', () => undefined)
    return stream
  }

  async function replyOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders]
    return headers
  }

  it('says that it is there', async () => {
    await start()
    assert.equal(session.remoteSettings.enableConnectProtocol, true)
  })

  describe('to a workload of HTTP/1.1', () => {
    let workload: WebSocketServer
    let seen: { socket: WebSocket; headers: IncomingHttpHeaders; url: string | undefined }[]

    async function startWithWorkload(options: HarnessOptions = {}): Promise<void> {
      await start(options)
      seen = []
      workload = new WebSocketServer({ server: harness.workload.server })
      workload.on('connection', (socket, { headers, url }) => {
        seen.push({ socket, headers, url })
        socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
      })
      closeWorkload = async () => {
        for (const client of workload.clients) client.terminate()
        await new Promise((resolve) => workload.close(resolve))
      }
    }

    it('becomes an upgrade that the workload accepts, and echoes 0 bytes to 16 MiB', async () => {
      await startWithWorkload()
      const stream = ask({ 'sec-websocket-protocol': 'chat', 'sec-websocket-key': 'forged' })
      const headers = await replyOf(stream)
      assert.equal(headers[':status'], 200)
      assert.equal(headers['sec-websocket-protocol'], 'chat')
      for (const name of ['connection', 'upgrade', 'sec-websocket-accept']) {
        assert.equal(headers[name], undefined, name)
      }
      const client = overStream(stream)
      for (const bytes of [0, 1, 65_536, 1 << 24]) {
        const message = randomBytes(bytes)
        client.send(message)
        const [reply] = (await once(client, 'message')) as [Buffer]
        assert.equal(Buffer.compare(reply, message), 0, `${bytes} bytes`)
      }
      client.close(1000, 'enough')
      const [code, reason] = (await once(client, 'close')) as [number, Buffer]
      assert.deepEqual([code, String(reason)], [1000, 'enough'])

      const request = seen[0]!
      assert.equal(request.url, '/chat?room=7')
      assert.equal(request.headers.host, 'api.example')
      assert.equal(request.headers['x-postern-product'], 'checkout')
      assert.equal(request.headers['x-forwarded-proto'], 'https')
      assert.notEqual(request.headers['sec-websocket-key'], 'forged')
      await eventually(() => harness.telemetry.ended.length === 1)
      const { record, outcome } = harness.telemetry.ended[0]!
      assert.equal(record.protocol, 'websocket')
      assert.equal(record.request?.method, 'GET')
      assert.equal(outcome.status, 101)
      assert.equal(outcome.error, undefined)
      assert.ok(outcome.requestBytes > 1 << 24 && outcome.replyBytes > 1 << 24)
    })

    it('goes beside other requests and other WebSockets of the connection', async () => {
      await startWithWorkload()
      const streams = [ask(), ask(), ask()]
      const clients = []
      for (const stream of streams) {
        await replyOf(stream)
        clients.push(overStream(stream))
      }
      const get = session.request({ ':path': '/', ':authority': 'api.example' })
      assert.equal((await replyOf(get))[':status'], 200)
      get.resume()
      for (const [i, client] of clients.entries()) {
        client.send(`number ${i}`)
        assert.equal(String((await once(client, 'message'))[0]), `number ${i}`)
      }
      await eventually(() => seen.length === 3)
    })

    it('that is reset by the caller is cut at the workload', async () => {
      await startWithWorkload()
      const stream = ask()
      await replyOf(stream)
      await eventually(() => seen.length === 1)
      // Not close(): a stream that was closed while both halves are open keeps Node 20 from ending, for ever.
      stream.destroy()
      const [code] = (await once(seen[0]!.socket, 'close')) as [number]
      assert.equal(code, 1006)
      await eventually(() => harness.telemetry.ended[0]?.outcome.error === 'downstream_aborted')
    })

    it('that the workload cuts is reset with CANCEL, and the connection lives on', async () => {
      await startWithWorkload()
      const stream = ask()
      await replyOf(stream)
      await eventually(() => seen.length === 1)
      ;(
        seen[0]!.socket as unknown as { _socket: { resetAndDestroy(): void } }
      )._socket.resetAndDestroy()
      await once(stream, 'close')
      assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL)
      assert.equal((await replyOf(ask()))[':status'], 200)
    })

    it('is cut when a change of trust takes its product, and only it when others keep theirs', async () => {
      const chat = product('chat', { callers: [bySpiffeId(own)] })
      await startWithWorkload({ products: [chat] })
      const stream = ask()
      await replyOf(stream)
      const moved = product('moved', { callers: [bySpiffeId(own)] })
      harness.changeTrust({ products: ProductMap.of([moved], []) })
      await once(stream, 'close')
      assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL)
      // The connection only maps to another product, which its next request says.
      assert.equal((await replyOf(ask()))[':status'], 200)
      assert.equal(seen[1]?.headers['x-postern-product'], 'moved')
      const errors = harness.telemetry.ended.map(({ outcome }) => outcome.error)
      assert.deepEqual(errors, ['trust_changed', 'trust_changed'])
    })

    it('is denied as a GET of its path would be', async () => {
      await start({ products: [] })
      const stream = ask()
      assert.equal((await replyOf(stream))[':status'], 403)
      assert.match(await textOf(stream), /"reason":"product_unmapped"/)
      assert.equal(harness.telemetry.decisions[0]?.protocol, 'websocket')
    })

    it('is idle by itself: the connection and its other streams go on', async () => {
      await startWithWorkload({ idleTimeoutMs: 1_500 })
      const stream = ask()
      await replyOf(stream)
      await once(stream, 'close')
      assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL)
      await eventually(() => harness.telemetry.ended[0]?.outcome.error === 'idle')
    })

    it('passes a refusal of the workload on, and takes a 200 of it for none', async () => {
      const raw = await RawWorkload.start()
      closeWorkload = () => raw.close()
      await start({ workloadPort: raw.port })
      const replies = [
        'HTTP/1.1 403 Forbidden\r\nx-why: because\r\ncontent-length: 4\r\n\r\nnono',
        'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n\x81\x04fake frame',
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n',
      ]
      raw.answerAlways((_request, index) => replies[index] ?? '')
      const refused = ask()
      const headers = await replyOf(refused)
      assert.equal(headers[':status'], 403)
      assert.equal(headers['x-why'], 'because')
      assert.equal(await textOf(refused), 'nono')
      for (const round of [1, 2]) {
        const stream = ask()
        assert.equal((await replyOf(stream))[':status'], 502, `${round}`)
        assert.match(await textOf(stream), /"reason":"upstream_malformed"/)
      }
    })

    it('keeps what comes early from a workload that refuses, and half-closes each way', async () => {
      const raw = await RawWorkload.start()
      closeWorkload = () => raw.close()
      await start({ workloadPort: raw.port })
      const refused = ask()
      refused.write('GET /SMUGGLED HTTP/1.1\r\nhost: a\r\n\r\n')
      const first = await raw.connection(0)
      await first.take('\r\n\r\n')
      await settle()
      assert.equal(first.text, '')
      first.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
      assert.equal((await replyOf(refused))[':status'], 403)
      await first.ended()
      assert.equal(first.text, '')
      assert.equal(raw.connections.length, 1)
    })

    it('holds a caller back whose workload does not read', async () => {
      await startWithWorkload()
      workload.removeAllListeners('connection')
      const arrived = once(workload, 'connection') as Promise<[WebSocket]>
      const stream = ask()
      await replyOf(stream)
      const [socket] = await arrived
      socket.on('error', () => undefined)
      socket.pause()
      stream.write(Buffer.alloc(32 << 20))
      await unchanged(() => stream.writableLength)
      assert.ok(socketsHoldAtMost(32 << 20, stream.writableLength), `${stream.writableLength}`)
    })
  })

  describe('to a workload of HTTP/2', () => {
    let server: Http2Server
    let opened: { stream: ServerHttp2Stream; headers: IncomingHttpHeaders }[]
    let sessions: ServerHttp2Session[]

    async function startServer(enableConnectProtocol: boolean): Promise<number> {
      opened = []
      sessions = []
      server = createServer({ settings: { enableConnectProtocol } })
      server.on('session', (one) => sessions.push(one))
      server.on('stream', (stream, headers) => {
        stream.on('error', () => undefined)
        opened.push({ stream, headers })
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      closeWorkload = async () => {
        for (const one of sessions) one.destroy()
        await new Promise((resolve) => server.close(resolve))
      }
      return (server.address() as AddressInfo).port
    }

    async function startBoth(enabled = true): Promise<void> {
      await start({ workloadPort: await startServer(enabled), upstreamProtocol: 'h2c' })
    }

    function echo(): void {
      server.on('stream', (stream: ServerHttp2Stream) => {
        stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat' })
        stream.pipe(stream)
      })
    }

    it('stays a CONNECT, with our headers, and keeps both windows', async () => {
      await startBoth()
      echo()
      const stream = ask({ 'sec-websocket-protocol': 'chat' })
      const headers = await replyOf(stream)
      assert.equal(headers[':status'], 200)
      assert.equal(headers['sec-websocket-protocol'], 'chat')
      const sent = randomBytes(4 << 20)
      const received = collect(stream)
      stream.end(sent)
      assert.equal(Buffer.compare(await received, sent), 0)
      const request = opened[0]!.headers
      assert.equal(request[':method'], 'CONNECT')
      assert.equal(request[':protocol'], 'websocket')
      assert.equal(request[':path'], '/chat?room=7')
      assert.equal(request[':authority'], 'api.example')
      assert.equal(request['sec-websocket-version'], '13')
      assert.equal(request['x-postern-product'], 'checkout')
      assert.equal(request['sec-websocket-key'], undefined)
      await eventually(() => harness.telemetry.ended.length === 1)
      const { outcome } = harness.telemetry.ended[0]!
      assert.deepEqual(
        [outcome.status, outcome.requestBytes, outcome.replyBytes, outcome.error],
        [101, sent.length, sent.length, undefined],
      )
    })

    it('comes from HTTP/1.1 too', async () => {
      await startBoth()
      server.on('stream', (stream: ServerHttp2Stream) => {
        stream.respond({ ':status': 200 })
        const peer = overStream(stream, true)
        peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }))
      })
      const client = new WebSocket(`ws://127.0.0.1:${harness.port}/chat`, {
        headers: { 'x-api-key': harness.keys[0]!.key },
      })
      await once(client, 'open')
      const message = randomBytes(300_000)
      client.send(message)
      assert.equal(Buffer.compare((await once(client, 'message'))[0] as Buffer, message), 0)
      client.close(1000)
      assert.equal((await once(client, 'close'))[0], 1000)
      assert.equal(opened[0]?.headers['x-postern-product'], 'reports')
    })

    for (const first of ['caller', 'workload'] as const) {
      it(`half-closes, the ${first} first`, async () => {
        await startBoth()
        const stream = ask()
        await eventually(() => opened.length === 1)
        const workload = opened[0]!.stream
        workload.respond({ ':status': 200 })
        await replyOf(stream)
        const [one, other] = first === 'caller' ? [stream, workload] : [workload, stream]
        const atOther = collect(other)
        // Node throws away what a stream gets that has ended and has no reader.
        const atOne = collect(one)
        one.end('that was all')
        assert.equal(String(await atOther), 'that was all')
        // More than any window holds.
        const more = randomBytes(1 << 20)
        other.write('but ')
        await settle()
        other.end(more)
        assert.equal(Buffer.compare(await atOne, Buffer.concat([Buffer.from('but '), more])), 0)
        await eventually(() => harness.telemetry.ended.length === 1)
        assert.equal(harness.telemetry.ended[0]?.outcome.error, undefined)
      })
    }

    it('carries a reset over, both ways', async () => {
      await startBoth()
      for (const who of ['caller', 'workload'] as const) {
        const stream = ask()
        await eventually(() => opened.length === 1)
        const workload = opened.pop()!.stream
        workload.respond({ ':status': 200 })
        await replyOf(stream)
        const [one, other] = who === 'caller' ? [stream, workload] : [workload, stream]
        one.close(constants.NGHTTP2_CANCEL)
        await once(other, 'close')
        assert.equal(other.rstCode, constants.NGHTTP2_CANCEL)
      }
    })

    it('passes a refusal on', async () => {
      await startBoth()
      server.on('stream', (stream: ServerHttp2Stream) => {
        stream.respond({ ':status': 404, 'x-why': 'nothing here' })
        stream.end('nono')
      })
      const stream = ask()
      const headers = await replyOf(stream)
      assert.deepEqual([headers[':status'], headers['x-why']], [404, 'nothing here'])
      assert.equal(await textOf(stream), 'nono')
    })

    it('is 501 where the workload does not enable it, at once and later', async () => {
      await startBoth(false)
      for (const round of [1, 2]) {
        const stream = ask()
        assert.equal((await replyOf(stream))[':status'], 501, `${round}`)
        assert.match(await textOf(stream), /"reason":"websocket_unsupported"/)
      }
      assert.equal(opened.length, 0)
      assert.deepEqual(harness.telemetry.upstreamErrors, Array(2).fill('websocket_unsupported'))
    })

    it('is 504 where the workload says no SETTINGS, and 502 where it goes before', async () => {
      const raw = await RawWorkload.start()
      await start({ workloadPort: raw.port, upstreamProtocol: 'h2c', responseTimeoutMs: 1_500 })
      closeWorkload = () => raw.close()
      assert.equal((await replyOf(ask()))[':status'], 504)
      const stream = ask()
      const connection = await raw.connection(1)
      connection.reset()
      assert.equal((await replyOf(stream))[':status'], 502)
    })

    it('that is let go while it waits for SETTINGS is never asked for', async () => {
      const raw = await RawWorkload.start()
      await start({ workloadPort: raw.port, upstreamProtocol: 'h2c' })
      closeWorkload = () => raw.close()
      const stream = ask()
      const connection = await raw.connection(0)
      await connection.has('PRI * HTTP/2.0')
      stream.close(constants.NGHTTP2_CANCEL)
      await eventually(() => harness.telemetry.ended[0]?.outcome.status === 499)
      const before = connection.receivedBytes
      // SETTINGS with ENABLE_CONNECT_PROTOCOL, and the acknowledgement of ours.
      connection.write(Buffer.from('000006040000000000000800000001' + '000000040100000000', 'hex'))
      // What answers is their acknowledgement and no more.
      await connection.hasBytes(before + 9)
      await settle()
      assert.equal(connection.receivedBytes, before + 9)
    })
  })

  describe('refuses', () => {
    const cases: readonly [string, OutgoingHttpHeaders, number, string][] = [
      ['an unknown :protocol', { ':protocol': 'connect-udp' }, 501, 'protocol_unsupported'],
      ['a Content-Length', { 'content-length': '5' }, 400, 'websocket_malformed'],
      ['no version', { 'sec-websocket-version': undefined }, 400, 'websocket_version_unsupported'],
      ['version 8', { 'sec-websocket-version': '8' }, 400, 'websocket_version_unsupported'],
    ]
    for (const [name, headers, status, reason] of cases) {
      it(`${name}, and keeps the connection`, async () => {
        await start()
        const stream = ask(headers)
        assert.equal((await replyOf(stream))[':status'], status)
        assert.match(await textOf(stream), new RegExp(`"reason":"${reason}"`))
        const get = session.request({ ':path': '/', ':authority': 'api.example' })
        assert.equal((await replyOf(get))[':status'], 200)
        get.resume()
        assert.equal(harness.workload.seen.length, 1)
      })
    }

    it('a CONNECT without :protocol, as before', async () => {
      await start()
      const stream = session.request({ ':method': 'CONNECT', ':authority': 'api.example' })
      stream.on('error', () => undefined)
      assert.equal((await replyOf(stream))[':status'], 405)
    })
  })
})

/** A WebSocket on a stream that is open already. */
function overStream(stream: Duplex, isServer = false): WebSocket {
  const constructed = new (
    WebSocket as unknown as new (
      address: null,
      protocols: undefined,
      options: object,
    ) => WebSocket & { setSocket(socket: Duplex, head: Buffer, options: object): void }
  )(null, undefined, {})
  Object.assign(constructed, { _isServer: isServer, _closeTimeout: 30_000 })
  Object.assign(stream, { setTimeout: () => stream, setNoDelay: () => stream })
  constructed.setSocket(stream, Buffer.alloc(0), {
    allowSynchronousEvents: true,
    maxPayload: 64 << 20,
    skipUTF8Validation: false,
  })
  constructed.on('error', () => undefined)
  return constructed
}

/** What was written and does not wait at its source is in the sockets of loopback, which hold some MiB, or in us. */
function socketsHoldAtMost(written: number, waiting: number): boolean {
  return written - waiting <= 12 << 20
}

async function collect(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

async function textOf(stream: Duplex): Promise<string> {
  return (await collect(stream)).toString()
}
