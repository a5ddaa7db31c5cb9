import 'reflect-metadata'
import { KeyObject, randomBytes, webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Clock } from '../core/clock.ts'
import type { SpiffeId } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'

export interface DevCaOptions {
  readonly clock: Clock
  /** The trust domain that the CA speaks for; absent: a CA outside SPIFFE, such as a partner's. */
  readonly trustDomain?: TrustDomain
  /** RFC 4514. Default `C=US, O=SPIFFE, CN=<trust domain>`; every CA of one trust domain then has the same name, as SPIRE's may. */
  readonly subject?: string
  /** Validity from now, milliseconds. Default 365 days. */
  readonly ttlMs?: number
}

export interface IntermediateOptions {
  /** RFC 4514. */
  readonly subject: string
  /** Validity from now, milliseconds, never longer than the issuer's. Default: the issuer's. */
  readonly ttlMs?: number
}

export interface IssueOptions {
  /** The URI SAN; absent: a certificate without a SPIFFE ID. */
  readonly spiffeId?: SpiffeId
  /** RFC 4514. Default `C=US, O=SPIRE`. */
  readonly subject?: string
  readonly dnsNames?: readonly string[]
  /** Validity from now, milliseconds, never longer than the issuer's. Default 1 hour. */
  readonly ttlMs?: number
}

/** A certificate with its key. */
export interface IssuedCertificate {
  /** DER, the leaf first, then the intermediates; never the root. */
  readonly certificates: readonly Buffer[]
  /** PKCS#8 DER, not encrypted. */
  readonly privateKeyDer: Buffer
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
}

interface Parts {
  readonly clock: Clock
  readonly trustDomain: TrustDomain | undefined
  readonly subject: string
  readonly keys: webcrypto.CryptoKeyPair
  readonly certificate: Buffer
  /** What a leaf carries beside itself: this CA unless it is a root, and those above it. */
  readonly intermediates: readonly Buffer[]
  readonly notAfterMs: number
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 86_400_000
/** SPIRE dates certificates back by this, for clocks that lag. */
const notBeforeCushionMs = 10_000
const extendedUsages = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']
const caUsages = (KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign) as KeyUsageFlags
const leafUsages = (KeyUsageFlags.digitalSignature |
  KeyUsageFlags.keyEncipherment |
  KeyUsageFlags.keyAgreement) as KeyUsageFlags

/**
 * A certificate authority for development and tests: ECDSA P-256, keys in memory only, certificates as SPIRE issues them.
 */
export class DevCa {
  readonly trustDomain: TrustDomain | undefined
  readonly subject: string
  /** The CA's own certificate, DER: the anchor of a bundle when it is a root. */
  readonly certificate: Buffer
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
  readonly #parts: Parts

  private constructor(parts: Parts) {
    this.#parts = parts
    this.trustDomain = parts.trustDomain
    this.subject = parts.subject
    this.certificate = parts.certificate
    this.notAfterMs = parts.notAfterMs
  }

  /** Makes a root. */
  static async create(options: DevCaOptions): Promise<DevCa> {
    const { clock, trustDomain } = options
    const subject = options.subject ?? `C=US, O=SPIFFE, CN=${trustDomain?.name ?? 'postern-dev-ca'}`
    const notAfterMs = wholeSeconds(clock.now() + (options.ttlMs ?? 365 * day))
    const keys = await generateKeys()
    const selfSigned = await X509CertificateGenerator.createSelfSigned({
      name: subject,
      keys,
      ...common(clock, notAfterMs),
      extensions: await caExtensions(keys.publicKey, trustDomain),
    })
    const certificate = Buffer.from(selfSigned.rawData)
    const shared = { clock, trustDomain, subject, keys, notAfterMs }
    return new DevCa({ ...shared, certificate, intermediates: [] })
  }

  /** Makes a CA below this one; what it issues carries its certificate as an intermediate. */
  async createIntermediate(options: IntermediateOptions): Promise<DevCa> {
    const notAfterMs = this.#notAfter(options.ttlMs ?? Infinity)
    const { subject } = options
    const keys = await generateKeys()
    const extensions = await caExtensions(keys.publicKey, this.trustDomain)
    const certificate = await this.#sign(subject, keys.publicKey, notAfterMs, extensions)
    const intermediates = [certificate, ...this.#parts.intermediates]
    return new DevCa({ ...this.#parts, subject, keys, notAfterMs, certificate, intermediates })
  }

  /** Issues an end-entity certificate for a fresh key, for client and server alike. */
  async issue(options: IssueOptions): Promise<IssuedCertificate> {
    const notAfterMs = this.#notAfter(options.ttlMs ?? 3_600_000)
    const keys = await generateKeys()
    const subject = options.subject ?? 'C=US, O=SPIRE'
    const extensions = await leafExtensions(keys.publicKey, options)
    const leaf = await this.#sign(subject, keys.publicKey, notAfterMs, extensions)
    const privateKeyDer = KeyObject.from(keys.privateKey).export({ format: 'der', type: 'pkcs8' })
    return { certificates: [leaf, ...this.#parts.intermediates], privateKeyDer, notAfterMs }
  }

  async #sign(
    subject: string,
    publicKey: webcrypto.CryptoKey,
    notAfterMs: number,
    extensions: Extension[],
  ): Promise<Buffer> {
    const { clock, keys } = this.#parts
    const certificate = await X509CertificateGenerator.create({
      subject,
      issuer: this.subject,
      publicKey,
      signingKey: keys.privateKey,
      ...common(clock, notAfterMs),
      extensions: [...extensions, await AuthorityKeyIdentifierExtension.create(keys.publicKey)],
    })
    return Buffer.from(certificate.rawData)
  }

  #notAfter(ttlMs: number): number {
    return Math.min(this.notAfterMs, wholeSeconds(this.#parts.clock.now() + ttlMs))
  }
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

function common(clock: Clock, notAfterMs: number) {
  return {
    serialNumber: serialNumber(),
    notBefore: new Date(wholeSeconds(clock.now() - notBeforeCushionMs)),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: algorithm,
  }
}

/** X.509 counts in seconds. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000
}

/** 127 random bits, positive and never zero (RFC 5280 4.1.2.2), hex. */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes.readUInt8(0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function caExtensions(
  publicKey: webcrypto.CryptoKey,
  trustDomain: TrustDomain | undefined,
): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(caUsages, true),
    await SubjectKeyIdentifierExtension.create(publicKey),
    ...(trustDomain === undefined ? [] : [alternativeNames([trustDomain.id], [], false)]),
  ]
}

async function leafExtensions(
  publicKey: webcrypto.CryptoKey,
  options: IssueOptions,
): Promise<Extension[]> {
  const uris = options.spiffeId === undefined ? [] : [options.spiffeId.toString()]
  const dnsNames = options.dnsNames ?? []
  const isNamed = uris.length + dnsNames.length > 0
  return [
    new KeyUsagesExtension(leafUsages, true),
    new ExtendedKeyUsageExtension(extendedUsages),
    new BasicConstraintsExtension(false, undefined, true),
    await SubjectKeyIdentifierExtension.create(publicKey),
    ...(isNamed ? [alternativeNames(uris, dnsNames, options.subject === '')] : []),
  ]
}

function alternativeNames(
  uris: readonly string[],
  dnsNames: readonly string[],
  isCritical: boolean,
): SubjectAlternativeNameExtension {
  const names = [
    ...uris.map((value) => ({ type: 'url' as const, value })),
    ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
  ]
  return new SubjectAlternativeNameExtension(names, isCritical)
}
