import assert from 'node:assert/strict'
import { ReplyReader } from '../../src/http1/reply-reader.ts'
import { bytesOf, readReplies } from './recorder.ts'
import {
  acceptedReplies,
  boundsOfReplies,
  chunkedReply,
  ok,
  refusedReplies,
} from './reply-table.ts'

describe('ReplyReader', () => {
  describe('accepts', () => {
    for (const row of acceptedReplies) {
      it(row.name, () => {
        const found = readReplies([bytesOf(row.text)], [row.method ?? 'GET'])
        assert.equal(found.refused, undefined)
        assert.equal(found.finished, true)
        assert.equal(found.rest, 0)
        assert.equal(found.messages.length, 1)
        const { body = found.messages[0]?.body, trailers = [], ...head } = row.is
        const seen = found.messages[0]?.head as unknown as Record<string, unknown>
        for (const [name, value] of Object.entries(head)) assert.deepEqual(seen[name], value, name)
        assert.equal(found.messages[0]?.body, body)
        assert.deepEqual(found.messages[0]?.trailers, trailers)
      })
    }
  })

  describe('refuses', () => {
    for (const [name, text, code, method = 'GET'] of refusedReplies) {
      it(`${name}: ${code}`, () => {
        const found = readReplies([bytesOf(text)], [method])
        assert.equal(found.refused, code)
        assert.equal(found.state, 'refused')
        assert.equal(found.finished, false)
        assert.equal(found.messages.filter((message) => message.trailers !== undefined).length, 0)
      })
    }
  })

  describe('bounds', () => {
    for (const row of boundsOfReplies) {
      it(row.name, () => {
        assert.equal(readReplies([bytesOf(row.within)], ['GET'], row.limits).refused, undefined)
        assert.equal(readReplies([bytesOf(row.above)], ['GET'], row.limits).refused, row.code)
      })
    }
  })

  it('passes informational replies before the final one', () => {
    const text = `HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </a>\nContent-Length: 5\n\n${ok('Content-Length: 2\n', 'hi')}`
    const found = readReplies([bytesOf(text)], ['GET'])
    assert.deepEqual(
      found.informational.map((head) => [head.status, head.framing.kind, head.announced.kind]),
      [
        [100, 'none', 'none'],
        [103, 'none', 'none'],
      ],
    )
    assert.deepEqual(found.informational[1]?.fields.slice(0, 2), ['Link', '</a>'])
    assert.deepEqual(
      found.messages.map((message) => [message.head.status, message.body]),
      [[200, 'hi']],
    )
  })

  it('does not stop after an informational reply', () => {
    const both = bytesOf(`HTTP/1.1 103 Hints\n\n${ok('Content-Length: 2\n', 'hi')}`)
    const reader = readerThatIgnores()
    reader.expect('GET')
    assert.equal(reader.read(both, 0), both.length)
    assert.equal(reader.state, 'idle')
  })

  it('reads one reply after the other on one connection', () => {
    const text = `${ok('Content-Length: 2\n', 'hi')}${ok('Content-Length: 9\n')}${chunkedReply('1\na\n0\n\n')}${ok('', 'end')}`
    const found = readReplies([bytesOf(text)], ['GET', 'HEAD', 'POST', 'GET'])
    assert.deepEqual(
      found.messages.map((message) => message.body),
      ['hi', '', 'a', 'end'],
    )
    assert.equal(found.finished, true)
  })

  it('stops right after a reply, so that the owner sees what was not asked for', () => {
    const reply = bytesOf(ok('Content-Length: 2\n', 'hi'))
    const reader = readerThatIgnores()
    reader.expect('GET')
    assert.equal(reader.read(Buffer.concat([reply, Buffer.from('HTTP/')]), 0), reply.length)
    assert.equal(reader.state, 'idle')
  })

  it('leaves the bytes after 101 to another protocol', () => {
    const head = bytesOf('HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\n')
    const reader = readerThatIgnores()
    reader.expect('GET')
    assert.equal(reader.read(Buffer.concat([head, Buffer.from('\x81\x05')]), 0), head.length)
    assert.equal(reader.finish(), true)
  })

  it('refuses bytes that nobody expects', () => {
    const found = readReplies(
      [bytesOf(ok('Content-Length: 0\n') + ok('Content-Length: 0\n'))],
      ['GET'],
    )
    assert.equal(found.messages.length, 1)
    assert.equal(found.refused, 'reply_unexpected')
    assert.equal(readReplies([bytesOf('x')], []).refused, 'reply_unexpected')
  })

  it('refuses a body that came with 204', () => {
    const text = 'HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello'
    assert.equal(readReplies([bytesOf(text)], ['GET']).refused, 'reply_unexpected')
  })

  it('expects a reply only when none is read', () => {
    const reader = readerThatIgnores()
    reader.expect('GET')
    assert.throws(() => reader.expect('GET'), TypeError)
  })

  it('tells its state', () => {
    const reader = readerThatIgnores()
    const after = (text: string) => {
      reader.read(bytesOf(text), 0)
      return reader.state
    }
    assert.equal(reader.state, 'idle')
    reader.expect('GET')
    assert.equal(reader.state, 'waiting')
    assert.equal(after('H'), 'head')
    assert.equal(after('TTP/1.1 100 Continue\n\n'), 'head')
    assert.equal(after('HTTP/1.1 200 OK\nContent-Length: 2\n\nh'), 'body')
    assert.equal(after('i'), 'idle')
    assert.equal(after('x'), 'refused')
  })

  describe('says at the end of the connection', () => {
    const cases: [name: string, text: string, finished: boolean][] = [
      ['that no reply came', '', false],
      ['that a status line was cut', 'HTTP/1.1 20', false],
      ['that a head was cut', 'HTTP/1.1 200 OK\nX: y\n', false],
      ['that only an informational reply came', 'HTTP/1.1 100 Continue\n\n', false],
      ['that a body with a length was cut', ok('Content-Length: 5\n', 'hell'), false],
      ['that a body with a length was whole', ok('Content-Length: 5\n', 'hello'), true],
      ['that a chunked body was cut', chunkedReply('1\na\n0\n'), false],
      ['that a chunked body was whole', chunkedReply('1\na\n0\n\n'), true],
      ['that a body until the end was whole', ok('', 'hell'), true],
    ]
    for (const [name, text, finished] of cases) {
      it(name, () => {
        const found = readReplies([bytesOf(text)], ['GET'])
        assert.equal(found.finished, finished)
        const ended = found.messages.some((message) => message.trailers !== undefined)
        assert.equal(ended, finished)
      })
    }
  })
})

function readerThatIgnores(): ReplyReader {
  return new ReplyReader({
    onInformational: () => undefined,
    onHead: () => undefined,
    onData: () => undefined,
    onEnd: () => undefined,
    onRefusal: () => undefined,
  })
}
