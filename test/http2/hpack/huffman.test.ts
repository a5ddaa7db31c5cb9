import assert from 'node:assert/strict'
import fc from 'fast-check'
import { codeLengths } from '../../../src/http2/hpack/huffman-lengths.ts'
import { huffmanDecode, huffmanEncode, huffmanLength } from '../../../src/http2/hpack/huffman.ts'
import { latin1 } from '../support/arbitraries.ts'

describe('HPACK Huffman code', () => {
  it('is a complete prefix code', () => {
    assert.equal(codeLengths.length, 257)
    const used = codeLengths.reduce((sum, length) => sum + 2 ** -length, 0)
    assert.equal(used, 1)
  })

  it('gives back every text, in as many bytes as it said', () => {
    fc.assert(
      fc.property(latin1(60), (text) => {
        const bytes = encode(text)
        assert.equal(bytes.length, huffmanLength(text))
        assert.equal(huffmanDecode(bytes, 0, bytes.length), text)
      }),
      { numRuns: 2_000 },
    )
  })

  it('gives back every pair of characters, at every place within a byte', () => {
    for (let a = 0; a < 256; a++) {
      for (let b = 0; b < 256; b++) {
        const text = 'o'.repeat(b % 8) + String.fromCharCode(a, b)
        const bytes = encode(text)
        assert.equal(huffmanDecode(bytes, 0, bytes.length), text)
      }
    }
  })

  it('reads nothing outside the given range', () => {
    const bytes = Buffer.concat([
      Buffer.from([0x00]),
      encode('www.example.com'),
      Buffer.from([0x00]),
    ])
    assert.equal(huffmanDecode(bytes, 1, bytes.length - 1), 'www.example.com')
  })

  it('refuses a character above one byte when encoding', () => {
    assert.throws(() => huffmanLength('\u0100'), TypeError)
    assert.equal(huffmanLength('\u00ff'), 4)
  })

  const bad = [
    { name: 'padding of a whole byte', hex: '1fff' },
    { name: 'padding that is not all ones', hex: '18' },
    { name: 'EOS', hex: 'ffffffff' },
    { name: 'EOS within', hex: '1ffffffffc' },
    { name: 'a long code that breaks off', hex: 'fffe' },
  ]
  for (const { name, hex } of bad) {
    it(`refuses ${name}`, () => {
      const bytes = Buffer.from(hex, 'hex')
      assert.equal(huffmanDecode(bytes, 0, bytes.length), undefined)
    })
  }

  it('takes padding of up to seven ones', () => {
    for (let length = 0; length < 8; length++) {
      const text = 'a'.repeat(length)
      const bytes = encode(text)
      assert.equal(huffmanDecode(bytes, 0, bytes.length), text)
    }
  })

  it('decodes any bytes to a text that encodes to the same bytes, or to nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (array) => {
        const bytes = Buffer.from(array)
        const text = huffmanDecode(bytes, 0, bytes.length)
        if (text !== undefined) assert.deepEqual(encode(text), bytes)
      }),
      { numRuns: 5_000 },
    )
  })
})

function encode(text: string): Buffer {
  const bytes = Buffer.alloc(huffmanLength(text))
  assert.equal(huffmanEncode(text, bytes, 0), bytes.length)
  return bytes
}
