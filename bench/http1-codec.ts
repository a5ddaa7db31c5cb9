/**
 * What reading and writing HTTP/1.1 heads costs: `npx tsx bench/http1-codec.ts`. Prints nanoseconds of CPU per operation, the
 * best of several rounds, because everything else on the machine only ever adds.
 */
import { RequestReader } from '../src/http1/request-reader.ts'
import { ReplyReader } from '../src/http1/reply-reader.ts'
import { formatFieldLines, formatReplyHead, formatRequestHead } from '../src/http1/writer.ts'
import type { Fields } from '../src/core/fields.ts'
import type { RequestHead } from '../src/http1/head.ts'

const rounds = 7

const tenHeaders = [
  'Host: api.example:8443',
  'User-Agent: curl/7.88.1 (x86_64-pc-linux-gnu)',
  'Accept: */*',
  'Accept-Encoding: gzip, deflate, br',
  'X-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'Content-Type: application/json',
  'X-Api-Key: pst_k8f3a2c91_0123456789abcdefghijklmnopqrstuvwxyz0123456789abc',
  'Cookie: theme=dark; session=0123456789abcdef',
  'Connection: keep-alive',
]

class Counter {
  heads = 0
  bytes = 0
  head: RequestHead | undefined
  onHead(head: unknown): void {
    this.heads++
    this.head = head as RequestHead
  }
  onInformational(): void {
    this.heads++
  }
  onData(data: Buffer): void {
    this.bytes += data.length
  }
  onEnd(): void {
    this.heads++
  }
  onRefusal(refusal: { code: string }): void {
    throw new Error(`refused: ${refusal.code}`)
  }
}

function measure(name: string, times: number, run: () => void): void {
  let best = Infinity
  for (let round = 0; round < rounds; round++) {
    const start = process.cpuUsage()
    for (let i = 0; i < times; i++) run()
    const { user, system } = process.cpuUsage(start)
    best = Math.min(best, ((user + system) * 1_000) / times)
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(0).padStart(8)} ns`)
}

function requestText(start: string, extra: string[], body = ''): Buffer {
  return Buffer.from([start, ...tenHeaders, ...extra, '', body].join('\r\n'), 'latin1')
}

function measureRequest(name: string, bytes: Buffer, times = 100_000): RequestHead | undefined {
  const counter = new Counter()
  const reader = new RequestReader(counter)
  measure(name, times, () => {
    reader.read(bytes, 0)
    reader.next()
  })
  return counter.head
}

function measureDripped(name: string, bytes: Buffer): void {
  const reader = new RequestReader(new Counter())
  const pieces = Array.from({ length: bytes.length }, (_, i) => bytes.subarray(i, i + 1))
  measure(name, 500, () => {
    for (const piece of pieces) reader.read(piece, 0)
    reader.next()
  })
}

function measureReply(name: string, bytes: Buffer): void {
  const reader = new ReplyReader(new Counter())
  measure(name, 100_000, () => {
    reader.expect('GET')
    reader.read(bytes, 0)
  })
}

const get = requestText('GET /v1/payments/12345?expand=all HTTP/1.1', [])
const head = measureRequest('read a GET with 10 headers', get)
measureRequest(
  'read a POST with 11 headers and 64 bytes of body',
  requestText('POST /v1/payments HTTP/1.1', ['Content-Length: 64'], 'x'.repeat(64)),
)
measureRequest(
  'read a POST whose chunk also holds 60 KB of body',
  requestText('POST /v1/payments HTTP/1.1', ['Content-Length: 60000'], 'x'.repeat(60_000)),
)
measureRequest(
  'read a POST with 60 KB in 4 chunks',
  requestText(
    'POST /v1/payments HTTP/1.1',
    ['Transfer-Encoding: chunked'],
    `3a98\r\n${'x'.repeat(15_000)}\r\n`.repeat(4) + '0\r\n\r\n',
  ),
)
measureRequest(
  'read a POST with 10 KB in 1-byte chunks, per request',
  requestText(
    'POST / HTTP/1.1',
    ['Transfer-Encoding: chunked'],
    '1\r\nx\r\n'.repeat(10_000) + '0\r\n\r\n',
  ),
  200,
)
measureRequest(
  'read a GET with a head of 15 KiB',
  requestText('GET / HTTP/1.1', [`X-Big: ${'y'.repeat(14_500)}`]),
  20_000,
)
measureDripped('read the GET byte by byte, per request', get)
measureDripped(
  'read the GET of 15 KiB byte by byte, per request',
  requestText('GET / HTTP/1.1', [`X-Big: ${'y'.repeat(14_500)}`]),
)
measureReply(
  'read a reply with 6 headers and 12 bytes of body',
  Buffer.from(
    'HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n' +
      'Content-Length: 12\r\nConnection: keep-alive\r\nX-A: b\r\n\r\nhello world\n',
    'latin1',
  ),
)

const fields: Fields = head?.fields ?? []
const identity = formatFieldLines([
  'x-postern-product',
  'payments',
  'x-postern-principal',
  'spiffe://corp.example/checkout',
  'x-postern-credential',
  'x509-svid',
])
const none = { kind: 'none' } as const
const twelve = { kind: 'length', bytes: 12 } as const
// Into a buffer, because a string that was only put together is not written yet.
const out = Buffer.alloc(16 * 1024)
let written = 0
measure('write a request head with 10 + 3 headers', 100_000, () => {
  const text = formatRequestHead('GET', '/v1/payments/12345?expand=all', fields, none, identity)
  written += out.write(text, 'latin1')
})
const replyFields = fields.slice(0, 8)
measure('write a reply head with 4 headers', 100_000, () => {
  const text = formatReplyHead({
    status: 200,
    reason: 'OK',
    fields: replyFields,
    framing: twelve,
    persistent: true,
    requestMinorVersion: 1,
  })
  written += out.write(text, 'latin1')
})
let unchecked = 0
measure('write the same request head without any check', 100_000, () => {
  let text = 'GET /v1/payments/12345?expand=all HTTP/1.1\r\n'
  for (let i = 0; i < fields.length; i += 2)
    text += `${fields[i] ?? ''}: ${fields[i + 1] ?? ''}\r\n`
  unchecked += out.write(`${text}${identity}\r\n`, 'latin1')
})
if (written === 0 || unchecked === 0) throw new Error('nothing was written')
