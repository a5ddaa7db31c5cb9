import assert from 'node:assert/strict'
import fc from 'fast-check'
import { cutAt, cuts } from './support/arbitraries.ts'
import { END, get, headers, ping, rstStream, settingsAck } from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'
import { clientBytes, mutated } from './support/sessions.ts'

/** A server that answers everything, fed with these chunks. */
function serve(chunks: readonly Buffer[]): Bench {
  const bench = Bench.untouchedServer()
  bench.events.answer = (stream, head) => {
    bench.connection.respond(stream, 200, ['x-path', head.path], false)
    bench.connection.sendData(stream, Buffer.from('hello'), true)
  }
  bench.events.take = (stream, chunk) => bench.connection.consumed(stream, chunk.length)
  for (const chunk of chunks) bench.receive(chunk)
  return bench
}

/** The same server, fed with all the bytes at once, which it works off in shares of `most`. */
function serveInShares(bytes: Buffer, most: number): Bench {
  const bench = serve([])
  let shares = 1
  bench.connection.receive(bytes, 0, most)
  for (; bench.connection.isBehind; shares++) bench.connection.goOn(0, most)
  assert.ok(shares <= 1 + bytes.length / 9, `${shares} shares of ${bytes.length} bytes`)
  return bench
}

/** The log with neighbouring pieces of one body as one. */
function merged(log: readonly string[]): string[] {
  const result: string[] = []
  for (const line of log) {
    const [, id = '', size = ''] = /^data (\d+) (\d+)$/.exec(line) ?? []
    const [, lastId = '', lastSize = ''] = /^data (\d+) (\d+)$/.exec(result.at(-1) ?? '') ?? []
    if (id !== '' && id === lastId) result.pop()
    const sum = id === lastId ? Number(size) + Number(lastSize) : Number(size)
    result.push(id === '' ? line : `data ${id} ${sum}`)
  }
  return result
}

describe('any cut of the byte stream', () => {
  it('gives the same events, heads, bodies and trailers', () => {
    fc.assert(
      fc.property(
        clientBytes().chain((bytes) => fc.tuple(fc.constant(bytes), cuts(bytes.length))),
        ([bytes, positions]) => {
          const whole = serve([bytes])
          const inPieces = serve(cutAt(bytes, positions))
          assert.deepEqual(merged(inPieces.log), merged(whole.log))
          assert.deepEqual(inPieces.events.heads, whole.events.heads)
          assert.deepEqual(inPieces.events.trailers, whole.events.trailers)
          for (const id of whole.events.bodies.keys()) {
            assert.equal(inPieces.events.body(id), whole.events.body(id))
          }
          assert.deepEqual(whole.events.faults, [])
        },
      ),
      { numRuns: 200 },
    )
  })

  it('byte by byte too', () => {
    fc.assert(
      fc.property(clientBytes(), (bytes) => {
        const single = Array.from(bytes, (byte) => Buffer.from([byte]))
        assert.deepEqual(merged(serve(single).log), merged(serve([bytes]).log))
      }),
      { numRuns: 20 },
    )
  })

  it('and any share of the work at a time', () => {
    fc.assert(
      fc.property(clientBytes(), fc.integer({ min: 1, max: 40 }), (bytes, most) => {
        const whole = serve([bytes])
        const inShares = serveInShares(bytes, most)
        assert.deepEqual(inShares.log, whole.log)
        assert.deepEqual(inShares.events.heads, whole.events.heads)
      }),
      { numRuns: 100 },
    )
  })

  it('finds the same broken rules in broken bytes, and never throws', () => {
    fc.assert(
      fc.property(
        mutated(clientBytes()).chain((bytes) => fc.tuple(fc.constant(bytes), cuts(bytes.length))),
        ([bytes, positions]) => {
          const whole = serve([bytes])
          const inPieces = serve(cutAt(bytes, positions))
          assert.deepEqual(inPieces.events.faults, whole.events.faults)
          assert.deepEqual(inPieces.events.violations, whole.events.violations)
          assert.deepEqual(inPieces.events.heads, whole.events.heads)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('is taken by a client as well, whatever the bytes are', () => {
    fc.assert(
      fc.property(mutated(clientBytes()), fc.uint8Array({ maxLength: 200 }), (bytes, noise) => {
        const server = serve([bytes])
        const client = Bench.untouchedClient()
        const target = { method: 'GET', scheme: 'http', authority: 'a', path: '/' }
        for (let i = 0; i < 10; i++) client.connection.request(target, [], true)
        const reply = server.output()
        const at = reply.length >>> 1
        client.receive(settingsAck(), reply.subarray(0, at), Buffer.from(noise), reply.subarray(at))
        client.receive(reply, Buffer.from(noise))
        assert.ok(client.events.faults.length <= 1)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a share of the work', () => {
  it('is so many frames; a request counts for sixteen and a reset for eight', () => {
    const bench = Bench.server()
    const frames = [
      ...[ping('12345678'), ping('12345678'), headers(1, get(), END), rstStream(1, 8)],
      ...[ping('12345678'), headers(3, get(), END)],
    ]
    assert.equal(bench.connection.receive(Buffer.concat(frames), 0, 0), 0)
    assert.equal(bench.connection.goOn(0, 1), 1)
    assert.equal(bench.connection.goOn(0, 2), 1 + 16)
    assert.deepEqual(bench.log, ['request 1 GET / end'])
    assert.equal(bench.connection.goOn(0, 9), 8 + 1)
    assert.equal(bench.connection.isBehind, true)
    assert.equal(bench.connection.goOn(0), 16)
    assert.equal(bench.connection.isBehind, false)
    assert.equal(bench.connection.goOn(0), 0)
  })

  it('ends with a request that the owner refuses', () => {
    const bench = Bench.server()
    bench.events.answer = (stream) => bench.connection.refused(stream)
    const frames = [headers(1, get(), END), ping('12345678'), headers(3, get(), END)]
    assert.equal(bench.connection.receive(Buffer.concat(frames), 0), 16)
    assert.equal(bench.connection.isBehind, true)
    assert.equal(bench.connection.goOn(0), 1 + 16)
    assert.equal(bench.connection.isBehind, false)
  })

  it('is done before more is received', () => {
    const bench = Bench.server()
    bench.connection.receive(Buffer.concat([ping('12345678'), ping('12345678')]), 0, 1)
    assert.throws(() => bench.connection.receive(ping('12345678'), 0), TypeError)
    bench.connection.goOn(0)
    bench.receive(ping('12345678'))
    assert.equal(bench.frames().length, 3)
  })

  it('is nothing when the connection is dead', () => {
    const bench = Bench.server()
    bench.connection.receive(Buffer.concat([ping('12345678'), ping('12345678')]), 0, 1)
    bench.connection.connectionLost()
    assert.equal(bench.connection.isBehind, false)
    assert.equal(bench.connection.goOn(0), 0)
  })
})
