import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import { h2 } from '../../src/http2/errors.ts'
import { EchoServer } from './support/echo-server.ts'

interface NodeReply {
  readonly status: number
  readonly body: Buffer
  readonly trailers: Record<string, unknown>
}

describe("Node's HTTP/2 client against ours", () => {
  let server: EchoServer
  let session: ClientHttp2Session

  beforeEach(async () => {
    server = await EchoServer.start({
      limits: { streamWindowBytes: 20_000, connectionWindowBytes: 70_000 },
    })
  })

  afterEach(async () => {
    session.destroy()
    await server.close()
  })

  async function open(settings: http2.Settings = {}): Promise<void> {
    session = http2.connect(`http://127.0.0.1:${server.port}`, { settings })
    session.on('error', () => undefined)
    await once(session, 'connect')
  }

  it('gets a reply', async () => {
    await open()
    const reply = await exchange(session.request({ ':path': '/' }))
    assert.equal(reply.status, 200)
    assert.equal(reply.body.toString(), 'hello world\n')
  })

  for (const bytes of [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1_048_576]) {
    it(`gets ${bytes} bytes back as it sent them`, async () => {
      await open()
      const body = pattern(bytes)
      const reply = await exchange(session.request({ ':method': 'POST', ':path': '/echo' }), body)
      assert.ok(reply.body.equals(body))
    })
  }

  it('gets trailers back', async () => {
    await open()
    const stream = session.request(
      { ':method': 'POST', ':path': '/echo' },
      { waitForTrailers: true },
    )
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }))
    const reply = await exchange(stream, pattern(100_000))
    assert.equal(reply.trailers['x-sum'], '42')
    assert.equal(reply.body.length, 100_000)
  })

  for (const window of [100, 1_000, 65_535, 1_000_000]) {
    it(`may have a window of ${window} bytes, with many streams at once`, async () => {
      await open({ initialWindowSize: window })
      const bodies = Array.from({ length: 20 }, (_, i) => pattern(3_000 * i))
      const replies = await Promise.all(
        bodies.map((body) =>
          exchange(session.request({ ':method': 'PUT', ':path': '/echo' }), body),
        ),
      )
      replies.forEach((reply, i) => assert.ok(reply.body.equals(bodies[i] ?? Buffer.alloc(0))))
    })
  }

  it('may do without a header table', async () => {
    await open({ headerTableSize: 0 })
    for (let i = 0; i < 5; i++) {
      const reply = await exchange(
        session.request({ ':path': '/', 'x-i': `${i}`, 'x-same': 'same' }),
      )
      assert.equal(reply.status, 200)
    }
  })

  it('may send every byte that a value can hold', async () => {
    await open()
    const value = Array.from({ length: 95 }, (_, i) => String.fromCharCode(0x20 + i))
      .join('')
      .trim()
    for (let i = 0; i < 3; i++) {
      assert.equal((await exchange(session.request({ ':path': '/', 'x-all': value }))).status, 200)
    }
    assert.deepEqual(server.heads.at(-1)?.fields, ['x-all', value])
  })

  it('is told of a refused request with its status', async () => {
    await open()
    const refused = await exchange(
      session.request({ ':path': '/', ':authority': 'api.example', host: 'other.example' }),
    )
    assert.equal(refused.status, 400)
    const large = await exchange(session.request({ ':path': '/', 'x-large': 'l'.repeat(20_000) }))
    assert.equal(large.status, 431)
    assert.equal((await exchange(session.request({ ':path': '/' }))).status, 200)
  })

  it('may reset streams, and go on', async () => {
    await open()
    for (let i = 0; i < 20; i++) {
      const stream = session.request({ ':method': 'POST', ':path': '/echo' })
      stream.on('error', () => undefined)
      stream.write(pattern(10_000))
      await once(stream, 'response')
      stream.close(h2.CANCEL)
      await once(stream, 'close')
    }
    assert.equal((await exchange(session.request({ ':path': '/' }))).status, 200)
    assert.deepEqual(server.faults, [])
  })

  it('sees a graceful end: what runs is finished, then the session closes', async () => {
    await open()
    const stream = session.request({ ':method': 'POST', ':path': '/echo' })
    stream.write('first ')
    await once(stream, 'response')
    server.shutdown()
    await once(session, 'goaway')
    const reply = await exchange(stream, Buffer.from('last'))
    assert.equal(reply.body.toString(), 'first last')
    await once(session, 'close')
  })

  it('gets its ping back', async () => {
    await open()
    const payload = Buffer.from('abcdefgh')
    const echoed = await new Promise<Buffer>((resolve) =>
      session.ping(payload, (_error, _duration, answer: Buffer) => resolve(answer)),
    )
    assert.deepEqual(echoed, payload)
  })
})

function pattern(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + (i >>> 8)) & 0xff))
}

async function exchange(stream: ClientHttp2Stream, body?: Buffer): Promise<NodeReply> {
  const parts: Buffer[] = []
  let trailers: Record<string, unknown> = {}
  let status = 0
  stream.on('response', (headers) => (status = Number(headers[':status'])))
  stream.on('data', (chunk: Buffer) => parts.push(chunk))
  stream.on('trailers', (headers: OutgoingHttpHeaders) => (trailers = headers))
  stream.end(body)
  await once(stream, 'close')
  return { status, body: Buffer.concat(parts), trailers }
}
