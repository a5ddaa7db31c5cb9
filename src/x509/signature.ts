import { constants, verify } from 'node:crypto'
import type { Certificate } from './certificate.ts'
import { type KeyParameters, longestRsaBits } from './public-key.ts'

/** Something that was signed: a certificate or a revocation list. */
export interface Signed {
  /** DER: what the signature is over. */
  readonly signedPart: Buffer
  /** `AlgorithmIdentifier`, DER. */
  readonly signatureAlgorithm: Buffer
  readonly signature: Buffer
}

type SignatureScheme =
  | { readonly kind: 'ecdsa' | 'rsa'; readonly hash: string }
  | { readonly kind: 'rsa-pss'; readonly hash: string; readonly saltLength: number }
  | { readonly kind: 'ed25519' }

const nullOrNothing = ['0500', '']

/**
 * Schemes by the hex of their whole AlgorithmIdentifier, parameters included: what is not here is not supported,
 * MD5 and SHA-1 above all. RSA comes with the NULL of RFC 4055 and without it, PSS with the parameters of RFC 8446
 * only.
 */
const schemes: ReadonlyMap<string, SignatureScheme> = new Map<string, SignatureScheme>([
  ['300a06082a8648ce3d040302', { kind: 'ecdsa', hash: 'sha256' }],
  ['300a06082a8648ce3d040303', { kind: 'ecdsa', hash: 'sha384' }],
  ['300a06082a8648ce3d040304', { kind: 'ecdsa', hash: 'sha512' }],
  ['300506032b6570', { kind: 'ed25519' }],
  ...rsaEncodings('06092a864886f70d01010b', { kind: 'rsa', hash: 'sha256' }),
  ...rsaEncodings('06092a864886f70d01010c', { kind: 'rsa', hash: 'sha384' }),
  ...rsaEncodings('06092a864886f70d01010d', { kind: 'rsa', hash: 'sha512' }),
  ...pssEncodings('0609608648016503040201', { kind: 'rsa-pss', hash: 'sha256', saltLength: 32 }),
  ...pssEncodings('0609608648016503040202', { kind: 'rsa-pss', hash: 'sha384', saltLength: 48 }),
  ...pssEncodings('0609608648016503040203', { kind: 'rsa-pss', hash: 'sha512', saltLength: 64 }),
])

function rsaEncodings(oid: string, scheme: SignatureScheme): [string, SignatureScheme][] {
  return nullOrNothing.map((parameters) => [sequence(`${oid}${parameters}`), scheme])
}

/** RSASSA-PSS-params of RFC 4055 3.1: hash, MGF1 with the same hash, and a salt as long as the hash. */
function pssEncodings(
  hashOid: string,
  scheme: Extract<SignatureScheme, { kind: 'rsa-pss' }>,
): [string, SignatureScheme][] {
  return nullOrNothing.map((parameters) => {
    const digest = sequence(`${hashOid}${parameters}`)
    const mask = sequence(`06092a864886f70d010108${digest}`)
    const salt = `0201${scheme.saltLength.toString(16)}`
    const pss = sequence(`a0${sized(digest)}a1${sized(mask)}a2${sized(salt)}`)
    return [sequence(`06092a864886f70d01010a${pss}`), scheme]
  })
}

function sequence(contentHex: string): string {
  return `30${sized(contentHex)}`
}

function sized(contentHex: string): string {
  return `${(contentHex.length / 2).toString(16).padStart(2, '0')}${contentHex}`
}

function schemeOf(signed: Signed): SignatureScheme | undefined {
  return schemes.get(signed.signatureAlgorithm.toString('hex'))
}

/** Whether the algorithm that `signed` is signed with is one of those above. */
export function hasSupportedSignature(signed: Signed): boolean {
  return schemeOf(signed) !== undefined
}

/**
 * Whether the key of `issuer` made the signature. False as well when algorithm and key do not belong together.
 */
export function isSignedBy(signed: Signed, issuer: Certificate): boolean {
  const scheme = schemeOf(signed)
  if (scheme === undefined || !fits(scheme, issuer.keyParameters)) return false
  try {
    return verifySignature(scheme, signed, issuer)
  } catch {
    // OpenSSL throws for a key that it cannot load; such a key signed nothing.
    return false
  }
}

function fits(scheme: SignatureScheme, key: KeyParameters): boolean {
  switch (scheme.kind) {
    case 'ecdsa':
      return key.kind === 'ec'
    case 'rsa':
    case 'rsa-pss':
      return key.kind === 'rsa' && key.bits <= longestRsaBits
    case 'ed25519':
      return key.kind === 'ed25519'
  }
}

function verifySignature(scheme: SignatureScheme, signed: Signed, issuer: Certificate): boolean {
  const { signedPart, signature } = signed
  switch (scheme.kind) {
    case 'ecdsa':
    case 'rsa':
      return verify(scheme.hash, signedPart, issuer.publicKey, signature)
    case 'ed25519':
      return verify(null, signedPart, issuer.publicKey, signature)
    case 'rsa-pss': {
      const padding = constants.RSA_PKCS1_PSS_PADDING
      const key = { key: issuer.publicKey, padding, saltLength: scheme.saltLength }
      return verify(scheme.hash, signedPart, key, signature)
    }
  }
}
