import assert from 'node:assert/strict'
import { createHash, type Hash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import {
  data,
  END,
  get,
  headers,
  post,
  setting,
  windowUpdate,
} from '../http2/support/raw-frames.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually, settle } from './support/eventually.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { useHttp2 } from './support/http2-fixture.ts'
import { RawPeer } from './support/http2-raw-peer.ts'

const bodyBytes = 50 * 1024 * 1024
const piece = Buffer.alloc(64 * 1024, 'piece')
const pieces = bodyBytes / piece.length

/** A window, what one read brings more, and what a socket takes before it asks to wait. */
const mostHeldBytes = 128 * 1024 + 64 * 1024 + 64 * 1024

/** What one turn hands to a socket before it asks to wait: data, and the heads of its frames. */
const mostUnwrittenBytes = 128 * 1024 + 32 * 1024

type Serve = (request: Readable & { url?: string | undefined }, response: Writable) => void

/** Node's own server of either protocol. */
async function serve(protocol: 'http1' | 'h2c', answer: Serve, settings: http2.Settings = {}) {
  const sessions = new Set<http2.ServerHttp2Session>()
  const server =
    protocol === 'http1'
      ? http.createServer((request, response) => answer(request, response))
      : http2.createServer({ settings }, (request, response) =>
          answer(request, response as unknown as Writable),
        )
  server.on('session', (session: http2.ServerHttp2Session) => sessions.add(session))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy()
      if (server instanceof http.Server) server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Call {
  readonly body: Writable
  readonly reply: Promise<Readable>
  end(): void
}

function call(protocol: 'http1' | 'h2', port: number, method: string): Call {
  if (protocol === 'http1') {
    const request = http.request({ port, host: '127.0.0.1', method, agent: false })
    const reply = once(request, 'response').then(([response]) => response as Readable)
    return { body: request, reply, end: () => undefined }
  }
  const session = http2.connect(`http://127.0.0.1:${port}`)
  const stream = session.request({ ':method': method }, { endStream: method === 'GET' })
  return {
    body: stream,
    reply: once(stream, 'response').then(() => stream),
    end: () => session.destroy(),
  }
}

async function pour(to: Writable): Promise<void> {
  for (let i = 0; i < pieces; i++) if (!to.write(piece)) await once(to, 'drain')
  to.end()
}

/** Nothing has moved for so many looks: whoever can be stopped has stopped. */
async function standsStill(count: () => number): Promise<void> {
  let seen = -1
  while (seen !== count()) {
    seen = count()
    for (let i = 0; i < 5; i++) await settle()
  }
}

const expected = createHash('sha1')
for (let i = 0; i < pieces; i++) expected.update(piece)
const expectedDigest = expected.digest('hex')

async function digestOf(from: Readable): Promise<string> {
  const hash: Hash = createHash('sha1')
  for await (const chunk of from) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

for (const downstream of ['http1', 'h2'] as const) {
  for (const upstream of ['http1', 'h2c'] as const) {
    describe(`50 MiB, ${downstream} in and ${upstream} out`, () => {
      it('of a reply wait at the workload while the caller does not read', async () => {
        await using workload = await serve(upstream, (_request, response) => void pour(response))
        await using proxy = await AnyProxy.start({
          ...{ downstream, upstream, upstreamPort: workload.port },
        })
        const caller = call(downstream, proxy.port, 'GET')
        caller.body.end()
        const reply = await caller.reply
        reply.pause()
        await standsStill(() => proxy.heldBytes)
        assert.ok(proxy.peakHeldBytes > 0)
        assert.ok(proxy.peakHeldBytes <= mostHeldBytes, `${proxy.peakHeldBytes} bytes held`)
        assert.equal(await digestOf(reply), expectedDigest)
        assert.ok(proxy.peakHeldBytes <= mostHeldBytes, `${proxy.peakHeldBytes} bytes held`)
        caller.end()
      })

      it('of a request wait at the caller while the workload does not read', async () => {
        const gate = new EventEmitter()
        await using workload = await serve(upstream, (request, response) => {
          gate.once('open', () => void digestOf(request).then((digest) => response.end(digest)))
        })
        await using proxy = await AnyProxy.start({
          ...{ downstream, upstream, upstreamPort: workload.port },
        })
        const caller = call(downstream, proxy.port, 'POST')
        const poured = pour(caller.body)
        await eventually(() => proxy.heldBytes > 0)
        await standsStill(() => proxy.heldBytes)
        assert.ok(proxy.peakHeldBytes <= mostHeldBytes, `${proxy.peakHeldBytes} bytes held`)
        gate.emit('open')
        const chunks: Buffer[] = []
        for await (const chunk of await caller.reply) chunks.push(chunk as Buffer)
        await poured
        assert.equal(Buffer.concat(chunks).toString(), expectedDigest)
        assert.ok(proxy.peakHeldBytes <= mostHeldBytes, `${proxy.peakHeldBytes} bytes held`)
        caller.end()
      })
    })
  }
}

describe('streams that stand still', () => {
  const fixture = useHttp2()

  it('with replies of one caller hold up neither its other streams nor another caller', async () => {
    await fixture.start()
    const stalled = await fixture.caller(setting.INITIAL_WINDOW_SIZE, 0)
    const ids = Array.from({ length: 100 }, (_, i) => 2 * i + 1)
    stalled.send(...ids.map((id) => headers(id, get(), END)))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 199 GET / end')
    await workload.has('SETTINGS ack')
    const window = 128 * 1024
    for (const id of ids) {
      workload.send(headers(id, [':status', '200']))
      for (let sent = 0; sent < window; sent += 16_384)
        workload.send(data(id, piece.subarray(0, 16_384)))
    }
    await eventually(() => fixture.proxy.heldBytes === 100 * window)
    const other = await fixture.caller()
    other.send(headers(1, get(), END))
    await workload.has('HEADERS 201 GET / end')
    workload.send(headers(201, [':status', '200']))
    let sent = 0
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < 4; i++) workload.send(data(201, piece.subarray(0, 16_384)))
      sent += 65_536
      other.send(windowUpdate(0, 65_536), windowUpdate(1, 65_536))
      await eventually(() => other.bodyBytes === sent)
    }
    assert.equal(workload.raw.isClosed, false)
    stalled.send(windowUpdate(0, 10_000_000), windowUpdate(199, window))
    workload.send(data(199, '', END))
    await eventually(() => stalled.bodyBytes === window)
    stalled.raw.destroy()
    await workload.has('RST_STREAM 1 code=8')
  })

  it('with requests of a caller do not hold up its other requests', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const workload = await fixture.upstream(0, setting.INITIAL_WINDOW_SIZE, 0)
    await workload.has('HEADERS 1 GET / end')
    await workload.has('SETTINGS ack')
    workload.send(headers(1, [':status', '204'], END))
    const ids = Array.from({ length: 99 }, (_, i) => 2 * i + 3)
    const window = 128 * 1024
    for (const id of ids) {
      caller.send(headers(id, post()))
      for (let sent = 0; sent < window; sent += 16_384)
        caller.send(data(id, piece.subarray(0, 16_384)))
    }
    await eventually(() => fixture.proxy.heldBytes === 99 * window)
    caller.send(headers(201, post()))
    await workload.has('HEADERS 201 POST /')
    workload.send(windowUpdate(201, 2 ** 30), windowUpdate(0, 2 ** 30))
    let sent = 0
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < 4; i++) caller.send(data(201, piece.subarray(0, 16_384)))
      sent += 65_536
      await eventually(() => workload.bodyBytes === sent)
    }
    assert.equal(caller.raw.isClosed, false)
  })
})

describe('windows of a few bytes', () => {
  it('carry bodies whole, both ways', async () => {
    const settings = { initialWindowSize: 3 }
    await using workload = await serve(
      'h2c',
      (request, response) => void request.pipe(response),
      settings,
    )
    await using proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: workload.port },
    })
    const session = http2.connect(proxy.origin, { settings: { initialWindowSize: 5 } })
    const stream = session.request({ ':method': 'POST' })
    const sent = Buffer.from('every byte counts '.repeat(40))
    stream.end(sent)
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    assert.equal(Buffer.concat(chunks).toString(), sent.toString())
    session.close()
    await once(session, 'close')
    assert.deepEqual(proxy.bugs, [])
  })
})

describe('a caller that reads slowly', () => {
  it('gets its last reply whole while the connection drains', async () => {
    const clock = new FakeClock()
    await using workload = await serve('h2c', (_request, response) => void pour(response))
    await using proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: workload.port, clock },
    })
    const caller = await RawPeer.caller(proxy.port, setting.INITIAL_WINDOW_SIZE, 2 ** 30)
    caller.send(windowUpdate(0, 2 ** 30), headers(1, get(), END))
    await caller.has('HEADERS 1 200')
    caller.raw.socket.pause()
    await standsStill(() => proxy.heldBytes)
    assert.ok(proxy.unwrittenBytes > 0)
    assert.ok(proxy.unwrittenBytes <= mostUnwrittenBytes, `${proxy.unwrittenBytes} bytes`)
    const [downstream] = proxy.downstreams
    downstream!.drain()
    for (let i = 0; i < 10; i++) {
      clock.advance(2_500)
      await settle()
    }
    caller.raw.socket.resume()
    await caller.raw.ended()
    assert.equal(caller.bodyBytes, bodyBytes)
    caller.raw.destroy()
    await eventually(() => proxy.downstreams.size === 0)
    assert.deepEqual(proxy.bugs, [])
  })
})

describe('a workload that does not read', () => {
  const fixture = useHttp2()

  it('makes the caller wait however large its windows are', async () => {
    await fixture.start()
    const caller = call('h2', fixture.proxy.port, 'POST')
    caller.body.on('error', () => undefined)
    caller.reply.catch(() => undefined)
    caller.body.write('hello')
    const workload = await fixture.upstream(0, setting.INITIAL_WINDOW_SIZE, 2 ** 30)
    workload.send(windowUpdate(0, 2 ** 30))
    await workload.has('DATA 1 5')
    workload.raw.socket.pause()
    pour(caller.body).catch(() => undefined)
    await eventually(() => fixture.proxy.unwrittenBytes > 0)
    await standsStill(() => fixture.proxy.heldBytes)
    const { heldBytes, unwrittenBytes } = fixture.proxy
    assert.ok(heldBytes <= mostHeldBytes, `${heldBytes} bytes held`)
    assert.ok(unwrittenBytes <= mostUnwrittenBytes, `${unwrittenBytes} bytes unwritten`)
    workload.raw.reset()
    caller.end()
  })
})
