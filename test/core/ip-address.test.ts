import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import fc from 'fast-check'
import { IpAddress } from '../../src/core/ip-address.ts'

/** Node's own reading, in its one form; that of URLs knows no mixed notation. */
function nodeReads(text: string): string | undefined {
  const family = isIP(text)
  if (family !== 6 || text.includes('%')) return family === 4 ? text : undefined
  const written = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(written) ?? []
  if (high === undefined || low === undefined) return written
  const bytes = [high, low].map((group) => parseInt(group, 16)).flatMap((n) => [n >> 8, n & 255])
  return bytes.join('.')
}

const good = [
  ['10.0.0.1', '10.0.0.1', 4],
  ['0.0.0.0', '0.0.0.0', 4],
  ['::ffff:10.0.0.1', '10.0.0.1', 4],
  ['::ffff:a00:1', '10.0.0.1', 4],
  ['0:0:0:0:0:FFFF:10.0.0.1', '10.0.0.1', 4],
  ['::', '::', 6],
  ['::1', '::1', 6],
  ['fe80::', 'fe80::', 6],
  ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1', 6],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1', 6],
  ['64:ff9b::192.0.2.1', '64:ff9b::c000:201', 6],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304', 6],
  ['::1:0:0:0:1', '::1:0:0:0:1', 6],
] as const

const bad = [
  '',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '256.0.0.1',
  '1.2.3.-4',
  ' 1.2.3.4',
  '1.2.3.4 ',
  '0x7f.0.0.1',
  '2130706433',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7::8',
  '12345::',
  'g::',
  '::1.2.3',
  '1.2.3.4::',
  '::1.2.3.4:5',
  ':1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::ffff:010.0.0.1',
  'fe80::1%eth0',
  '[::1]',
]

describe('IpAddress', () => {
  for (const [text, written, family] of good) {
    it(`reads ${text}`, () => {
      const address = IpAddress.parse(text)

      assert.equal(address?.toString(), written)
      assert.equal(address.family, family)
      assert.equal(address.bits.length, family === 4 ? 32 : 128)
    })
  }

  for (const text of bad) {
    it(`reads nothing from ${JSON.stringify(text)}`, () => {
      assert.equal(IpAddress.parse(text), undefined)
    })
  }

  it('reads and writes every address as Node does', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), almostAddress), (text) => {
        assert.equal(IpAddress.parse(text)?.toString(), nodeReads(text))
      }),
      { numRuns: 3_000 },
    )
  })

  it('gives back the bytes of an address as digits', () => {
    assert.equal(IpAddress.parse('128.0.0.3')?.bits, `1${'0'.repeat(29)}11`)
    assert.equal(IpAddress.fromBytes(Buffer.alloc(16, 0xff)).bits, '1'.repeat(128))
  })

  it('is made from 4 or 16 bytes only', () => {
    assert.throws(() => IpAddress.fromBytes(Buffer.alloc(5)), TypeError)
  })
})

const almostAddress = fc
  .array(fc.constantFrom(':', '::', '.', '0', '1', 'ff', 'ffff', '255', '10', '1.2.3.4'), {
    maxLength: 16,
  })
  .map((parts) => parts.join(''))
