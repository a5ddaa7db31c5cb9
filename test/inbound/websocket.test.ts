import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws'
import { ApiKeys } from '../../src/policy/api-keys.ts'
import { ProductMap } from '../../src/policy/product-map.ts'
import { RequestRule } from '../../src/policy/request-rule.ts'
import type { TestLeaf } from '../support/test-ca.ts'
import {
  bySpiffeId,
  type HarnessOptions,
  InboundHarness,
  product,
} from './support/inbound-harness.ts'
import { eventually, unchanged } from '../proxy/support/eventually.ts'

const own = 'spiffe://corp.example/checkout/web'

/** Real clients and a real server of WebSocket (`ws`) with the sidecar between them. */
describe('WebSocket', () => {
  let harness: InboundHarness
  let workload: WebSocketServer
  /** As the workload got them. */
  let seen: { readonly socket: WebSocket; readonly request: IncomingMessage }[]
  let leaf: TestLeaf

  async function start(options: HarnessOptions = {}): Promise<void> {
    harness = await InboundHarness.start({ plaintext: 'allow', ...options })
    leaf = await harness.corp.leaf({ spiffeId: own })
    seen = []
    workload = new WebSocketServer({ server: harness.workload.server, perMessageDeflate: true })
    workload.on('connection', (socket, request) => seen.push({ socket, request }))
  }

  afterEach(async () => {
    for (const client of workload.clients) client.terminate()
    workload.close()
    await harness.close()
  })

  /** An open WebSocket. */
  async function open(options: OpenOptions = {}): Promise<WebSocket> {
    const client = ask(options)
    await once(client, 'open')
    return client
  }

  function ask({ kind = 'svid', path = '/chat', ...options }: OpenOptions = {}): WebSocket {
    const { protocols = [], headers = {} } = options
    const scheme = kind === 'plaintext' ? 'ws' : 'wss'
    const client = new WebSocket(`${scheme}://127.0.0.1:${harness.port}${path}`, protocols, {
      rejectUnauthorized: false,
      ...(kind === 'svid' ? { cert: leaf.pem, key: leaf.keyPem } : {}),
      ...options,
      headers: { ...(kind === 'svid' ? {} : { 'x-api-key': harness.keys[0]!.key }), ...headers },
    })
    client.on('error', () => undefined)
    return client
  }

  function echo(): void {
    workload.on('connection', (socket) =>
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
    )
  }

  for (const kind of ['svid', 'key', 'plaintext'] as const) {
    it(`echoes 0 bytes to 16 MiB for a caller with ${kind}`, async () => {
      await start()
      echo()
      const client = await open({ kind, perMessageDeflate: false })
      for (const bytes of [0, 1, 125, 126, 65_535, 65_536, 1 << 24]) {
        const message = Buffer.alloc(bytes, `${bytes} of them`)
        client.send(message)
        const [reply] = (await once(client, 'message')) as [Buffer]
        assert.equal(Buffer.compare(reply, message), 0, `${bytes} bytes`)
      }
      client.close(1000, 'enough')
      assert.deepEqual(await closed(client), { code: 1000, reason: 'enough' })
    })
  }

  it('leaves subprotocols, extensions, pings and close codes to the two ends', async () => {
    await start()
    const client = await open({ protocols: ['chat.v2', 'chat.v1'], perMessageDeflate: true })
    const { socket } = seen[0]!
    assert.equal(client.protocol, 'chat.v2')
    assert.match(client.extensions, /permessage-deflate/)
    assert.match(socket.extensions, /permessage-deflate/)
    client.ping('are you')
    assert.equal(String((await once(client, 'pong'))[0]), 'are you')
    socket.ping('and you')
    assert.equal(String((await once(socket, 'pong'))[0]), 'and you')
    client.send('a'.repeat(100_000))
    assert.equal(String((await once(socket, 'message'))[0]).length, 100_000)
    socket.close(4321, 'moved')
    assert.deepEqual(await closed(client), { code: 4321, reason: 'moved' })
  })

  it('tells the workload who calls, and nothing that the caller says of itself', async () => {
    await start()
    await open({
      path: '/chat?room=7',
      headers: {
        'X-Postern-Product': 'forged',
        x_postern_principal: 'forged',
        'X-Forwarded-For': '6.6.6.6',
        Forwarded: 'for=6.6.6.6',
        Cookie: 'session=1',
        Origin: 'https://app.example',
      },
    })
    const { headers, url } = seen[0]!.request
    assert.equal(url, '/chat?room=7')
    assert.equal(headers.host, `127.0.0.1:${harness.port}`)
    assert.equal(headers['x-postern-product'], 'checkout')
    assert.equal(headers['x-postern-principal'], own)
    assert.equal(headers['x-postern-credential'], 'x509-svid')
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-forwarded-proto'], 'https')
    assert.equal(headers.cookie, 'session=1')
    assert.equal(headers.origin, 'https://app.example')
    assert.match(String(headers['traceparent']), /^00-/)
    for (const name of ['x_postern_principal', 'forwarded', 'via', 'x-api-key']) {
      assert.equal(headers[name], undefined, name)
    }
  })

  it('decides on the handshake: a caller that may not call never reaches the workload', async () => {
    await start()
    const forged = await harness.partnerB.leaf({ spiffeId: own })
    const cases: readonly [OpenOptions, number, string][] = [
      [{ kind: 'svid', cert: forged.pem, key: forged.keyPem }, 403, 'issuer_unknown'],
      [{ kind: 'key', headers: { 'x-api-key': 'no key' } }, 401, 'api_key_unknown'],
    ]
    for (const [options, status, reason] of cases) {
      assert.deepEqual(await refusal(ask(options)), { status, reason })
      const record = harness.telemetry.ended.at(-1)
      assert.equal(record?.record.protocol, 'websocket')
      assert.equal(record.outcome.status, status)
    }
    assert.equal(seen.length, 0)
  })

  it('goes by the requests that a product allows, as a GET of its path', async () => {
    const texts = { methods: ['GET'], paths: ['/chat/**'] }
    const requests = [RequestRule.parse(texts, { file: 'products.yaml', line: 1, column: 1 })]
    await start({ products: [product('chat', { callers: [bySpiffeId(own)], requests })] })
    await open({ path: '/chat/7?x' })
    assert.deepEqual(await refusal(ask({ path: '/other' })), {
      status: 403,
      reason: 'request_not_allowed',
    })
    assert.equal(seen.length, 1)
  })

  it('records one decision, status 101, the bytes of both directions and the time', async () => {
    await start()
    const before = harness.telemetry.openConnections
    const client = await open({ perMessageDeflate: false })
    await eventually(() => harness.telemetry.openConnections === before + 2)
    client.send('12345')
    await once(seen[0]!.socket, 'message')
    seen[0]!.socket.close(1000)
    await closed(client)
    await eventually(() => harness.telemetry.ended.length === 1)
    const { record, outcome } = harness.telemetry.ended[0]!
    assert.equal(harness.telemetry.decisions.length, 1)
    assert.equal(record.protocol, 'websocket')
    assert.equal(record.request?.path, '/chat')
    assert.equal(outcome.status, 101)
    // A masked frame has six bytes before its payload, a close frame two of a code in it.
    assert.deepEqual([outcome.requestBytes, outcome.replyBytes], [11 + 8, 4])
    assert.ok(outcome.durationMs > 0)
    assert.equal(outcome.error, undefined)
    await eventually(() => harness.telemetry.openConnections === before)
  })

  it('holds what a slow reader does not take back at its source, in both directions', async () => {
    await start()
    const client = await open({ perMessageDeflate: false })
    const { socket } = seen[0]!
    for (const [source, sink] of [
      [client, socket],
      [socket, client],
    ] as const) {
      sink.pause()
      const rounds = 32
      for (let round = 0; round < rounds; round++) source.send(Buffer.alloc(1 << 20))
      await unchanged(() => source.bufferedAmount)
      // Sockets of loopback hold some MiB; the rest waits where it comes from.
      assert.ok(source.bufferedAmount >= 20 << 20, `${source.bufferedAmount} bytes wait`)
      let received = 0
      sink.on('message', () => received++)
      sink.resume()
      await eventually(() => received === rounds)
    }
    client.close()
    await closed(client)
  })

  it('ends when nothing moves for the idle timeout', async () => {
    await start({ idleTimeoutMs: 1_500 })
    const client = await open()
    assert.equal((await closed(client)).code, 1006)
    await eventually(() => harness.telemetry.ended[0]?.outcome.error === 'idle')
    await eventually(() => seen[0]!.socket.readyState === WebSocket.CLOSED)
  })

  const changes = [
    {
      name: 'its caller loses the product',
      products: [],
      reason: 'product_unmapped',
    },
    {
      name: 'its caller maps to another product, which the workload was not told',
      products: [product('moved', { callers: [bySpiffeId('spiffe://corp.example/**')] })],
      reason: 'svid_id',
    },
  ]
  for (const { name, products, reason } of changes) {
    it(`is cut at once when ${name}`, async () => {
      await start()
      const client = await open()
      harness.changeTrust({ products: ProductMap.of(products, []) })
      assert.equal((await closed(client)).code, 1006)
      await eventually(() => seen[0]!.socket.readyState === WebSocket.CLOSED)
      assert.deepEqual(harness.telemetry.judged, { kept: 0, ended: 1 })
      const record = harness.telemetry.decisions.at(-1)
      assert.equal(record?.decision.reason, reason)
      assert.equal(record.previousReason, 'svid_id')
      assert.equal(record.protocol, 'websocket')
      assert.equal(harness.telemetry.decisions.length, 2)
      const own = harness.telemetry.ended.find(({ outcome }) => outcome.status === 101)
      assert.equal(own?.outcome.error, 'trust_changed')
    })
  }

  it('lives on through a change of trust that does not change its answer', async () => {
    await start()
    echo()
    const client = await open()
    harness.changeTrust({ apiKeys: ApiKeys.empty })
    assert.deepEqual(harness.telemetry.judged, { kept: 1, ended: 0 })
    client.send('still')
    assert.equal(String((await once(client, 'message'))[0]), 'still')
  })

  it('is cut when its key is withdrawn', async () => {
    await start()
    const client = await open({ kind: 'plaintext' })
    harness.changeTrust({ apiKeys: ApiKeys.empty })
    assert.equal((await closed(client)).code, 1006)
    assert.equal(harness.telemetry.decisions.at(-1)?.decision.reason, 'api_key_unknown')
  })

  it("is cut at its caller's notAfter, and when its key expires", async () => {
    const endMs = Date.now() + 6_000
    await start({ keys: [{ product: 'reports', expiresMs: endMs }] })
    leaf = await harness.corp.leaf({ spiffeId: own, notAfterMs: endMs })
    const both = await Promise.all([open({ kind: 'svid' }), open({ kind: 'plaintext' })])
    const ends = await Promise.all(both.map((client) => closed(client)))
    for (const { code } of ends) assert.equal(code, 1006)
    assert.ok(Date.now() >= endMs)
    const reasons = harness.telemetry.decisions.slice(2).map(({ decision }) => decision.reason)
    assert.deepEqual(reasons.sort(), ['api_key_expired', 'certificate_expired'])
  })

  it('goes on while the listener drains, and is cut when the time is over', async () => {
    await start()
    echo()
    const client = await open()
    const drained = harness.server.drain(3_000)
    client.send('last words')
    assert.equal(String((await once(client, 'message'))[0]), 'last words')
    assert.equal((await closed(client)).code, 1006)
    await drained
  })

  it('passes the refusal of a workload on as it is', async () => {
    await start()
    workload.shouldHandle = () => false
    workload.removeAllListeners('connection')
    harness.workload.server.removeAllListeners('upgrade')
    harness.workload.server.on('upgrade', (_request, socket) => {
      socket.end(
        'HTTP/1.1 403 Not For You\r\ncontent-type: text/plain\r\nx-why: because\r\n' +
          'connection: close\r\ncontent-length: 4\r\n\r\nnono',
      )
    })
    const client = ask({ kind: 'plaintext' })
    const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage]
    assert.equal(response.statusCode, 403)
    assert.equal(response.headers['x-why'], 'because')
    assert.equal(response.headers.connection, undefined)
    const [body] = (await once(response, 'data')) as [Buffer]
    assert.equal(String(body), 'nono')
    await eventually(() => harness.telemetry.ended[0]?.outcome.status === 403)
  })
})

interface OpenOptions extends ClientOptions {
  /** Default: an SVID over TLS. */
  readonly kind?: 'svid' | 'key' | 'plaintext'
  readonly path?: string
  readonly protocols?: string[]
}

async function closed(client: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(client, 'close')) as [number, Buffer]
  return { code, reason: String(reason) }
}

/** What a caller that is refused by us is told. */
async function refusal(client: WebSocket): Promise<{ status: number; reason: string }> {
  const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const { reason } = JSON.parse(Buffer.concat(chunks).toString()) as { reason: string }
  return { status: response.statusCode ?? 0, reason }
}
