import assert from 'node:assert/strict'
import { h2 } from '../../src/http2/errors.ts'
import { frameFlag, largest31 } from '../../src/http2/frames.ts'
import {
  data,
  END,
  get,
  goaway,
  headers,
  ping,
  post,
  rstStream,
  setting,
  settings,
  settingsAck,
} from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'
import { pump } from './support/duplex.ts'

const target = { method: 'POST', scheme: 'https', authority: 'api.example', path: '/a' }

describe('a server connection', () => {
  it('carries request, body, trailers, informational and final reply, body and trailers', () => {
    const client = Bench.client()
    const server = Bench.server()
    const stream = client.connection.request(target, ['x-a', '1'], false, 'mine')
    assert.ok(stream !== 'refused')
    assert.equal(stream.context, 'mine')
    client.connection.sendData(stream, Buffer.from('ping'))
    client.connection.sendTrailers(stream, ['x-sum', '4'])
    pump(client, server)
    assert.deepEqual(server.log, ['request 1 POST /a', 'data 1 4', 'trailers 1'])
    assert.deepEqual(server.events.trailers.get(1), ['x-sum', '4'])
    assert.equal(server.stream(1).state, 'half-closed-remote')
    assert.equal(stream.state, 'half-closed-local')

    server.connection.informational(server.stream(1), 103, ['link', '</s>'])
    server.connection.respond(server.stream(1), 200, ['x-b', '2'], false)
    server.connection.sendData(server.stream(1), Buffer.from('pong'))
    server.connection.sendTrailers(server.stream(1), ['grpc-status', '0'])
    pump(client, server)
    assert.deepEqual(client.log, [
      ...['informational 1 103', 'reply 1 200', 'data 1 4', 'trailers 1', 'closed 1'],
    ])
    assert.equal(server.log.at(-1), 'closed 1')
    assert.equal(server.stream(1).state, 'closed')
  })

  it('takes calls for a closed stream as crossed, and does nothing', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post()), rstStream(1, h2.CANCEL))
    const stream = bench.stream(1)
    assert.equal(bench.log.at(-1), `reset 1 code=${h2.CANCEL} peer`)
    bench.connection.informational(stream, 103, [])
    bench.connection.respond(stream, 200, [], false)
    bench.connection.sendData(stream, Buffer.from('x'))
    bench.connection.sendTrailers(stream, [])
    bench.connection.consumed(stream, 1)
    bench.connection.reset(stream, h2.CANCEL)
    assert.deepEqual(bench.frames(), [])
  })

  it('refuses calls in an order that HTTP does not have', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post()))
    const stream = bench.stream(1)
    assert.throws(() => bench.connection.sendData(stream, Buffer.from('x')), TypeError)
    assert.throws(() => bench.connection.end(stream), TypeError)
    bench.connection.respond(stream, 200, [], false)
    assert.throws(() => bench.connection.respond(stream, 200, [], false), TypeError)
    assert.throws(() => bench.connection.informational(stream, 103, []), TypeError)
    bench.connection.end(stream)
    assert.throws(() => bench.connection.end(stream), TypeError)
    assert.throws(() => bench.connection.sendData(stream, Buffer.from('x')), TypeError)
    assert.deepEqual(bench.frames(), ['HEADERS 1', 'DATA 1 0 end'])
  })

  it('stays open for the request after the whole reply, until the owner resets', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post()))
    bench.connection.respond(bench.stream(1), 413, [], true)
    assert.equal(bench.stream(1).state, 'half-closed-local')
    bench.receive(data(1, 'x'))
    assert.equal(bench.log.at(-1), 'data 1 1')
    bench.connection.reset(bench.stream(1), h2.NO_ERROR)
    assert.deepEqual(bench.frames(), ['HEADERS 1 end', 'RST_STREAM 1 code=0'])
    assert.equal(bench.connection.streamCount, 0)
  })

  it('ends gracefully: refuses nothing until the client has heard of it, then what is new', () => {
    const bench = Bench.server()
    bench.receive(headers(1, get(), END))
    bench.connection.shutdown()
    bench.connection.shutdown()
    assert.deepEqual(bench.frames(), [`GOAWAY last=${largest31} code=0`, 'PING'])
    bench.receive(headers(3, get(), END))
    assert.equal(bench.log.at(-1), 'request 3 GET / end')
    bench.receive(ping('shutdown', frameFlag.ACK))
    assert.deepEqual(bench.frames(), ['GOAWAY last=3 code=0'])
    bench.receive(headers(5, get(), END))
    assert.deepEqual(bench.frames(), [`RST_STREAM 5 code=${h2.REFUSED_STREAM}`])
    bench.connection.respond(bench.stream(1), 204, [], true)
    assert.equal(bench.log.includes('finished'), false)
    bench.connection.respond(bench.stream(3), 204, [], true)
    assert.deepEqual(bench.log.slice(-2), ['closed 3', 'finished'])
  })

  it('can be told not to wait for the client', () => {
    const bench = Bench.server()
    bench.receive(headers(1, get(), END))
    bench.connection.shutdown()
    bench.connection.goaway(h2.NO_ERROR)
    bench.connection.goaway(h2.NO_ERROR)
    assert.deepEqual(bench.frames().slice(2), ['GOAWAY last=1 code=0'])
    bench.connection.reset(bench.stream(1), h2.CANCEL)
    assert.equal(bench.log.at(-1), 'finished')
  })

  it('is finished at once where no stream is open', () => {
    const bench = Bench.server()
    bench.connection.goaway(h2.NO_ERROR)
    assert.deepEqual(bench.log, ['finished'])
  })

  it('ends every stream when the socket is gone, and says nothing more', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post()), headers(3, post()))
    bench.log.length = 0
    bench.connection.connectionLost()
    bench.connection.connectionLost()
    assert.deepEqual(bench.log, [
      ...[`reset 1 code=${h2.CANCEL} connection`, `reset 3 code=${h2.CANCEL} connection`],
    ])
    bench.receive(headers(5, get(), END))
    bench.connection.goaway(h2.NO_ERROR)
    bench.connection.ping()
    assert.deepEqual(bench.frames(), [])
  })

  it('stops within a chunk when its owner loses it from within an event', () => {
    const bench = Bench.server()
    bench.events.answer = () => bench.connection.connectionLost()
    bench.receive(headers(1, get(), END), headers(3, get(), END))
    assert.deepEqual(bench.log, [
      ...['request 1 GET / end', `reset 1 code=${h2.CANCEL} connection`],
    ])
  })

  it('announces its limits', () => {
    const limits = { maxConcurrentStreams: 7, maxHeaderListBytes: 8_192, streamWindowBytes: 70_000 }
    const bench = Bench.untouchedServer({ limits, allowsConnectProtocol: true })
    const expected = settings(
      ...[setting.MAX_CONCURRENT_STREAMS, 7, setting.INITIAL_WINDOW_SIZE, 70_000],
      ...[setting.MAX_HEADER_LIST_SIZE, 8_192, setting.ENABLE_CONNECT_PROTOCOL, 1],
    )
    assert.deepEqual(bench.output().subarray(0, expected.length), expected)
  })

  it('passes its header table through every size that the client asked for', () => {
    const bench = Bench.server()
    bench.receive(settings(setting.HEADER_TABLE_SIZE, 0, setting.HEADER_TABLE_SIZE, 4_096))
    bench.receive(headers(1, get(), END))
    bench.output()
    bench.connection.respond(bench.stream(1), 204, [], true)
    assert.equal(bench.output().subarray(9).toString('hex'), '203fe11f89')
  })

  it('knows when both sides know the settings', () => {
    const bench = Bench.untouchedClient()
    assert.equal(bench.connection.isSettled, false)
    bench.receive(settings())
    assert.equal(bench.connection.isSettled, false)
    bench.receive(settingsAck())
    assert.equal(bench.connection.isSettled, true)
  })

  it('knows that it is within a header block', () => {
    const bench = Bench.server()
    const request = headers(1, get(), END)
    assert.equal(bench.connection.isReceivingHeaders, false)
    bench.receive(request.subarray(0, 20))
    assert.equal(bench.connection.isReceivingHeaders, true)
    bench.receive(request.subarray(20))
    assert.equal(bench.connection.isReceivingHeaders, false)
    const open = headers(3, get(), END)
    open[4] = END
    bench.receive(open)
    assert.equal(bench.connection.isReceivingHeaders, true)
  })
})

describe('a client connection', () => {
  it('asks for no more streams than the server takes', () => {
    const bench = Bench.client({}, setting.MAX_CONCURRENT_STREAMS, 2)
    assert.equal(bench.connection.availableStreams, 2)
    assert.notEqual(bench.connection.request(target, [], true), 'refused')
    assert.notEqual(bench.connection.request(target, [], true), 'refused')
    assert.equal(bench.connection.request(target, [], true), 'refused')
    bench.receive(headers(1, [':status', '204'], END))
    assert.equal(bench.connection.availableStreams, 1)
    bench.receive(settings(setting.MAX_CONCURRENT_STREAMS, 0))
    assert.equal(bench.connection.availableStreams, 0)
  })

  it('may ask before the server has said anything', () => {
    const bench = Bench.untouchedClient()
    assert.equal(bench.connection.availableStreams, 100)
    assert.notEqual(bench.connection.request(target, [], true), 'refused')
  })

  it('learns from GOAWAY which requests were never looked at', () => {
    const bench = Bench.client()
    for (let i = 0; i < 3; i++) bench.connection.request(target, [], true)
    bench.receive(goaway(3, h2.NO_ERROR))
    assert.deepEqual(bench.log, [
      ...['goaway last=3 code=0', `reset 5 code=${h2.REFUSED_STREAM} unprocessed`],
    ])
    assert.equal(bench.connection.request(target, [], true), 'refused')
    bench.receive(headers(5, [':status', '200'], END))
    bench.receive(headers(1, [':status', '204'], END), headers(3, [':status', '204'], END))
    assert.deepEqual(bench.log.slice(2), [
      ...['reply 1 204 end', 'closed 1', 'reply 3 204 end', 'closed 3', 'finished'],
    ])
  })

  it('drops late frames of a request that it gave up', () => {
    const bench = Bench.client()
    const stream = bench.connection.request(target, [], true)
    assert.ok(stream !== 'refused')
    bench.connection.reset(stream, h2.CANCEL)
    bench.receive(headers(1, [':status', '200']), data(1, 'late', END))
    assert.deepEqual(bench.log, [])
    assert.equal(bench.connection.isDead, false)
  })

  it('gets its PING answered', () => {
    const client = Bench.client()
    const server = Bench.server()
    client.connection.ping()
    pump(client, server)
    assert.deepEqual(client.log, ['pong'])
  })

  it('learns that the server takes :protocol', () => {
    const server = Bench.untouchedServer({ allowsConnectProtocol: true })
    const client = Bench.untouchedClient()
    assert.equal(client.connection.peerAllowsConnectProtocol, false)
    pump(client, server)
    assert.equal(client.connection.peerAllowsConnectProtocol, true)
    const chat = { ...target, method: 'CONNECT', protocol: 'websocket', path: '/chat' }
    assert.notEqual(client.connection.request(chat, [], false), 'refused')
    pump(client, server)
    assert.equal(server.events.heads.get(1)?.protocol, 'websocket')
  })

  it('sends no Host beside :authority', () => {
    const client = Bench.client()
    const server = Bench.server()
    client.connection.request(target, ['Host', 'other.example', 'X-A', 'b'], true)
    pump(client, server)
    assert.equal(server.events.heads.get(1)?.authority, 'api.example')
    assert.deepEqual(server.events.heads.get(1)?.fields, ['x-a', 'b'])
  })

  it('splits a long head into CONTINUATION, within what the server takes', () => {
    const client = Bench.client()
    const server = Bench.server({ limits: { maxHeaderListBytes: 100_000 } })
    const value = '|'.repeat(40_000)
    client.connection.request(target, ['x-long', value], true)
    const frames = client.output()
    server.receive(frames)
    assert.deepEqual(server.events.heads.get(1)?.fields, ['x-long', value])
    assert.equal(frames.readUIntBE(0, 3), 16_384)
  })

  it('passes on that a field came never-indexed', () => {
    const client = Bench.client()
    const server = Bench.server()
    const stream = client.connection.request(target, [], false)
    assert.ok(stream !== 'refused')
    pump(client, server)
    server.stream(1).neverIndexed = ['x-token']
    server.connection.respond(server.stream(1), 200, ['x-token', 'k', 'x-other', 'o'], false)
    pump(client, server)
    assert.deepEqual(stream.receivedNeverIndexed, ['x-token'])
  })
})
