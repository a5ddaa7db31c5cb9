import assert from 'node:assert/strict'
import fc from 'fast-check'
import { cutAt, cuts } from './support/arbitraries.ts'
import { settingsAck } from './support/raw-frames.ts'
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
