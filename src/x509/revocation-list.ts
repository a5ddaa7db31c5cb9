import { messageOf, PosternError } from '../core/errors.ts'
import type { Steps } from '../core/steps.ts'
import type { Certificate } from './certificate.ts'
import { contextTag, DerReader, derTag, malformed } from './der.ts'
import { readRawExtensions } from './extensions.ts'
import { type ListScope, readListScope, wholeScope } from './list-scope.ts'
import { Name } from './name.ts'
import {
  readRevocationEntry,
  reasonNames,
  reasonOfPlainEntry,
  removeFromCrl,
} from './revocation-entry.ts'
import { SerialIndex } from './serial-index.ts'
import { isSignedBy, type Signed } from './signature.ts'
import { readTime } from './time.ts'

/** Largest revocation list, bytes: more than 300,000 entries. */
const largestRevocationList = 16 * 1024 * 1024 - 1

/** Most keys that a list remembers to be its signer's or not. */
const mostSigners = 64

/** What a list says of a certificate that it lists. */
export interface Revocation {
  /** Milliseconds since 1970. */
  readonly atMs: number
  /** A name of RFC 5280 5.3.1, `unspecified` when there is none. */
  readonly reason: string
}

/**
 * A parsed revocation list (CRL), RFC 5280 section 5: strict DER, version 1 or 2, complete and of the CA's own certificates.
 * Nothing about it is verified; `revocationOf` does that. It owns its bytes and keeps 4 more for each entry.
 */
export class RevocationList implements Signed {
  /** 1 or 2. */
  readonly version: number
  readonly issuerName: Name
  /** Milliseconds since 1970. */
  readonly thisUpdateMs: number
  /** Milliseconds since 1970; Infinity when the list does not say. */
  readonly nextUpdateMs: number
  readonly scope: ListScope
  /** `TBSCertList`, DER: what the issuer signed. */
  readonly signedPart: Buffer
  /** `AlgorithmIdentifier` of the signature, DER; the inner and the outer one are equal. */
  readonly signatureAlgorithm: Buffer
  readonly signature: Buffer
  readonly #entries: SerialIndex
  readonly #signers = new Map<string, boolean>()

  private constructor(envelope: Envelope, head: Head, scope: ListScope, entries: SerialIndex) {
    this.version = head.version
    this.issuerName = head.issuer
    this.thisUpdateMs = head.thisUpdateMs
    this.nextUpdateMs = head.nextUpdateMs
    this.scope = scope
    this.signedPart = envelope.signedPart
    this.signatureAlgorithm = envelope.signatureAlgorithm
    this.signature = envelope.signature
    this.#entries = entries
  }

  /**
   * Reads a list in steps. `der` is kept and must not be changed by others. Throws `PosternError` ERR_CRL_MALFORMED, also for
   * what must not be used as if it were complete: a delta list, an indirect one, and one with a critical extension, of its
   * own or of an entry, that is not understood.
   */
  static *read(der: Buffer): Steps<RevocationList> {
    try {
      if (der.length > largestRevocationList) throw malformed('it is larger than 16 MiB')
      const envelope = readEnvelope(der)
      const head = readHead(envelope)
      const scope = readScope(head)
      return new RevocationList(envelope, head, scope, yield* readEntries(der, head))
    } catch (cause) {
      throw new PosternError(
        'ERR_CRL_MALFORMED',
        `revocation list does not parse: ${messageOf(cause)}`,
        { cause },
      )
    }
  }

  /** Number of certificates that are revoked. */
  get size(): number {
    return this.#entries.size
  }

  /** RFC 4514 string of the issuer. */
  get issuer(): string {
    return this.issuerName.toString()
  }

  /** Whether it speaks for this moment; both ends belong to it. */
  isCurrent(nowMs: number): boolean {
    return this.thisUpdateMs <= nowMs && nowMs <= this.nextUpdateMs
  }

  /** Whether a CA is known whose key signed it. */
  get isVerified(): boolean {
    return [...this.#signers.values()].includes(true)
  }

  /** Whether the key of `ca` signed it; each key is asked once, because a large list takes milliseconds. */
  isSignedBy(ca: Certificate): boolean {
    const key = ca.publicKeyInfo.toString('latin1')
    const known = this.#signers.get(key)
    if (known !== undefined) return known
    const verdict = isSignedBy(this, ca)
    if (this.#signers.size < mostSigners) this.#signers.set(key, verdict)
    return verdict
  }

  /** The entry for a serial number, given as `Certificate.serialNumber`; undefined when there is none. */
  find(serialNumber: Buffer): Revocation | undefined {
    const entry = this.#entries.find(serialNumber)
    if (entry === undefined) return undefined
    const { revokedMs: atMs, reason } = readRevocationEntry(entry, this.version)
    return { atMs, reason: reasonNames[reason] ?? 'unspecified' }
  }
}

interface Envelope {
  readonly signedPart: Buffer
  readonly content: DerReader
  readonly signatureAlgorithm: Buffer
  readonly signature: Buffer
}

function readEnvelope(der: Buffer): Envelope {
  const reader = DerReader.shallow(der).enter(derTag.sequence)
  const signedPart = reader.peek()
  const content = reader.enter(derTag.sequence)
  const signatureAlgorithm = reader.element(derTag.sequence)
  const signature = DerReader.of(reader.element(derTag.bitString)).octetsOfBits()
  reader.finish()
  return { signedPart, content, signatureAlgorithm, signature }
}

/** All but the entries, which are `entries` in the order of the list. */
interface Head {
  readonly version: number
  readonly issuer: Name
  readonly thisUpdateMs: number
  readonly nextUpdateMs: number
  readonly entries: DerReader | undefined
  readonly extensions: DerReader | undefined
}

function readHead({ content: reader, signatureAlgorithm }: Envelope): Head {
  const version = reader.nextTag === derTag.integer ? readVersion(reader) : 1
  // RFC 5280 5.1.1.2; otherwise the outer one, which nobody signed, could choose how the signature is checked.
  if (!DerReader.of(reader.peek()).element(derTag.sequence).equals(signatureAlgorithm))
    throw malformed('the signed and the outer signature algorithm differ')
  reader.element()
  const issuer = Name.read(DerReader.of(reader.element(derTag.sequence)))
  const thisUpdateMs = readTime(reader)
  const nextUpdateMs = isTime(reader.nextTag) ? readTime(reader) : Infinity
  if (nextUpdateMs < thisUpdateMs) throw malformed('nextUpdate is before thisUpdate')
  const entries = reader.nextTag === derTag.sequence ? readEntriesStart(reader) : undefined
  const extensions = readOptionalExtensions(reader, version)
  reader.finish()
  return { version, issuer, thisUpdateMs, nextUpdateMs, entries, extensions }
}

/** Version 1 has no number. */
function readVersion(reader: DerReader): number {
  if (DerReader.of(reader.element(derTag.integer)).smallInteger() === 1) return 2
  throw malformed('the version is unknown')
}

function isTime(tag: number): boolean {
  return tag === derTag.utcTime || tag === derTag.generalizedTime
}

function readEntriesStart(reader: DerReader): DerReader {
  const entries = reader.enter(derTag.sequence)
  if (entries.isAtEnd) throw malformed('the list of entries is there and empty')
  return entries
}

function readOptionalExtensions(reader: DerReader, version: number): DerReader | undefined {
  const tag = contextTag(0, 'constructed')
  if (reader.nextTag !== tag) return undefined
  if (version < 2) throw malformed('a version 1 list has extensions')
  const explicit = DerReader.of(reader.element(tag)).enter(tag)
  const extensions = explicit.enter(derTag.sequence)
  explicit.finish()
  return extensions
}

const scopeOid = '2.5.29.28'
const deltaOid = '2.5.29.27'

/** Extensions that say nothing which changes what the list means. */
const harmlessOids = new Set(['2.5.29.18', '2.5.29.20', '2.5.29.35', '2.5.29.46', '2.5.29.60'])

/** RFC 5280 5.2: a list with a critical extension that is not processed must not be used. */
function readScope({ extensions, issuer }: Head): ListScope {
  let scope = wholeScope
  for (const { oid, isCritical, value } of extensions === undefined
    ? []
    : readRawExtensions(extensions)) {
    if (oid === deltaOid)
      throw malformed('it is a delta list, which says only what changed: give the complete list')
    if (oid === scopeOid) scope = readListScope(value, issuer)
    else if (isCritical && !harmlessOids.has(oid))
      throw malformed(`it has the critical extension ${oid}, which is not understood`)
  }
  return scope
}

const entriesPerStep = 512

function* readEntries(der: Buffer, head: Head): Steps<SerialIndex> {
  const { entries, version } = head
  const offsets: number[] = []
  for (let i = 0; entries?.isAtEnd === false; i++) {
    const entry = entries.element(derTag.sequence)
    const reason = reasonOfPlainEntry(entry, version) ?? readRevocationEntry(entry, version).reason
    // RFC 5280 6.3.3 (l): such a certificate counts as not revoked.
    if (reason !== removeFromCrl) offsets.push(entry.byteOffset - der.byteOffset)
    if (i % entriesPerStep === 0) yield
  }
  return yield* SerialIndex.of(der, offsets)
}
