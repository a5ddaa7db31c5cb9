import assert from 'node:assert/strict'
import type { RequestHead } from '../../src/http1/head.ts'
import { RequestReader } from '../../src/http1/request-reader.ts'
import { bytesOf, readRequests, silent } from './recorder.ts'
import {
  acceptedRequests,
  boundsOfRequests,
  type Expected,
  get,
  length,
  post,
  refusedRequests,
} from './request-table.ts'

describe('RequestReader', () => {
  describe('accepts', () => {
    for (const row of acceptedRequests) {
      it(row.name, () => {
        const found = readRequests([bytesOf(row.text)])
        assert.equal(found.refused, undefined)
        assert.equal(found.messages.length, 1)
        assertMessage(found.messages[0], row.is)
        assert.equal(found.rest, 0)
      })
    }
  })

  describe('refuses', () => {
    for (const [name, text, code, status = 400] of refusedRequests) {
      it(`${name}: ${code}`, () => {
        const found = readRequests([bytesOf(text)])
        assert.equal(found.refused, code)
        assert.equal(found.status, status)
        assert.equal(found.state, 'refused')
        assert.equal(found.messages.filter((message) => message.trailers !== undefined).length, 0)
      })
    }
  })

  describe('bounds', () => {
    for (const row of boundsOfRequests) {
      it(row.name, () => {
        assert.equal(readRequests([bytesOf(row.within)], row.limits).refused, undefined)
        const found = readRequests([bytesOf(row.above)], row.limits)
        assert.equal(found.refused, row.code)
        assert.equal(found.status, row.status)
      })
    }

    it('the largest Content-Length and the largest chunk', () => {
      const { messages } = readRequests([bytesOf(get('Content-Length: 9007199254740991\n'))])
      assert.deepEqual(messages[0]?.head.framing, length(Number.MAX_SAFE_INTEGER))
      assert.equal(readRequests([bytesOf(post('1fffffffffffff\nabc'))]).messages[0]?.body, 'abc')
    })
  })

  it('stops right after a request and goes on when the owner is ready', () => {
    const first = bytesOf('POST /1 HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi')
    const both = Buffer.concat([first, bytesOf('GET /2 HTTP/1.1\nHost: a\n\n')])
    const paths: string[] = []
    const reader = new RequestReader({
      onHead: (head) => paths.push(head.path),
      onData: () => undefined,
      onEnd: () => undefined,
      onRefusal: () => assert.fail('refused'),
    })
    assert.equal(reader.read(both, 0), first.length)
    assert.equal(reader.state, 'ended')
    assert.equal(reader.read(both, first.length), first.length)
    assert.deepEqual(paths, ['/1'])
    reader.next()
    assert.equal(reader.state, 'idle')
    assert.equal(reader.read(both, first.length), both.length)
    assert.deepEqual(paths, ['/1', '/2'])
  })

  it('reads pipelined requests of every framing', () => {
    const text = `${get('')}${post('3\nabc\n0\nX: y\n\n')}\nPOST /3 HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi${get('')}`
    const found = readRequests([bytesOf(text)])
    assert.deepEqual(
      found.messages.map((message) => [message.head.path, message.body, message.trailers]),
      [
        ['/', '', []],
        ['/', 'abc', ['X', 'y']],
        ['/3', 'hi', []],
        ['/', '', []],
      ],
    )
  })

  it('counts empty lines for each request anew', () => {
    const found = readRequests([bytesOf(`\n\n\n${get('')}`.repeat(3))])
    assert.equal(found.refused, undefined)
    assert.equal(found.messages.length, 3)
  })

  it('tells its state', () => {
    const reader = readerThatIgnores()
    const after = (text: string) => {
      reader.read(bytesOf(text), 0)
      return reader.state
    }
    assert.equal(reader.state, 'idle')
    assert.equal(after('\n'), 'idle')
    assert.equal(after('P'), 'head')
    assert.equal(after('OST / HTTP/1.1\n'), 'head')
    assert.equal(after('Host: a\nContent-Length: 2\n\n'), 'body')
    assert.equal(after('h'), 'body')
    assert.equal(after('i'), 'ended')
    reader.next()
    assert.equal(reader.state, 'idle')
    assert.equal(after('GET /\n'), 'refused')
  })

  it('consumes nothing after a refusal', () => {
    const reader = readerThatIgnores()
    const text = bytesOf(`GET /\n${get('')}`)
    const at = reader.read(text, 0)
    assert.equal(at, 'GET /\r\n'.length)
    assert.equal(reader.read(text, at), at)
  })

  it('begins the next request only when one has ended', () => {
    const reader = readerThatIgnores()
    assert.throws(() => reader.next(), TypeError)
    reader.read(bytesOf(get('')), 0)
    reader.next()
    assert.throws(() => reader.next(), TypeError)
  })

  it('passes data on without a copy', () => {
    const text = bytesOf('POST / HTTP/1.1\nHost: a\nContent-Length: 10\n\nhello')
    const more = Buffer.from('world')
    const seen: Buffer[] = []
    const reader = readerThatIgnores((data) => seen.push(data))
    reader.read(text, 0)
    reader.read(more, 0)
    assert.equal(seen[0]?.buffer, text.buffer)
    assert.equal(seen[1], more)
  })

  it('passes the small chunks of one read on together, and large ones as they are', () => {
    const sizes = [1, 700, 5_000, 1, 1, 17, 1_024, 1_025, 3]
    const pieces = sizes.map((size, i) => String.fromCharCode(97 + i).repeat(size))
    const chunks = pieces.map((piece) => `${piece.length.toString(16)}\n${piece}\n`)
    const text = bytesOf(
      `POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n${chunks.join('')}`,
    )
    const before = Buffer.from(text)
    const seen: Buffer[] = []
    const reader = readerThatIgnores((data) => seen.push(data))
    assert.equal(reader.read(text, 0), text.length)
    assert.deepEqual(
      seen.map((data) => data.toString()),
      [
        pieces.slice(0, 2),
        pieces.slice(2, 3),
        pieces.slice(3, 7),
        pieces.slice(7, 8),
        pieces.slice(8),
      ].map((group) => group.join('')),
    )
    assert.equal(seen[1]?.buffer, text.buffer)
    assert.ok(text.equals(before))
  })

  it('passes on what stands before a chunk that is refused', () => {
    const seen: Buffer[] = []
    const reader = readerThatIgnores((data) => seen.push(data))
    const head = 'POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n'
    reader.read(bytesOf(`${head}1\na\n1\nb\nx`), 0)
    assert.equal(Buffer.concat(seen).toString(), 'ab')
    assert.equal(reader.state, 'refused')
  })

  it('reads from an offset in a larger chunk', () => {
    const text = bytesOf(`xxxxx${get('')}`)
    const reader = readerThatIgnores()
    assert.equal(reader.read(text, 5), text.length)
    assert.equal(reader.state, 'ended')
  })

  it('reads a head that is longer than one slice, with its body in the same chunk', () => {
    const big = 'v'.repeat(5_000)
    const text = `POST / HTTP/1.1\nHost: a\nX: ${big}\nY: ${big}\nContent-Length: 9000\n\n${'b'.repeat(9_000)}`
    const found = readRequests([bytesOf(text)])
    assert.deepEqual(found.messages[0]?.head.fields.slice(2, 6), ['X', big, 'Y', big])
    assert.equal(found.messages[0].body, 'b'.repeat(9_000))
  })

  it('knows names whatever was sent before', () => {
    for (let i = 0; i < 3_000; i++) {
      const name = `X-${i}-${'n'.repeat(i % 80)}`
      const found = readRequests([bytesOf(`${get(`${name}: b\ncONTENT-lENGTH: 1\n`)}x`)])
      assert.deepEqual(found.messages[0]?.head.fields.slice(2, 4), [name, 'b'])
      assert.equal(found.messages[0].body, 'x')
    }
  })
})

function assertMessage(
  message: { head: RequestHead; body: string; trailers?: readonly string[] } | undefined,
  is: Expected,
): void {
  const { body, trailers, ...head } = is
  const found = message?.head as unknown as Record<string, unknown>
  for (const [name, value] of Object.entries(head)) assert.deepEqual(found[name], value, name)
  if (body !== undefined) assert.equal(message?.body, body)
  if (trailers !== undefined) assert.deepEqual(message?.trailers, trailers)
  else assert.notEqual(message?.trailers, undefined)
}

function readerThatIgnores(onData: (data: Buffer) => void = () => undefined): RequestReader {
  return new RequestReader({ ...silent, onData })
}
