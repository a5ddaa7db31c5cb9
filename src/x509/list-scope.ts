import type { Certificate } from './certificate.ts'
import { contextTag, DerReader, derTag, malformed } from './der.ts'
import { readNamedBits } from './extensions.ts'
import { type GeneralName, readGeneralName } from './general-name.ts'
import { Name } from './name.ts'

/** Which certificates a revocation list speaks of: issuingDistributionPoint, RFC 5280 5.2.5. */
export interface ListScope {
  /** Lists of one issuer with equal ids are editions of one list. */
  readonly id: string
  readonly certificates: 'all' | 'user' | 'ca'
  /** `ReasonFlags`; a list that leaves some out cannot say alone that a certificate is good. */
  readonly reasons: number
  /** It holds only the certificates that name one of these distribution points; absent: all of the issuer's. */
  readonly points?: readonly string[]
}

/** Bits 1 to 8 of `ReasonFlags`: keyCompromise to aACompromise. */
export const allReasons = 0x1fe

/** The scope of a list that does not limit itself. */
export const wholeScope: ListScope = { id: '', certificates: 'all', reasons: allReasons }

const scopeTags = {
  point: contextTag(0, 'constructed'),
  onlyUser: contextTag(1, 'primitive'),
  onlyCa: contextTag(2, 'primitive'),
  reasons: contextTag(3, 'primitive'),
  indirect: contextTag(4, 'primitive'),
  onlyAttribute: contextTag(5, 'primitive'),
} as const

/**
 * Reads `IssuingDistributionPoint`. Throws `PosternError` ERR_DER_MALFORMED, also for a list of attribute certificates or of
 * several issuers: neither speaks of what is judged here.
 */
export function readListScope(der: Buffer, issuer: Name): ListScope {
  const reader = DerReader.of(der).enter(derTag.sequence)
  const points = readPoint(reader, scopeTags.point, issuer)
  const isUser = readFlag(reader, scopeTags.onlyUser)
  const isCa = readFlag(reader, scopeTags.onlyCa)
  const reasons = readReasons(reader, scopeTags.reasons)
  if (readFlag(reader, scopeTags.indirect))
    throw malformed('it lists certificates of other issuers: indirect lists are not supported')
  if (readFlag(reader, scopeTags.onlyAttribute) || (isUser && isCa))
    throw malformed('it lists no public-key certificates')
  reader.finish()
  const certificates = isUser ? 'user' : isCa ? 'ca' : 'all'
  return { id: der.toString('base64'), certificates, reasons, ...(points && { points }) }
}

/** The reasons for which a list of this scope can say that `certificate` is not revoked; 0: it does not speak of it. */
export function reasonsCovered(scope: ListScope, certificate: Certificate): number {
  if (scope.certificates !== 'all' && (scope.certificates === 'ca') !== certificate.isCa) return 0
  return scope.points === undefined
    ? scope.reasons
    : scope.reasons & reasonsAt(scope.points, certificate)
}

/** RFC 5280 6.3.3 (b) (2) (i) and (d): the distribution points of the certificate that have one of these names. */
function reasonsAt(names: readonly string[], certificate: Certificate): number {
  return pointsOf(certificate)
    .filter((point) => point.names.some((name) => names.includes(name)))
    .reduce((reasons, point) => reasons | point.reasons, 0)
}

interface DistributionPoint {
  readonly names: readonly string[]
  readonly reasons: number
}

const pointTags = {
  point: contextTag(0, 'constructed'),
  reasons: contextTag(1, 'primitive'),
  issuer: contextTag(2, 'constructed'),
} as const

/** Most distribution points of a certificate that are read. */
const mostPoints = 64

/** A certificate that names none is in the list that is named for its issuer (RFC 5280 6.3.3). One that does not parse is in none. */
function pointsOf({ extensions, issuerName }: Certificate): readonly DistributionPoint[] {
  if (extensions.revocationPoints === undefined) {
    const names = [nameKey({ kind: 'directory', name: issuerName })]
    return [{ names, reasons: allReasons }]
  }
  try {
    return readPoints(extensions.revocationPoints, issuerName)
  } catch {
    return []
  }
}

function readPoints(der: Buffer, issuer: Name): DistributionPoint[] {
  const reader = DerReader.of(der).enter(derTag.sequence)
  const points: DistributionPoint[] = []
  while (!reader.isAtEnd && points.length < mostPoints) {
    const point = reader.enter(derTag.sequence)
    const names = readPoint(point, pointTags.point, issuer) ?? []
    const reasons = readReasons(point, pointTags.reasons)
    // The list there is another issuer's, an indirect one.
    if (point.nextTag !== pointTags.issuer) points.push({ names, reasons })
  }
  return points
}

const nameTags = {
  full: contextTag(0, 'constructed'),
  relative: contextTag(1, 'constructed'),
} as const

/** An optional `DistributionPointName`, as texts that compare. */
function readPoint(parent: DerReader, tag: number, issuer: Name): readonly string[] | undefined {
  if (parent.nextTag !== tag) return undefined
  const reader = parent.enter(tag)
  const names =
    reader.nextTag === nameTags.relative
      ? [nameKey({ kind: 'directory', name: below(issuer, reader.content(nameTags.relative)) })]
      : readFullName(reader.enter(nameTags.full))
  reader.finish()
  return names
}

const ipWidths = [4, 16]
const mostPointNames = 64

function readFullName(reader: DerReader): string[] {
  const names: string[] = []
  do {
    if (names.length >= mostPointNames) throw malformed('a distribution point has too many names')
    names.push(nameKey(readGeneralName(reader, ipWidths)))
  } while (!reader.isAtEnd)
  return names
}

function nameKey(name: GeneralName): string {
  switch (name.kind) {
    case 'uri':
    case 'dns':
    case 'email':
      return `${name.kind}:${name.value}`
    case 'ip':
      return `ip:${name.octets.toString('hex')}`
    case 'directory':
      return `directory:${name.name.canonical}`
    case 'other':
      return `other:${name.der.toString('hex')}`
  }
}

/** The name of `issuer` with one more RDN. */
function below(issuer: Name, rdn: Buffer): Name {
  const parent = DerReader.of(issuer.der).content(derTag.sequence)
  const content = Buffer.concat([parent, element(derTag.set, rdn)])
  return Name.read(DerReader.of(element(derTag.sequence, content)))
}

function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  if (length > 0xffff) throw malformed('a name is too long')
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content])
}

/** An optional BOOLEAN DEFAULT FALSE. */
function readFlag(reader: DerReader, tag: number): boolean {
  if (reader.nextTag !== tag) return false
  const content = reader.content(tag)
  // DER leaves FALSE out; some CAs write it, and nothing hangs on it.
  if (content.length !== 1 || (content[0] !== 0xff && content[0] !== 0x00))
    throw malformed('a boolean is neither 00 nor FF')
  return content[0] === 0xff
}

/** Optional `ReasonFlags`; all of them when absent. */
function readReasons(reader: DerReader, tag: number): number {
  return reader.nextTag === tag ? readNamedBits(reader.content(tag)) & allReasons : allReasons
}
