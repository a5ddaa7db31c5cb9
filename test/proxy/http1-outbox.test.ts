import assert from 'node:assert/strict'
import { once } from 'node:events'
import { bodyUntilClose, chunkedBody, noBody } from '../../src/http1/head.ts'
import { Http1Outbox } from '../../src/proxy/http1-outbox.ts'
import { SinkSocket } from './support/sink-socket.ts'

const threeBytes = { kind: 'length', bytes: 3 } as const

describe('Http1Outbox', () => {
  let socket: SinkSocket
  let outbox: Http1Outbox

  beforeEach(() => {
    socket = new SinkSocket()
    outbox = new Http1Outbox(socket)
  })

  it('writes a head and its body at once', () => {
    outbox.begin('head\r\n', threeBytes)
    outbox.data(Buffer.from('abc'))
    outbox.end([])
    assert.equal(outbox.hasOutput, true)
    assert.equal(outbox.flush(), 3)
    assert.deepEqual(socket.writes, ['head\r\nabc'])
    assert.equal(outbox.hasOutput, false)
    assert.equal(outbox.flush(), 0)
  })

  it('writes a large body at once with its head, without copying it', () => {
    const body = Buffer.alloc(100_000, 'x')
    outbox.begin('head\r\n', chunkedBody)
    outbox.data(body)
    outbox.flush()
    assert.deepEqual(socket.writes, [`head\r\n186a0\r\n${body.toString()}\r\n`])
  })

  it('writes Latin-1 as it is', () => {
    outbox.begin('caf\xe9\r\n', noBody)
    outbox.end([])
    outbox.flush()
    assert.deepEqual(socket.writes, ['caf\xe9\r\n'])
  })

  it('writes chunks, and trailers behind the last', () => {
    outbox.begin('', chunkedBody)
    outbox.data(Buffer.from('abc'))
    outbox.data(Buffer.alloc(16, 'x'))
    outbox.end(['X-Sum', '1'])
    outbox.flush()
    assert.equal(
      socket.writes.join(''),
      '3\r\nabc\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\nX-Sum: 1\r\n\r\n',
    )
  })

  it('leaves out an empty chunk, which would end the body', () => {
    outbox.begin('', chunkedBody)
    outbox.data(Buffer.alloc(0))
    outbox.data(Buffer.from('a'))
    outbox.end([])
    outbox.flush()
    assert.equal(socket.writes.join(''), '1\r\na\r\n0\r\n\r\n')
  })

  it('leaves out trailers that HTTP/1.1 has no place for', () => {
    outbox.begin('', chunkedBody)
    outbox.end(['content-type', 'a', 'Set-Cookie', 'b', 'not a token', 'c', 'grpc-status', '0'])
    outbox.flush()
    assert.equal(socket.writes.join(''), '0\r\ngrpc-status: 0\r\n\r\n')
  })

  it('leaves out trailers where the framing has no place for them', () => {
    for (const framing of [threeBytes, bodyUntilClose]) {
      outbox.begin('', framing)
      outbox.data(Buffer.from('abc'))
      outbox.end(['X-Sum', '1'])
      outbox.flush()
    }
    assert.deepEqual(socket.writes, ['abc', 'abc'])
  })

  it('holds every body to what its head announced', () => {
    outbox.begin('', noBody)
    assert.throws(() => outbox.data(Buffer.from('a')), TypeError)
    outbox.begin('', threeBytes)
    assert.throws(() => outbox.end([]), TypeError)
    outbox.data(Buffer.from('ab'))
    assert.throws(() => outbox.end([]), TypeError)
    assert.throws(() => outbox.data(Buffer.from('cd')), TypeError)
    outbox.begin('', threeBytes)
    outbox.data(Buffer.from('abc'))
    outbox.end([])
    assert.throws(() => outbox.data(Buffer.from('d')), TypeError)
  })

  it('counts body bytes as gone when the socket has taken them', async () => {
    socket.block()
    outbox.begin('head', chunkedBody)
    outbox.data(Buffer.alloc(20_000))
    assert.equal(outbox.flush(), 0)
    assert.equal(outbox.isSent, false)
    outbox.data(Buffer.alloc(5))
    assert.equal(outbox.flush(), 0)
    const drained = once(socket, 'drain')
    socket.unblock()
    await drained
    assert.equal(outbox.isSent, false)
    assert.equal(outbox.drained(), 20_005)
    assert.equal(outbox.drained(), 0)
    assert.equal(outbox.isSent, true)
  })
})
