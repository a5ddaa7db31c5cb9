import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import {
  Certificate,
  largestCertificate,
  largestConcatenation,
  longestSerial,
  mostCertificates,
  parseCertificates,
  splitDer,
} from '../../src/x509/certificate.ts'
import {
  keyUsageBit,
  mostExtensions,
  mostNames,
  mostSubtrees,
  mostUsages,
} from '../../src/x509/extensions.ts'
import { longestGeneralName } from '../../src/x509/general-name.ts'
import type { KeyType, NameSpec, RawExtension } from '../support/certificate-writer.ts'
import { testKey, writeCertificate, writeName } from '../support/certificate-writer.ts'
import {
  bitString,
  boolean,
  context,
  integer,
  nothing,
  octetString,
  oid,
  sequence,
  time,
  tlv,
} from '../support/der-writer.ts'
import { TestCa, type TestCertificateOptions } from '../support/test-ca.ts'

const isMalformed = { code: 'ERR_CERTIFICATE_MALFORMED' }
const key = testKey()

let ca: TestCa

const issue = (options: TestCertificateOptions = {}) => ca.issue({ key, ...options })
const parse = (options: TestCertificateOptions = {}) => Certificate.parse(issue(options))
const extension = (id: string, value: Uint8Array, isCritical = false): RawExtension => ({
  oid: id,
  value,
  isCritical,
})

/** A leaf that has nothing but this extension besides key identifiers. */
const only = (extensionOid: string, value: Uint8Array): TestCertificateOptions => ({
  basicConstraints: null,
  keyUsage: null,
  extendedKeyUsage: null,
  extensions: [extension(extensionOid, value)],
})

const repeated = <Item>(count: number, item: Item): Item[] =>
  Array.from({ length: count }, () => item)

describe('Certificate', () => {
  before(async () => {
    ca = await TestCa.root('corp.example')
  })

  it('agrees with OpenSSL about a certificate', () => {
    const names = [{ uri: 'spiffe://corp.example/x' }, { dns: 'x.test' }]
    const der = issue({ subject: '/CN=x', names, serial: 0xf0_0000_0001n })
    const [ours, theirs] = [Certificate.parse(der), new X509Certificate(der)]
    assert.equal(ours.sha256, theirs.fingerprint256.replaceAll(':', '').toLowerCase())
    assert.equal(ours.serial, theirs.serialNumber.toLowerCase())
    assert.equal(ours.notBeforeMs, Date.parse(theirs.validFrom))
    assert.equal(ours.notAfterMs, Date.parse(theirs.validTo))
    assert.equal(ours.isCa, theirs.ca)
    assert.ok(ours.publicKey.equals(theirs.publicKey))
    assert.equal(ours.toPem(), theirs.toString())
    assert.equal(ours.version, 3)
  })

  it('reads subject, issuer and every form of name', () => {
    const names: NameSpec[] = [
      { uri: 'spiffe://corp.example/x' },
      { dns: 'x.test' },
      { email: 'x@x.test' },
      { ip: '0a000001' },
      { directory: '/CN=other' },
      { upn: 'x@ad.test' },
      { uri: 'https://x.test/' },
    ]
    const certificate = parse({ subject: '/O=Corp/CN=x', names })
    assert.equal(certificate.subject, 'CN=x,O=Corp')
    assert.equal(certificate.issuer, 'CN=root,O=corp.example')
    assert.deepEqual(certificate.uriNames, ['spiffe://corp.example/x', 'https://x.test/'])
    assert.deepEqual(certificate.dnsNames, ['x.test'])
    assert.deepEqual(certificate.emailNames, ['x@x.test'])
    const kinds = certificate.names.map((name) => name.kind)
    assert.deepEqual(kinds, ['uri', 'dns', 'email', 'ip', 'directory', 'other', 'uri'])
  })

  it('reads what extensions say', () => {
    const { extensions } = parse({
      basicConstraints: { isCa: true, pathLength: 3 },
      keyUsage: ['keyCertSign', 'decipherOnly'],
      extendedKeyUsage: ['clientAuth', '1.2.3'],
      nameConstraints: { permitted: [{ uri: 'a.test' }], excluded: [{ dns: 'b.test' }] },
      subjectKeyId: Buffer.from('aa', 'hex'),
      authorityKeyId: Buffer.from('bb', 'hex'),
      extensions: [extension('1.2.3.4', nothing, true), extension('1.2.3.5', nothing)],
    })
    assert.deepEqual(extensions.basicConstraints, { isCa: true, pathLength: 3 })
    assert.equal(extensions.keyUsage, keyUsageBit.keyCertSign | keyUsageBit.decipherOnly)
    assert.deepEqual(extensions.extendedKeyUsage, ['1.3.6.1.5.5.7.3.2', '1.2.3'])
    assert.deepEqual(extensions.nameConstraints?.permitted, [{ kind: 'uri', value: 'a.test' }])
    assert.deepEqual(extensions.nameConstraints.excluded, [{ kind: 'dns', value: 'b.test' }])
    assert.equal(extensions.subjectKeyId?.toString('hex'), 'aa')
    assert.equal(extensions.authorityKeyId?.toString('hex'), 'bb')
    assert.deepEqual(extensions.unknownCritical, ['1.2.3.4'])
  })

  it('tells an absent extension from an empty one', () => {
    const bare = parse({ ...only('1.2.3.4', nothing), authorityKeyId: null, subjectKeyId: null })
    assert.deepEqual(Object.keys(bare.extensions).sort(), ['names', 'unknownCritical'])
    assert.equal(bare.isCa, false)
  })

  for (const keyType of ['p256', 'p384', 'p521', 'rsa2048', 'ed25519'] as const)
    it(`reads a ${keyType} key`, () => {
      const expected: Partial<Record<KeyType, unknown>> = {
        p256: { kind: 'ec', curve: '1.2.840.10045.3.1.7' },
        p384: { kind: 'ec', curve: '1.3.132.0.34' },
        p521: { kind: 'ec', curve: '1.3.132.0.35' },
        rsa2048: { kind: 'rsa', bits: 2048, exponentIsSound: true },
        ed25519: { kind: 'ed25519' },
      }
      assert.deepEqual(parse({ key: testKey(keyType) }).keyParameters, expected[keyType])
    })

  it('owns its bytes', () => {
    const source = issue()
    const certificate = Certificate.parse(source)
    const before = certificate.sha256
    source.fill(0)
    assert.equal(Certificate.parse(certificate.der).sha256, before)
  })

  it('takes a version 1 certificate, which has no extensions', () => {
    const certificate = parse({ version: 1 })
    assert.equal(certificate.version, 1)
    assert.deepEqual(certificate.names, [])
  })

  it('takes FALSE where DER would leave it out', () => {
    const explicit = parse(only('2.5.29.19', sequence(boolean(false))))
    assert.deepEqual(explicit.extensions.basicConstraints, { isCa: false })
  })

  it('takes times of either form for any year', () => {
    const [notBeforeMs, notAfterMs] = [Date.UTC(1950, 0, 1), Date.UTC(2049, 11, 31, 23, 59, 59)]
    for (const timeForm of ['utc', 'generalized'] as const) {
      const certificate = parse({ notBeforeMs, notAfterMs, timeForm })
      assert.equal(certificate.notBeforeMs, notBeforeMs)
      assert.equal(certificate.notAfterMs, notAfterMs)
    }
    const never = Date.UTC(9999, 11, 31, 23, 59, 59)
    assert.equal(parse({ notAfterMs: never }).notAfterMs, never)
  })

  for (const [name, options, fault] of malformedCertificates())
    it(`refuses ${name}`, () => {
      assert.doesNotThrow(() => parse(options))
      assert.throws(() => parse(fault), isMalformed)
    })

  for (const [name, written] of malformedEnvelopes())
    it(`refuses ${name}`, () => {
      assert.doesNotThrow(() => Certificate.parse(envelope({})))
      assert.throws(() => Certificate.parse(written()), isMalformed)
    })

  it('refuses what is larger than 64 KiB', () => {
    const padded = (size: number) => parse({ extensions: [extension('1.2.3', Buffer.alloc(size))] })
    assert.doesNotThrow(() => padded(largestCertificate - 1024))
    assert.throws(() => padded(largestCertificate), isMalformed)
  })

  it('refuses every beginning of itself', () => {
    const der = issue()
    for (let length = 0; length < der.length; length++)
      assert.throws(() => Certificate.parse(der.subarray(0, length)), isMalformed)
  })
})

type Row = [string, TestCertificateOptions, TestCertificateOptions]

/** Name, a good certificate, and one with the fault. */
function malformedCertificates(): Row[] {
  const names = (count: number) => ({ names: repeated(count, { uri: 'a:b' }) })
  const usages = (count: number) => ({ extendedKeyUsage: repeated(count, '1.2.3') })
  const subtrees = (count: number) => ({
    nameConstraints: { permitted: repeated(count, { dns: 'a' }) },
  })
  const extensions = (count: number) => ({
    extensions: Array.from({ length: count }, (_, i) => extension(`1.2.3.${i}`, nothing)),
  })
  const subtree = (...content: readonly Uint8Array[]) =>
    only('2.5.29.30', sequence(context(0, 'constructed', sequence(...content))))
  const dns = context(2, 'primitive', Buffer.from('a.test'))
  const present = 5
  return [
    [
      'an extension that comes twice',
      extensions(1),
      { extensions: repeated(2, extension('1.2.3', nothing)) },
    ],
    ['another inner signature algorithm', {}, { innerAlgorithm: sequence(oid('1.3.101.112')) }],
    ['too many names', names(mostNames), names(mostNames + 1)],
    ['too many usages', usages(mostUsages), usages(mostUsages + 1)],
    ['too many subtrees', subtrees(mostSubtrees), subtrees(mostSubtrees + 1)],
    [
      'too many extensions',
      extensions(mostExtensions - present),
      extensions(mostExtensions - present + 1),
    ],
    [
      'a serial number that is too long',
      { serial: 1n << BigInt(8 * longestSerial - 2) },
      { serial: 1n << BigInt(8 * longestSerial) },
    ],
    [
      'a name that is too long',
      { names: [{ dns: 'a'.repeat(longestGeneralName) }] },
      { names: [{ dns: 'a'.repeat(longestGeneralName + 1) }] },
    ],
    [
      'a NUL in a name',
      { names: [{ dns: 'good.test' }] },
      { names: [{ dns: 'good.test\0.evil.test' }] },
    ],
    ['a line break in a name', { names: [{ uri: 'a:b' }] }, { names: [{ uri: 'a:b\r\nx: y' }] }],
    ['a name beyond ASCII', { names: [{ email: 'a@b' }] }, { names: [{ email: 'ä@b' }] }],
    [
      'an address of five octets',
      { names: [{ ip: '0a000001' }] },
      { names: [{ ip: '0a00000100' }] },
    ],
    [
      'an address without a mask in a constraint',
      { nameConstraints: { permitted: [{ ip: '0a000000ff000000' }] } },
      { nameConstraints: { permitted: [{ ip: '0a000000' }] } },
    ],
    ['no name at all', only('2.5.29.17', sequence(dns)), only('2.5.29.17', sequence())],
    [
      'a name without a context tag',
      only('2.5.29.17', sequence(dns)),
      only('2.5.29.17', sequence(octetString(nothing))),
    ],
    ['empty name constraints', subtree(dns), only('2.5.29.30', sequence())],
    [
      'a subtree with a minimum',
      subtree(dns),
      subtree(dns, context(0, 'primitive', Buffer.from([1]))),
    ],
    ['no usage at all', usages(1), only('2.5.29.37', sequence())],
    [
      'key usage without a bit',
      { keyUsage: ['keyAgreement'] },
      only('2.5.29.15', bitString(nothing)),
    ],
    [
      'a negative pathLen',
      { basicConstraints: { isCa: true, pathLength: 0 } },
      only('2.5.29.19', sequence(boolean(true), tlv(0x02, Buffer.from([0xff])))),
    ],
    [
      'a byte after an extension',
      only('2.5.29.19', sequence(boolean(true))),
      only('2.5.29.19', Buffer.concat([sequence(boolean(true)), Buffer.alloc(1)])),
    ],
    [
      'an element after the basic constraints',
      only('2.5.29.19', sequence(boolean(true))),
      only('2.5.29.19', sequence(boolean(true), boolean(true))),
    ],
  ]
}

/** A certificate from its parts; the signature is not checked by parsing. */
function envelope(
  parts: Partial<Record<'version' | 'validity' | 'afterKey' | 'signature' | 'after', Buffer>>,
): Buffer {
  const algorithm = sequence(oid('1.2.840.10045.4.3.2'))
  const spki = key.asymmetricKeyType === 'ec' ? ca.certificate.publicKeyInfo : nothing
  const signedPart = sequence(
    parts.version ?? context(0, 'constructed', integer(2)),
    integer(1),
    algorithm,
    writeName('/CN=issuer'),
    parts.validity ?? sequence(time(0), time(1000)),
    writeName('/CN=subject'),
    spki,
    parts.afterKey ?? nothing,
  )
  return sequence(
    signedPart,
    algorithm,
    parts.signature ?? bitString(Buffer.alloc(8)),
    parts.after ?? nothing,
  )
}

function malformedEnvelopes(): [string, () => Buffer][] {
  const validity = (text: string, tag = 0x17) => sequence(tlv(tag, Buffer.from(text)), time(1000))
  const uniqueId = context(1, 'primitive', Buffer.from([0, 1]))
  const someExtensions = context(
    3,
    'constructed',
    sequence(sequence(oid('1.2.3'), octetString(nothing))),
  )
  return [
    ['version 4', () => envelope({ version: context(0, 'constructed', integer(3)) })],
    ['extensions in version 1', () => envelope({ version: nothing, afterKey: someExtensions })],
    [
      'extensions in version 2',
      () => envelope({ version: context(0, 'constructed', integer(1)), afterKey: someExtensions }),
    ],
    ['a unique identifier in version 1', () => envelope({ version: nothing, afterKey: uniqueId })],
    ['empty extensions', () => envelope({ afterKey: context(3, 'constructed', sequence()) })],
    [
      'extensions twice',
      () => envelope({ afterKey: Buffer.concat([someExtensions, someExtensions]) }),
    ],
    ['a time without seconds', () => envelope({ validity: validity('7001010000Z') })],
    ['a time with an offset', () => envelope({ validity: validity('700101000000+0100') })],
    ['a time with a fraction', () => envelope({ validity: validity('19700101000000.5Z', 0x18) })],
    ['the 30th of February', () => envelope({ validity: validity('700230000000Z') })],
    ['a 24th hour', () => envelope({ validity: validity('700101240000Z') })],
    ['a 60th second', () => envelope({ validity: validity('700101000060Z') })],
    ['the year 50', () => envelope({ validity: validity('00500101000000Z', 0x18) })],
    ['a third time', () => envelope({ validity: sequence(time(0), time(1), time(2)) })],
    [
      'a signature of broken octets',
      () => envelope({ signature: bitString(Buffer.from([0x80]), 4) }),
    ],
    ['an element after the signature', () => envelope({ after: integer(1) })],
  ]
}

describe('parseCertificates', () => {
  it('reads all of a concatenation, in order', () => {
    const ders = [1n, 2n, 3n].map((serial) => issue({ serial }))
    const serials = parseCertificates(Buffer.concat(ders)).map((certificate) => certificate.serial)
    assert.deepEqual(serials, ['01', '02', '03'])
    assert.deepEqual(splitDer(Buffer.concat(ders)), ders)
  })

  it('reads none from nothing', () => {
    assert.deepEqual(parseCertificates(Buffer.alloc(0)), [])
  })

  it('reads a window on a larger buffer', () => {
    const der = issue()
    const larger = Buffer.concat([Buffer.alloc(7, 0xff), der, Buffer.alloc(7, 0xff)])
    const window = new Uint8Array(larger.buffer, larger.byteOffset + 7, der.length)
    assert.equal(parseCertificates(window).length, 1)
  })

  it('says which one does not parse', () => {
    const good = issue()
    const bad = writeCertificate({
      ...{ subject: '', issuer: '', key, signer: key, notBeforeMs: 0, notAfterMs: 0 },
      extensions: repeated(2, extension('1.2.3', nothing)),
    })
    for (const rest of [bad, good.subarray(0, 30), Buffer.alloc(1)])
      assert.throws(() => parseCertificates(Buffer.concat([good, good, rest])), {
        ...isMalformed,
        message: /number 3/,
      })
  })

  it('is bounded in number and in bytes', () => {
    const tiny = tlv(0x30)
    assert.equal(splitDer(Buffer.concat(repeated(mostCertificates, tiny))).length, mostCertificates)
    assert.throws(() => splitDer(Buffer.concat(repeated(mostCertificates + 1, tiny))), isMalformed)
    const large = tlv(0x30, Buffer.alloc(largestConcatenation - 5))
    assert.equal(splitDer(large).length, 1)
    assert.throws(() => splitDer(tlv(0x30, Buffer.alloc(largestConcatenation - 4))), isMalformed)
  })
})
