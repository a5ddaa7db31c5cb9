import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SpiffeId } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'

const segmentCharacters = [
  ...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_'.split(''),
]
const domainCharacters = segmentCharacters.filter((one) => one === one.toLowerCase())
const allCharacters = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i))

/** SPIFFE-ID 2: text, trust domain, path. */
const valid: readonly (readonly [string, string, string])[] = [
  ['spiffe://corp.example', 'corp.example', ''],
  ['spiffe://corp.example/api', 'corp.example', '/api'],
  ['spiffe://corp.example/ns/prod/sa/web', 'corp.example', '/ns/prod/sa/web'],
  ['spiffe://corp.example/A-Z_a.z09', 'corp.example', '/A-Z_a.z09'],
  ['spiffe://corp.example/...', 'corp.example', '/...'],
  ['spiffe://corp.example/.a/..a/a..', 'corp.example', '/.a/..a/a..'],
  ['spiffe://corp.example/-/_', 'corp.example', '/-/_'],
  ['spiffe://1.2.3.4/service', '1.2.3.4', '/service'],
  ['spiffe://256.1.1.1/service', '256.1.1.1', '/service'],
  ['spiffe://a_b-c.d/x', 'a_b-c.d', '/x'],
  ['spiffe://-/x', '-', '/x'],
  ['spiffe://./x', '.', '/x'],
  ['spiffe://a/x', 'a', '/x'],
  [`spiffe://${'a'.repeat(255)}/x`, 'a'.repeat(255), '/x'],
  [`spiffe://a/${'x'.repeat(2048 - 11)}`, 'a', `/${'x'.repeat(2048 - 11)}`],
]

const invalid: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['a scheme without anything', 'spiffe://'],
  ['no trust domain', 'spiffe:///path'],
  ['a trust domain only', 'corp.example'],
  ['another scheme', 'https://corp.example/x'],
  ['an upper-case scheme', 'SPIFFE://corp.example/x'],
  ['a mixed-case scheme', 'Spiffe://corp.example/x'],
  ['one slash', 'spiffe:/corp.example/x'],
  ['no slash', 'spiffe:corp.example/x'],
  ['space in front', ' spiffe://corp.example/x'],
  ['space behind', 'spiffe://corp.example/x '],
  ['a line break behind', 'spiffe://corp.example/x\n'],
  ['an upper-case trust domain', 'spiffe://Corp.example/x'],
  ['a port', 'spiffe://corp.example:443/x'],
  ['an empty port', 'spiffe://corp.example:/x'],
  ['user information', 'spiffe://user@corp.example/x'],
  ['user and password', 'spiffe://user:pw@corp.example/x'],
  ['an IPv6 address', 'spiffe://[::1]/x'],
  ['percent-encoding in the trust domain', 'spiffe://corp%2eexample/x'],
  ['a trust domain beyond ASCII', 'spiffe://cörp.example/x'],
  ['a trust domain of 256 characters', `spiffe://${'a'.repeat(256)}/x`],
  ['a query', 'spiffe://corp.example/x?a=b'],
  ['a query without a path', 'spiffe://corp.example?a=b'],
  ['a fragment', 'spiffe://corp.example/x#a'],
  ['a fragment without a path', 'spiffe://corp.example#a'],
  ['a trailing slash', 'spiffe://corp.example/x/'],
  ['nothing but a slash', 'spiffe://corp.example/'],
  ['an empty segment', 'spiffe://corp.example/x//y'],
  ['an empty first segment', 'spiffe://corp.example//x'],
  ['a dot segment', 'spiffe://corp.example/./x'],
  ['a dot segment at the end', 'spiffe://corp.example/x/.'],
  ['a double-dot segment', 'spiffe://corp.example/x/../y'],
  ['a double-dot segment at the end', 'spiffe://corp.example/x/..'],
  ['percent-encoding in the path', 'spiffe://corp.example/a%20b'],
  ['an encoded dot segment', 'spiffe://corp.example/%2e%2e/x'],
  ['a backslash', 'spiffe://corp.example\\x'],
  ['a path beyond ASCII', 'spiffe://corp.example/ä'],
  ['a NUL', 'spiffe://corp.example/a\0b'],
  ['a colon in the path', 'spiffe://corp.example/a:b'],
  ['2049 bytes', `spiffe://a/${'x'.repeat(2048 - 10)}`],
]

describe('SpiffeId', () => {
  for (const [text, trustDomain, path] of valid)
    it(`parses ${text.slice(0, 60)}`, () => {
      const id = SpiffeId.parse(text)
      assert.equal(id.trustDomain.name, trustDomain)
      assert.equal(id.path, path)
      assert.equal(id.toString(), text)
      assert.equal(JSON.stringify({ id }), JSON.stringify({ id: text }))
    })

  for (const [name, text] of invalid)
    it(`refuses ${name}`, () => {
      assert.throws(() => SpiffeId.parse(text), { code: 'ERR_SPIFFE_ID_INVALID' })
    })

  it('takes exactly the characters that the standard lists', () => {
    for (const character of allCharacters) {
      const inPath = () => SpiffeId.parse(`spiffe://corp.example/a${character}b`)
      // A slash there makes two segments.
      if (character === '/' || segmentCharacters.includes(character)) assert.doesNotThrow(inPath)
      else assert.throws(inPath, { code: 'ERR_SPIFFE_ID_INVALID' })
      const inDomain = () => SpiffeId.parse(`spiffe://a${character}b`)
      if (character === '/' || domainCharacters.includes(character)) assert.doesNotThrow(inDomain)
      else assert.throws(inDomain, { code: 'ERR_SPIFFE_ID_INVALID' })
    }
  })

  it('is equal to the same text and to nothing else', () => {
    const id = SpiffeId.parse('spiffe://corp.example/x')
    assert.ok(id.equals(SpiffeId.parse('spiffe://corp.example/x')))
    for (const other of ['spiffe://corp.example/X', 'spiffe://corp.example', 'spiffe://other/x'])
      assert.ok(!id.equals(SpiffeId.parse(other)))
  })

  it('gives back every text that it takes, in its parts', () => {
    const word = (characters: readonly string[]) =>
      fc
        .array(fc.constantFrom(...characters), { minLength: 1, maxLength: 12 })
        .map((parts) => parts.join(''))
    const segment = word(segmentCharacters).filter((text) => text !== '.' && text !== '..')
    fc.assert(
      fc.property(word(domainCharacters), fc.array(segment, { maxLength: 5 }), (name, segments) => {
        const path = segments.map((text) => `/${text}`).join('')
        const id = SpiffeId.parse(`spiffe://${name}${path}`)
        assert.equal(`${id.trustDomain.id}${id.path}`, id.toString())
        assert.equal(id.path, path)
      }),
    )
  })

  it('fails in its one way, with a short message of printable ASCII, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        assert.throws(
          () => SpiffeId.parse(`spiffe://${text}%`),
          (error: Error & { code: string }) =>
            error.code === 'ERR_SPIFFE_ID_INVALID' && /^[ -~]{1,900}$/.test(error.message),
        )
      }),
    )
  })
})

describe('TrustDomain', () => {
  it('parses a bare name', () => {
    const domain = TrustDomain.parse('corp.example')
    assert.equal(domain.name, 'corp.example')
    assert.equal(domain.id, 'spiffe://corp.example')
    assert.equal(`${domain.toString()} ${JSON.stringify(domain)}`, 'corp.example "corp.example"')
  })

  it('takes a name and an ID only where both are meant', () => {
    assert.equal(TrustDomain.parseNameOrId('corp.example').name, 'corp.example')
    assert.equal(TrustDomain.parseNameOrId('spiffe://corp.example').name, 'corp.example')
    const isInvalid = { code: 'ERR_TRUST_DOMAIN_INVALID' }
    assert.throws(() => TrustDomain.parse('spiffe://corp.example'), isInvalid)
    for (const text of ['spiffe://corp.example/', 'spiffe://corp.example/x', 'spiffe://', ''])
      assert.throws(() => TrustDomain.parseNameOrId(text), isInvalid)
  })

  for (const [name, text] of [
    ['nothing', ''],
    ['a capital', 'Corp.example'],
    ['a slash', 'corp/example'],
    ['a port', 'corp.example:1'],
    ['a line break', 'corp.example\n'],
    ['a letter beyond ASCII', 'cörp'],
    ['256 characters', 'a'.repeat(256)],
  ] as const)
    it(`refuses ${name}`, () => {
      assert.throws(() => TrustDomain.parse(text), { code: 'ERR_TRUST_DOMAIN_INVALID' })
    })

  it('is equal by name', () => {
    const domain = TrustDomain.parse('corp.example')
    assert.ok(domain.equals(TrustDomain.parse('corp.example')))
    assert.ok(!domain.equals(TrustDomain.parse('corp.example.')))
  })
})
