import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { inspect } from 'node:util'
import { X509Svid } from '../../src/spiffe/x509-svid.ts'
import { type KeyType, testKey } from '../support/certificate-writer.ts'
import { TestCa, type TestLeaf, type TestLeafOptions } from '../support/test-ca.ts'

const spiffeId = 'spiffe://corp.example/api'
const isMalformed = { code: 'ERR_SVID_MALFORMED' }

describe('X509Svid', () => {
  let intermediate: TestCa
  let good: TestLeaf

  before(async () => {
    intermediate = await (await TestCa.root('corp.example')).intermediate()
    good = await intermediate.leaf({ spiffeId })
  })

  const parse = (leaf: TestLeaf, announced = spiffeId) =>
    X509Svid.parse({ certificates: leaf.der, privateKeyDer: leaf.keyDer, spiffeId: announced })

  const keyTypes: readonly KeyType[] = ['p256', 'p384', 'rsa2048', 'rsa3072', 'ed25519']
  for (const keyType of keyTypes)
    it(`takes what the Workload API sends with a ${keyType} key, and TLS takes it from there`, async () => {
      const leaf = await intermediate.leaf({ spiffeId, keyType })
      const svid = parse(leaf)
      assert.equal(svid.id.toString(), spiffeId)
      assert.equal(svid.leaf.sha256, leaf.certificate.sha256)
      assert.equal(svid.certificates.length, 2)
      assert.ok(createPublicKey(svid.privateKey).equals(svid.leaf.publicKey))
      assert.equal(svid.chainPem(), leaf.pem)
      assert.equal(svid.privateKeyPem(), leaf.keyPem)
      assert.ok(createSecureContext({ cert: svid.chainPem(), key: svid.privateKeyPem() }))
      assert.equal(new X509Certificate(svid.chainPem()).subjectAltName, `URI:${spiffeId}`)
    })

  it('takes parsed certificates and no announced ID, as for files', () => {
    const { certificates, keyDer: privateKeyDer } = good
    assert.equal(X509Svid.parse({ certificates, privateKeyDer }).id.toString(), spiffeId)
  })

  it('ends with the first certificate of its chain', async () => {
    const brief = await intermediate.intermediate({
      notAfterMs: good.certificate.notAfterMs - 1000,
    })
    const svid = parse(await brief.leaf({ spiffeId }))
    assert.equal(svid.notAfterMs, brief.certificate.notAfterMs)
    assert.ok(svid.notAfterMs < svid.leaf.notAfterMs)
  })

  it('shows its key in no JSON, no inspect and no property', () => {
    const svid = parse(good)
    const scalar = svid.privateKey.export({ format: 'jwk' }).d
    assert.ok(scalar !== undefined)
    const secrets = [
      scalar,
      Buffer.from(scalar, 'base64url').toString('hex'),
      good.keyPem.split('\n')[1]!,
    ]
    const options = { depth: Infinity, showHidden: true, getters: true, maxArrayLength: Infinity }
    const shown = [inspect(svid, options), JSON.stringify(svid), Object.keys(svid).join()]
    for (const text of shown) for (const secret of secrets) assert.ok(!text.includes(secret))
    assert.deepEqual(Object.keys(svid), ['id', 'certificates'])
  })

  it('refuses a key of another certificate', async () => {
    // In this order: a key of another type must not leave anything behind that fails the next one.
    for (const keyType of ['p256', 'rsa2048', 'ed25519', 'p384'] as const) {
      const keyDer = testKey(keyType).export({ type: 'pkcs8', format: 'der' })
      assert.throws(() => parse({ ...good, keyDer }), { code: 'ERR_PRIVATE_KEY_MISMATCH' })
    }
  })

  it('refuses a key that is not PKCS#8, encrypted, or followed by bytes', () => {
    const { key, keyDer } = good
    const encrypted = key.export({
      ...{ type: 'pkcs8', format: 'der', cipher: 'aes-128-cbc', passphrase: 'x' },
    })
    const sec1 = key.export({ type: 'sec1', format: 'der' })
    const longer = Buffer.concat([keyDer, Buffer.alloc(1)])
    for (const wrong of [encrypted, sec1, longer, keyDer.subarray(1), Buffer.alloc(0)])
      assert.throws(() => parse({ ...good, keyDer: wrong }), isMalformed)
  })

  it('refuses a chain that is empty, cut off or followed by bytes', () => {
    const chains = [
      Buffer.alloc(0),
      good.der.subarray(0, -1),
      Buffer.concat([good.der, Buffer.alloc(1)]),
    ]
    for (const der of chains) assert.throws(() => parse({ ...good, der }), isMalformed)
  })

  it('refuses another announced ID than the one in the certificate', () => {
    for (const announced of ['spiffe://corp.example/other', 'spiffe://corp.example', 'x', ''])
      assert.throws(() => parse(good, announced), isMalformed)
  })

  it('refuses a chain that begins with the intermediate', () => {
    const der = Buffer.concat(good.certificates.toReversed().map((certificate) => certificate.der))
    assert.throws(() => parse({ ...good, der }), isMalformed)
  })

  const badLeaves: readonly { name: string; options: TestLeafOptions }[] = [
    { name: 'with a URI that names nothing', options: { spiffeId: 'urn:x' } },
    { name: 'with two URI names', options: { names: [{ uri: spiffeId }] } },
    { name: 'with a URI that is no SPIFFE ID', options: { spiffeId: 'https://corp.example/api' } },
    { name: 'with an ID without a path', options: { spiffeId: 'spiffe://corp.example' } },
    { name: 'that is a CA', options: { basicConstraints: { isCa: true } } },
    { name: 'without key usage', options: { keyUsage: null } },
    { name: 'without digitalSignature', options: { keyUsage: ['keyAgreement'] } },
    { name: 'with keyCertSign', options: { keyUsage: ['digitalSignature', 'keyCertSign'] } },
    { name: 'with cRLSign', options: { keyUsage: ['digitalSignature', 'cRLSign'] } },
  ]
  for (const { name, options } of badLeaves)
    it(`refuses a leaf ${name}`, async () => {
      const leaf = await intermediate.leaf({ spiffeId, ...options })
      const announced = options.spiffeId ?? spiffeId
      assert.throws(() => parse(leaf, announced), isMalformed)
    })

  it('takes a leaf without extended key usage and with further names and usages', async () => {
    const leaf = await intermediate.leaf({
      spiffeId,
      dnsNames: ['api.corp.example'],
      extendedKeyUsage: null,
      keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
    })
    assert.equal(parse(leaf).id.toString(), spiffeId)
  })
})
