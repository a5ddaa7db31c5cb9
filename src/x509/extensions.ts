import { messageOf } from '../core/errors.ts'
import { contextTag, DerReader, derTag, malformed } from './der.ts'
import { type GeneralName, readGeneralName } from './general-name.ts'

/** Bits of the key usage extension, RFC 5280 4.2.1.3. */
export const keyUsageBit = {
  digitalSignature: 1 << 0,
  contentCommitment: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  cRLSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const

/** Object identifiers of extended key usage, RFC 5280 4.2.1.12. */
export const extendedKeyUsageOid = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  any: '2.5.29.37.0',
} as const

export interface BasicConstraints {
  readonly isCa: boolean
  /** Most CA certificates that may follow below; absent = any number. */
  readonly pathLength?: number
}

/** Subtrees of RFC 5280 4.2.1.10; at least one of the two is not empty. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[]
  readonly excluded: readonly GeneralName[]
}

/** What a certificate's extensions say. An absent one is undefined; of names there are none. */
export interface Extensions {
  basicConstraints?: BasicConstraints
  /** `keyUsageBit`s. */
  keyUsage?: number
  extendedKeyUsage?: readonly string[]
  names: readonly GeneralName[]
  nameConstraints?: NameConstraints
  subjectKeyId?: Buffer
  /** `CRLDistributionPoints`, DER; what it says is looked at only where a revocation list asks for it. */
  revocationPoints?: Buffer
  authorityKeyId?: Buffer
  /** Object identifiers of critical extensions that nothing here understands. */
  unknownCritical: readonly string[]
}

/** Most extensions in one certificate. */
export const mostExtensions = 64
/** Most subject alternative names in one certificate. */
export const mostNames = 128
/** Most permitted and most excluded subtrees in one certificate. */
export const mostSubtrees = 256
/** Most extended key usages in one certificate. */
export const mostUsages = 64

type Read = (value: DerReader, into: Extensions) => void

interface KnownExtension {
  readonly read: Read
  /** Whether the extension counts as understood when it is critical. */
  readonly mayBeCritical: boolean
}

/**
 * Key identifiers must not be critical (RFC 5280 4.2.1.1, 4.2.1.2). Policies, mappings and inhibitAnyPolicy decide
 * nothing as long as no certificate requires an explicit policy and the caller accepts any; policyConstraints,
 * which could require one, is not understood, and neither are CRL distribution points: when critical, both refuse.
 */
const known: ReadonlyMap<string, KnownExtension> = new Map([
  ['2.5.29.14', { read: readSubjectKeyId, mayBeCritical: false }],
  ['2.5.29.15', { read: readKeyUsage, mayBeCritical: true }],
  ['2.5.29.17', { read: readSubjectAltName, mayBeCritical: true }],
  ['2.5.29.19', { read: readBasicConstraints, mayBeCritical: true }],
  ['2.5.29.30', { read: readNameConstraints, mayBeCritical: true }],
  ['2.5.29.31', { read: readRevocationPoints, mayBeCritical: false }],
  ['2.5.29.32', { read: () => undefined, mayBeCritical: true }],
  ['2.5.29.33', { read: () => undefined, mayBeCritical: true }],
  ['2.5.29.35', { read: readAuthorityKeyId, mayBeCritical: false }],
  ['2.5.29.37', { read: readExtendedKeyUsage, mayBeCritical: true }],
  ['2.5.29.54', { read: () => undefined, mayBeCritical: true }],
])

/** A certificate without extensions. */
export const noExtensions: Extensions = { names: [], unknownCritical: [] }

/** Reads `Extensions`; refuses one that comes twice. Throws `PosternError` ERR_DER_MALFORMED. */
export function readExtensions(reader: DerReader): Extensions {
  const unknownCritical: string[] = []
  const extensions: Extensions = { names: [], unknownCritical }
  for (const { oid, isCritical, value } of readRawExtensions(reader)) {
    const extension = known.get(oid)
    if (isCritical && extension?.mayBeCritical !== true) unknownCritical.push(oid)
    if (extension !== undefined) readKnown(extension, { oid, value }, extensions)
  }
  return extensions
}

/** `Extensions` of certificates and revocation lists, their values unread. Throws as `readExtensions`. */
export function readRawExtensions(reader: DerReader): readonly RawExtension[] {
  const extensions = new Map<string, RawExtension>()
  do {
    const extension = readExtension(reader.enter(derTag.sequence))
    const { oid } = extension
    if (extensions.has(oid)) throw malformed(`extension ${oid} comes twice`)
    if (extensions.size >= mostExtensions) throw malformed('too many extensions')
    extensions.set(oid, extension)
  } while (!reader.isAtEnd)
  return [...extensions.values()]
}

function readKnown(
  extension: KnownExtension,
  raw: Pick<RawExtension, 'oid' | 'value'>,
  into: Extensions,
): void {
  try {
    extension.read(DerReader.of(raw.value), into)
  } catch (cause) {
    throw malformed(`extension ${raw.oid}: ${messageOf(cause)}`)
  }
}

export interface RawExtension {
  readonly oid: string
  readonly isCritical: boolean
  readonly value: Buffer
}

function readExtension(reader: DerReader): RawExtension {
  const oid = reader.oid()
  // DER leaves FALSE out; some CAs write it, and nothing hangs on it.
  const isCritical = reader.nextTag === derTag.boolean && reader.boolean()
  const value = reader.content(derTag.octetString)
  reader.finish()
  return { oid, isCritical, value }
}

function readBasicConstraints(value: DerReader, into: Extensions): void {
  const reader = value.enter(derTag.sequence)
  const isCa = reader.nextTag === derTag.boolean && reader.boolean()
  into.basicConstraints =
    reader.nextTag === derTag.integer ? { isCa, pathLength: reader.smallInteger() } : { isCa }
  reader.finish()
}

function readKeyUsage(value: DerReader, into: Extensions): void {
  const bits = readNamedBits(value.content(derTag.bitString))
  if (bits === 0) throw malformed('key usage has no bit set')
  into.keyUsage = bits
}

/** The first 16 named bits of the content of a BIT STRING: bit 0 as 1, bit 1 as 2. */
export function readNamedBits([, ...octets]: Buffer): number {
  let bits = 0
  octets.slice(0, 2).forEach((octet, i) => (bits |= reverseBits(octet) << (8 * i)))
  return bits
}

/** The first named bit is the highest of its octet. */
function reverseBits(octet: number): number {
  let reversed = 0
  for (let i = 0; i < 8; i++) if ((octet & (0x80 >> i)) !== 0) reversed |= 1 << i
  return reversed
}

function readExtendedKeyUsage(value: DerReader, into: Extensions): void {
  const reader = value.enter(derTag.sequence)
  const usages: string[] = []
  do {
    if (usages.length >= mostUsages) throw malformed('too many extended key usages')
    usages.push(reader.oid())
  } while (!reader.isAtEnd)
  into.extendedKeyUsage = usages
}

const nameIpWidths = [4, 16]
const constraintIpWidths = [8, 32]

function readSubjectAltName(value: DerReader, into: Extensions): void {
  const reader = value.enter(derTag.sequence)
  const names: GeneralName[] = []
  do {
    if (names.length >= mostNames) throw malformed('too many subject alternative names')
    names.push(readGeneralName(reader, nameIpWidths))
  } while (!reader.isAtEnd)
  into.names = names
}

function readNameConstraints(value: DerReader, into: Extensions): void {
  const reader = value.enter(derTag.sequence)
  if (reader.isAtEnd) throw malformed('name constraints are empty')
  const permitted = readSubtrees(reader, contextTag(0, 'constructed'))
  const excluded = readSubtrees(reader, contextTag(1, 'constructed'))
  reader.finish()
  into.nameConstraints = { permitted, excluded }
}

function readSubtrees(parent: DerReader, tag: number): GeneralName[] {
  if (parent.nextTag !== tag) return []
  const reader = parent.enter(tag)
  const subtrees: GeneralName[] = []
  do {
    if (subtrees.length >= mostSubtrees) throw malformed('too many name constraints')
    const subtree = reader.enter(derTag.sequence)
    subtrees.push(readGeneralName(subtree, constraintIpWidths))
    // RFC 5280 4.2.1.10: minimum is 0, thus absent in DER, and maximum is absent.
    subtree.finish()
  } while (!reader.isAtEnd)
  return subtrees
}

/** Not looked into: most of them point where nobody here goes, and are no reason to refuse. */
function readRevocationPoints(value: DerReader, into: Extensions): void {
  into.revocationPoints = value.element()
}

function readSubjectKeyId(value: DerReader, into: Extensions): void {
  into.subjectKeyId = value.content(derTag.octetString)
}

function readAuthorityKeyId(value: DerReader, into: Extensions): void {
  const reader = value.enter(derTag.sequence)
  const keyIdTag = contextTag(0, 'primitive')
  if (reader.nextTag === keyIdTag) into.authorityKeyId = reader.content(keyIdTag)
}
