import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isAuthority as isHttp1Authority } from '../../src/http1/authority.ts'
import { isAuthority, isSameAuthority } from '../../src/http2/authority.ts'

describe('the authority of HTTP/2', () => {
  const good = [
    'api.example',
    'API.example:8443',
    '127.0.0.1:80',
    '[::1]',
    '[2001:db8::1]:443',
    '[1:2:3:4:5:6:7:8]',
    '[::ffff:192.0.2.1]:65535',
    'a%20b',
    "sub!$&'()*+;=.example",
  ]
  for (const text of good) {
    it(`takes ${text}`, () => assert.equal(isAuthority(text), true))
  }

  const bad = [
    '',
    'user@api.example',
    'api.example:',
    'api.example:0',
    'api.example:65536',
    'api.example:8a',
    'a b',
    'a,b',
    'a/b',
    'a%2',
    '::1',
    '[::1',
    '[::1]x',
    '[1:2]',
    '[1::2::3]',
    '[1:2:3:4:5:6:7:8:9]',
    '[fe80::1%25eth0]',
    '[::256.0.0.1]',
    'a'.repeat(256),
  ]
  for (const text of bad) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(isAuthority(text), false))
  }

  it('is the authority of HTTP/1.1', () => {
    const piece = fc.constantFrom(
      'a',
      '1',
      '.',
      ':',
      '::',
      '[',
      ']',
      '%',
      '20',
      '@',
      ',',
      '255',
      'f',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('')
        assert.equal(isAuthority(text), isHttp1Authority(text), text)
      }),
      { numRuns: 5_000 },
    )
  })

  it('is the same in another case and without the default port', () => {
    assert.equal(isSameAuthority('api.example', 'API.example:443', 'https'), true)
    assert.equal(isSameAuthority('api.example', 'api.example:80', 'http'), true)
    assert.equal(isSameAuthority('api.example', 'api.example:80', 'https'), false)
    assert.equal(isSameAuthority('api.example', 'api.example.org', 'https'), false)
  })
})
