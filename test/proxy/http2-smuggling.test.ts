import assert from 'node:assert/strict'
import { h2 } from '../../src/http2/errors.ts'
import { data, END, get, headers } from '../http2/support/raw-frames.ts'
import { type SeenRequest, Workload } from '../support/workload.ts'
import { eventually } from './support/eventually.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { RawPeer } from './support/http2-raw-peer.ts'

const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n'

/** A head without what `without` names. */
function head(method: string, ...more: string[]): string[] {
  const target = [':method', method, ':scheme', 'https', ':authority', 'a', ':path', '/a']
  return [...target, ...more]
}

describe('HTTP/2 in, one framing towards a workload of HTTP/1.1', () => {
  let workload: Workload
  let proxy: AnyProxy
  let caller: RawPeer

  before(async () => {
    workload = await Workload.start()
    proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'http1', upstreamPort: workload.port },
    })
  })

  after(async () => {
    await proxy.close()
    await workload.close()
  })

  beforeEach(async () => {
    workload.seen.length = 0
    workload.parserErrors.length = 0
    proxy.failures.length = 0
    caller = await RawPeer.caller(proxy.port)
  })

  afterEach(async () => {
    caller.raw.destroy()
    await assertVictimUnharmed()
    assert.deepEqual(proxy.bugs, [])
  })

  /** Another caller, over the same pool, is answered for what it asked and for nothing else. */
  async function assertVictimUnharmed(): Promise<void> {
    await eventually(() => proxy.open === 0)
    const before = workload.seen.length
    const victim = await RawPeer.caller(proxy.port)
    victim.send(headers(1, get(), END))
    await victim.has('HEADERS 1 200')
    victim.raw.destroy()
    assert.deepEqual(
      workload.seen.slice(before).map(({ method, url }) => `${method} ${url}`),
      ['GET /'],
    )
    assert.deepEqual(workload.parserErrors.filter(isOfRequest), [])
  }

  function onlyRequest(): SeenRequest {
    assert.equal(workload.seen.length, 1, workload.seen.map(({ url }) => url).join())
    return workload.seen[0]!
  }

  describe('frames a body that looks like a request:', () => {
    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST', 'PUT', 'PROPFIND']) {
      it(`${method} with a length`, async () => {
        const length = String(smuggled.length)
        caller.send(headers(1, head(method, 'content-length', length)), data(1, smuggled, END))
        await eventually(() => workload.seen.length > 0)
        assert.equal(onlyRequest().body.toString(), smuggled)
        assertFraming(onlyRequest(), 'content-length', length)
      })

      it(`${method} without one`, async () => {
        caller.send(headers(1, head(method)), data(1, smuggled, END))
        await eventually(() => workload.seen.length > 0)
        assert.equal(onlyRequest().body.toString(), smuggled)
        assertFraming(onlyRequest(), 'transfer-encoding', 'chunked')
      })

      it(`${method} without a body, and then one that is none`, async () => {
        caller.send(headers(1, head(method)), data(1, '', END))
        await eventually(() => workload.seen.length > 0)
        assert.equal(onlyRequest().body.length, 0)
      })
    }
  })

  const refused: readonly { name: string; fields: string[]; code?: number; status?: number }[] = [
    { name: 'transfer-encoding', fields: head('POST', 'transfer-encoding', 'chunked') },
    { name: 'connection', fields: head('POST', 'connection', 'x-a') },
    { name: 'keep-alive', fields: head('POST', 'keep-alive', '1') },
    { name: 'proxy-connection', fields: head('POST', 'proxy-connection', 'close') },
    { name: 'upgrade', fields: head('POST', 'upgrade', 'h2c') },
    { name: 'te of anything but trailers', fields: head('POST', 'te', 'gzip') },
    { name: 'two lengths', fields: head('POST', 'content-length', '1', 'content-length', '2') },
    {
      name: 'two lengths that agree',
      fields: head('POST', 'content-length', '5', 'content-length', '5'),
    },
    { name: 'a signed length', fields: head('POST', 'content-length', '+5') },
    { name: 'a length in hex', fields: head('POST', 'content-length', '0x5') },
    { name: 'a list of lengths', fields: head('POST', 'content-length', '5, 5') },
    { name: 'an empty length', fields: head('POST', 'content-length', '') },
    { name: 'CR LF in a value', fields: head('POST', 'x-a', 'b\r\nx-evil: 1') },
    { name: 'LF in a value', fields: head('POST', 'x-a', 'b\nx-evil: 1') },
    { name: 'CR in a value', fields: head('POST', 'x-a', 'b\rx-evil: 1') },
    { name: 'NUL in a value', fields: head('POST', 'x-a', 'b\0c') },
    { name: 'white space before a value', fields: head('POST', 'x-a', ' b') },
    { name: 'white space behind a value', fields: head('POST', 'x-a', 'b ') },
    { name: 'CR LF in a name', fields: head('POST', 'x-a\r\nx-evil', '1') },
    { name: 'a colon in a name', fields: head('POST', 'x-a: 1', '1') },
    { name: 'a space in a name', fields: head('POST', 'x a', '1') },
    { name: 'an empty name', fields: head('POST', '', '1') },
    { name: 'a name in upper case', fields: head('POST', 'X-A', '1') },
    { name: 'upper-case Content-Length', fields: head('POST', 'Content-Length', '5') },
    { name: 'a pseudo-header that does not exist', fields: head('POST', ':evil', '1') },
    { name: 'a pseudo-header behind others', fields: ['x-a', '1', ...head('POST')] },
    { name: 'two methods', fields: head('POST', ':method', 'GET') },
    { name: 'two paths', fields: head('POST', ':path', '/b') },
    { name: 'two authorities', fields: head('POST', ':authority', 'b') },
    { name: 'a status', fields: head('POST', ':status', '200') },
    { name: 'no path', fields: [':method', 'POST', ':scheme', 'https', ':authority', 'a'] },
    {
      name: 'an empty path',
      fields: [':method', 'POST', ':scheme', 'https', ':authority', 'a', ':path', ''],
    },
    {
      name: 'a request line in the path',
      fields: withPath('/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /b'),
    },
    { name: 'a space in the path', fields: withPath('/a b') },
    { name: 'a request line in the method', fields: head('GET / HTTP/1.1\r\nx: ') },
    { name: 'a space in the method', fields: head('GET /b') },
    { name: 'a path that is no path', fields: withPath('a') },
    { name: 'a path in absolute form', fields: withPath('http://evil/') },
    { name: ':protocol without leave', fields: head('POST', ':protocol', 'websocket') },
    { name: 'CONNECT', fields: head('CONNECT'), status: 405 },
    { name: 'TRACE', fields: head('TRACE'), status: 405 },
    { name: 'Host against :authority', fields: head('POST', 'host', 'evil'), status: 400 },
    { name: 'several Hosts', fields: head('POST', 'host', 'a', 'host', 'a'), status: 400 },
    { name: 'an authority with a user', fields: withAuthority('u@a'), status: 400 },
    { name: 'CR LF in the authority', fields: withAuthority('a\r\nx-evil: 1') },
    { name: 'a space in the authority', fields: withAuthority('a b'), status: 400 },
    { name: 'a slash in the authority', fields: withAuthority('a/b'), status: 400 },
    {
      name: 'no authority at all',
      fields: [':method', 'POST', ':scheme', 'https', ':path', '/a'],
      status: 400,
    },
  ]
  describe('refuses, and sends nothing on:', () => {
    for (const { name, fields, status } of refused) {
      it(name, async () => {
        caller.send(headers(1, fields), data(1, smuggled, END))
        await eventually(
          () => caller.frames.some(isAnswer),
          () => caller.frames.join(),
        )
        const replied = caller.frames.find((line) => line.startsWith('HEADERS 1 '))
        if (status !== undefined) assert.match(replied ?? '', new RegExp(`^HEADERS 1 ${status}`))
        else assert.ok(replied === undefined || / 4\d\d/.test(replied), replied)
        assert.deepEqual(workload.seen, [])
        assert.deepEqual(workload.parserErrors.filter(isOfRequest), [])
      })
    }

    for (const [name, length, body] of [
      ['a body longer than its length', '5', smuggled],
      ['a body shorter than its length', '100', 'short'],
      ['a body beside the length 0', '0', smuggled],
    ] as const) {
      it(name, async () => {
        caller.send(headers(1, head('POST', 'content-length', length)), data(1, body, END))
        await caller.has(`RST_STREAM 1 code=${h2.PROTOCOL_ERROR}`)
        await eventually(() => proxy.open === 0)
        assert.deepEqual(workload.seen, [])
      })
    }

    it('a length where there is no body', async () => {
      caller.send(headers(1, head('POST', 'content-length', '5'), END))
      await caller.has(`RST_STREAM 1 code=${h2.PROTOCOL_ERROR}`)
      assert.deepEqual(workload.seen, [])
    })

    for (const name of ['content-length', 'transfer-encoding', 'host', ':path', 'connection']) {
      it(`${name} behind the body`, async () => {
        caller.send(headers(1, head('POST')), data(1, 'x'), headers(1, [name, '5'], END))
        await eventually(() => caller.frames.some((line) => /^(?:RST_STREAM 1|GOAWAY) /.test(line)))
        await eventually(() => proxy.open === 0)
        assert.deepEqual(workload.seen, [])
      })
    }
  })

  describe('removes what another reader could take for framing or for ours:', () => {
    const names = [
      ...['content_length', 'transfer_encoding', 'http2-settings', 'trailer', 'proxy_connection'],
      ...['x-postern-product', 'x_postern_product', 'x-postern_anything', 'x-forwarded-for'],
      ...['x_forwarded_for', 'x-forwarded-client-cert', 'x_api_key', 'x-real-ip', 'forwarded'],
    ]
    for (const name of names) {
      it(name, async () => {
        caller.send(
          headers(1, head('POST', name, '6666')),
          data(1, 'hi'),
          headers(1, ['x-end', '1'], END),
        )
        await eventually(() => workload.seen.length > 0)
        assert.equal(onlyRequest().body.toString(), 'hi')
        assert.ok(!onlyRequest().rawHeaders.includes('6666'))
        assert.deepEqual({ ...onlyRequest().trailers }, { 'x-end': '1' })
      })

      it(`${name} behind the body`, async () => {
        caller.send(
          headers(1, head('POST')),
          data(1, 'hi'),
          headers(1, ['x-end', '1', name, '6666'], END),
        )
        await eventually(
          () => caller.frames.some(isAnswer),
          () => caller.frames.join(),
        )
        if (workload.seen.length === 0) return
        assert.equal(onlyRequest().body.toString(), 'hi')
        assert.deepEqual({ ...onlyRequest().trailers }, { 'x-end': '1' })
      })
    }
  })
})

function isAnswer(frame: string): boolean {
  return /^(?:RST_STREAM 1|GOAWAY|HEADERS 1) /.test(frame)
}

function withPath(path: string): string[] {
  return [':method', 'POST', ':scheme', 'https', ':authority', 'a', ':path', path]
}

function withAuthority(authority: string): string[] {
  return [':method', 'POST', ':scheme', 'https', ':authority', authority, ':path', '/a']
}

/** A request that was cut off says nothing of what it held. */
function isOfRequest(error: NodeJS.ErrnoException): boolean {
  return error.code !== 'HPE_INVALID_EOF_STATE' && error.code !== 'ECONNRESET'
}

function assertFraming(seen: SeenRequest, name: string, value: string): void {
  const found = ['content-length', 'transfer-encoding'].flatMap((one) => {
    const text = seen.headers[one]
    return text === undefined ? [] : [[one, text]]
  })
  assert.deepEqual(found, [[name, value]])
}
