import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BrokenRule } from '../../../src/http2/errors.ts'
import { HpackDecoder } from '../../../src/http2/hpack/decoder.ts'
import { defaultLimits, maxEncoderNames } from '../../../src/http2/limits.ts'
import { fields as anyFields } from '../support/arbitraries.ts'
import { decodeBlock, decodeList, encodeBlock, newEncoder } from '../support/hpack.ts'
import { block, integer, literal } from '../support/raw-frames.ts'

describe('HPACK', () => {
  it('gives back every series of blocks, whatever table sizes the peer asks for in between', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: anyFields() },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 8_192 }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const encoder = newEncoder()
        const decoder = new HpackDecoder()
        for (const next of steps) {
          if (typeof next === 'number') encoder.setPeerTableBytes(next)
          else assert.deepEqual(decodeBlock(decoder, encodeBlock(encoder, next)), next)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('decodes any bytes, or breaks hpack_invalid, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HpackDecoder()
        for (const bytes of blocks) {
          if (isRefused(decoder, Buffer.from(bytes))) return
          assert.ok(decoder.tableBytes <= 4_096)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  describe('encoder', () => {
    it('writes what repeats in one byte from the third time on', () => {
      const encoder = newEncoder()
      const lengths = [1, 2, 3, 4].map(() => encodeBlock(encoder, ['server', 'postern']).length)
      assert.deepEqual(lengths, [8, 7, 1, 1])
    })

    it('keeps what never repeats out of the table', () => {
      const encoder = newEncoder()
      encodeBlock(encoder, ['server', 'postern'])
      encodeBlock(encoder, ['server', 'postern'])
      for (let i = 0; i < 1_000; i++) encodeBlock(encoder, ['x-request-id', `id-${i}`])
      assert.equal(encodeBlock(encoder, ['server', 'postern']).length, 1)
    })

    it('uses the static table', () => {
      const encoder = newEncoder()
      assert.deepEqual(encodeBlock(encoder, [':status', '200']), Buffer.from([0x88]))
      assert.deepEqual(encodeBlock(encoder, [':status', '204']), Buffer.from([0x89]))
    })

    const secrets = ['authorization', 'proxy-authorization', 'set-cookie', 'x-api-key', 'cookie']
    for (const name of secrets) {
      it(`never indexes ${name}`, () => {
        const encoder = newEncoder()
        const decoder = new HpackDecoder()
        for (let i = 0; i < 3; i++) {
          const list = decodeList(decoder, encodeBlock(encoder, [name, 'k=short']))
          assert.deepEqual(list.neverIndexed, [name])
        }
        assert.equal(decoder.tableBytes, 0)
      })
    }

    it('indexes a cookie that is too long to be guessed', () => {
      const encoder = newEncoder()
      const cookie = ['cookie', 'session=0123456789abcdef0123456789abcdef']
      const lengths = [1, 2, 3].map(() => encodeBlock(encoder, cookie).length)
      assert.equal(lengths[2], 1)
    })

    it('never indexes what the caller calls secret', () => {
      const encoder = newEncoder()
      const decoder = new HpackDecoder()
      encoder.begin()
      encoder.secretField('x-token', 'abc')
      assert.deepEqual(decodeList(decoder, Buffer.from(encoder.take())).neverIndexed, ['x-token'])
    })

    it('lower-cases names and leaves connection-specific fields out', () => {
      const encoder = newEncoder()
      const sent = [
        'Content-Type',
        'text/plain',
        'Connection',
        'close',
        'Transfer-Encoding',
        'chunked',
      ]
      const hop = ['Keep-Alive', 'timeout=5', 'Upgrade', 'h2c', 'Proxy-Connection', 'close']
      const decoded = decodeBlock(new HpackDecoder(), encodeBlock(encoder, [...sent, ...hop]))
      assert.deepEqual(decoded, ['content-type', 'text/plain'])
    })

    it('uses Huffman only where it is shorter', () => {
      const encoder = newEncoder()
      const plain = encodeBlock(encoder, ['etag', '"\\{}<>|"'])
      assert.equal(plain[2], 8)
      const short = encodeBlock(encoder, ['etag', 'aaaaaaaa'])
      assert.equal(short[2], 0x80 | 5)
    })

    it('stays in step after a block that was given up', () => {
      const encoder = newEncoder()
      const decoder = new HpackDecoder()
      const server = ['server', 'postern', 'x-a', 'one']
      for (let i = 0; i < 3; i++) decodeBlock(decoder, encodeBlock(encoder, server))
      encoder.begin()
      encoder.field('x-b', 'two')
      encoder.field('x-b', 'two')
      assert.throws(() => encoder.field('x-c', '\u4e00'), TypeError)
      for (let i = 0; i < 3; i++) {
        assert.deepEqual(decodeBlock(decoder, encodeBlock(encoder, server)), server)
      }
    })

    it('passes through the smallest table size that the peer had asked for', () => {
      const encoder = newEncoder()
      encoder.setPeerTableBytes(0)
      encoder.setPeerTableBytes(4_096)
      assert.equal(encodeBlock(encoder, []).toString('hex'), '203fe11f')
      assert.equal(encodeBlock(encoder, []).length, 0)
    })

    it('never uses more of the table than it is told to', () => {
      const encoder = newEncoder()
      encoder.setPeerTableBytes(40)
      const decoder = new HpackDecoder()
      for (let i = 0; i < 4; i++) {
        decodeBlock(decoder, encodeBlock(encoder, ['a', 'b', 'x-longer', 'value']))
        assert.ok(decoder.tableBytes <= 40)
      }
      assert.equal(decoder.tableBytes, 34)
    })

    it('takes a block of any length', () => {
      const encoder = newEncoder()
      const many = Array.from({ length: 200_000 }, (_, i) => (i % 2 === 0 ? ':status' : '200'))
      assert.ok(encodeBlock(encoder, many).equals(Buffer.alloc(100_000, 0x88)))
    })

    it('goes on indexing after a flood of names', () => {
      const encoder = newEncoder()
      const decoder = new HpackDecoder()
      for (let i = 0; i < 4 * maxEncoderNames; i++) {
        const junk = [`x-${i}`, 'junk', `x-${'n'.repeat(100)}${i}`, 'junk']
        assert.deepEqual(decodeBlock(decoder, encodeBlock(encoder, junk)), junk)
      }
      const lengths = [1, 2, 3].map(() => encodeBlock(encoder, ['x-0', 'again']).length)
      assert.equal(lengths[2], 1)
    })
  })

  describe('decoder', () => {
    const bad = [
      { name: 'index 0', bytes: Buffer.from([0x80]) },
      { name: 'an index behind both tables', bytes: Buffer.from([0x80 | 62]) },
      { name: 'a name behind both tables', bytes: Buffer.from([0x7f, 0x00, 0x01, 0x61]) },
      { name: 'a string that breaks off', bytes: Buffer.from([0x00, 0x05, 0x61]) },
      { name: 'a block that breaks off in an integer', bytes: Buffer.from([0xff, 0x80]) },
      {
        name: 'an integer without end',
        bytes: Buffer.from([0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
      },
      {
        name: 'a length above every block',
        bytes: Buffer.from([0x00, 0x7f, 0xff, 0xff, 0xff, 0x7f]),
      },
      { name: 'a table size above ours', bytes: Buffer.from([0x3f, 0xe2, 0x1f]) },
      { name: 'a table size behind a field', bytes: Buffer.from([0x82, 0x20]) },
      { name: 'a wrong Huffman code', bytes: Buffer.from([0x00, 0x81, 0x00, 0x00]) },
    ]
    for (const { name, bytes } of bad) {
      it(`refuses ${name}`, () => {
        assert.ok(isRefused(new HpackDecoder(), bytes))
      })
    }

    it('takes table sizes at the beginning of a block, and evicts', () => {
      const decoder = new HpackDecoder()
      decodeBlock(decoder, literal(0x40, 'a', 'b'))
      assert.equal(decoder.tableBytes, 34)
      const twice = Buffer.from([0x20, 0x3f, 0xe1, 0x1f, 0x82])
      assert.deepEqual(decodeBlock(decoder, twice), [':method', 'GET'])
      assert.equal(decoder.tableBytes, 0)
      assert.ok(isRefused(decoder, Buffer.from([0x80 | 62])))
    })

    it('keeps a table that is exactly full', () => {
      const decoder = new HpackDecoder()
      const twoEntries = Buffer.concat([
        Buffer.from([0x3f, 68 - 31]),
        literal(0x40, 'a', '1'),
        literal(0x40, 'b', '2'),
      ])
      decodeBlock(decoder, twoEntries)
      assert.equal(decoder.tableBytes, 68)
      const both = Buffer.from([0x80 | 62, 0x80 | 63])
      assert.deepEqual(decodeBlock(decoder, both), ['b', '2', 'a', '1'])
    })

    it('empties the table for an entry larger than it', () => {
      const decoder = new HpackDecoder()
      decodeBlock(decoder, literal(0x40, 'a', 'b'))
      decodeBlock(decoder, literal(0x40, 'a', 'b'.repeat(4_096)))
      assert.equal(decoder.tableBytes, 0)
    })

    it('shares one string between all uses of a table entry', () => {
      const decoder = new HpackDecoder()
      const first = decodeList(decoder, literal(0x40, 'x-a', 'value'))
      const second = decodeList(decoder, Buffer.from([0x80 | 62]))
      assert.equal(first.fields[0], second.fields[0])
    })

    it('keeps nothing above the limits and stays in step', () => {
      const decoder = new HpackDecoder()
      const limits = { ...defaultLimits, maxHeaderListBytes: 200 }
      const bomb = Buffer.concat([
        literal(0x40, 'x-big', 'b'.repeat(100)),
        Buffer.alloc(10_000, 0x80 | 62),
        literal(0x40, 'x-after', 'bomb'),
      ])
      const list = decodeList(decoder, bomb, limits)
      assert.equal(list.isTooLarge, true)
      // What is small enough still says how the refusal must look.
      assert.deepEqual(
        list.fields.map(({ name }) => name),
        ['x-big', 'x-after'],
      )
      assert.deepEqual(decodeBlock(decoder, Buffer.from([0x80 | 62])), ['x-after', 'bomb'])
    })

    it('counts fields as well as bytes', () => {
      const limits = { ...defaultLimits, maxHeaderFields: 3 }
      const three = block(['a', '1', 'b', '2', 'c', '3'])
      assert.equal(decodeList(new HpackDecoder(), three, limits).isTooLarge, false)
      const four = Buffer.concat([three, block(['d', '4'])])
      assert.equal(decodeList(new HpackDecoder(), four, limits).isTooLarge, true)
    })

    it('reads integers in more than one byte', () => {
      const decoder = new HpackDecoder()
      const name = 'n'.repeat(1_337)
      const bytes = Buffer.concat([
        Buffer.from([0x00]),
        integer(1_337, 0x7f),
        Buffer.from(name),
        Buffer.from([0]),
      ])
      assert.deepEqual(decodeBlock(decoder, bytes), [name, ''])
    })
  })
})

function isRefused(decoder: HpackDecoder, bytes: Buffer): boolean {
  try {
    decodeBlock(decoder, bytes)
    return false
  } catch (thrown) {
    assert.ok(thrown instanceof BrokenRule)
    assert.equal(thrown.rule, 'hpack_invalid')
    return true
  }
}
