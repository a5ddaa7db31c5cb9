import assert from 'node:assert/strict'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { DevCa } from '../../src/dev/dev-ca.ts'
import { SpiffeId } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { Certificate } from '../../src/x509/certificate.ts'
import { extendedKeyUsageOid, keyUsageBit } from '../../src/x509/extensions.ts'
import { FakeClock } from '../support/fake-clock.ts'

const trustDomain = TrustDomain.parse('corp.example')
const spiffeId = SpiffeId.parse('spiffe://corp.example/billing')

describe('DevCa', () => {
  it('makes a root that is a CA with the SPIFFE ID of its trust domain', async () => {
    const ca = await DevCa.create({ clock: new FakeClock(), trustDomain })
    const root = Certificate.parse(ca.certificate)
    assert.equal(root.isCa, true)
    assert.deepEqual(root.uriNames, ['spiffe://corp.example'])
    assert.equal(root.extensions.keyUsage, keyUsageBit.keyCertSign | keyUsageBit.cRLSign)
    assert.ok(new X509Certificate(root.der).verify(root.publicKey))
  })

  it('issues an SVID as SPIRE does, signed by the root and with its own key', async () => {
    const clock = new FakeClock()
    const ca = await DevCa.create({ clock, trustDomain })
    const issued = await ca.issue({ spiffeId, ttlMs: 60_000 })
    assert.equal(issued.certificates.length, 1)
    const root = Certificate.parse(ca.certificate)
    const leaf = Certificate.parse(issued.certificates[0]!)
    assert.deepEqual(leaf.uriNames, ['spiffe://corp.example/billing'])
    assert.equal(leaf.isCa, false)
    assert.equal(
      leaf.extensions.keyUsage,
      keyUsageBit.digitalSignature | keyUsageBit.keyEncipherment | keyUsageBit.keyAgreement,
    )
    const { clientAuth, serverAuth } = extendedKeyUsageOid
    assert.deepEqual(leaf.extensions.extendedKeyUsage, [serverAuth, clientAuth])
    assert.ok(leaf.extensions.authorityKeyId?.equals(root.extensions.subjectKeyId!))
    assert.equal(leaf.notBeforeMs, clock.now() - 10_000)
    assert.equal(leaf.notAfterMs, clock.now() + 60_000)
    assert.equal(issued.notAfterMs, leaf.notAfterMs)
    const x509 = new X509Certificate(leaf.der)
    assert.ok(x509.verify(root.publicKey))
    assert.ok(x509.checkIssued(new X509Certificate(ca.certificate)))
    const key = createPrivateKey({ key: issued.privateKeyDer, format: 'der', type: 'pkcs8' })
    assert.ok(x509.checkPrivateKey(key))
  })

  it('never issues for longer than the CA lives', async () => {
    const clock = new FakeClock()
    const ca = await DevCa.create({ clock, trustDomain, ttlMs: 60_000 })
    const issued = await ca.issue({ spiffeId, ttlMs: 600_000 })
    assert.equal(issued.notAfterMs, clock.now() + 60_000)
  })

  it('puts an intermediate into the chain and leaves the root out', async () => {
    const root = await DevCa.create({ clock: new FakeClock(), trustDomain })
    const below = await root.createIntermediate({ subject: 'CN=Payments' })
    const issued = await below.issue({ spiffeId })
    const [leaf, intermediate, ...more] = issued.certificates.map((der) => Certificate.parse(der))
    assert.equal(more.length, 0)
    assert.equal(leaf?.issuer, 'CN=Payments')
    assert.ok(intermediate?.der.equals(below.certificate))
    assert.ok(new X509Certificate(leaf.der).verify(intermediate!.publicKey))
    assert.ok(
      new X509Certificate(intermediate!.der).verify(Certificate.parse(root.certificate).publicKey),
    )
  })

  it('issues certificates without a SPIFFE ID for partners outside SPIFFE', async () => {
    const ca = await DevCa.create({ clock: new FakeClock(), subject: 'CN=Partner CA' })
    const issued = await ca.issue({ subject: 'CN=shop, O=Partner', dnsNames: ['shop.example'] })
    const leaf = Certificate.parse(issued.certificates[0]!)
    assert.deepEqual(leaf.uriNames, [])
    assert.deepEqual(leaf.dnsNames, ['shop.example'])
    assert.equal(leaf.issuer, 'CN=Partner CA')
  })
})
