import assert from 'node:assert/strict'
import type { BodyLength } from '../../src/proxy/ends.ts'
import { Http1ReplyWriter } from '../../src/proxy/http1-reply-writer.ts'
import { SinkSocket } from './support/sink-socket.ts'

describe('Http1ReplyWriter', () => {
  let socket: SinkSocket
  let writer: Http1ReplyWriter

  beforeEach(() => {
    socket = new SinkSocket()
    writer = new Http1ReplyWriter(socket)
  })

  function write(
    request: { method?: string; minorVersion?: 0 | 1; persistent?: boolean },
    reply: { status?: number; length: BodyLength; body?: string },
  ): string {
    writer.expect({ method: 'GET', minorVersion: 1, persistent: true, ...request })
    writer.head({
      status: reply.status ?? 200,
      reason: 'R',
      fields: ['X', 'y'],
      length: reply.length,
      connectionOptions: [],
    })
    if (reply.body !== undefined) writer.data(Buffer.from(reply.body))
    writer.end([])
    writer.flush()
    return socket.writes.splice(0).join('')
  }

  const forms = [
    {
      name: 'a body with its length',
      request: {},
      reply: { length: 2, body: 'ab' },
      text: 'content-length: 2\r\n\r\nab',
    },
    {
      name: 'an empty body as length zero',
      request: {},
      reply: { length: 'none' },
      text: 'content-length: 0\r\n\r\n',
    },
    {
      name: 'a body of unknown length in chunks',
      request: {},
      reply: { length: 'unknown', body: 'ab' },
      text: 'transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
    },
    {
      name: 'a body of unknown length until the end of the connection, for HTTP/1.0',
      request: { minorVersion: 0 },
      reply: { length: 'unknown', body: 'ab' },
      text: 'connection: close\r\n\r\nab',
      persistent: false,
    },
    {
      name: 'keep-alive for HTTP/1.0',
      request: { minorVersion: 0 },
      reply: { length: 2, body: 'ab' },
      text: 'connection: keep-alive\r\ncontent-length: 2\r\n\r\nab',
    },
    {
      name: 'the end of the connection that the caller asked for',
      request: { persistent: false },
      reply: { length: 2, body: 'ab' },
      text: 'connection: close\r\ncontent-length: 2\r\n\r\nab',
      persistent: false,
    },
    {
      name: 'only the length to HEAD',
      request: { method: 'HEAD' },
      reply: { length: 2, body: 'ab' },
      text: 'content-length: 2\r\n\r\n',
    },
    {
      name: 'no length to HEAD where none is known',
      request: { method: 'HEAD' },
      reply: { length: 'none' },
      text: '\r\n',
    },
    {
      name: 'no framing to HEAD from HTTP/1.0, which ends nothing',
      request: { method: 'HEAD', minorVersion: 0 },
      reply: { length: 'unknown' },
      text: 'connection: keep-alive\r\n\r\n',
    },
    { name: 'no length with 204', request: {}, reply: { status: 204, length: 0 }, text: '\r\n' },
    {
      name: 'the length of what was not modified with 304',
      request: {},
      reply: { status: 304, length: 9 },
      text: 'content-length: 9\r\n\r\n',
    },
  ] as const
  for (const form of forms) {
    it(`writes ${form.name}`, () => {
      const status = 'status' in form.reply ? form.reply.status : 200
      assert.equal(write(form.request, form.reply), `HTTP/1.1 ${status} R\r\nX: y\r\n${form.text}`)
      assert.equal(writer.persistent, 'persistent' in form ? form.persistent : true)
      assert.equal(writer.state, 'ended')
    })
  }

  it('says which bytes go nowhere', () => {
    writer.expect({ method: 'HEAD', minorVersion: 1, persistent: true })
    writer.head({ status: 200, reason: '', fields: [], length: 5, connectionOptions: [] })
    assert.equal(writer.data(Buffer.from('abcde')), 5)
    writer.end([])
    writer.expect({ method: 'GET', minorVersion: 1, persistent: true })
    writer.head({ status: 200, reason: '', fields: [], length: 5, connectionOptions: [] })
    assert.equal(writer.data(Buffer.from('abcde')), 0)
  })

  it('tells when only the end of the connection could end the reply', () => {
    writer.expect({ method: 'GET', minorVersion: 0, persistent: false })
    assert.equal(writer.endsWithConnection, false)
    writer.head({ status: 200, reason: '', fields: [], length: 'unknown', connectionOptions: [] })
    assert.equal(writer.endsWithConnection, true)
    writer.end([])
    assert.equal(writer.endsWithConnection, false)
  })

  it('writes informational replies before the reply only, and none to HTTP/1.0', () => {
    writer.expect({ method: 'GET', minorVersion: 1, persistent: true })
    writer.informational(103, ['Link', '</a>'])
    writer.flush()
    assert.deepEqual(socket.writes.splice(0), ['HTTP/1.1 103 \r\nLink: </a>\r\n\r\n'])
    writer.head({ status: 200, reason: '', fields: [], length: 0, connectionOptions: [] })
    writer.end([])
    writer.flush()
    socket.writes.length = 0
    writer.informational(103, [])
    writer.expect({ method: 'GET', minorVersion: 0, persistent: true })
    writer.informational(103, [])
    writer.flush()
    assert.deepEqual(socket.writes, [])
  })

  it('refuses to write a second reply to one request', () => {
    write({}, { length: 0 })
    const head = { status: 200, reason: '', fields: [], length: 0, connectionOptions: [] }
    assert.throws(() => writer.head(head), TypeError)
  })

  it('writes nothing of a head that cannot be written', () => {
    writer.expect({ method: 'GET', minorVersion: 1, persistent: true })
    const bad = { status: 200, reason: '', length: 0, connectionOptions: [] }
    assert.throws(() => writer.head({ ...bad, fields: ['X', 'a\r\nb: c'] }), TypeError)
    writer.flush()
    assert.deepEqual(socket.writes, [])
    assert.equal(writer.state, 'awaited')
  })
})
