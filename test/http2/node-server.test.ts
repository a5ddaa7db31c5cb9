import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { h2 } from '../../src/http2/errors.ts'
import { CodecClient } from './support/codec-client.ts'

describe("our HTTP/2 client against Node's server", () => {
  let server: Http2Server
  let session: ServerHttp2Session
  let client: CodecClient

  afterEach(async () => {
    client.close()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })

  async function open(settings: http2.Settings, window = 262_144): Promise<void> {
    server = http2.createServer({ settings })
    server.on('stream', answer)
    server.on('session', (opened) => (session = opened))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const limits = { streamWindowBytes: window, connectionWindowBytes: Math.max(window, 65_535) }
    client = await CodecClient.connect((server.address() as AddressInfo).port, { limits })
  }

  for (const bytes of [0, 1, 16_384, 65_536, 1_048_576]) {
    it(`sends ${bytes} bytes and gets them back`, async () => {
      await open({})
      const body = Buffer.alloc(bytes, 'abcdefg')
      const reply = await client.call({ method: 'POST', path: '/echo', body: [body] })
      assert.equal(reply.status, 200)
      assert.ok(reply.body.equals(body))
    })
  }

  for (const window of [100, 10_000, 1_000_000]) {
    it(`does with windows of ${window} bytes at both ends, and many streams`, async () => {
      await open({ initialWindowSize: window }, window)
      const bodies = Array.from({ length: 20 }, (_, i) => Buffer.alloc(2_000 * i, `${i} `))
      const replies = await Promise.all(
        bodies.map((body) => client.call({ method: 'POST', path: '/echo', body: [body] })),
      )
      replies.forEach((reply, i) => assert.ok(reply.body.equals(bodies[i] ?? Buffer.alloc(0))))
    })
  }

  it('sends and gets trailers', async () => {
    await open({})
    const body = [Buffer.from('hel'), Buffer.from('lo')]
    const reply = await client.call({
      method: 'POST',
      path: '/echo',
      body,
      trailers: ['x-sum', '5'],
    })
    assert.equal(reply.body.toString(), 'hello')
    assert.deepEqual(reply.trailers, ['x-sum', '5'])
  })

  it('gets informational replies', async () => {
    await open({})
    const reply = await client.call({ path: '/early' })
    assert.deepEqual(reply.informational, [103])
    assert.equal(reply.status, 204)
  })

  it('sends fields that the server reads as they were, again and again', async () => {
    await open({ headerTableSize: 100 })
    const fields = ['x-a', 'one', 'X-B', '"\u00fc"', 'cookie', 'a=1', 'authorization', 'Bearer x']
    for (let i = 0; i < 4; i++) {
      const reply = await client.call({ path: '/fields', fields: [...fields, 'x-i', String(i)] })
      const read = JSON.parse(reply.body.toString('latin1')) as Record<string, string>
      assert.equal(read['x-a'], 'one')
      assert.equal(read['x-b'], '"\u00fc"')
      assert.equal(read['cookie'], 'a=1')
      assert.equal(read['authorization'], 'Bearer x')
      assert.equal(read['x-i'], String(i))
    }
  })

  it('hears a reset, and goes on', async () => {
    await open({})
    await assert.rejects(client.call({ path: '/reset' }), /code=7 peer/)
    assert.equal((await client.call({ path: '/early' })).status, 204)
  })

  it('gives a call up in the middle, and goes on', async () => {
    await open({})
    await assert.rejects(client.call({ path: '/large', cancelAfter: 10_000 }), /cancelled/)
    assert.equal((await client.call({ path: '/early' })).status, 204)
  })

  it('keeps to the number of streams that the server takes', async () => {
    await open({ maxConcurrentStreams: 3 })
    const calls = [1, 2, 3].map(() => client.call({ path: '/early' }))
    await assert.rejects(client.call({ path: '/early' }), /refused/)
    await Promise.all(calls)
  })

  it('follows a GOAWAY', async () => {
    await open({})
    await client.call({ path: '/early' })
    session.close()
    await once(session, 'close')
    assert.equal(client.connection.availableStreams, 0)
    assert.ok(client.log.includes('finished'))
  })
})

function answer(stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  stream.on('error', () => undefined)
  switch (headers[':path'] ?? '') {
    case '/echo':
      echo(stream)
      return
    case '/early':
      stream.additionalHeaders({ ':status': 103, link: '</a>' })
      stream.respond({ ':status': 204 }, { endStream: true })
      return
    case '/fields':
      stream.respond({ ':status': 200 })
      stream.end(Buffer.from(JSON.stringify(headers), 'latin1'))
      return
    case '/large':
      stream.respond({ ':status': 200 })
      stream.end(Buffer.alloc(1_000_000))
      return
    default:
      stream.close(h2.REFUSED_STREAM)
  }
}

function echo(stream: ServerHttp2Stream): void {
  let trailers: http2.IncomingHttpHeaders = {}
  stream.on('trailers', (received) => (trailers = received))
  stream.respond({ ':status': 200 }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.pipe(stream)
}
