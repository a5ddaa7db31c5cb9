import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Fields } from '../../src/core/fields.ts'
import { RequestReader } from '../../src/http1/request-reader.ts'
import { anyRequests, cut, places } from './mutations.ts'
import { bytesOf, readReplies, readRequests, silent } from './recorder.ts'

const methods = ['GET', 'POST', 'GET']

const chunkedRequest = 'POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n'

describe('Bytes of any kind', () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc
      .array(fc.constantFrom(...'GET / HTTP/1.0\r\n\r\n: ;,aF0\0\t\xff'.split('')), {
        maxLength: 300,
      })
      .map((characters) => Buffer.from(characters.join(''), 'latin1')),
  )

  it('never make a reader throw or run past them', () => {
    fc.assert(
      fc.property(anyBytes, places, (bytes, at) => {
        readRequests(cut(bytes, at))
        readReplies(cut(bytes, at), methods)
        readRequests([bytesOf('POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n'), bytes])
        readReplies([bytesOf('HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n'), bytes], methods)
      }),
      { numRuns: 3_000 },
    )
  })

  it('never pass a limit', () => {
    const limits = {
      maxStartLineBytes: 40,
      maxHeadBytes: 80,
      maxFields: 3,
      maxTrailerBytes: 20,
      maxChunkHeadBytes: 8,
      maxChunkExtensionBytes: 8,
      maxLeadingEmptyLines: 1,
    }
    let accepted = 0
    fc.assert(
      fc.property(anyRequests(), places, (bytes, at) => {
        for (const { head, trailers } of readRequests(cut(bytes, at), limits).messages) {
          accepted++
          const line = `${head.method} ${head.target} HTTP/1.1\r\n`.length
          assert.ok(line <= limits.maxStartLineBytes)
          assert.ok(line + sizeOf(head.fields) <= limits.maxHeadBytes)
          assert.ok(head.fields.length <= 2 * limits.maxFields)
          assert.ok(sizeOf(trailers ?? []) <= limits.maxTrailerBytes)
        }
      }),
      { numRuns: 3_000 },
    )
    assert.ok(accepted > 300, `only ${accepted} were accepted`)
  })

  const endless: [name: string, start: string, forever: string, most: number][] = [
    ['a request line', 'GET /', 'a', 17_000],
    ['a field name', 'GET / HTTP/1.1\nHost: a\n', 'a', 17_000],
    ['a field value', 'GET / HTTP/1.1\nHost: a\nX: ', 'a', 17_000],
    ['fields', 'GET / HTTP/1.1\nHost: a\n', 'X: y\r\n', 17_000],
    ['empty lines', '', '\r\n', 100],
    ['a chunk size', chunkedRequest, '0', 100],
    ['a chunk extension', `${chunkedRequest}1;`, 'a', 500],
    ['chunk extensions', chunkedRequest, '1;aaaaaaa\r\nx\r\n', 9_000],
    ['a trailer', `${chunkedRequest}0\nX: `, 'a', 4_200],
    ['trailers', `${chunkedRequest}0\n`, 'X: y\r\n', 4_200],
  ]
  for (const [name, start, forever, most] of endless) {
    it(`are refused when ${name} would never end`, () => {
      const reader = new RequestReader(silent)
      reader.read(bytesOf(start), 0)
      const piece = Buffer.from(forever, 'latin1')
      let fed = 0
      while (reader.state !== 'refused' && fed < 1_000_000) {
        reader.read(piece, 0)
        fed += piece.length
      }
      assert.ok(fed <= most, `${fed} bytes were read`)
    })
  }

  it('hold no memory once they were read', () => {
    const reader = new RequestReader(silent)
    reader.read(bytesOf(chunkedRequest), 0)
    const megabyte = Buffer.concat([
      Buffer.from('100000\r\n'),
      Buffer.alloc(2 ** 20),
      Buffer.from('\r\n'),
    ])
    const before = process.memoryUsage()
    for (let i = 0; i < 300; i++) assert.equal(reader.read(megabyte, 0), megabyte.length)
    const after = process.memoryUsage()
    assert.ok(after.arrayBuffers - before.arrayBuffers < 10 * 2 ** 20)
    assert.equal(reader.state, 'body')
  })
})

function sizeOf(list: Fields): number {
  return list.join('').length + (list.length / 2) * ':\r\n'.length + '\r\n'.length
}
