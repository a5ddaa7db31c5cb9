import type { KeyObject } from 'node:crypto'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { TrustBundle } from '../../src/spiffe/trust-bundle.ts'
import { Certificate } from '../../src/x509/certificate.ts'
import { type RevocationListSpec, writeRevocationList } from './revocation-list-writer.ts'
import {
  type CertificateSpec,
  type KeyType,
  type NameSpec,
  testKey,
  writeCertificate,
} from './certificate-writer.ts'

/** Anything of a certificate can be set; what is not set makes a good one. */
export interface TestCertificateOptions extends Partial<Omit<CertificateSpec, 'signer'>> {
  /** Default `p256`; `key` gives an existing key instead. */
  readonly keyType?: KeyType
  /** Signs in place of this CA's key: makes signatures that do not verify. */
  readonly signer?: KeyObject
}

export interface TestLeafOptions extends TestCertificateOptions {
  /** One URI name, before those in `names`. */
  readonly spiffeId?: string
  readonly dnsNames?: readonly string[]
}

/** A certificate for the end of a connection, with everything that a TLS context or a file needs. */
export interface TestLeaf {
  readonly certificate: Certificate
  /** Leaf first, then intermediates; no root. */
  readonly certificates: readonly [Certificate, ...Certificate[]]
  /** `certificates` as the Workload API sends them. */
  readonly der: Buffer
  readonly pem: string
  readonly key: KeyObject
  /** PKCS#8. */
  readonly keyPem: string
  /** PKCS#8. */
  readonly keyDer: Buffer
}

const hourMs = 3_600_000

/**
 * A CA for tests. Certificates are good unless an option makes them bad; they are valid from an hour ago for a day
 * (CAs) or three hours (leaves) around `Date.now()`, unless `notBeforeMs` and `notAfterMs` say otherwise.
 *
 *     const root = await TestCa.root('corp.example')
 *     const leaf = await (await root.intermediate()).leaf({ spiffeId: 'spiffe://corp.example/api' })
 */
export class TestCa {
  readonly certificate: Certificate
  readonly key: KeyObject
  /** Undefined for a root. */
  readonly issuer: TestCa | undefined

  private constructor(der: Buffer, key: KeyObject, issuer: TestCa | undefined) {
    this.certificate = Certificate.parse(der)
    this.key = key
    this.issuer = issuer
  }

  /** A self-signed CA `/O=<organization>/CN=root`. */
  static async root(organization: string, options: TestCertificateOptions = {}): Promise<TestCa> {
    const key = options.key ?? testKey(options.keyType)
    const subject = options.subject ?? `/O=${organization}/CN=root`
    const spec = { ...caDefaults(), issuer: subject, signer: key, ...options, subject, key }
    return new TestCa(writeCertificate(spec), key, undefined)
  }

  /** A CA below this one. */
  async intermediate(options: TestCertificateOptions = {}): Promise<TestCa> {
    const key = options.key ?? testKey(options.keyType)
    // Names of their own at each depth: a CA below one of the same name counts as self-issued.
    const subject = `/CN=intermediate ${this.#chain().length + 1}`
    const der = this.issue({ ...caDefaults(), subject, ...options, key })
    return new TestCa(der, key, this)
  }

  /** A certificate of `other`'s name and key, issued by this CA. */
  async crossSign(other: TestCa, options: TestCertificateOptions = {}): Promise<TestCa> {
    return this.intermediate({ subject: other.subjectDer, key: other.key, ...options })
  }

  /** A certificate for TLS clients and servers; an SVID when it is given a `spiffeId`. */
  async leaf(options: TestLeafOptions = {}): Promise<TestLeaf> {
    const { spiffeId, dnsNames = [], ...rest } = options
    const key = options.key ?? testKey(options.keyType)
    const uri: NameSpec[] = spiffeId === undefined ? [] : [{ uri: spiffeId }]
    const names = [...uri, ...dnsNames.map((dns) => ({ dns })), ...(options.names ?? [])]
    const der = this.issue({ ...leafDefaults(), ...rest, key, names })
    return describeLeaf(Certificate.parse(der), this.#chain(), key)
  }

  /** The DER of a certificate with exactly these contents, issued by this CA. */
  issue(options: TestCertificateOptions & Pick<CertificateSpec, 'key'>): Buffer {
    return writeCertificate({
      ...leafDefaults(),
      issuer: this.subjectDer,
      signer: this.key,
      ...options,
    })
  }

  /** The DER of a revocation list of this CA that lists `revoked`; good for a day unless an option says otherwise. */
  revocationList(
    revoked: readonly Certificate[] = [],
    options: Partial<RevocationListSpec> = {},
  ): Buffer {
    const { notBeforeMs, notAfterMs } = datesFor(24)
    return writeRevocationList({
      issuer: this.subjectDer,
      signer: this.key,
      thisUpdateMs: notBeforeMs,
      nextUpdateMs: notAfterMs,
      entries: revoked.map(({ serial }) => ({ serial: BigInt(`0x${serial}`) })),
      ...options,
    })
  }

  get subjectDer(): Buffer {
    return this.certificate.subjectName.der
  }

  get pem(): string {
    return this.certificate.toPem()
  }

  /** The root above this CA, or itself. */
  get root(): TestCa {
    return this.issuer === undefined ? this : this.issuer.root
  }

  /** A bundle of `trustDomain` that holds the root and what is given besides. */
  bundle(trustDomain: string, ...others: readonly TestCa[]): TrustBundle {
    const anchors = [this.root, ...others].map((ca) => ca.certificate)
    return { trustDomain: TrustDomain.parse(trustDomain), anchors }
  }

  /** Certificates of this CA and those above it, without the root. */
  #chain(): Certificate[] {
    return this.issuer === undefined ? [] : [this.certificate, ...this.issuer.#chain()]
  }
}

function caDefaults() {
  return {
    ...datesFor(24),
    basicConstraints: { isCa: true },
    keyUsage: ['keyCertSign', 'cRLSign'],
  } as const
}

function leafDefaults() {
  return {
    ...datesFor(3),
    subject: '/CN=leaf',
    basicConstraints: { isCa: false },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['clientAuth', 'serverAuth'],
  } as const
}

/** On full seconds, which is all that a certificate can say. */
function datesFor(hours: number) {
  const now = Math.floor(Date.now() / 1000) * 1000
  return { notBeforeMs: now - hourMs, notAfterMs: now + (hours - 1) * hourMs }
}

function describeLeaf(
  certificate: Certificate,
  above: readonly Certificate[],
  key: KeyObject,
): TestLeaf {
  const certificates = [certificate, ...above] as const
  return {
    certificate,
    certificates,
    der: Buffer.concat(certificates.map((one) => one.der)),
    pem: certificates.map((one) => one.toPem()).join(''),
    key,
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    keyDer: key.export({ type: 'pkcs8', format: 'der' }),
  }
}
