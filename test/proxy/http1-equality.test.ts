import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Fields } from '../../src/core/fields.ts'
import { cut, places } from '../http1/mutations.ts'
import { readReplies } from '../http1/recorder.ts'
import { type SeenRequest, Workload } from '../support/workload.ts'
import { eventually } from './support/eventually.ts'
import { identityFields, PlainProxy } from './support/plain-proxy.ts'
import { RawSocket } from './support/raw-socket.ts'

interface Body {
  readonly bytes: Buffer
  readonly framing: 'length' | 'chunked'
  /** Where its chunks end. */
  readonly chunks: readonly number[]
  /** Of a chunked body. */
  readonly trailers: Fields
}

interface Call {
  readonly method: string
  readonly path: string
  readonly fields: Fields
  readonly body: Body | undefined
  readonly reply: {
    readonly status: number
    readonly reason: string
    readonly fields: Fields
    readonly body: Body
  }
}

/** Names with a meaning, in some spellings, beside names without one. */
const requestNames = [
  'X-Api-Key',
  'x_postern_product',
  'X-Postern-Principal',
  'X-Forwarded-For',
  'Proxy-Authorization',
  'Keep-Alive',
  'TE',
  'x-request-id',
  'traceparent',
  'Cookie',
  'accept',
  'X-Same',
  'x-same',
]
const replyNames = ['Set-Cookie', 'X-Same', 'Proxy-Authenticate', 'TE', 'ETag', 'x-postern-product']
const token = fc.stringMatching(/^x[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/)
const value = fc.stringMatching(
  /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/,
)

const trailers = fieldsOf(token, 3)
const size = fc.oneof(fc.nat(40), fc.nat(300 * 1024))

const body: fc.Arbitrary<Body> = fc.record({
  bytes: fc.tuple(size, fc.nat(255)).map(([length, seed]) => patternOf(length, seed)),
  framing: fc.constantFrom('length', 'chunked'),
  chunks: places,
  trailers,
})

const call: fc.Arbitrary<Call> = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'),
  path: fc.stringMatching(/^\/[A-Za-z0-9._~%?=&;:@!$'()*+,/-]{0,30}$/),
  fields: fieldsOf(fc.oneof(token, fc.constantFrom(...requestNames)), 12),
  body: fc.option(body, { nil: undefined }),
  reply: fc.record({
    status: fc.constantFrom(200, 201, 204, 304, 404, 500),
    reason: fc.stringMatching(/^[A-Za-z ]{0,12}$/).map((text) => text.trim()),
    fields: fieldsOf(fc.oneof(token, fc.constantFrom(...replyNames)), 8),
    body,
  }),
})

describe('whatever passes', () => {
  let workload: Workload
  let proxy: PlainProxy

  before(async () => {
    workload = await Workload.start()
    proxy = await PlainProxy.start({ upstreamPort: workload.port })
  })

  after(async () => {
    await proxy.close()
    await workload.close()
  })

  it('arrives as it was sent, but for the header rules, in both directions', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 1, maxLength: 4 }),
        places,
        fc.boolean(),
        async (calls, at, isPipelined) => {
          workload.seen.length = 0
          answer(calls)
          const caller = await RawSocket.connect(proxy.port)
          await send(caller, calls, at, isPipelined)
          caller.destroy()
          const { messages } = readReplies(
            [caller.bytes],
            calls.map((each) => each.method),
          )
          assert.deepEqual(workload.parserErrors, [])
          assert.equal(workload.seen.length, calls.length)
          for (const [i, each] of calls.entries()) {
            assertRequest(workload.seen[i]!, each)
            assertReply(messages[i]!, each)
          }
          assert.deepEqual(proxy.bugs, [])
        },
      ),
      { numRuns: 60 },
    )
  })

  function answer(calls: readonly Call[]): void {
    workload.answerWith((request, response) => {
      const { reply } = calls[workload.seen.indexOf(request)]!
      response.sendDate = false
      const length = reply.body.framing === 'length' && reply.status !== 204
      const framing = length ? ['Content-Length', String(reply.body.bytes.length)] : []
      response.writeHead(reply.status, reply.reason, [...reply.fields, ...framing])
      if (!length) response.addTrailers(pairsOf(reply.body.trailers))
      response.end(reply.body.bytes)
    })
  }

  async function send(
    caller: RawSocket,
    calls: readonly Call[],
    at: readonly number[],
    isPipelined: boolean,
  ): Promise<void> {
    const requests = calls.map(bytesOfCall)
    const parts = isPipelined ? [Buffer.concat(requests)] : requests
    let answered = 0
    for (const part of parts) {
      for (const piece of cut(part, at)) caller.write(piece)
      answered += isPipelined ? calls.length : 1
      await eventually(() => wholeReplies(caller, calls) >= answered)
    }
  }
})

function assertRequest(seen: SeenRequest, { method, path, fields, body }: Call): void {
  assert.equal(seen.method, method)
  assert.equal(seen.url, path)
  const wantsTrailers = pairsOf(fields).some(
    ([name, text]) => /^te$/i.test(name) && /\btrailers\b/i.test(text),
  )
  assert.deepEqual(seen.rawHeaders, [
    'host',
    'a.example',
    ...pairsOf(fields).filter(isForwarded).flat(),
    ...identityFields,
    ...(wantsTrailers ? ['te', 'trailers', 'connection', 'te'] : []),
    ...framingOf(body),
  ])
  assert.ok(seen.body.equals(body?.bytes ?? Buffer.alloc(0)), 'another body')
  const sent = body?.framing === 'chunked' ? pairsOf(body.trailers).filter(isForwarded) : []
  assert.deepEqual(pairsOf(seen.rawTrailers), sent)
}

function assertReply(
  message: ReturnType<typeof readReplies>['messages'][number],
  { method, reply }: Call,
): void {
  assert.equal(message.head.status, reply.status)
  assert.equal(message.head.reason, reply.reason)
  const dropped =
    /^(?:te|proxy-authenticate|proxy-connection|connection|keep-alive|content-length|transfer-encoding)$/i
  assert.deepEqual(
    pairsOf(message.head.fields).filter(([name]) => !dropped.test(name)),
    pairsOf(reply.fields).filter(([name]) => !dropped.test(name)),
  )
  const hasBody = method !== 'HEAD' && reply.status !== 204 && reply.status !== 304
  assert.ok(
    Buffer.from(message.body, 'latin1').equals(hasBody ? reply.body.bytes : Buffer.alloc(0)),
  )
  const sent = hasBody && reply.body.framing === 'chunked' ? reply.body.trailers : []
  assert.deepEqual(message.trailers, sent)
}

/** The plain meaning of the header rules. */
function isForwarded([name]: readonly [string, string]): boolean {
  const plain = name.toLowerCase().replaceAll('_', '-')
  return !(
    plain.startsWith('x-postern-') ||
    ['x-api-key', 'x-forwarded-for', 'proxy-authorization', 'keep-alive', 'te'].includes(plain) ||
    ['x-request-id', 'traceparent'].includes(plain)
  )
}

function framingOf(body: Body | undefined): string[] {
  if (body === undefined) return []
  return body.framing === 'length'
    ? ['content-length', String(body.bytes.length)]
    : ['transfer-encoding', 'chunked']
}

function bytesOfCall({ method, path, fields, body }: Call): Buffer {
  const lines = pairsOf(['Host', 'a.example', ...fields, ...framingOf(body)])
  const head = `${method} ${path} HTTP/1.1\r\n${linesOf(lines)}\r\n`
  return Buffer.concat([Buffer.from(head, 'latin1'), bodyOf(body)])
}

function bodyOf(body: Body | undefined): Buffer {
  if (body === undefined) return Buffer.alloc(0)
  if (body.framing === 'length') return body.bytes
  const chunks = cut(body.bytes, body.chunks)
    .filter((chunk) => chunk.length > 0)
    .flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, crlf])
  const end = `0\r\n${linesOf(pairsOf(body.trailers))}\r\n`
  return Buffer.concat([...chunks, Buffer.from(end, 'latin1')])
}

const crlf = Buffer.from('\r\n')

function linesOf(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([name, text]) => `${name}: ${text}\r\n`).join('')
}

function wholeReplies(caller: RawSocket, calls: readonly Call[]): number {
  const methods = calls.map((each) => each.method)
  const { messages } = readReplies([caller.bytes], methods)
  return messages.filter((message) => message.trailers !== undefined).length
}

function fieldsOf(name: fc.Arbitrary<string>, maxLength: number): fc.Arbitrary<string[]> {
  return fc.array(fc.tuple(name, value), { maxLength }).map((pairs) => pairs.flat())
}

function patternOf(length: number, seed: number): Buffer {
  const pattern = Buffer.from(Array.from({ length: 251 }, (_, i) => (i * 7 + seed) & 0xff))
  return Buffer.alloc(length, pattern)
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!])
}
