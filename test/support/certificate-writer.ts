import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  constants,
} from 'node:crypto'
import {
  bitString,
  boolean,
  context,
  integer,
  namedBits,
  nothing,
  octetString,
  oid,
  sequence,
  set,
  type stringTag,
  text,
  time,
  tlv,
} from './der-writer.ts'

export type KeyType = 'p256' | 'p384' | 'p521' | 'secp256k1' | 'ed25519' | `rsa${number}`

/** A new private key. RSA takes its time: make one and use it again. */
export function testKey(type: KeyType = 'p256'): KeyObject {
  if (type === 'ed25519') return generateKeyPairSync('ed25519').privateKey
  if (type.startsWith('rsa'))
    return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(3)) }).privateKey
  return generateKeyPairSync('ec', { namedCurve: type.replace(/^p/, 'P-') }).privateKey
}

const keyUsageBits = {
  digitalSignature: 0,
  contentCommitment: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
  encipherOnly: 7,
  decipherOnly: 8,
} as const

export type KeyUsageName = keyof typeof keyUsageBits

const usageOids: Readonly<Record<string, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  any: '2.5.29.37.0',
}

/** A general name to write. `ip` is octets in hex: an address, in a constraint address and mask. */
export type NameSpec =
  | { readonly uri: string }
  | { readonly dns: string }
  | { readonly email: string }
  | { readonly ip: string }
  | { readonly directory: NameSource }
  | { readonly upn: string }

type StringType = keyof typeof stringTag

/** Attributes in the order of the encoding: short name or OID, value, string type (UTF-8 by default). */
export type Attributes = readonly (readonly [string, string, StringType?])[]

/** `/C=US/O=Corp/CN=x` in the order of the encoding, '' for the empty name, attributes, or DER as it is. */
export type NameSource = string | Attributes | Uint8Array

export interface ConstraintsSpec {
  readonly permitted?: readonly NameSpec[]
  readonly excluded?: readonly NameSpec[]
}

export interface RawExtension {
  readonly oid: string
  readonly isCritical?: boolean
  /** DER of the value, without the OCTET STRING around it. */
  readonly value: Uint8Array
}

/** Everything in a certificate that a test may want to turn; `null` leaves an extension out. */
export interface CertificateSpec {
  readonly subject: NameSource
  readonly issuer: NameSource
  /** The subject's key, public or private. */
  readonly key: KeyObject
  readonly signer: KeyObject
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly timeForm?: 'utc' | 'generalized'
  readonly serial?: bigint
  readonly version?: 1 | 2 | 3
  readonly basicConstraints?: {
    readonly isCa: boolean
    readonly pathLength?: number
    readonly isCritical?: boolean
  } | null
  readonly keyUsage?: readonly KeyUsageName[] | null
  /** Names such as `clientAuth`, or object identifiers. */
  readonly extendedKeyUsage?: readonly string[] | null
  readonly names?: readonly NameSpec[]
  readonly nameConstraints?: ConstraintsSpec
  readonly subjectKeyId?: Uint8Array | null
  readonly authorityKeyId?: Uint8Array | null
  readonly extensions?: readonly RawExtension[]
  /** Default: what fits the signer's key, with SHA-256 for RSA. */
  readonly signature?: SignatureSpec
  /** AlgorithmIdentifier in both places, whatever the signature is made with. */
  readonly algorithm?: Uint8Array
  /** AlgorithmIdentifier within the signed part, when it shall differ from the outer one. */
  readonly innerAlgorithm?: Uint8Array
}

export interface SignatureSpec {
  readonly hash: 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512'
  readonly pss?: boolean
}

/** Writes and signs a certificate. */
export function writeCertificate(spec: CertificateSpec): Buffer {
  const scheme = schemeOf(spec.signer, spec.signature)
  const algorithm = spec.algorithm ?? scheme.algorithm
  const extensions = spec.version === undefined || spec.version === 3 ? writeExtensions(spec) : []
  const signedPart = sequence(
    spec.version === 1 ? nothing : context(0, 'constructed', integer((spec.version ?? 3) - 1)),
    integer(spec.serial ?? randomSerial()),
    spec.innerAlgorithm ?? algorithm,
    writeName(spec.issuer),
    sequence(time(spec.notBeforeMs, spec.timeForm), time(spec.notAfterMs, spec.timeForm)),
    writeName(spec.subject),
    publicKeyInfo(spec.key),
    extensions.length === 0 ? nothing : context(3, 'constructed', sequence(...extensions)),
  )
  return sequence(signedPart, algorithm, bitString(scheme.sign(signedPart)))
}

/** SHA-1 of the key bits, RFC 5280 4.2.1.2 (1). */
export function keyIdOf(key: KeyObject): Buffer {
  return createHash('sha1').update(publicKeyInfo(key).subarray(-65)).digest()
}

function publicKeyInfo(key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return publicKey.export({ type: 'spki', format: 'der' })
}

let serials = 0x1000_0000n

/** Distinct within a run, and positive. */
function randomSerial(): bigint {
  return serials++
}

const attributeOids: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  DC: '0.9.2342.19200300.100.1.25',
  UID: '0.9.2342.19200300.100.1.1',
  emailAddress: '1.2.840.113549.1.9.1',
}

export function writeName(source: NameSource): Buffer {
  if (source instanceof Uint8Array) return Buffer.from(source)
  const attributes = typeof source === 'string' ? attributesOf(source) : source
  return sequence(
    ...attributes.map(([name, value, type]) =>
      set(sequence(oid(attributeOids[name] ?? name), text(type ?? defaultType(name), value))),
    ),
  )
}

function defaultType(name: string): StringType {
  if (name === 'C') return 'printable'
  return name === 'emailAddress' || name === 'DC' ? 'ia5' : 'utf8'
}

function attributesOf(path: string): Attributes {
  return path
    .split('/')
    .filter((part) => part !== '')
    .map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)])
}

function writeGeneralName(name: NameSpec): Buffer {
  if ('email' in name) return context(1, 'primitive', Buffer.from(name.email, 'latin1'))
  if ('dns' in name) return context(2, 'primitive', Buffer.from(name.dns, 'latin1'))
  if ('directory' in name) return context(4, 'constructed', writeName(name.directory))
  if ('uri' in name) return context(6, 'primitive', Buffer.from(name.uri, 'latin1'))
  if ('ip' in name) return context(7, 'primitive', Buffer.from(name.ip, 'hex'))
  const upn = context(0, 'constructed', text('utf8', name.upn))
  return context(0, 'constructed', oid('1.3.6.1.4.1.311.20.2.3'), upn)
}

function writeExtensions(spec: CertificateSpec): Buffer[] {
  const { basicConstraints, keyUsage, extendedKeyUsage, names, nameConstraints } = spec
  const written: Buffer[] = []
  const add = (id: string, isCritical: boolean, value: Uint8Array) =>
    written.push(writeExtension({ oid: id, isCritical, value }))
  if (spec.subjectKeyId !== null)
    add('2.5.29.14', false, octetString(spec.subjectKeyId ?? keyIdOf(spec.key)))
  if (spec.authorityKeyId !== null) add('2.5.29.35', false, authorityKeyId(spec))
  if (basicConstraints)
    add('2.5.29.19', basicConstraints.isCritical ?? true, writeBasicConstraints(basicConstraints))
  if (keyUsage) add('2.5.29.15', true, namedBits(keyUsage.map((name) => keyUsageBits[name])))
  if (extendedKeyUsage)
    add(
      '2.5.29.37',
      false,
      sequence(...extendedKeyUsage.map((usage) => oid(usageOids[usage] ?? usage))),
    )
  if (names !== undefined && names.length > 0)
    add('2.5.29.17', isEmptyName(spec.subject), sequence(...names.map(writeGeneralName)))
  if (nameConstraints !== undefined) add('2.5.29.30', true, writeConstraints(nameConstraints))
  for (const extension of spec.extensions ?? []) written.push(writeExtension(extension))
  return written
}

export function writeExtension(extension: RawExtension): Buffer {
  return sequence(
    oid(extension.oid),
    extension.isCritical === true ? boolean(true) : nothing,
    octetString(extension.value),
  )
}

function isEmptyName(source: NameSource): boolean {
  return writeName(source).length === 2
}

function authorityKeyId(spec: CertificateSpec): Buffer {
  return sequence(context(0, 'primitive', spec.authorityKeyId ?? keyIdOf(spec.signer)))
}

function writeBasicConstraints(constraints: { isCa: boolean; pathLength?: number }): Buffer {
  return sequence(
    constraints.isCa ? boolean(true) : nothing,
    constraints.pathLength === undefined ? nothing : integer(constraints.pathLength),
  )
}

function writeConstraints(constraints: ConstraintsSpec): Buffer {
  const subtrees = (number: number, names: readonly NameSpec[] | undefined) =>
    names === undefined
      ? nothing
      : context(number, 'constructed', ...names.map((name) => sequence(writeGeneralName(name))))
  return sequence(subtrees(0, constraints.permitted), subtrees(1, constraints.excluded))
}

export interface Scheme {
  readonly algorithm: Buffer
  readonly sign: (content: Buffer) => Buffer
}

const rsaOids = {
  md5: '1.2.840.113549.1.1.4',
  sha1: '1.2.840.113549.1.1.5',
  sha256: '1.2.840.113549.1.1.11',
  sha384: '1.2.840.113549.1.1.12',
  sha512: '1.2.840.113549.1.1.13',
} as const

const ecdsaOids = {
  md5: '1.2.840.10045.4.9',
  sha1: '1.2.840.10045.4.1',
  sha256: '1.2.840.10045.4.3.2',
  sha384: '1.2.840.10045.4.3.3',
  sha512: '1.2.840.10045.4.3.4',
} as const

/** How a key signs, and the AlgorithmIdentifier of it. */
export function schemeOf(signer: KeyObject, signature: SignatureSpec | undefined): Scheme {
  const type = signer.asymmetricKeyType
  if (type === 'ed25519')
    return {
      algorithm: sequence(oid('1.3.101.112')),
      sign: (content) => sign(null, content, signer),
    }
  const hash = signature?.hash ?? defaultHash(signer)
  if (type === 'ec')
    return {
      algorithm: sequence(oid(ecdsaOids[hash])),
      sign: (content) => sign(hash, content, signer),
    }
  if (signature?.pss === true) return pssScheme(signer, hash)
  return {
    algorithm: sequence(oid(rsaOids[hash]), tlv(0x05)),
    sign: (content) => sign(hash, content, signer),
  }
}

function defaultHash(signer: KeyObject): SignatureSpec['hash'] {
  return signer.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256'
}

const pssHashes: Readonly<Record<string, readonly [string, number]>> = {
  sha256: ['2.16.840.1.101.3.4.2.1', 32],
  sha384: ['2.16.840.1.101.3.4.2.2', 48],
  sha512: ['2.16.840.1.101.3.4.2.3', 64],
}

function pssScheme(signer: KeyObject, hash: string): Scheme {
  const [hashOid = '', saltLength = 0] = pssHashes[hash] ?? []
  const digest = sequence(oid(hashOid), tlv(0x05))
  const parameters = sequence(
    context(0, 'constructed', digest),
    context(1, 'constructed', sequence(oid('1.2.840.113549.1.1.8'), digest)),
    context(2, 'constructed', integer(saltLength)),
  )
  const key = { key: signer, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
  return {
    algorithm: sequence(oid('1.2.840.113549.1.1.10'), parameters),
    sign: (content) => sign(hash, content, key),
  }
}
