import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { Certificate } from '../../src/x509/certificate.ts'
import { DerReader } from '../../src/x509/der.ts'
import { longestNameValue, mostNameAttributes, Name } from '../../src/x509/name.ts'
import { type NameSource, writeName } from '../support/certificate-writer.ts'
import { oid, sequence, set, text, tlv } from '../support/der-writer.ts'
import { skipMissingTool } from '../support/skip.ts'
import { TestCa } from '../support/test-ca.ts'
import { OpensslVerify } from './openssl-verify.ts'

const nameOf = (source: NameSource) => Name.read(DerReader.of(writeName(source)))
const isMalformed = { code: 'ERR_DER_MALFORMED' }

const texts: readonly { name: string; source: NameSource; expected: string }[] = [
  { name: 'the last RDN first', source: '/C=US/O=Corp/CN=x', expected: 'CN=x,O=Corp,C=US' },
  { name: 'nothing for the empty name', source: '', expected: '' },
  {
    name: 'special characters with a backslash',
    source: [['CN', 'a,b+c"d\\e<f>g;h=i']],
    expected: 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h=i',
  },
  { name: 'a space at both ends', source: [['CN', '  a  ']], expected: 'CN=\\  a \\ ' },
  { name: 'a single space', source: [['CN', ' ']], expected: 'CN=\\ ' },
  { name: 'a number sign in front', source: [['CN', '#a#']], expected: 'CN=\\#a#' },
  {
    name: 'control characters as octets',
    source: [['CN', 'a\0b\nc\x7f']],
    expected: 'CN=a\\00b\\0Ac\\7F',
  },
  {
    name: 'characters that reorder text as octets',
    source: [['CN', 'a\u202eb\u2028']],
    expected: 'CN=a\\E2\\80\\AEb\\E2\\80\\A8',
  },
  { name: 'other text as it is', source: [['CN', 'Zürich 東京']], expected: 'CN=Zürich 東京' },
  {
    name: 'every string type',
    source: [
      ['CN', 'ü', 'teletex'],
      ['CN', '東', 'bmp'],
      ['CN', '𝔘', 'universal'],
      ['CN', 'p', 'printable'],
    ],
    expected: 'CN=p,CN=𝔘,CN=東,CN=ü',
  },
  {
    name: 'an unknown attribute as its object identifier and hex',
    source: [['1.2.3.4', 'x']],
    expected: '1.2.3.4=#0c0178',
  },
]

const equalNames: readonly { name: string; one: NameSource; other: NameSource }[] = [
  { name: 'letter case', one: '/CN=Corp CA', other: '/CN=CORP ca' },
  { name: 'white space', one: [['CN', ' Corp \t CA ']], other: '/CN=Corp CA' },
  { name: 'string types', one: [['CN', 'Corp', 'printable']], other: [['CN', 'Corp', 'bmp']] },
  { name: 'compatibility forms', one: [['CN', 'ﬁrst Ｃorp']], other: '/CN=first corp' },
  { name: 'letter case beyond ASCII', one: '/CN=ÜBER', other: '/CN=über' },
]

const differentNames: readonly { name: string; one: NameSource; other: NameSource }[] = [
  { name: 'another value', one: '/CN=a', other: '/CN=b' },
  { name: 'another attribute', one: '/CN=a', other: '/O=a' },
  { name: 'another order', one: '/CN=a/O=b', other: '/O=b/CN=a' },
  { name: 'one attribute more', one: '/O=b', other: '/O=b/CN=a' },
  { name: 'no space where there was one', one: '/CN=a b', other: '/CN=ab' },
  { name: 'a value that imitates a second attribute', one: '/CN=a;2.5.4.10=b', other: '/CN=a/O=b' },
  {
    name: 'a value that imitates a second attribute with its length',
    one: '/CN=a;2.5.4.10=1:b',
    other: '/CN=a/O=b',
  },
]

describe('Name', () => {
  for (const { name, source, expected } of texts)
    it(`writes ${name}`, () => {
      assert.equal(nameOf(source).toString(), expected)
    })

  for (const { name, one, other } of equalNames)
    it(`is equal whatever the ${name}`, () => {
      assert.ok(nameOf(one).equals(nameOf(other)))
      assert.equal(nameOf(one).canonical, nameOf(other).canonical)
    })

  for (const { name, one, other } of differentNames)
    it(`is not equal with ${name}`, () => {
      assert.ok(!nameOf(one).equals(nameOf(other)))
    })

  it('takes attributes of one RDN in any order, and tells one RDN from two', () => {
    const attribute = (id: string, value: string) => sequence(oid(id), text('utf8', value))
    const [a, b] = [attribute('2.5.4.3', 'a'), attribute('2.5.4.10', 'b')]
    const together = nameOf(sequence(set(a, b)))
    assert.ok(together.equals(nameOf(sequence(set(b, a)))))
    assert.ok(!together.equals(nameOf(sequence(set(a), set(b)))))
    assert.equal(together.toString(), 'CN=a+O=b')
  })

  it('stands within its first RDNs and in no other name', () => {
    const name = nameOf('/C=US/O=Corp/CN=x')
    for (const base of ['', '/C=US', '/c=us'.toUpperCase(), '/C=US/O=CORP', '/C=US/O=Corp/CN=x'])
      assert.ok(name.isWithin(nameOf(base)), base)
    for (const base of ['/O=Corp', '/C=US/CN=x', '/C=US/O=Corp/CN=x/CN=y', '/C=US/O=Cor'])
      assert.ok(!name.isWithin(nameOf(base)), base)
  })

  it('lists the e-mail addresses of its attributes', () => {
    const name = nameOf('/CN=x/emailAddress=a@b.test/emailAddress=c@d.test')
    assert.deepEqual(name.emailAddresses, ['a@b.test', 'c@d.test'])
  })

  it('compares as its canonical text does, for any two names', () => {
    const word = fc.constantFrom('a', 'A', ' a', 'b', 'a b', 'a  b', 'é', 'É', '', '#', ';', '=')
    const names = fc.array(fc.tuple(fc.constantFrom('CN', 'O'), word), { maxLength: 3 })
    fc.assert(
      fc.property(names, names, (one, other) => {
        const fold = (source: readonly (readonly [string, string])[]) =>
          JSON.stringify(
            source.map(([key, value]) => [key, value.toLowerCase().replace(/ +/g, ' ').trim()]),
          )
        assert.equal(nameOf(one).equals(nameOf(other)), fold(one) === fold(other))
      }),
    )
  })

  for (const [name, bad] of [
    ['octets that are no UTF-8', tlv(0x0c, Buffer.from([0xff]))],
    ['octets above 7F in an ASCII type', tlv(0x16, Buffer.from([0x80]))],
    ['a wide string of an odd length', tlv(0x1e, Buffer.alloc(3))],
    ['a lone surrogate', tlv(0x1e, Buffer.from([0xd8, 0x00]))],
    ['a value that is too long', tlv(0x0c, Buffer.alloc(longestNameValue, 0x61))],
  ] as const)
    it(`refuses ${name}`, () => {
      const source = sequence(set(sequence(oid('2.5.4.3'), bad)))
      assert.throws(() => nameOf(source), isMalformed)
    })

  it('refuses an empty RDN and too many attributes', () => {
    assert.throws(() => nameOf(sequence(set())), isMalformed)
    const attributes = (count: number) => Array.from({ length: count }, () => ['CN', 'x'] as const)
    assert.doesNotThrow(() => nameOf(attributes(mostNameAttributes)))
    assert.throws(() => nameOf(attributes(mostNameAttributes + 1)), isMalformed)
  })

  it('writes names as OpenSSL does', async function () {
    if (!(await OpensslVerify.isInstalled())) skipMissingTool(this, 'openssl 3')
    const ca = await TestCa.root('names.test')
    for (const { source } of texts.filter(({ name }) => !/reorder|unknown|empty/.test(name))) {
      const der = ca.issue({ subject: source, key: ca.key })
      const args = ['x509', '-noout', '-subject', '-nameopt', 'RFC2253,-esc_msb,utf8']
      const printed = execFileSync('openssl', args, { input: Certificate.parse(der).toPem() })
      const expected = printed
        .toString()
        .replace(/^subject=/, '')
        .replace(/\n$/, '')
      assert.equal(Certificate.parse(der).subject, expected)
    }
  })
})
