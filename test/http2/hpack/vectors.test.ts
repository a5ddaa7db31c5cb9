import assert from 'node:assert/strict'
import { HpackDecoder } from '../../../src/http2/hpack/decoder.ts'
import { decodeBlock, decodeList } from '../support/hpack.ts'
import { integer } from '../support/raw-frames.ts'
import { hpackSeries } from '../vectors/rfc7541.ts'

describe('HPACK, the examples of RFC 7541', () => {
  const single = [
    {
      name: 'C.2.1 literal with indexing',
      hex: '400a637573746f6d2d6b65790d637573746f6d2d686561646572',
      fields: ['custom-key', 'custom-header'],
      tableBytes: 55,
    },
    {
      name: 'C.2.2 literal without indexing',
      hex: '040c2f73616d706c652f70617468',
      fields: [':path', '/sample/path'],
      tableBytes: 0,
    },
    {
      name: 'C.2.3 literal never indexed',
      hex: '100870617373776f726406736563726574',
      fields: ['password', 'secret'],
      tableBytes: 0,
    },
    { name: 'C.2.4 indexed', hex: '82', fields: [':method', 'GET'], tableBytes: 0 },
  ]

  for (const { name, hex, fields, tableBytes } of single) {
    it(`decodes ${name}`, () => {
      const decoder = new HpackDecoder()
      assert.deepEqual(decodeBlock(decoder, Buffer.from(hex, 'hex')), fields)
      assert.equal(decoder.tableBytes, tableBytes)
    })
  }

  it('tells which fields came never-indexed', () => {
    const decoder = new HpackDecoder()
    const secret = decodeList(decoder, Buffer.from('100870617373776f726406736563726574', 'hex'))
    assert.deepEqual(secret.neverIndexed, ['password'])
    const plain = decodeList(decoder, Buffer.from('040c2f73616d706c652f70617468', 'hex'))
    assert.deepEqual(plain.neverIndexed, [])
  })

  for (const { section, tableBytes, blocks } of hpackSeries) {
    it(`decodes the series ${section}`, () => {
      const decoder = new HpackDecoder()
      decoder.decode(
        sizeUpdate(tableBytes),
        0,
        sizeUpdate(tableBytes).length,
        decodeList(decoder, Buffer.alloc(0)),
      )
      for (const { hex, fields, tableBytesAfter } of blocks) {
        const decoded = decodeBlock(decoder, Buffer.from(hex, 'hex'))
        assert.deepEqual(pairs(decoded), fields)
        assert.equal(decoder.tableBytes, tableBytesAfter)
      }
    })
  }
})

function sizeUpdate(bytes: number): Buffer {
  const update = integer(bytes, 0x1f)
  update[0] = (update[0] ?? 0) | 0x20
  return update
}

function pairs(flat: readonly string[]): string[] {
  return Array.from({ length: flat.length / 2 }, (_, i) => `${flat[2 * i]}: ${flat[2 * i + 1]}`)
}
