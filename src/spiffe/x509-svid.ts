import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { messageOf, PosternError } from '../core/errors.ts'
import { type Certificate, parseCertificates, splitDer } from '../x509/certificate.ts'
import type { SpiffeId } from './spiffe-id.ts'
import { readSvidLeaf } from './svid-leaf.ts'

export interface X509SvidParts {
  /** Leaf first, then intermediates: concatenated DER as the Workload API sends it, or parsed already. */
  readonly certificates: Uint8Array | readonly Certificate[]
  /** PKCS#8, DER, not encrypted. */
  readonly privateKeyDer: Uint8Array
  /** The SPIFFE ID that was announced with it; absent when nothing announced one, as for files. */
  readonly spiffeId?: string
}

/** Our own X.509-SVID: chain and private key. The key shows in no JSON, no `inspect` and no message. */
export class X509Svid {
  readonly id: SpiffeId
  /** Leaf first. */
  readonly certificates: readonly [Certificate, ...Certificate[]]
  readonly #privateKey: KeyObject

  private constructor(
    id: SpiffeId,
    certificates: readonly [Certificate, ...Certificate[]],
    privateKey: KeyObject,
  ) {
    this.id = id
    this.certificates = certificates
    this.#privateKey = privateKey
  }

  /**
   * Checks that the chain parses, that the leaf keeps the rules of an X.509-SVID and carries exactly the announced
   * ID, and that the key is the leaf's. Dates are not looked at: the caller watches `notAfterMs`. Throws
   * `PosternError` ERR_SVID_MALFORMED, or ERR_PRIVATE_KEY_MISMATCH.
   */
  static parse(parts: X509SvidParts): X509Svid {
    const certificates = readChain(parts.certificates)
    const id = readAnnouncedId(certificates[0], parts.spiffeId)
    const privateKey = readPrivateKey(parts.privateKeyDer)
    if (!isKeyOf(certificates[0], privateKey))
      throw new PosternError(
        'ERR_PRIVATE_KEY_MISMATCH',
        `the private key of ${id.toString()} does not belong to its certificate`,
      )
    return new X509Svid(id, certificates, privateKey)
  }

  get leaf(): Certificate {
    return this.certificates[0]
  }

  /** The first end of validity in the chain, milliseconds since 1970. */
  get notAfterMs(): number {
    return Math.min(...this.certificates.map((certificate) => certificate.notAfterMs))
  }

  get privateKey(): KeyObject {
    return this.#privateKey
  }

  /** The chain for a TLS context: PEM, leaf first. */
  chainPem(): string {
    return this.certificates.map((certificate) => certificate.toPem()).join('')
  }

  /** A secret: the key for a TLS context, PKCS#8 PEM. */
  privateKeyPem(): string {
    return this.#privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }
}

function readChain(source: Uint8Array | readonly Certificate[]): [Certificate, ...Certificate[]] {
  const [leaf, ...intermediates] = source instanceof Uint8Array ? parseChain(source) : source
  if (leaf === undefined) throw malformed('it holds no certificate')
  return [leaf, ...intermediates]
}

function parseChain(concatenation: Uint8Array): Certificate[] {
  try {
    return parseCertificates(concatenation)
  } catch (cause) {
    throw malformed(messageOf(cause), cause)
  }
}

function readAnnouncedId(leaf: Certificate, announced: string | undefined): SpiffeId {
  const svid = readSvidLeaf(leaf)
  if (svid.kind === 'malformed') throw malformed(svid.detail)
  if (announced !== undefined && announced !== svid.id.toString())
    throw malformed('its certificate carries another SPIFFE ID than the one announced')
  return svid.id
}

function readPrivateKey(der: Uint8Array): KeyObject {
  try {
    // OpenSSL passes over what follows the key.
    if (splitDer(der).length !== 1) throw malformed('bytes follow its private key')
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  } catch (cause) {
    throw malformed('its private key is not unencrypted PKCS#8', cause)
  }
}

/**
 * By encoding, not by `KeyObject.equals`: on keys of two types that leaves an error in OpenSSL's queue, and the
 * next `createPrivateKey` of the process throws it (Node 20.20).
 */
function isKeyOf(leaf: Certificate, privateKey: KeyObject): boolean {
  try {
    return publicDer(createPublicKey(privateKey)).equals(publicDer(leaf.publicKey))
  } catch {
    return false
  }
}

function publicDer(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function malformed(what: string, cause?: unknown): PosternError {
  return new PosternError('ERR_SVID_MALFORMED', `X.509-SVID is refused: ${what}`, { cause })
}
