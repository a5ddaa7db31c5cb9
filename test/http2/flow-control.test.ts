import assert from 'node:assert/strict'
import fc from 'fast-check'
import { h2 } from '../../src/http2/errors.ts'
import { maxDataBytesPerTake } from '../../src/http2/limits.ts'
import {
  data,
  describeFrame,
  END,
  frame,
  get,
  headers,
  parseFrames,
  post,
  preface,
  setting,
  settings,
  settingsAck,
  windowUpdate,
} from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'
import { pump } from './support/duplex.ts'

const bytes = (count: number) => Buffer.alloc(count, 'x')

/** A server with requests 1, 3, ... that were answered with a head and nothing more. */
function answered(requests: number, ...peerSettings: number[]): Bench {
  const bench = Bench.server({}, ...peerSettings)
  for (let i = 0; i < requests; i++) {
    const id = 2 * i + 1
    bench.receive(headers(id, get(), END))
    bench.connection.respond(bench.stream(id), 200, [], false)
  }
  bench.output()
  return bench
}

describe('sending within windows', () => {
  it('a stream sends as much as its window, and the rest after WINDOW_UPDATE', () => {
    const bench = answered(1, setting.INITIAL_WINDOW_SIZE, 10)
    const stream = bench.stream(1)
    bench.connection.sendData(stream, bytes(25), true)
    assert.deepEqual(bench.frames(), ['DATA 1 10'])
    assert.equal(stream.bufferedBytes, 15)
    assert.equal(bench.events.drained, 10)
    bench.receive(windowUpdate(1, 14))
    assert.deepEqual(bench.frames(), ['DATA 1 14'])
    bench.receive(windowUpdate(1, 1))
    assert.deepEqual(bench.frames(), ['DATA 1 1 end'])
    assert.equal(bench.log.at(-1), 'closed 1')
    assert.equal(stream.bufferedBytes, 0)
  })

  it('all streams share the window of the connection, one frame each in turn', () => {
    const bench = answered(3, setting.INITIAL_WINDOW_SIZE, 1_000_000)
    for (const id of [1, 3, 5]) bench.connection.sendData(bench.stream(id), bytes(40_000), true)
    assert.deepEqual(bench.frames(), [
      ...['DATA 1 16384', 'DATA 3 16384', 'DATA 5 16384', 'DATA 1 16383'],
    ])
    bench.receive(windowUpdate(0, 40_000))
    assert.deepEqual(bench.frames(), ['DATA 3 16384', 'DATA 5 16384', 'DATA 1 7232'])
    bench.receive(windowUpdate(0, 1_000_000))
    assert.deepEqual(bench.frames(), ['DATA 3 7232 end', 'DATA 5 7232 end', 'DATA 1 1 end'])
  })

  it('an end needs no window', () => {
    const bench = answered(3, setting.INITIAL_WINDOW_SIZE, 100_000)
    bench.connection.sendData(bench.stream(1), bytes(70_000))
    bench.output()
    bench.connection.end(bench.stream(3))
    bench.connection.sendTrailers(bench.stream(5), ['grpc-status', '0'])
    assert.deepEqual(bench.frames(), ['DATA 3 0 end', 'HEADERS 5 end'])
  })

  it('trailers follow the last byte', () => {
    const bench = answered(1, setting.INITIAL_WINDOW_SIZE, 3)
    bench.connection.sendData(bench.stream(1), bytes(5))
    bench.connection.sendTrailers(bench.stream(1), ['a', 'b'])
    assert.deepEqual(bench.frames(), ['DATA 1 3'])
    bench.receive(windowUpdate(1, 100))
    assert.deepEqual(bench.frames(), ['DATA 1 2', 'HEADERS 1 end'])
    assert.equal(bench.log.at(-1), 'closed 1')
  })

  it('SETTINGS_INITIAL_WINDOW_SIZE changes open streams, below zero too', () => {
    const bench = answered(1, setting.INITIAL_WINDOW_SIZE, 10)
    bench.connection.sendData(bench.stream(1), bytes(30), true)
    assert.deepEqual(bench.frames(), ['DATA 1 10'])
    bench.receive(settings(setting.INITIAL_WINDOW_SIZE, 5), windowUpdate(1, 5))
    assert.deepEqual(bench.frames(), ['SETTINGS ack'], 'the window is -5 + 5')
    bench.receive(settings(setting.INITIAL_WINDOW_SIZE, 12))
    assert.deepEqual(bench.frames(), ['SETTINGS ack', 'DATA 1 7'])
  })

  it('small pieces leave as one frame, and the head with them in one buffer', () => {
    const bench = Bench.server()
    bench.receive(headers(1, get(), END))
    const stream = bench.stream(1)
    bench.connection.respond(stream, 200, ['a', 'b'], false)
    for (const piece of ['hel', 'lo ', 'world'])
      bench.connection.sendData(stream, Buffer.from(piece))
    bench.connection.end(stream)
    const parts = bench.connection.takeOutput()
    assert.equal(parts.length, 1)
    const frames = parseFrames(parts[0] ?? bytes(0))
    assert.deepEqual(frames.map(describeFrame), ['HEADERS 1', 'DATA 1 11 end'])
    assert.equal(frames[1]?.payload.toString(), 'hello world')
  })

  it('many small frames leave in few buffers of a bounded size', () => {
    const bench = answered(60, setting.INITIAL_WINDOW_SIZE, 1_000_000)
    bench.receive(windowUpdate(0, 1_000_000))
    for (let i = 0; i < 60; i++) bench.connection.sendData(bench.stream(2 * i + 1), bytes(2_000))
    const sizes = bench.connection.takeOutput().map((part) => part.length)
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      60 * 2_009,
    )
    assert.equal(sizes.length, 2)
    assert.ok(Math.max(...sizes) <= 65_536)
  })

  it('long pieces are passed on without a copy', () => {
    const bench = answered(1)
    const chunk = bytes(16_384)
    bench.connection.sendData(bench.stream(1), chunk, true)
    assert.ok(bench.connection.takeOutput().includes(chunk))
  })

  it('one takeOutput hands out a bounded amount, and there is more', () => {
    const bench = answered(1, setting.INITIAL_WINDOW_SIZE, 10_000_000)
    bench.receive(windowUpdate(0, 10_000_000))
    bench.connection.sendData(bench.stream(1), bytes(1_000_000), true)
    const first = Buffer.concat(bench.connection.takeOutput())
    assert.ok(first.length < maxDataBytesPerTake + 20_000, String(first.length))
    assert.equal(bench.connection.hasOutput, true)
    assert.equal(bench.stream(1).bufferedBytes, 1_000_000 - bench.events.drained)
    bench.output()
    assert.equal(bench.events.drained, 1_000_000)
    assert.equal(bench.connection.hasOutput, false)
  })

  it('nothing leaves for a peer that does not read, and what waits is in bufferedBytes', () => {
    const bench = answered(1)
    bench.connection.sendData(bench.stream(1), bytes(60_000))
    for (let i = 0; i < 10; i++) bench.connection.sendData(bench.stream(1), bytes(1_000))
    assert.equal(bench.stream(1).bufferedBytes, 70_000)
    assert.equal(bench.events.drained, 0)
    bench.output()
    assert.equal(bench.stream(1).bufferedBytes, 70_000 - 65_535)
    assert.equal(bench.events.drained, 65_535)
    assert.equal(bench.connection.hasOutput, false)
  })

  it('a reset drops what the stream still had to send', () => {
    const bench = answered(2, setting.INITIAL_WINDOW_SIZE, 100)
    bench.connection.sendData(bench.stream(1), bytes(500), true)
    bench.connection.sendData(bench.stream(3), bytes(500), true)
    bench.connection.reset(bench.stream(1), h2.CANCEL)
    assert.deepEqual(bench.frames(), ['RST_STREAM 1 code=8', 'DATA 3 100'])
    bench.receive(windowUpdate(3, 1_000))
    assert.deepEqual(bench.frames(), ['DATA 3 400 end'])
    assert.equal(bench.events.drained, 500)
  })

  it('an owner may fill up from within onDrained', () => {
    const bench = answered(1, setting.INITIAL_WINDOW_SIZE, 1_000_000)
    let left = 10
    bench.events.refill = (stream) => {
      if (left-- > 0) bench.connection.sendData(stream, bytes(100), left === 0)
    }
    bench.connection.sendData(bench.stream(1), bytes(100))
    const frames = bench.frames()
    assert.equal(frames.length, 11)
    assert.equal(frames.at(-1), 'DATA 1 100 end')
  })

  it('a chunk of any size arrives whole under any windows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 8 }),
        fc.integer({ min: 128, max: 70_000 }),
        (sizes, window) => {
          const client = Bench.untouchedClient({ limits: { streamWindowBytes: window } })
          const server = Bench.untouchedServer()
          client.events.take = (stream, chunk) => client.connection.consumed(stream, chunk.length)
          server.events.answer = (stream) => {
            server.connection.respond(stream, 200, [], false)
            sizes.forEach((size, i) => server.connection.sendData(stream, Buffer.alloc(size, i)))
            server.connection.end(stream)
          }
          pump(client, server)
          const target = { method: 'GET', scheme: 'http', authority: 'a', path: '/' }
          client.connection.request(target, [], true)
          pump(client, server)
          const expected = Buffer.concat(sizes.map((size, i) => Buffer.alloc(size, i)))
          const body = Buffer.concat(client.events.bodies.get(1) ?? [])
          assert.ok(body.equals(expected))
          assert.equal(client.log.at(-1), 'closed 1')
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('receiving within windows', () => {
  const limits = { streamWindowBytes: 1_000, connectionWindowBytes: 100_000 }

  it('what is consumed is given back at half the window, of stream and connection', () => {
    const bench = Bench.server({ limits })
    bench.receive(headers(1, post()), data(1, bytes(1_000)))
    bench.connection.consumed(bench.stream(1), 499)
    assert.deepEqual(bench.frames(), [])
    bench.connection.consumed(bench.stream(1), 1)
    assert.deepEqual(bench.frames(), ['WINDOW_UPDATE 1 +500'])
    bench.receive(data(1, bytes(500)))
    assert.deepEqual(bench.events.violations, [])
    bench.receive(data(1, bytes(1)))
    assert.deepEqual(bench.events.violations, ['window_exceeded'])
  })

  it('the owner that consumes nothing holds at most the window', () => {
    const bench = Bench.server({ limits })
    bench.receive(headers(1, post()))
    let sent = 0
    while (bench.connection.streamCount > 0) {
      bench.receive(data(1, bytes(100)))
      sent += 100
    }
    assert.equal(sent, 1_100)
    assert.equal(bench.events.body(1).length, 1_000)
  })

  it('the connection is given back what was never delivered, and what its owner still held', () => {
    const bench = Bench.server({
      limits: { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 },
    })
    bench.receive(headers(1, post()), data(1, bytes(16_384)), data(1, bytes(16_384)))
    bench.connection.reset(bench.stream(1), h2.CANCEL)
    assert.deepEqual(bench.frames(), ['RST_STREAM 1 code=8', 'WINDOW_UPDATE 0 +32768'])
    bench.receive(data(1, bytes(16_384)), data(1, bytes(16_384)))
    assert.deepEqual(bench.frames(), ['WINDOW_UPDATE 0 +32768'])
    bench.connection.consumed(bench.stream(1), 32_768)
    assert.deepEqual(bench.frames(), [])
  })

  it('padding is given back, as nobody else can', () => {
    const bench = Bench.server({ limits })
    bench.receive(headers(1, post()))
    for (let i = 0; i < 20; i++) {
      bench.receive(
        frame(0, 0x8, 1, Buffer.concat([Buffer.from([99]), Buffer.from('x'), bytes(99)])),
      )
      bench.connection.consumed(bench.stream(1), 1)
    }
    assert.deepEqual(bench.events.violations, [])
    assert.equal(bench.events.body(1).length, 20)
  })

  it('padding is given back to the connection too', () => {
    const bench = Bench.server({ limits: { ...limits, connectionWindowBytes: 65_535 } })
    const padding = Buffer.concat([Buffer.from([255]), Buffer.from('x'), bytes(255)])
    let updates: string[] = []
    for (let i = 0; i < 300; i++) {
      bench.receive(headers(2 * i + 1, post()), frame(0, 0x8, 2 * i + 1, padding))
      bench.connection.respond(bench.stream(2 * i + 1), 200, [], true)
      bench.receive(data(2 * i + 1, '', END))
      updates = [...updates, ...bench.frames().filter((line) => line.startsWith('WINDOW_UPDATE 0'))]
    }
    assert.deepEqual(bench.events.faults, [])
    assert.equal(updates.length, 2)
  })

  it('no stream window is given back after the end', () => {
    const bench = Bench.server({ limits })
    bench.receive(headers(1, post()), data(1, bytes(1_000), END))
    bench.connection.consumed(bench.stream(1), 1_000)
    assert.deepEqual(bench.frames(), [])
  })

  it('a peer may use the default window until it has seen ours', () => {
    const bench = Bench.untouchedServer({ limits })
    bench.receive(preface(), headers(1, post()), data(1, bytes(16_384)), data(1, bytes(16_384)))
    assert.deepEqual(bench.events.violations, [])
    bench.receive(settingsAck(), data(1, bytes(1)))
    assert.deepEqual(bench.events.violations, ['window_exceeded'])
  })

  it('the connection window is raised at the start', () => {
    const bench = Bench.untouchedServer()
    assert.deepEqual(bench.frames(), ['SETTINGS', 'WINDOW_UPDATE 0 +983041'])
    const plain = Bench.untouchedServer({ limits: { connectionWindowBytes: 65_535 } })
    assert.deepEqual(plain.frames(), ['SETTINGS'])
  })

  it('the connection window is never below what the protocol gives at the start', () => {
    const bench = Bench.server({ limits: { connectionWindowBytes: 10 } })
    bench.receive(headers(1, post()), ...[1, 2, 3].map(() => data(1, bytes(16_384))))
    assert.equal(bench.events.body(1).length, 3 * 16_384)
    assert.deepEqual(bench.events.faults, [])
  })
})
