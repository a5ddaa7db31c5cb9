import assert from 'node:assert/strict'
import fc from 'fast-check'
import { deepestDer, DerReader, derTag, mostDerElements } from '../../src/x509/der.ts'
import { integer, nothing, oid, sequence, tlv } from '../support/der-writer.ts'

const isMalformed = { code: 'ERR_DER_MALFORMED' }
const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const read = (hex: string) => DerReader.of(bytes(hex))

/** Each pair differs in the one point that the name tells. */
const strictness: readonly { name: string; good: string; bad: string }[] = [
  { name: 'a length with a leading zero octet', good: '04 81 80', bad: '04 82 00 80' },
  { name: 'a long length that would fit a short one', good: '04 7f', bad: '04 81 7f' },
  { name: 'an indefinite length', good: '30 00', bad: '30 80 00 00' },
  { name: 'a length beyond the end', good: '04 01 00', bad: '04 02 00' },
  { name: 'a length octet of FF', good: '04 00', bad: '04 ff' },
  { name: 'a length of four octets', good: '04 00', bad: '04 84 01 00 00 00' },
  { name: 'a byte after the value', good: '05 00', bad: '05 00 00' },
  { name: 'an element that is cut off within', good: '30 02 05 00', bad: '30 02 05 01' },
  { name: 'an identifier of two octets', good: '9e 00', bad: '9f 1f 00' },
  { name: 'a boolean of 01', good: '01 01 ff', bad: '01 01 01' },
  { name: 'a boolean of two octets', good: '01 01 00', bad: '01 02 00 00' },
  { name: 'an empty integer', good: '02 01 00', bad: '02 00' },
  { name: 'an integer with a needless 00', good: '02 02 00 80', bad: '02 02 00 7f' },
  { name: 'an integer with a needless FF', good: '02 02 ff 7f', bad: '02 02 ff 80' },
  { name: 'a null with content', good: '05 00', bad: '05 01 00' },
  { name: 'a bit string without its first octet', good: '03 01 00', bad: '03 00' },
  { name: 'a bit string with eight unused bits', good: '03 02 07 80', bad: '03 02 08 80' },
  { name: 'a bit string whose unused bits are set', good: '03 02 04 f0', bad: '03 02 04 f1' },
  { name: 'an empty bit string with unused bits', good: '03 01 00', bad: '03 01 01' },
  { name: 'an object identifier that ends within an arc', good: '06 02 2a 03', bad: '06 02 2a 83' },
  { name: 'an object identifier with a padded arc', good: '06 02 2a 03', bad: '06 03 2a 80 03' },
  { name: 'an empty object identifier', good: '06 01 2a', bad: '06 00' },
  { name: 'an octet string in pieces', good: '04 02 aa bb', bad: '24 06 04 01 aa 04 01 bb' },
  { name: 'a primitive sequence', good: '30 00', bad: '10 00' },
  { name: 'a primitive set', good: '31 00', bad: '11 00' },
  { name: 'an end-of-contents octet', good: '30 02 05 00', bad: '30 02 00 00' },
  { name: 'a fault deep inside', good: '30 05 a0 03 01 01 ff', bad: '30 05 a0 03 01 01 fe' },
  { name: 'nothing at all', good: '05 00', bad: '' },
]

describe('DerReader', () => {
  for (const { name, good, bad } of strictness)
    it(`refuses ${name}`, () => {
      const content = good.startsWith('04 81 80') ? Buffer.alloc(0x80) : nothing
      const padding = good === '04 7f' ? Buffer.alloc(0x7f) : nothing
      assert.doesNotThrow(() => DerReader.of(Buffer.concat([bytes(good), content, padding])))
      assert.throws(() => DerReader.of(Buffer.concat([bytes(bad), content, padding])), isMalformed)
    })

  it('reads elements in order and refuses another tag', () => {
    const reader = read('30 08 02 01 05 06 01 2a 05 00').enter(derTag.sequence)
    assert.throws(() => reader.content(derTag.oid), isMalformed)
    assert.equal(reader.smallInteger(), 5)
    assert.equal(reader.oid(), '1.2')
    assert.throws(() => {
      reader.finish()
    }, isMalformed)
    assert.equal(reader.peek().toString('hex'), '0500')
    assert.equal(reader.element().toString('hex'), '0500')
    reader.finish()
    assert.equal(reader.nextTag, -1)
    assert.throws(() => reader.element(), isMalformed)
  })

  it('does not read past an element into what follows it', () => {
    const outer = read('30 06 30 02 05 00 05 00').enter(derTag.sequence)
    const inner = outer.enter(derTag.sequence)
    inner.element()
    assert.throws(() => inner.element(), isMalformed)
    outer.element()
    assert.ok(outer.isAtEnd)
  })

  it('reads integers up to 2^31-1 and no further', () => {
    assert.equal(read('02 04 7f ff ff ff').smallInteger(), 2 ** 31 - 1)
    assert.throws(() => read('02 05 00 80 00 00 00').smallInteger(), isMalformed)
    assert.throws(() => read('02 01 ff').smallInteger(), isMalformed)
  })

  it('reads whole octets of a bit string only', () => {
    assert.equal(read('03 02 00 aa').octetsOfBits().toString('hex'), 'aa')
    assert.throws(() => read('03 02 01 aa').octetsOfBits(), isMalformed)
  })

  it('reads every object identifier that can be written', () => {
    const arcs = fc.tuple(
      fc.nat({ max: 2 }),
      fc.nat({ max: 39 }),
      fc.array(fc.nat(), { maxLength: 6 }),
    )
    fc.assert(
      fc.property(arcs, ([first, second, rest]) => {
        const dotted = [first, second, ...rest].join('.')
        assert.equal(DerReader.of(oid(dotted)).oid(), dotted)
      }),
    )
    assert.throws(() => read('06 06 2a 90 80 80 80 00').oid(), isMalformed)
  })

  it('is bounded in depth', () => {
    const nested = (depth: number): Buffer => (depth === 0 ? nothing : sequence(nested(depth - 1)))
    assert.doesNotThrow(() => DerReader.of(nested(deepestDer)))
    assert.throws(() => DerReader.of(nested(deepestDer + 1)), isMalformed)
  })

  it('is bounded in elements', () => {
    const many = (count: number) => sequence(...Array.from({ length: count }, () => tlv(0x05)))
    assert.doesNotThrow(() => DerReader.of(many(mostDerElements - 1)))
    assert.throws(() => DerReader.of(many(mostDerElements)), isMalformed)
  })

  it('reads what is written and fails only in its one way', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (content) => {
        assert.equal(DerReader.of(tlv(0x04, content)).content(0x04).compare(content), 0)
        try {
          DerReader.of(Buffer.from(content))
        } catch (error) {
          assert.equal((error as { code: string }).code, 'ERR_DER_MALFORMED')
        }
      }),
    )
    fc.assert(
      fc.property(fc.nat(), (value) => DerReader.of(integer(value)).smallInteger() === value),
    )
  })
})
