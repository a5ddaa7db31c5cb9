import assert from 'node:assert/strict'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { Certificate } from '../../src/x509/certificate.ts'
import {
  longestPath,
  mostIntermediates,
  mostSignatureChecks,
  type PathResult,
  validatePath,
} from '../../src/x509/validate-path.ts'
import { keyIdOf, type KeyType, type NameSpec, testKey } from '../support/certificate-writer.ts'
import { cpuTimeSince } from '../support/cpu-time.ts'
import { TestCa, type TestCertificateOptions } from '../support/test-ca.ts'

const hourMs = 3_600_000
const nowMs = Math.floor(Date.now() / 1000) * 1000
const past = { notBeforeMs: nowMs - 3 * hourMs, notAfterMs: nowMs - hourMs }
const future = { notBeforeMs: nowMs + hourMs, notAfterMs: nowMs + 3 * hourMs }
const certificatesOf = (...cas: readonly TestCa[]) => cas.map((ca) => ca.certificate)

describe('validatePath', () => {
  let root: TestCa
  let intermediate: TestCa
  let leaf: Certificate

  before(async () => {
    root = await TestCa.root('corp.example')
    intermediate = await root.intermediate()
    leaf = (await intermediate.leaf()).certificate
  })

  const validate = (
    subject: Certificate,
    sent: readonly TestCa[],
    anchors: readonly TestCa[],
    purpose?: 'client' | 'server',
  ) => {
    const conditions = purpose === undefined ? { nowMs } : { nowMs, purpose }
    return validatePath(subject, certificatesOf(...sent), certificatesOf(...anchors), conditions)
  }
  const issueLeaf = async (ca: TestCa, options: TestCertificateOptions = {}) =>
    (await ca.leaf(options)).certificate

  describe('the path', () => {
    it('runs from the leaf to the anchor and holds until the first certificate ends', async () => {
      const brief = await root.intermediate({ notAfterMs: nowMs + hourMs / 2 })
      const subject = await issueLeaf(brief)
      const result = validate(subject, [brief], [root])
      assert.equal(result.kind, 'valid')
      assert.deepEqual(result.path, {
        certificates: [subject, brief.certificate, root.certificate],
        leaf: subject,
        anchor: root.certificate,
        notAfterMs: nowMs + hourMs / 2,
        revocationUntilMs: Infinity,
      })
    })

    it('is found whatever the order of intermediates and anchors', async () => {
      const second = await intermediate.intermediate()
      const third = await second.intermediate()
      const other = await TestCa.root('other.example')
      const subject = await issueLeaf(third)
      for (const sent of permutations([intermediate, second, third, other]))
        for (const anchors of [
          [root, other],
          [other, root],
        ])
          assert.equal(validate(subject, sent, anchors).kind, 'valid')
    })

    it('ends at an anchor that is not self-signed', () => {
      const result = validate(leaf, [], [intermediate])
      assert.equal(kindOf(result), 'valid')
      assert.equal(kindOf(validate(leaf, [], [root])), 'issuer_unknown')
    })

    it('ends at the nearest anchor', () => {
      const result = validate(leaf, [intermediate], [root, intermediate])
      assert.ok(result.kind === 'valid')
      assert.equal(result.path.anchor, intermediate.certificate)
    })

    it('ends at the first anchor on it, though others stand above', async () => {
      const middle = await root.intermediate()
      const last = await middle.intermediate()
      const subject = await issueLeaf(last)
      for (const sent of permutations([middle, last, root])) {
        const result = validate(subject, sent, [root, middle])
        assert.ok(result.kind === 'valid')
        assert.equal(result.path.anchor, middle.certificate)
      }
    })

    it('passes over a root that was sent along and is an anchor', () => {
      const result = validate(leaf, [root, intermediate], [root])
      assert.ok(result.kind === 'valid')
      assert.equal(result.path.certificates.length, 3)
    })

    it('never ends at a certificate that was only sent', async () => {
      const stranger = await TestCa.root('stranger.example')
      const result = validate(leaf, [intermediate, root], [stranger])
      assert.equal(kindOf(result), 'issuer_unknown')
    })

    it('never ends at a leaf that is trusted itself', () => {
      const result = validatePath(leaf, [], [leaf], { nowMs })
      assert.equal(kindOf(result), 'issuer_unknown')
    })

    it('has at most six certificates', async () => {
      const chain = [intermediate]
      while (chain.length < longestPath - 2) chain.push(await chain.at(-1)!.intermediate())
      assert.equal(kindOf(validate(await issueLeaf(chain.at(-1)!), chain, [root])), 'valid')
      chain.push(await chain.at(-1)!.intermediate())
      const tooLong = await issueLeaf(chain.at(-1)!)
      assert.equal(kindOf(validate(tooLong, chain, [root])), 'issuer_unknown')
      assert.equal(kindOf(validate(tooLong, chain, [chain[0]!])), 'valid')
    })
  })

  describe('several candidates', () => {
    it('tries each anchor of one name until the signature fits', async () => {
      const unnamed = { subject: '/C=US/O=SPIFFE', subjectKeyId: null, authorityKeyId: null }
      const roots = await Promise.all([1, 2, 3].map(() => TestCa.root('', unnamed)))
      for (const issuer of roots) {
        const subject = await issueLeaf(issuer, { authorityKeyId: null })
        const result = validate(subject, [], roots)
        assert.ok(result.kind === 'valid')
        assert.equal(result.path.anchor, issuer.certificate)
      }
    })

    it('takes a wrong key identifier for a hint only', async () => {
      const subject = await issueLeaf(intermediate, { authorityKeyId: keyIdOf(testKey()) })
      assert.equal(kindOf(validate(subject, [intermediate], [root])), 'valid')
    })

    it('goes around an expired certificate of the same CA', async () => {
      const { key, subjectDer: subject } = intermediate
      const expired = await root.intermediate({ key, subject, ...past })
      for (const sent of [
        [intermediate, expired],
        [expired, intermediate],
      ])
        assert.equal(kindOf(validate(leaf, sent, [root])), 'valid')
      assert.equal(kindOf(validate(leaf, [expired], [root])), 'certificate_expired')
    })

    it('finds a cross-certificate, also when CAs certify each other in a circle', async () => {
      const [older, newer] = [await TestCa.root('old'), await TestCa.root('new')]
      const newByOld = await older.crossSign(newer)
      const oldByNew = await newer.crossSign(older)
      const subject = await issueLeaf(newer)
      for (const sent of permutations([newByOld, oldByNew, newer, older])) {
        assert.equal(kindOf(validate(subject, sent, [older])), 'valid')
        assert.equal(kindOf(validate(subject, sent, [newer])), 'valid')
        assert.equal(kindOf(validate(subject, sent, [root])), 'issuer_unknown')
      }
    })

    it('passes over an expired anchor beside its successor with the same key', async () => {
      const { key, subjectDer: subject } = root
      const expired = await TestCa.root('', { key, subject, ...past })
      for (const anchors of [
        [root, expired],
        [expired, root],
      ]) {
        const result = validate(leaf, [intermediate], anchors)
        assert.ok(result.kind === 'valid')
        assert.equal(result.path.anchor, root.certificate)
      }
    })

    it('checks at most twenty signatures', async () => {
      const sameName = { subject: '/CN=same', subjectKeyId: null, authorityKeyId: null }
      const anchors: TestCa[] = []
      while (anchors.length < mostSignatureChecks) anchors.push(await TestCa.root('', sameName))
      const last = await issueLeaf(anchors.at(-1)!, { authorityKeyId: null })
      assert.equal(kindOf(validate(last, [], anchors)), 'valid')
      const onceMore = [await TestCa.root('', sameName), ...anchors]
      assert.equal(kindOf(validate(last, [], onceMore)), 'issuer_unknown')
    })

    it('needs no more than its checks when key identifiers are there', async () => {
      const anchors: TestCa[] = []
      while (anchors.length < 2 * mostSignatureChecks)
        anchors.push(await TestCa.root('', { subject: '/CN=same' }))
      assert.equal(kindOf(validate(await issueLeaf(anchors.at(-1)!), [], anchors)), 'valid')
    })

    it('stays quick when everything sent has one name and one key', async () => {
      const { key } = root
      const subject = root.subjectDer
      const sent: TestCa[] = []
      while (sent.length < mostIntermediates) sent.push(await root.intermediate({ key, subject }))
      const wrong = await issueLeaf(root, { signer: testKey() })
      const begun = process.cpuUsage()
      assert.equal(kindOf(validate(wrong, sent, [root])), 'issuer_unknown')
      assert.ok(cpuTimeSince(begun) < 500)
    })

    it('refuses more intermediates than a peer may send', async () => {
      const sent: TestCa[] = [intermediate]
      while (sent.length < mostIntermediates) sent.push(await root.intermediate())
      assert.equal(kindOf(validate(leaf, sent, [root])), 'valid')
      sent.push(await root.intermediate())
      assert.equal(kindOf(validate(leaf, sent, [root])), 'path_invalid')
    })
  })

  describe('rules for CAs', () => {
    const good = { basicConstraints: { isCa: true }, keyUsage: ['keyCertSign'] } as const
    const critical = (oid: string) => ({
      extensions: [{ oid, isCritical: true, value: Buffer.from('3000', 'hex') }],
    })
    const keyId = Buffer.from('0400', 'hex')
    const criticalKeyId = {
      subjectKeyId: null,
      extensions: [{ oid: '2.5.29.14', isCritical: true, value: keyId }],
    }
    const rules: readonly { name: string; bad: TestCertificateOptions; expected?: string }[] = [
      { name: 'CA without basic constraints', bad: { basicConstraints: null } },
      { name: 'CA with cA false', bad: { basicConstraints: { isCa: false } } },
      { name: 'CA that may not sign certificates', bad: { keyUsage: ['cRLSign'] } },
      { name: 'CA with an unknown critical extension', bad: critical('1.2.3.4') },
      { name: 'CA with critical policy constraints', bad: critical('2.5.29.36') },
      { name: 'CA with critical CRL distribution points', bad: critical('2.5.29.31') },
      { name: 'CA with a critical key identifier', bad: criticalKeyId },
      { name: 'CA with another extended key usage', bad: { extendedKeyUsage: ['codeSigning'] } },
      { name: 'CA with an unusual curve', bad: { keyType: 'secp256k1' } },
      { name: 'expired CA', bad: past, expected: 'certificate_expired' },
      { name: 'CA that is not yet valid', bad: future, expected: 'certificate_not_yet_valid' },
    ]
    for (const { name, bad, expected = 'path_invalid' } of rules) {
      it(`refuse a path through an intermediate: ${name}`, async () => {
        const right = await root.intermediate(good)
        assert.equal(kindOf(validate(await issueLeaf(right), [right], [root], 'client')), 'valid')
        const wrong = await root.intermediate({ ...good, ...bad })
        const result = validate(await issueLeaf(wrong), [wrong], [root], 'client')
        assert.ok(result.kind === 'invalid')
        assert.equal(result.reason, expected)
        assert.equal(result.certificateIndex, 1)
      })

      it(`refuse a path to an anchor: ${name}`, async () => {
        const right = await TestCa.root('anchor', good)
        assert.equal(kindOf(validate(await issueLeaf(right), [], [right], 'client')), 'valid')
        const wrong = await TestCa.root('anchor', { ...good, ...bad })
        const result = validate(await issueLeaf(wrong), [], [wrong], 'client')
        assert.equal(kindOf(result), expected)
      })
    }

    it('say which certificate of a longer path is at fault', async () => {
      const middle = await root.intermediate()
      const wrong = await middle.intermediate({ keyUsage: ['cRLSign'] })
      const below = validate(await issueLeaf(wrong), [middle, wrong], [root])
      assert.ok(below.kind === 'invalid')
      assert.equal(below.certificateIndex, 1)
      const badRoot = await TestCa.root('bad', { keyUsage: ['cRLSign'] })
      const good = await badRoot.intermediate()
      const above = validate(await issueLeaf(good), [good], [badRoot])
      assert.ok(above.kind === 'invalid')
      assert.equal(above.certificateIndex, 2)
    })

    it('do not ask a CA for key usage when it has none', async () => {
      const silent = await root.intermediate({ keyUsage: null })
      assert.equal(kindOf(validate(await issueLeaf(silent), [silent], [root])), 'valid')
    })

    it('take anyExtendedKeyUsage of a CA for no limit', async () => {
      const any = await root.intermediate({ extendedKeyUsage: ['any'] })
      assert.equal(kindOf(validate(await issueLeaf(any), [any], [root], 'client')), 'valid')
    })

    it('let a critical policy pass that requires nothing', async () => {
      const anyPolicy = Buffer.from('300630040602550d', 'hex')
      const extensions = [{ oid: '2.5.29.32', isCritical: true, value: anyPolicy }]
      const withPolicy = await root.intermediate({ extensions })
      assert.equal(kindOf(validate(await issueLeaf(withPolicy), [withPolicy], [root])), 'valid')
    })

    it('count pathLen below an intermediate and below the anchor', async () => {
      const limit = { basicConstraints: { isCa: true, pathLength: 0 } }
      const limited = await TestCa.root('limited', limit)
      assert.equal(kindOf(validate(await issueLeaf(limited), [], [limited])), 'valid')
      const below = await limited.intermediate()
      assert.equal(kindOf(validate(await issueLeaf(below), [below], [limited])), 'path_invalid')
      const last = await root.intermediate(limit)
      const beyond = await last.intermediate()
      const sent = [last, beyond]
      assert.equal(kindOf(validate(await issueLeaf(last), sent, [root])), 'valid')
      assert.equal(kindOf(validate(await issueLeaf(beyond), sent, [root])), 'path_invalid')
    })

    it('do not let a CA further down lift a pathLen', async () => {
      const one = await root.intermediate({ basicConstraints: { isCa: true, pathLength: 1 } })
      const more = await one.intermediate({ basicConstraints: { isCa: true, pathLength: 9 } })
      const last = await more.intermediate()
      assert.equal(kindOf(validate(await issueLeaf(more), [one, more], [root])), 'valid')
      const result = validate(await issueLeaf(last), [one, more, last], [root])
      assert.equal(kindOf(result), 'path_invalid')
    })

    it('do not count a self-issued certificate, nor hold it to name constraints', async () => {
      const limits = {
        basicConstraints: { isCa: true, pathLength: 0 },
        nameConstraints: { permitted: [{ directory: '/O=Leaves' }] },
      }
      const before = await root.intermediate({ ...limits, subject: '/CN=changing' })
      const after = await before.intermediate({ subject: '/CN=changing' })
      const sent = [before, after]
      const inside = await issueLeaf(after, { subject: '/O=Leaves/CN=x' })
      assert.equal(kindOf(validate(inside, sent, [root])), 'valid')
      const outside = await issueLeaf(after, { subject: '/CN=changing' })
      assert.equal(kindOf(validate(outside, sent, [root])), 'path_invalid')
    })

    it('apply name constraints of the anchor and of every CA above', async () => {
      const permit = (uri: string) => ({ nameConstraints: { permitted: [{ uri }] } })
      const limited = await TestCa.root('limited', permit('a.test'))
      const wider = await limited.intermediate({
        nameConstraints: { permitted: [{ uri: 'a.test' }, { uri: 'b.test' }] },
      })
      const names = (uri: string): NameSpec[] => [{ uri }]
      const inside = await issueLeaf(wider, { names: names('spiffe://a.test/x') })
      const outside = await issueLeaf(wider, { names: names('spiffe://b.test/x') })
      assert.equal(kindOf(validate(inside, [wider], [limited])), 'valid')
      assert.equal(kindOf(validate(outside, [wider], [limited])), 'path_invalid')
    })
  })

  describe('rules for the leaf', () => {
    it('take both ends of the validity for part of it', () => {
      const at = (ms: number) =>
        kindOf(
          validatePath(leaf, certificatesOf(intermediate), certificatesOf(root), { nowMs: ms }),
        )
      assert.equal(at(leaf.notBeforeMs), 'valid')
      assert.equal(at(leaf.notBeforeMs - 1), 'certificate_not_yet_valid')
      assert.equal(at(leaf.notAfterMs), 'valid')
      assert.equal(at(leaf.notAfterMs + 1), 'certificate_expired')
    })

    it('ask for the purpose when there is extended key usage', async () => {
      const forClients = await issueLeaf(root, { extendedKeyUsage: ['clientAuth'] })
      assert.equal(kindOf(validate(forClients, [], [root], 'client')), 'valid')
      assert.equal(kindOf(validate(forClients, [], [root], 'server')), 'certificate_wrong_purpose')
      assert.equal(kindOf(validate(forClients, [], [root])), 'valid')
      const forAny = await issueLeaf(root, { extendedKeyUsage: ['any'] })
      assert.equal(kindOf(validate(forAny, [], [root], 'client')), 'certificate_wrong_purpose')
      const forAll = await issueLeaf(root, { extendedKeyUsage: null })
      assert.equal(kindOf(validate(forAll, [], [root], 'client')), 'valid')
    })

    it('refuse an unknown critical extension', async () => {
      const extension = { oid: '1.2.3.4', value: Buffer.from('0500', 'hex') }
      const known = await issueLeaf(root, { extensions: [extension] })
      assert.equal(kindOf(validate(known, [], [root])), 'valid')
      const unknown = await issueLeaf(root, { extensions: [{ ...extension, isCritical: true }] })
      assert.equal(kindOf(validate(unknown, [], [root])), 'path_invalid')
    })
  })

  describe('keys and signatures', () => {
    let rsaKey: KeyObject

    before(() => {
      rsaKey = testKey('rsa2048')
    })

    const goodKeys: readonly KeyType[] = ['p256', 'p384', 'p521', 'rsa2048', 'ed25519']
    for (const keyType of goodKeys)
      it(`verify with ${keyType} keys`, async () => {
        const key = keyType === 'rsa2048' ? rsaKey : testKey(keyType)
        const ca = await TestCa.root('strong', { key })
        const subject = await issueLeaf(ca, { key })
        assert.equal(kindOf(validate(subject, [], [ca])), 'valid')
        const forged = await issueLeaf(ca, { signer: testKey(keyType) })
        assert.equal(kindOf(validate(forged, [], [ca])), 'issuer_unknown')
      })

    for (const hash of ['sha256', 'sha384', 'sha512'] as const)
      it(`verify PSS and PKCS#1 with ${hash}`, async () => {
        const ca = await TestCa.root('rsa', { key: rsaKey })
        for (const pss of [true, false]) {
          const subject = await issueLeaf(ca, { signature: { hash, pss } })
          assert.equal(kindOf(validate(subject, [], [ca])), 'valid')
        }
        const ecdsa = await issueLeaf(root, { signature: { hash } })
        assert.equal(kindOf(validate(ecdsa, [], [root])), 'valid')
      })

    for (const hash of ['md5', 'sha1'] as const)
      it(`refuse a leaf and an intermediate that are signed with ${hash}`, async () => {
        const ca = await TestCa.root('rsa', { key: rsaKey, signature: { hash } })
        assert.equal(kindOf(validate(await issueLeaf(ca), [], [ca])), 'valid')
        const weak = await issueLeaf(ca, { signature: { hash } })
        assert.equal(kindOf(validate(weak, [], [ca])), 'path_invalid')
        const between = await ca.intermediate({ signature: { hash } })
        assert.equal(kindOf(validate(await issueLeaf(between), [between], [ca])), 'path_invalid')
      })

    it('refuse a signature that is not made with the algorithm that it names', async () => {
      const ca = await TestCa.root('rsa', { key: rsaKey })
      assert.equal(kindOf(validate(await issueLeaf(ca), [], [ca])), 'valid')
      const ecdsaWithSha256 = Buffer.from('300a06082a8648ce3d040302', 'hex')
      const mislabelled = await issueLeaf(ca, { algorithm: ecdsaWithSha256 })
      assert.equal(kindOf(validate(mislabelled, [], [ca])), 'issuer_unknown')
    })

    const rsaNumbers: readonly { name: string; bits: number; e: string; expected: string }[] = [
      { name: '2048 bits', bits: 2048, e: '010001', expected: 'valid' },
      { name: '2047 bits', bits: 2047, e: '010001', expected: 'path_invalid' },
      { name: '8192 bits', bits: 8192, e: '010001', expected: 'valid' },
      { name: '8193 bits', bits: 8193, e: '010001', expected: 'path_invalid' },
      { name: 'the exponent 3', bits: 2048, e: '03', expected: 'valid' },
      { name: 'the exponent 1', bits: 2048, e: '01', expected: 'path_invalid' },
      { name: 'an even exponent', bits: 2048, e: '010000', expected: 'path_invalid' },
      { name: 'a huge exponent', bits: 2048, e: '010000000000000001', expected: 'path_invalid' },
    ]
    for (const { name, bits, e, expected } of rsaNumbers)
      it(`judge an RSA key with ${name}: ${expected}`, async () => {
        const n = ((1n << BigInt(bits - 1)) + 1n).toString(16)
        const jwk = { kty: 'RSA', n: base64url(n), e: base64url(e) }
        const key = createPublicKey({ key: jwk, format: 'jwk' })
        const subject = Certificate.parse(root.issue({ key }))
        assert.equal(kindOf(validate(subject, [], [root])), expected)
      })

    it('refuse RSA keys of fewer than 2048 bits anywhere', async () => {
      const [weak, strong] = [testKey('rsa1024'), testKey('rsa2048')]
      for (const [key, expected] of [
        [weak, 'path_invalid'],
        [strong, 'valid'],
      ] as const) {
        const anchor = await TestCa.root('weak', { key })
        assert.equal(kindOf(validate(await issueLeaf(anchor), [], [anchor])), expected)
        const between = await root.intermediate({ key })
        assert.equal(kindOf(validate(await issueLeaf(between), [between], [root])), expected)
        assert.equal(kindOf(validate(await issueLeaf(root, { key }), [], [root])), expected)
      }
    })

    it('refuse curves that are not among P-256, P-384 and P-521', async () => {
      const subject = await issueLeaf(root, { keyType: 'secp256k1' })
      assert.equal(kindOf(validate(subject, [], [root])), 'path_invalid')
    })
  })

  describe('the reason', () => {
    it('is the date of the leaf before anything else', async () => {
      const stranger = await TestCa.root('stranger')
      const unknown = { extensions: [{ oid: '1.2.3', isCritical: true, value: Buffer.alloc(0) }] }
      const expired = await issueLeaf(stranger, { ...past, ...unknown, extendedKeyUsage: ['any'] })
      assert.equal(kindOf(validate(expired, [], [root], 'client')), 'certificate_expired')
      const early = await issueLeaf(stranger, { ...future, ...unknown, extendedKeyUsage: ['any'] })
      assert.equal(kindOf(validate(early, [], [root], 'client')), 'certificate_not_yet_valid')
    })

    it('is the purpose of the leaf before its path', async () => {
      const stranger = await TestCa.root('stranger')
      const other = await issueLeaf(stranger, { extendedKeyUsage: ['serverAuth'] })
      assert.equal(kindOf(validate(other, [], [root], 'client')), 'certificate_wrong_purpose')
    })

    it('is a date on the way rather than another rule of another path', async () => {
      const { key, subjectDer: subject } = intermediate
      const expired = await root.intermediate({ key, subject, ...past })
      const noCa = await root.intermediate({ key, subject, basicConstraints: { isCa: false } })
      for (const sent of [
        [expired, noCa],
        [noCa, expired],
      ])
        assert.equal(kindOf(validate(leaf, sent, [root])), 'certificate_expired')
      assert.equal(kindOf(validate(leaf, [noCa], [root])), 'path_invalid')
    })

    it('is a broken rule below a live anchor rather than the date of an expired one', async () => {
      const { key, subjectDer: subject } = root
      const expired = await TestCa.root('', { key, subject, ...past })
      const noCa = await root.intermediate({ basicConstraints: null })
      const below = await issueLeaf(noCa)
      assert.equal(kindOf(validate(below, [noCa], [expired, root])), 'path_invalid')
      assert.equal(kindOf(validate(below, [noCa], [expired])), 'certificate_expired')
    })

    it('is not taken from a fault that has nothing to do with the leaf', async () => {
      const stranger = await TestCa.root('stranger')
      const expired = await root.intermediate(past)
      const subject = await issueLeaf(stranger)
      assert.equal(kindOf(validate(subject, [expired], [root])), 'issuer_unknown')
    })

    it('stays short, whatever the names are', async () => {
      const long = await TestCa.root('', { subject: [['CN', 'x'.repeat(4000)]] })
      const result = validate(await issueLeaf(long, past), [], [long])
      assert.ok(result.kind === 'invalid')
      assert.ok(result.detail.length < 256)
      const unknown = validate(await issueLeaf(long), [], [root])
      assert.ok(unknown.kind === 'invalid')
      assert.ok(unknown.detail.length < 256)
    })
  })
})

function kindOf(result: PathResult): string {
  return result.kind === 'valid' ? result.kind : result.reason
}

function base64url(hex: string): string {
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url')
}

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length <= 1) return [[...items]]
  return items.flatMap((item, i) =>
    permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]),
  )
}
