import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import fc from 'fast-check'
import { IpAddress } from '../../src/core/ip-address.ts'
import { CidrSet, parseCidr } from '../../src/policy/cidr-set.ts'

function ip(text: string): IpAddress {
  const address = IpAddress.parse(text)
  assert.ok(address, text)
  return address
}

function setOf(...texts: string[]): CidrSet {
  return new CidrSet(texts.map(parseCidr))
}

describe('parseCidr', () => {
  const good = [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['192.0.2.7', '192.0.2.7/32'],
    ['2001:DB8::/32', '2001:db8::/32'],
    ['::1', '::1/128'],
    ['::/0', '::/0'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['::ffff:0.0.0.0/96', '0.0.0.0/0'],
  ] as const
  for (const [text, written] of good) {
    it(`reads ${text}`, () => assert.equal(parseCidr(text).text, written))
  }

  const bad = [
    ['10.0.0.1/8', /expected 10\.0\.0\.0\/8$/],
    ['2001:db8::1/64', /expected 2001:db8::\/64$/],
    ['10.0.0.0/33', /expected an address, or a range/],
    ['::/129', /expected an address, or a range/],
    ['::ffff:10.0.0.0/80', /expected an address, or a range/],
    ['10.0.0.0/', /expected an address, or a range/],
    ['10.0.0.0/-1', /expected an address, or a range/],
    ['10.0.0/8', /expected an address, or a range/],
    ['localhost', /expected an address, or a range/],
    ['10.0.0.0/8/8', /expected an address, or a range/],
    ['', /expected an address, or a range/],
  ] as const
  for (const [text, message] of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseCidr(text), { code: 'ERR_ADDRESS_INVALID', message })
    })
  }
})

describe('CidrSet', () => {
  it('finds the longest entry that an address is in', () => {
    const set = setOf('10.0.0.0/8', '10.1.0.0/16', '10.1.2.3')

    assert.equal(set.find(ip('10.2.0.1')), '10.0.0.0/8')
    assert.equal(set.find(ip('10.1.0.1')), '10.1.0.0/16')
    assert.equal(set.find(ip('10.1.2.3')), '10.1.2.3/32')
    assert.equal(set.find(ip('11.0.0.0')), undefined)
    assert.equal(set.find(ip('9.255.255.255')), undefined)
  })

  it('takes an IPv4 caller of a dual-stack socket for IPv4', () => {
    assert.equal(setOf('10.0.0.0/8').find(ip('::ffff:10.0.0.1')), '10.0.0.0/8')
    assert.equal(setOf('::ffff:10.0.0.0/104').find(ip('10.0.0.1')), '10.0.0.0/8')
  })

  it('keeps IPv4 and IPv6 apart', () => {
    assert.equal(setOf('::/0').find(ip('10.0.0.1')), undefined)
    assert.equal(setOf('0.0.0.0/0').find(ip('::1')), undefined)
    assert.equal(setOf('0.0.0.0/0').find(ip('::ffff:1.2.3.4')), '0.0.0.0/0')
  })

  it('agrees with the BlockList of Node on every address', () => {
    // But for ranges like ::/0, in which it counts IPv4.
    const range = fc.oneof(
      fc.tuple(fc.nat(0xffffffff), fc.nat(32)).map(([n, length]) => {
        const masked = length === 0 ? 0 : (n & (-1 << (32 - length))) >>> 0
        return { text: dotted(masked), length, family: 'ipv4' as const }
      }),
      fc.tuple(fc.constantFrom('2001:db8::', 'fd00::'), fc.nat(3)).map(([text, i]) => ({
        text,
        length: [32, 48, 64, 128][i] ?? 64,
        family: 'ipv6' as const,
      })),
    )
    const address = fc.oneof(
      fc.nat(0xffffffff).map(dotted),
      fc.constantFrom('2001:db8::1', '2001:db8:0:1::', 'fd00::', '::', '::1', '2001:db9::'),
    )
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), fc.array(address), (ranges, addresses) => {
        const set = setOf(...ranges.map(({ text, length }) => `${text}/${length}`))
        const list = new BlockList()
        for (const { text, length, family } of ranges) list.addSubnet(text, length, family)
        const near = ranges.map(({ text }) => text)
        for (const text of [...addresses, ...near]) {
          const family = text.includes(':') ? 'ipv6' : 'ipv4'
          assert.equal(set.find(ip(text)) !== undefined, list.check(text, family), text)
        }
      }),
    )
  })
})

function dotted(n: number): string {
  return [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join('.')
}
