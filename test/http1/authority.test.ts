import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { isAuthority, isSameAuthority } from '../../src/http1/authority.ts'

const authorities = [
  'a',
  'A',
  'api.example',
  'api.example.',
  'api.example:1',
  'api.example:443',
  'api.example:65535',
  'a_b',
  '_dns.a',
  '-a',
  'xn--bcher-kva.example',
  'a%20b',
  "a~!$&'()*+;=b",
  '127.0.0.1',
  '127.0.0.1:8080',
  '999.0.0.1',
  '[::]',
  '[::1]',
  '[::1]:443',
  '[1::]',
  '[2001:DB8::1]',
  '[1:2:3:4:5:6:7:8]',
  '[1:2:3:4:5:6:7::]',
  '[::ffff:127.0.0.1]',
  '[1:2:3:4:5:6:127.0.0.1]',
  'a'.repeat(255),
]

const others = [
  '',
  ' a',
  'a ',
  'a b',
  'a,b',
  'a/b',
  'a?b',
  'a#b',
  'a\\b',
  'a@b',
  'a:b@c',
  'a"b',
  'a<b',
  'a[b',
  'a^b',
  'a`b',
  'a{b',
  'a|b',
  'a%2',
  'a%zz',
  '%',
  'a\xe9',
  'a\u0100',
  'a\n',
  'a\0',
  ':',
  ':80',
  'a:',
  'a:0',
  'a:00',
  'a:65536',
  'a:99999',
  'a:000080',
  'a:+80',
  'a:8 0',
  'a:80:80',
  'a:http',
  '::1',
  '[',
  ']',
  '[]',
  '[]:80',
  '[::1',
  '::1]',
  '[::1]a',
  '[::1]:',
  '[::1]80',
  '[:::]',
  '[::1::]',
  '[1:2:3:4:5:6:7]',
  '[1:2:3:4:5:6:7:8:9]',
  '[1:2:3:4:5:6:7:8::]',
  '[1:2:3:4::5:6:7:8]',
  '[12345::]',
  '[g::]',
  '[::1%25eth0]',
  '[fe80::1%eth0]',
  '[v1.a]',
  '[127.0.0.1]',
  '[::127.0.0.1:1]',
  '[::256.0.0.1]',
  '[::01.0.0.1]',
  '[127.0.0.1::]',
  '[a]',
  'a'.repeat(256),
]

describe('isAuthority', () => {
  for (const text of authorities) {
    it(`takes ${shown(text)}`, () => assert.equal(isAuthority(text), true))
  }
  for (const text of others) {
    it(`refuses ${shown(text)}`, () => assert.equal(isAuthority(text), false))
  }

  it('agrees with Node on IPv6 addresses without a zone', () => {
    const group = fc.constantFrom('', '0', '1', 'ffff', 'FfF', '12345', 'g', '127.0.0.1', '1.2.3')
    const address = fc.array(group, { maxLength: 10 }).map((groups) => groups.join(':'))
    fc.assert(
      fc.property(address, (text) => isAuthority(`[${text}]`) === isIPv6(text)),
      { numRuns: 5_000 },
    )
  })
})

describe('isSameAuthority', () => {
  it('does not look at case, nor at the default port', () => {
    assert.equal(isSameAuthority('a.example', 'A.Example', 'http'), true)
    assert.equal(isSameAuthority('a:80', 'A', 'http'), true)
    assert.equal(isSameAuthority('a', 'a:443', 'https'), true)
    assert.equal(isSameAuthority('[::1]:80', '[::1]', 'http'), true)
  })

  it('tells other hosts and ports apart', () => {
    assert.equal(isSameAuthority('a', 'b', 'http'), false)
    assert.equal(isSameAuthority('a:81', 'a', 'http'), false)
    assert.equal(isSameAuthority('a:80', 'a', 'https'), false)
    assert.equal(isSameAuthority('a:443', 'a', 'http'), false)
  })
})

function shown(text: string): string {
  return text.length > 60 ? `${text.length} characters` : JSON.stringify(text)
}
