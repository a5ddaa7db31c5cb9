import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { throwAwayIdentities } from '../../src/tls/throw-away-identities.ts'
import { parsePemCertificates } from '../../src/x509/pem.ts'

describe('throw-away identities', () => {
  it('have chains that hold, and keys of their own', () => {
    const { server, client } = throwAwayIdentities()
    const [leaf, intermediate, ...more] = read(client.cert)
    const [own] = read(server.certificateChainPem)
    assert.ok(leaf !== undefined && intermediate !== undefined && own !== undefined)

    assert.equal(more.length, 0)
    assert.ok(leaf.checkIssued(intermediate) && leaf.verify(intermediate.publicKey))
    assert.ok(intermediate.ca && !leaf.ca)
    assert.ok(!intermediate.verify(intermediate.publicKey), 'the root is told to nobody')
    assert.ok(leaf.checkPrivateKey(createPrivateKey(client.key)))
    assert.ok(own.checkPrivateKey(createPrivateKey(server.privateKeyPem)))
    assert.ok(!own.checkPrivateKey(createPrivateKey(client.key)))
  })

  it('are well-formed by our own reader', () => {
    const { server, client } = throwAwayIdentities()
    const certificates = [client.cert, server.certificateChainPem].flatMap(parsePemCertificates)
    assert.deepEqual(
      certificates.map((certificate) => certificate.extensions.basicConstraints?.isCa),
      [false, true, false],
    )
  })

  it('are never the same', () => {
    const serials = Array.from({ length: 3 }, throwAwayIdentities).flatMap(({ client }) =>
      read(client.cert).map(({ serialNumber, publicKey }) => [
        serialNumber,
        publicKey.export({ type: 'spki', format: 'pem' }),
      ]),
    )
    assert.equal(new Set(serials.flat()).size, 2 * serials.length)
  })
})

function read(pem: string): readonly X509Certificate[] {
  return pem
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((text) => text.trim() !== '')
    .map((text) => new X509Certificate(text))
}
