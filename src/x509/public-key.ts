import { DerReader, derTag, malformed } from './der.ts'

/** What a public key is, as far as its strength and its use go. */
export type KeyParameters =
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponentIsSound: boolean }
  | { readonly kind: 'ec'; readonly curve: string }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'unsupported'; readonly oid: string }

const rsaOid = '1.2.840.113549.1.1.1'
const ecOid = '1.2.840.10045.2.1'
const ed25519Oid = '1.3.101.112'

const strongCurves: ReadonlyMap<string, string> = new Map([
  ['1.2.840.10045.3.1.7', 'P-256'],
  ['1.3.132.0.34', 'P-384'],
  ['1.3.132.0.35', 'P-521'],
])

/** Shortest RSA modulus that is trusted, bits. */
const shortestRsaBits = 2048
/** Longest RSA modulus, bits: a check with a larger one costs milliseconds. */
export const longestRsaBits = 8192

/** Reads `SubjectPublicKeyInfo`. Throws `PosternError` ERR_DER_MALFORMED. */
export function readKeyParameters(reader: DerReader): KeyParameters {
  const info = reader.enter(derTag.sequence)
  const algorithm = info.enter(derTag.sequence)
  const key = info.octetsOfBits()
  info.finish()
  const oid = algorithm.oid()
  switch (oid) {
    case rsaOid:
      return readRsaKey(key)
    case ecOid:
      return readCurve(algorithm)
    case ed25519Oid:
      return { kind: 'ed25519' }
    default:
      return { kind: 'unsupported', oid }
  }
}

/** Why a key is too weak, or of a kind that is not supported; undefined for a good one. */
export function keyWeakness(key: KeyParameters): string | undefined {
  switch (key.kind) {
    case 'rsa':
      return rsaWeakness(key.bits, key.exponentIsSound)
    case 'ec':
      return strongCurves.has(key.curve) ? undefined : `its curve ${key.curve} is not supported`
    case 'ed25519':
      return undefined
    case 'unsupported':
      return `its key algorithm ${key.oid} is not supported`
  }
}

function rsaWeakness(bits: number, exponentIsSound: boolean): string | undefined {
  if (bits < shortestRsaBits) return `its RSA key has ${bits} bits, fewer than ${shortestRsaBits}`
  if (bits > longestRsaBits) return `its RSA key has ${bits} bits, more than ${longestRsaBits}`
  return exponentIsSound ? undefined : 'its RSA exponent is not an odd number from 3 to 2^64'
}

function readCurve(algorithm: DerReader): KeyParameters {
  // Curves spelt out by their parameters are how CVE-2020-0601 forged roots: named ones only.
  const isNamed = algorithm.nextTag === derTag.oid
  return { kind: 'ec', curve: isNamed ? algorithm.oid() : 'with explicit parameters' }
}

function readRsaKey(key: Buffer): KeyParameters {
  const reader = DerReader.of(key).enter(derTag.sequence)
  const modulus = readPositive(reader)
  const exponent = readPositive(reader)
  reader.finish()
  return { kind: 'rsa', bits: bitLength(modulus), exponentIsSound: isSoundExponent(exponent) }
}

function readPositive(reader: DerReader): Buffer {
  const content = reader.content(derTag.integer)
  const first = content[0] ?? 0
  if (first >= 0x80) throw malformed('an RSA number is negative')
  return first === 0 ? content.subarray(1) : content
}

function bitLength(number: Buffer): number {
  return number.length === 0 ? 0 : number.length * 8 - Math.clz32(number[0] ?? 0) + 24
}

function isSoundExponent(exponent: Buffer): boolean {
  const isOdd = ((exponent.at(-1) ?? 0) & 1) === 1
  return isOdd && exponent.length <= 8 && !(exponent.length === 1 && exponent[0] === 1)
}
