import { X509Certificate, createPrivateKey } from 'node:crypto'

/** Certificates in DER as PEM, in the same order. */
export function certificatesToPem(certificates: readonly Buffer[]): string {
  return certificates.map((der) => new X509Certificate(der).toString()).join('')
}

/** A PKCS#8 key in DER as PEM. */
export function privateKeyToPem(der: Buffer): string {
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return key.export({ format: 'pem', type: 'pkcs8' }).toString()
}
