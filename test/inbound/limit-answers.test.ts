import assert from 'node:assert/strict'
import { h2 } from '../../src/http2/errors.ts'
import { block, data, END, frame, headersInPieces } from '../http2/support/raw-frames.ts'
import { frameType } from '../../src/http2/frames.ts'
import { eventually } from '../proxy/support/eventually.ts'
import { RawPeer } from '../proxy/support/http2-raw-peer.ts'
import { RawSocket } from '../proxy/support/raw-socket.ts'
import { type HarnessOptions, InboundHarness, product } from './support/inbound-harness.ts'

interface LimitedRequest {
  readonly path?: string
  readonly fields?: readonly string[]
  readonly body?: string
  /** Default true. */
  readonly isAnnounced?: boolean
  /** Default true. */
  readonly isWhole?: boolean
}

/** A request above a limit, the one beside it that is not, and what the first is told in each protocol. */
interface Row {
  readonly name: string
  readonly options: HarnessOptions
  readonly above: LimitedRequest
  /** Served before and after it. */
  readonly within: LimitedRequest
  readonly http1: readonly [status: number, reason: string]
  readonly http2: readonly [status: number, reason: string]
  /** Undefined: this limit is not for gRPC. */
  readonly grpcStatus: number | undefined
}

const kib = 1_024
/** The most that one frame may hold. */
const frameBytes = 16 * kib
const fields = (count: number) => Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']).flat()
const oneAnHour = product('reports', {
  apiKeys: 'accept',
  limit: { count: 1, periodMs: 3_600_000, burst: 2, per: 'product', text: '1/h' },
})

const rows: readonly Row[] = [
  {
    name: 'a path that is too long',
    options: {},
    above: { path: `/${'p'.repeat(9 * kib)}` },
    within: { path: `/${'p'.repeat(8_000)}` },
    http1: [414, 'request_line_too_long'],
    http2: [414, 'path_too_long'],
    grpcStatus: 8,
  },
  {
    name: 'a path that is longer than a whole head may be',
    options: {},
    above: { path: `/${'p'.repeat(20 * kib)}` },
    within: {},
    http1: [414, 'request_line_too_long'],
    http2: [414, 'path_too_long'],
    grpcStatus: 8,
  },
  {
    name: 'a head of too many bytes',
    options: { limits: { maxHeaderBytes: 4 * kib } },
    above: { fields: ['x-large', 'v'.repeat(4 * kib)] },
    within: { fields: ['x-large', 'v'.repeat(3 * kib)] },
    http1: [431, 'head_too_large'],
    http2: [431, 'header_list_too_large'],
    grpcStatus: 8,
  },
  {
    // Host and the key are two; what each call adds for gRPC is in `above` only.
    name: 'too many fields',
    options: { limits: { maxHeaderFields: 20 } },
    above: { fields: fields(19) },
    within: { fields: fields(18) },
    http1: [431, 'too_many_fields'],
    http2: [431, 'header_list_too_large'],
    grpcStatus: 8,
  },
  {
    name: 'more fields than there may be by default',
    options: {},
    above: { fields: fields(127) },
    within: { fields: fields(126) },
    http1: [431, 'too_many_fields'],
    http2: [431, 'header_list_too_large'],
    grpcStatus: 8,
  },
  {
    name: 'a body that says to be too long',
    options: { limits: { maxBodyBytes: 1_000 } },
    above: { body: 'b'.repeat(1_001) },
    within: { body: 'b'.repeat(1_000) },
    http1: [413, 'body_too_large'],
    http2: [413, 'body_too_large'],
    grpcStatus: 8,
  },
  {
    name: 'a body that becomes too long',
    options: { limits: { maxBodyBytes: 1_000 } },
    above: { body: 'b'.repeat(1_001), isAnnounced: false },
    within: { body: 'b'.repeat(1_000), isAnnounced: false },
    http1: [413, 'body_too_large'],
    http2: [413, 'body_too_large'],
    grpcStatus: 8,
  },
  {
    name: 'a body that stops',
    options: { limits: { bodyTimeoutMs: 300 } },
    above: { body: 'half', isWhole: false },
    within: { body: 'whole' },
    http1: [408, 'body_too_slow'],
    http2: [408, 'body_too_slow'],
    grpcStatus: undefined,
  },
]

describe('a request above a limit', () => {
  let harness: InboundHarness
  let key: string
  const sockets: RawSocket[] = []

  async function start(options: HarnessOptions): Promise<void> {
    harness = await InboundHarness.start({ plaintext: 'allow', ...options })
    key = harness.keys[0]!.key
  }

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await harness.close()
  })

  async function http1Caller(): Promise<RawSocket> {
    const socket = await RawSocket.connect(harness.port)
    sockets.push(socket)
    return socket
  }

  async function http2Caller(): Promise<RawPeer> {
    const peer = await RawPeer.caller(harness.port)
    sockets.push(peer.raw)
    return peer
  }

  /** Sends it, and waits for the whole answer; returns it. */
  async function callHttp1(caller: RawSocket, request: LimitedRequest): Promise<string> {
    caller.write(http1Bytes(key, request))
    return caller.take(/^HTTP\/1\.1 .*\}\s*$/s)
  }

  /** The same, on a stream of its own. */
  async function callHttp2(caller: RawPeer, id: number, request: LimitedRequest): Promise<void> {
    caller.send(...http2Frames(key, id, request))
    await caller.has(`HEADERS ${id} 200`)
  }

  for (const { name, options, above, within, http1, http2, grpcStatus } of rows) {
    describe(`for ${name}`, () => {
      beforeEach(() => start(options))

      it(`is answered ${http1.join(' ')} by HTTP/1.1, and others are served`, async () => {
        const [caller, other] = [await http1Caller(), await http1Caller()]
        assert.match(await callHttp1(other, within), / 200 OK\r\n/)
        assertProblem(await callHttp1(caller, above), ...http1)
        await caller.ended()
        assert.match(await callHttp1(other, within), / 200 OK\r\n/)
      })

      it(`is answered ${http2.join(' ')} by HTTP/2, and its connection goes on`, async () => {
        const caller = await http2Caller()
        await callHttp2(caller, 1, within)
        caller.send(...http2Frames(key, 3, above), ...http2Frames(key, 5, within))
        await caller.has(`HEADERS 3 ${http2[0]}`)
        await caller.has('HEADERS 5 200')
        await callHttp2(caller, 7, within)
        assertReason(caller.body(3).toString(), http2[1])
        assert.ok(!caller.frames.some((frame) => frame.startsWith('GOAWAY')))
      })

      if (grpcStatus === undefined) return
      it(`is answered with the status ${grpcStatus} of gRPC, and its connection goes on`, async () => {
        const caller = await http2Caller()
        caller.send(...http2Frames(key, 1, above, 'content-type', 'application/grpc'))
        await caller.has('HEADERS 1 200 end')
        assert.equal(caller.field(1, 'grpc-status'), String(grpcStatus))
        assert.ok(caller.field(1, 'grpc-message')?.startsWith(`${http2[1]}: `))
        await callHttp2(caller, 3, within)
        assert.ok(!caller.frames.some((frame) => frame.startsWith('GOAWAY')))
      })
    })
  }

  describe("for a product's rate", () => {
    beforeEach(() =>
      start({
        products: [oneAnHour, product('other', { apiKeys: 'accept' })],
        keys: [{ product: 'reports' }, { product: 'other' }],
      }),
    )

    it('is answered 429 rate_limited, and other products are served', async () => {
      const caller = await http1Caller()
      for (let i = 0; i < 2; i++) assert.match(await callHttp1(caller, {}), / 200 OK\r\n/)
      const refused = await callHttp1(caller, {})
      assertProblem(refused, 429, 'rate_limited')
      assert.match(refused, /\r\nretry-after: \d+\r\n/)

      const second = await http2Caller()
      second.send(...http2Frames(key, 1, {}))
      await second.has('HEADERS 1 429')
      assert.ok(Number(second.field(1, 'retry-after')) > 0)
      second.send(...http2Frames(key, 3, {}, 'content-type', 'application/grpc'))
      await second.has('HEADERS 3 200 end')
      assert.equal(second.field(3, 'grpc-status'), '8')

      key = harness.keys[1]!.key
      assert.match(await callHttp1(caller, {}), / 200 OK\r\n/)
      await callHttp2(second, 5, {})
    })
  })

  describe('for the workload', () => {
    beforeEach(() => start({ limits: { maxUpstreamConnections: 1 } }))

    it('is answered 503 upstream_overloaded, and served when there is room again', async () => {
      const answers: (() => void)[] = []
      harness.workload.answerWith((_, response) => {
        answers.push(() => response.end('done'))
      })
      const [busy, caller] = [await http1Caller(), await http1Caller()]
      busy.write(http1Bytes(key, {}))
      await eventually(() => answers.length === 1)
      assertProblem(await callHttp1(caller, {}), 503, 'upstream_overloaded')
      const second = await http2Caller()
      second.send(...http2Frames(key, 1, {}))
      second.send(...http2Frames(key, 3, {}, 'content-type', 'application/grpc'))
      await second.has('HEADERS 1 503')
      await second.has('HEADERS 3 200 end')
      assert.equal(second.field(3, 'grpc-status'), '14')

      answers[0]?.()
      await busy.has('done')
      harness.workload.answerWithEcho()
      assert.match(await callHttp1(caller, {}), / 200 OK\r\n/)
      await callHttp2(second, 5, {})
    })
  })

  describe('for the time of a head', () => {
    beforeEach(() => start({ limits: { headerTimeoutMs: 1_000 } }))

    it('is answered 408 head_too_slow by HTTP/1.1', async () => {
      const caller = await http1Caller()
      caller.write('GET / HTTP/1.1\r\nhost: a')
      assertProblem(await caller.take(/\}\s*$/), 408, 'head_too_slow')
      assert.match(await callHttp1(await http1Caller(), {}), / 200 OK\r\n/)
    })

    // A header block that is not whole holds up every other stream (RFC 9113 4.3): nothing can be answered on it.
    it('ends its connection of HTTP/2 with GOAWAY', async () => {
      const caller = await http2Caller()
      const withoutEnd = frame(frameType.HEADERS, END, 1, block([':method', 'GET']))
      caller.send(withoutEnd)
      await caller.has(`GOAWAY last=0 code=${h2.PROTOCOL_ERROR}`)
      await caller.raw.ended()
      await callHttp2(await http2Caller(), 1, {})
    })
  })
})

function http1Bytes(key: string, request: LimitedRequest): string {
  const { path = '/', fields: more = [], body, isAnnounced = true, isWhole = true } = request
  const lines = [`host: api.example`, `x-api-key: ${key}`]
  for (let i = 0; i < more.length; i += 2) lines.push(`${more[i]}: ${more[i + 1]}`)
  if (body === undefined) return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
  const length = body.length + (isWhole ? 0 : 1)
  lines.push(isAnnounced ? `content-length: ${length}` : 'transfer-encoding: chunked')
  const framed = isAnnounced ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  return `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${framed}`
}

function http2Frames(
  key: string,
  id: number,
  request: LimitedRequest,
  ...fields: readonly string[]
): Buffer[] {
  const { path = '/', fields: more = [], body, isAnnounced = true, isWhole = true } = request
  const target = [':scheme', 'http', ':authority', 'api.example', ':path', path]
  const head = [
    ':method',
    body === undefined ? 'GET' : 'POST',
    ...target,
    ...fields,
    'x-api-key',
    key,
  ]
  if (body === undefined) return headersInPieces(id, block([...head, ...more]), frameBytes, END)
  const length = String(body.length + (isWhole ? 0 : 1))
  if (isAnnounced) head.push('content-length', length)
  return [
    ...headersInPieces(id, block([...head, ...more]), frameBytes),
    data(id, body, isWhole ? END : 0),
  ]
}

function assertProblem(answer: string, status: number, reason: string): void {
  assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
  assert.match(answer, /\r\ncontent-type: application\/problem\+json\r\n/)
  assertReason(answer.slice(answer.indexOf('\r\n\r\n') + 4), reason)
}

function assertReason(body: string, reason: string): void {
  assert.equal((JSON.parse(body) as { reason: string }).reason, reason)
}
