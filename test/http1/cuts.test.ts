import assert from 'node:assert/strict'
import fc from 'fast-check'
import { RequestReader } from '../../src/http1/request-reader.ts'
import {
  anyReplies,
  anyRequests,
  badReplies,
  badRequests,
  cut,
  goodReplies,
  goodRequests,
  places,
} from './mutations.ts'
import { bytesOf, readReplies, readRequests, silent, type Transcript } from './recorder.ts'
import { boundsOfReplies } from './reply-table.ts'
import { boundsOfRequests } from './request-table.ts'

const methods = ['GET', 'POST', 'GET']

describe('A message that is cut', () => {
  it('at any byte, or at all of them, is read as it is whole: every request of the tables', () => {
    for (const text of [...goodRequests, ...badRequests].filter(isShort)) {
      const bytes = bytesOf(text)
      const whole = outcome(readRequests([bytes]))
      for (const pieces of everyCut(bytes)) assert.deepEqual(outcome(readRequests(pieces)), whole)
    }
  })

  it('at any byte, or at all of them, is read as it is whole: every reply of the tables', () => {
    for (const text of [...goodReplies, ...badReplies].filter(isShort)) {
      const bytes = bytesOf(text)
      for (const method of ['GET', 'HEAD']) {
        const whole = outcome(readReplies([bytes], [method]))
        for (const pieces of everyCut(bytes)) {
          assert.deepEqual(outcome(readReplies(pieces, [method])), whole)
        }
      }
    }
  })

  it('at random places is held to the same bounds', () => {
    const rows = boundsOfRequests.flatMap(({ limits, within, above }) => [
      { limits, bytes: bytesOf(within) },
      { limits, bytes: bytesOf(above) },
    ])
    fc.assert(
      fc.property(fc.constantFrom(...rows), places, ({ limits, bytes }, at) => {
        const whole = outcome(readRequests([bytes], limits))
        assert.deepEqual(outcome(readRequests(cut(bytes, at), limits)), whole)
      }),
      { numRuns: 500 },
    )
  })

  it('at random places is held to the same bounds: replies', () => {
    const rows = boundsOfReplies.flatMap(({ limits, within, above }) => [
      { limits, bytes: bytesOf(within) },
      { limits, bytes: bytesOf(above) },
    ])
    fc.assert(
      fc.property(fc.constantFrom(...rows), places, ({ limits, bytes }, at) => {
        const whole = outcome(readReplies([bytes], methods, limits))
        assert.deepEqual(outcome(readReplies(cut(bytes, at), methods, limits)), whole)
      }),
      { numRuns: 500 },
    )
  })

  it('at random places is read as it is whole: mutated requests', () => {
    fc.assert(
      fc.property(anyRequests(), places, (bytes, at) => {
        assert.deepEqual(outcome(readRequests(cut(bytes, at))), outcome(readRequests([bytes])))
      }),
      { numRuns: 3_000 },
    )
  })

  it('at random places is read as it is whole: mutated replies', () => {
    fc.assert(
      fc.property(anyReplies(), places, (bytes, at) => {
        const whole = outcome(readReplies([bytes], methods))
        assert.deepEqual(outcome(readReplies(cut(bytes, at), methods)), whole)
      }),
      { numRuns: 3_000 },
    )
  })

  it('into single bytes costs no more than its length', function () {
    this.timeout(10_000)
    // Searching or copying from the start for each byte would take days.
    const size = 1_000_000
    const limits = { maxHeadBytes: 2 * size, maxStartLineBytes: 2 * size }
    const byte = Buffer.from('a')
    const reader = new RequestReader(silent, limits)
    reader.read(bytesOf('GET / HTTP/1.1\nHost: a\nX: '), 0)
    for (let i = 0; i < size; i++) reader.read(byte, 0)
    reader.read(bytesOf('\n\n'), 0)
    assert.equal(reader.state, 'ended')
  })
})

function isShort(text: string): boolean {
  return text.length < 400
}

/** In two pieces at each byte, and byte by byte. */
function* everyCut(bytes: Buffer): Generator<Buffer[]> {
  for (let at = 0; at <= bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
  yield Array.from(bytes, (byte) => Buffer.from([byte]))
}

/** Without what depends on where pieces end: how far a refused message was read. */
function outcome(found: Transcript<unknown>): unknown {
  return found.refused === undefined ? found : { ...found, rest: undefined }
}
