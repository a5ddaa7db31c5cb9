import assert from 'node:assert/strict'
import { largestConcatenation, mostCertificates } from '../../src/x509/certificate.ts'
import { parsePemCertificates } from '../../src/x509/pem.ts'
import { TestCa } from '../support/test-ca.ts'

describe('parsePemCertificates', () => {
  let one: string
  let other: string
  let digests: readonly string[]
  let keyPem: string

  before(async () => {
    const ca = await TestCa.root('corp.example')
    const leaf = await ca.leaf({ spiffeId: 'spiffe://corp.example/x' })
    one = ca.pem
    other = leaf.pem
    keyPem = leaf.keyPem
    digests = [ca.certificate.sha256, leaf.certificate.sha256]
  })

  const digestsOf = (text: string) =>
    parsePemCertificates(text).map((certificate) => certificate.sha256)

  it('reads every block, in order', () => {
    assert.deepEqual(digestsOf(one + other), digests)
  })

  it('passes over text around the blocks', () => {
    const text = `Certificate:\n    Data:\n${one}\nsubject=CN = x\n\n${other}\n# end`
    assert.deepEqual(digestsOf(text), digests)
  })

  it('takes CRLF, a byte order mark, spaces at line ends and a missing line end', () => {
    const text = `\uFEFF${(one + other).replaceAll('\n', ' \r\n').trimEnd()}`
    assert.deepEqual(digestsOf(text), digests)
  })

  it('takes lines of any length', () => {
    const body = one.replace(
      /-----\n([^-]*)-----/,
      (_, lines: string) => `-----\n${lines.replaceAll('\n', '')}\n-----`,
    )
    assert.deepEqual(digestsOf(body + other), digests)
  })

  const faults: readonly { name: string; spoil: () => string; says: RegExp }[] = [
    { name: 'a text without a block', spoil: () => 'nothing here', says: /no certificate/ },
    { name: 'an empty text', spoil: () => '', says: /no certificate/ },
    {
      name: 'a private key among certificates',
      spoil: () => one + keyPem,
      says: /block 2 .*PRIVATE KEY/,
    },
    {
      name: 'a block that does not end',
      spoil: () => one + other.replace(/-----END.*\n/, ''),
      says: /block 2 .*end/,
    },
    {
      name: 'a block that ends as something else',
      spoil: () => one + other.replace('-----END CERTIFICATE', '-----END X'),
      says: /block 2 .*end/,
    },
    {
      name: 'a block within a block',
      spoil: () => one.replace(/-----END.*\n/, '') + other,
      says: /block 1 .*end/,
    },
    {
      name: 'a character that is not base64',
      spoil: () => one + other.replace('M', '*'),
      says: /block 2 .*base64/,
    },
    { name: 'padding within', spoil: () => one + other.replace('MII', 'MI='), says: /block 2/ },
    {
      name: 'a block that is no certificate',
      spoil: () => one + other.replace('MII', 'AAA'),
      says: /block 2/,
    },
    {
      name: 'an empty block',
      spoil: () => `${one}-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n`,
      says: /block 2/,
    },
  ]
  for (const { name, spoil, says } of faults)
    it(`refuses ${name} and names the block`, () => {
      assert.deepEqual(digestsOf(one + other), digests)
      assert.throws(() => parsePemCertificates(spoil()), {
        code: 'ERR_PEM_MALFORMED',
        message: says,
      })
    })

  it('names the line on which a bad block begins', () => {
    const line = one.split('\n').length
    assert.throws(() => parsePemCertificates(one + keyPem), {
      message: new RegExp(`line ${line}\\)`),
    })
  })

  it('is bounded in blocks and in size', () => {
    const block = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'
    const isTooMany = { code: 'ERR_PEM_MALFORMED', message: /more than 1024/ }
    assert.throws(() => parsePemCertificates(block.repeat(mostCertificates + 1)), isTooMany)
    assert.deepEqual(digestsOf(one + other + ' '.repeat(1000)), digests)
    const isTooLarge = { code: 'ERR_PEM_MALFORMED', message: /larger than 4 MiB/ }
    assert.throws(() => parsePemCertificates(one + ' '.repeat(largestConcatenation)), isTooLarge)
  })

  it('never repeats what stands in a block', () => {
    try {
      parsePemCertificates(keyPem)
      assert.fail('it was taken')
    } catch (error) {
      assert.ok(!(error as Error).message.includes(keyPem.split('\n')[1]!))
    }
  })
})
