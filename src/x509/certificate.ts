import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { messageOf, PosternError } from '../core/errors.ts'
import { contextTag, DerReader, derTag, elementSize, malformed } from './der.ts'
import { type Extensions, noExtensions, readExtensions } from './extensions.ts'
import type { GeneralName } from './general-name.ts'
import { Name } from './name.ts'
import { type KeyParameters, readKeyParameters } from './public-key.ts'
import { readTime } from './time.ts'

/** Largest certificate that is read, bytes. */
export const largestCertificate = 64 * 1024
/** Most certificates in one concatenation or PEM file. */
export const mostCertificates = 1024
/** Largest concatenation or PEM file, bytes. */
export const largestConcatenation = 4 * 1024 * 1024
/** Longest serial number, bytes. RFC 5280 4.1.2.2 allows 20; some CAs do not keep to it. */
export const longestSerial = 64

/**
 * A parsed certificate: strict DER, immutable, equal by `sha256`. Nothing about it is verified; `validatePath` does
 * that. It owns a copy of its bytes.
 */
export class Certificate {
  readonly der: Buffer
  /** 1, 2 or 3. */
  readonly version: number
  /** Content of the INTEGER: unlike `serial`, it tells a negative number from the positive one with the same octets. */
  readonly serialNumber: Buffer
  readonly subjectName: Name
  readonly issuerName: Name
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
  readonly extensions: Readonly<Extensions>
  readonly keyParameters: KeyParameters
  /** `SubjectPublicKeyInfo`, DER. */
  readonly publicKeyInfo: Buffer
  /** `TBSCertificate`, DER: what the issuer signed. */
  readonly signedPart: Buffer
  /** `AlgorithmIdentifier` of the signature, DER; the inner and the outer one are equal. */
  readonly signatureAlgorithm: Buffer
  readonly signature: Buffer
  #sha256: string | undefined
  #publicKey: KeyObject | undefined

  private constructor(envelope: Envelope, content: SignedContent) {
    this.der = envelope.der
    this.signedPart = envelope.signedPart
    this.signatureAlgorithm = envelope.signatureAlgorithm
    this.signature = envelope.signature
    this.version = content.version
    this.serialNumber = content.serialNumber
    this.subjectName = content.subject
    this.issuerName = content.issuer
    this.notBeforeMs = content.notBeforeMs
    this.notAfterMs = content.notAfterMs
    this.publicKeyInfo = content.publicKeyInfo
    this.keyParameters = content.keyParameters
    this.extensions = content.extensions
  }

  /** Throws `PosternError` ERR_CERTIFICATE_MALFORMED, also for anything above `largestCertificate`. */
  static parse(der: Uint8Array): Certificate {
    try {
      if (der.length > largestCertificate) throw malformed('it is larger than 64 KiB')
      const envelope = readEnvelope(copyOf(der))
      return new Certificate(envelope, readSignedPart(envelope))
    } catch (cause) {
      throw new PosternError(
        'ERR_CERTIFICATE_MALFORMED',
        `certificate does not parse: ${messageOf(cause)}`,
        { cause },
      )
    }
  }

  /** Lower-case hex, without a leading zero octet. */
  get serial(): string {
    const hex = this.serialNumber.toString('hex')
    return hex.length > 2 && hex.startsWith('00') ? hex.slice(2) : hex
  }

  /** SHA-256 of the DER, lower-case hex. */
  get sha256(): string {
    return (this.#sha256 ??= hash('sha256', this.der, 'hex'))
  }

  /** RFC 4514 string of the subject; '' when it is empty. */
  get subject(): string {
    return this.subjectName.toString()
  }

  /** RFC 4514 string of the issuer. */
  get issuer(): string {
    return this.issuerName.toString()
  }

  /** Subject alternative names of every form, in order. */
  get names(): readonly GeneralName[] {
    return this.extensions.names
  }

  /** URI names of the subject alternative name, in order. */
  get uriNames(): readonly string[] {
    return namesOf(this, 'uri')
  }

  get dnsNames(): readonly string[] {
    return namesOf(this, 'dns')
  }

  get emailNames(): readonly string[] {
    return namesOf(this, 'email')
  }

  get isCa(): boolean {
    return this.extensions.basicConstraints?.isCa === true
  }

  /** RFC 5280 6.1: subject and issuer are the same name. Says nothing about who signed. */
  get isSelfIssued(): boolean {
    return this.subjectName.equals(this.issuerName)
  }

  /** The key for node:crypto, made once. Throws when OpenSSL does not accept it. */
  get publicKey(): KeyObject {
    return (this.#publicKey ??= createPublicKey({
      key: this.publicKeyInfo,
      format: 'der',
      type: 'spki',
    }))
  }

  equals(other: Certificate): boolean {
    return this === other || this.der.equals(other.der)
  }

  /** One CERTIFICATE block with a line break at the end. */
  toPem(): string {
    const lines = this.der.toString('base64').match(/.{1,64}/g) ?? []
    return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  }

  /** The subject, for messages. */
  toString(): string {
    return this.subject
  }
}

/**
 * Reads certificates that follow one another, as the Workload API sends them. None gives an empty list; at most
 * `mostCertificates`. Throws `PosternError` ERR_CERTIFICATE_MALFORMED that says which one.
 */
export function parseCertificates(concatenation: Uint8Array): Certificate[] {
  return splitDer(concatenation).map((der, i) => {
    try {
      return Certificate.parse(der)
    } catch (cause) {
      throw concatenationMalformed(i, cause)
    }
  })
}

/** Splits concatenated DER values. Throws `PosternError` ERR_CERTIFICATE_MALFORMED. */
export function splitDer(concatenation: Uint8Array): Buffer[] {
  const bytes = Buffer.from(concatenation.buffer, concatenation.byteOffset, concatenation.length)
  const parts: Buffer[] = []
  try {
    if (bytes.length > largestConcatenation) throw malformed('more than 4 MiB of certificates')
    for (let offset = 0, size = 0; offset < bytes.length; offset += size) {
      if (parts.length === mostCertificates) throw malformed('more than 1024 certificates')
      size = elementSize(bytes, offset)
      parts.push(bytes.subarray(offset, offset + size))
    }
  } catch (cause) {
    throw concatenationMalformed(parts.length, cause)
  }
  return parts
}

function concatenationMalformed(index: number, cause: unknown): PosternError {
  return new PosternError(
    'ERR_CERTIFICATE_MALFORMED',
    `number ${index + 1} of the certificates: ${messageOf(cause)}`,
    { cause },
  )
}

function namesOf(certificate: Certificate, kind: 'uri' | 'dns' | 'email'): string[] {
  return certificate.names.flatMap((name) => (name.kind === kind ? [name.value] : []))
}

/** A message from the network lives in a large shared buffer, and whoever gave it may write to it again. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}

interface Envelope {
  readonly der: Buffer
  readonly signedPart: Buffer
  readonly content: DerReader
  readonly signatureAlgorithm: Buffer
  readonly signature: Buffer
}

function readEnvelope(der: Buffer): Envelope {
  const reader = DerReader.of(der).enter(derTag.sequence)
  const signedPart = reader.peek()
  const content = reader.enter(derTag.sequence)
  const signatureAlgorithm = reader.element(derTag.sequence)
  const signature = reader.octetsOfBits()
  reader.finish()
  return { der, signedPart, content, signatureAlgorithm, signature }
}

interface SignedContent {
  readonly version: number
  readonly serialNumber: Buffer
  readonly issuer: Name
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly subject: Name
  readonly publicKeyInfo: Buffer
  readonly keyParameters: KeyParameters
  readonly extensions: Extensions
}

function readSignedPart(envelope: Envelope): SignedContent {
  const reader = envelope.content
  const version = readVersion(reader)
  const serialNumber = readSerial(reader)
  // RFC 5280 4.1.1.2; otherwise the outer one, which nobody signed, could choose how the signature is checked.
  if (!reader.element(derTag.sequence).equals(envelope.signatureAlgorithm))
    throw malformed('the signed and the outer signature algorithm differ')
  const issuer = Name.read(reader)
  const [notBeforeMs, notAfterMs] = readValidity(reader.enter(derTag.sequence))
  const subject = Name.read(reader)
  const publicKeyInfo = reader.peek()
  const keyParameters = readKeyParameters(reader)
  skipUniqueIds(reader, version)
  const extensions = readOptionalExtensions(reader, version)
  reader.finish()
  const names = { issuer, subject }
  return {
    version,
    serialNumber,
    ...names,
    notBeforeMs,
    notAfterMs,
    publicKeyInfo,
    keyParameters,
    extensions,
  }
}

function readVersion(reader: DerReader): number {
  const tag = contextTag(0, 'constructed')
  if (reader.nextTag !== tag) return 1
  const explicit = reader.enter(tag)
  const version = explicit.smallInteger() + 1
  explicit.finish()
  if (version > 3) throw malformed(`version ${version} is unknown`)
  return version
}

function readSerial(reader: DerReader): Buffer {
  const content = reader.content(derTag.integer)
  if (content.length > longestSerial) throw malformed('the serial number is too long')
  return content
}

function readValidity(reader: DerReader): [number, number] {
  const notBeforeMs = readTime(reader)
  const notAfterMs = readTime(reader)
  reader.finish()
  return [notBeforeMs, notAfterMs]
}

function skipUniqueIds(reader: DerReader, version: number): void {
  for (const tag of [contextTag(1, 'primitive'), contextTag(2, 'primitive')]) {
    if (reader.nextTag !== tag) continue
    if (version < 2) throw malformed('a version 1 certificate has a unique identifier')
    reader.element(tag)
  }
}

function readOptionalExtensions(reader: DerReader, version: number): Extensions {
  const tag = contextTag(3, 'constructed')
  if (reader.nextTag !== tag) return noExtensions
  if (version < 3) throw malformed(`a version ${version} certificate has extensions`)
  const explicit = reader.enter(tag)
  const extensions = readExtensions(explicit.enter(derTag.sequence))
  explicit.finish()
  return extensions
}
