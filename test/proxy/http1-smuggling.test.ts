import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { bytesOf } from '../http1/recorder.ts'
import { acceptedRequests, refusedRequests } from '../http1/request-table.ts'
import { type SeenRequest, Workload } from '../support/workload.ts'
import { eventually } from './support/eventually.ts'
import { identityFields, PlainProxy } from './support/plain-proxy.ts'
import { RawSocket } from './support/raw-socket.ts'

/** What the parser of the workload may complain of when a request is cut off: never of what a request holds. */
const cutOff = new Set(['HPE_INVALID_EOF_STATE', 'ECONNRESET'])

const smuggled = 'GET /smuggled HTTP/1.1\nHost: evil\n\n'

describe('one framing towards the workload', () => {
  let workload: Workload
  let proxy: PlainProxy

  before(async () => {
    workload = await Workload.start()
    proxy = await PlainProxy.start({ upstreamPort: workload.port, maxBodyBytes: 1_000_000 })
  })

  after(async () => {
    await proxy.close()
    await workload.close()
  })

  beforeEach(() => {
    workload.seen.length = 0
    workload.parserErrors.length = 0
    proxy.requests.length = 0
    proxy.refusals.length = 0
  })

  afterEach(async () => {
    await assertVictimUnharmed()
    assert.deepEqual(proxy.bugs, [])
  })

  /** Another caller, over the same pool, is answered for what it asked and for nothing else. */
  async function assertVictimUnharmed(): Promise<void> {
    const before = workload.seen.length
    const caller = await RawSocket.connect(proxy.port)
    caller.write(bytesOf('GET /victim HTTP/1.1\nHost: a\nConnection: close\n\n'))
    await caller.ended()
    caller.destroy()
    assert.match(caller.text, /^HTTP\/1\.1 200 .*"url":"\/victim"/s)
    assert.equal(caller.text.split('HTTP/1.1').length, 2)
    assert.deepEqual(
      workload.seen.slice(before).map((request) => request.url),
      ['/victim'],
    )
  }

  /** Sends `text` and what follows it, ends the connection in order, and returns everything that came back. */
  async function send(text: string, replies: number): Promise<string> {
    const caller = await RawSocket.connect(proxy.port)
    caller.write(bytesOf(text))
    await eventually(
      () => caller.hasEnded || caller.isClosed || countReplies(caller.text) >= replies,
      () => `${replies} replies in ${JSON.stringify(caller.text)}`,
    )
    caller.fin()
    await caller.ended()
    caller.destroy()
    return caller.text
  }

  describe('refuses, with a single reply, and sends no whole request on:', () => {
    for (const [name, text, code, status = 400] of refusedRequests) {
      it(name, async () => {
        const replies = await send(text + smuggled, 2)
        assert.match(
          replies,
          new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\nconnection: close\\r\\n`, 's'),
        )
        assert.equal(countReplies(replies), 1)
        assert.deepEqual(
          proxy.refusals.map((refusal) => refusal.code),
          [code],
        )
        assert.deepEqual(workload.seen, [])
        const complaints = workload.parserErrors.map((error: NodeJS.ErrnoException) => error.code)
        assert.deepEqual(
          complaints.filter((complaint) => !cutOff.has(complaint ?? '')),
          [],
        )
      })
    }
  })

  describe('sends on as one request, whole and alone:', () => {
    for (const { name, text, is } of acceptedRequests) {
      const [method = ''] = text.trimStart().split(' ')
      if (!METHODS.includes(method)) continue
      it(name, async () => {
        await send(text, 1)
        const seen = onlyRequest()
        assert.equal(seen.method, method)
        assertOneFraming(seen)
        assertOurIdentity(seen)
        if (is.path !== undefined) assert.equal(seen.url, is.path)
        if (is.body !== undefined) assert.equal(seen.body.toString('latin1'), is.body)
      })
    }
  })

  const body = bytesOf(smuggled).toString('latin1')
  const withBody = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'PROPFIND']
  describe('frames a body that looks like a request:', () => {
    for (const method of withBody) {
      it(`${method} with a length`, async () => {
        await send(
          `${method} /a HTTP/1.1\nHost: a\nContent-Length: ${body.length}\n\n${smuggled}`,
          1,
        )
        assert.equal(onlyRequest().body.toString(), body)
        assertOneFraming(onlyRequest())
      })

      it(`${method} in chunks`, async () => {
        const size = body.length.toString(16)
        await send(
          `${method} /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n${size}\n${smuggled}\n0\n\n`,
          1,
        )
        assert.equal(onlyRequest().body.toString(), body)
        assertOneFraming(onlyRequest())
      })

      it(`${method} without a body, and then a request that is one`, async () => {
        await send(`${method} /a HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\nHost: a\n\n`, 2)
        assert.deepEqual(
          workload.seen.map((seen) => [seen.method, seen.url, seen.body.length]),
          [
            [method, '/a', 0],
            ['GET', '/b', 0],
          ],
        )
      })
    }
  })

  describe('removes names that another reader could take for framing:', () => {
    const names = [
      'Content_Length',
      'Transfer_Encoding',
      'transfer_encoding',
      'Proxy-Connection',
      'Keep-Alive',
      'Upgrade',
      'HTTP2-Settings',
      'Trailer',
      'TE',
    ]
    for (const name of names) {
      it(name, async () => {
        await send(`POST /a HTTP/1.1\nHost: a\n${name}: 5\nContent-Length: 2\n\nhi`, 1)
        const seen = onlyRequest()
        assert.equal(seen.body.toString(), 'hi')
        assert.ok(!seen.rawHeaders.includes('5'))
      })
    }

    it('Content-Length that Connection lists, which frames all the same', async () => {
      await send('POST / HTTP/1.1\nHost: a\nConnection: content-length\nContent-Length: 2\n\nhi', 1)
      assert.deepEqual(valuesOf(onlyRequest(), 'content-length'), ['2'])
      assert.equal(onlyRequest().body.toString(), 'hi')
    })

    it('Host that Connection lists, which names the host all the same', async () => {
      await send('GET / HTTP/1.1\nHost: a\nConnection: host\n\n', 1)
      assert.deepEqual(valuesOf(onlyRequest(), 'host'), ['a'])
    })
  })

  describe('lets nobody else say who calls:', () => {
    const forgeries = [
      'x-postern-product: admin',
      'X-Postern-Product: admin',
      'X_Postern_Product: admin',
      'x_postern_product: admin',
      'x-postern_product: admin',
      'x-postern-product:admin\nx-postern-product: root',
      'x-postern-principal: admin\nConnection: x-postern-principal',
      'Connection: x-postern-product',
      'Connection: X-Postern-Product, x_postern_principal',
      'x-postern-anything: admin',
      'x_postern_: admin',
      'X-Forwarded-Client-Cert: admin',
      'x_forwarded_client_cert: admin',
      'X-Forwarded-For: admin',
      'X_Forwarded_For: admin',
      'X-Forwarded-Host: admin',
      'X-Forwarded-Proto: admin',
      'Forwarded: for=admin',
      'X-Real-IP: admin',
      'X-Api-Key: admin',
      'X_Api_Key: admin',
      'x-api_key: admin',
      'Authorization: ApiKey admin',
      'authorization: apikey   admin',
      'authorization: ApiKey\tadmin',
      'Proxy-Authorization: admin',
      'Proxy_Authorization: admin',
    ]
    for (const forgery of forgeries) {
      it(JSON.stringify(forgery), async () => {
        await send(`GET /a HTTP/1.1\nHost: a\n${forgery}\n\n`, 1)
        assertOurIdentity(onlyRequest())
        assert.ok(!onlyRequest().rawHeaders.join('\n').includes('admin'))
      })

      it(`${JSON.stringify(forgery)} behind a body`, async () => {
        const replies = await send(
          `POST /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n${forgery}\n\n`,
          1,
        )
        if (replies.startsWith('HTTP/1.1 400 ')) {
          assert.equal(proxy.refusals[0]?.code, 'trailer_forbidden')
          assert.deepEqual(workload.seen, [])
        } else {
          assertOurIdentity(onlyRequest())
          assert.deepEqual(onlyRequest().trailers, {})
        }
      })
    }

    it('while other trailers and an authorization of another scheme pass', async () => {
      await send(
        'POST /a HTTP/1.1\nHost: a\nAuthorization: Bearer x\nTransfer-Encoding: chunked\n\n0\nX-Sum: 1\n\n',
        1,
      )
      assert.deepEqual({ ...onlyRequest().trailers }, { 'x-sum': '1' })
      assert.deepEqual(valuesOf(onlyRequest(), 'authorization'), ['Bearer x'])
    })
  })

  describe('takes the host from one place:', () => {
    const hosts = [
      { name: 'origin-form', target: '/a', host: 'api.example', told: 'api.example' },
      {
        name: 'absolute-form',
        target: 'http://api.example/a',
        host: 'api.example',
        told: 'api.example',
      },
      {
        name: 'absolute-form with the default port',
        target: 'http://a:80/a',
        host: 'a',
        told: 'a',
      },
    ]
    for (const { name, target, host, told } of hosts) {
      it(name, async () => {
        await send(`GET ${target} HTTP/1.1\nHost: ${host}\n\n`, 1)
        assert.equal(onlyRequest().url, '/a')
        assert.deepEqual(valuesOf(onlyRequest(), 'host'), [told])
      })
    }
  })

  function onlyRequest(): SeenRequest {
    assert.deepEqual(workload.parserErrors, [])
    assert.equal(workload.seen.length, 1, workload.seen.map((seen) => seen.url).join())
    return workload.seen[0]!
  }
})

function countReplies(text: string): number {
  return text.split(/HTTP\/1\.1 [2-5]/).length - 1
}

/** Values under a name in any case, with `-` and `_` taken as the same. */
function valuesOf(seen: SeenRequest, name: string): string[] {
  const wanted = canonical(name)
  return pairsOf(seen.rawHeaders).flatMap(([key, value]) =>
    canonical(key) === wanted ? [value] : [],
  )
}

function assertOneFraming(seen: SeenRequest): void {
  const lengths = valuesOf(seen, 'content-length')
  const encodings = valuesOf(seen, 'transfer-encoding')
  assert.ok(lengths.length + encodings.length <= 1, `${lengths.join()} ${encodings.join()}`)
  if (seen.body.length > 0) assert.equal(lengths.length + encodings.length, 1)
}

function assertOurIdentity(seen: SeenRequest): void {
  const found = pairsOf(seen.rawHeaders).filter(([key]) => canonical(key).startsWith('x-postern-'))
  assert.deepEqual(found.flat(), identityFields)
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!])
}

function canonical(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}
