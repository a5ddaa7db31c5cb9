import { createPrivateKey, X509Certificate } from 'node:crypto'
import { FileWatcher } from '../config/file-watcher.ts'
import { readTextFile } from '../config/read-file.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { ServerIdentity } from '../tls/context.ts'

export interface CertificateFilesOptions {
  /** PEM, leaf first. */
  readonly certificate: string
  /** PEM, not encrypted. */
  readonly key: string
  readonly clock: Clock
  readonly logger: Logger
  /** Throws when it cannot be taken; what served before serves on. */
  readonly onCertificate: (identity: ServerIdentity) => void
}

const maxFileBytes = 1024 * 1024

/**
 * A server certificate from files that something else renews, cert-manager say. It needs no SPIFFE ID. The pair is taken as one:
 * a certificate that does not match its key, as between two writes, changes nothing.
 */
export class CertificateFiles {
  readonly #options: CertificateFilesOptions
  #watcher: FileWatcher | undefined

  private constructor(options: CertificateFilesOptions) {
    this.#options = options
  }

  /** Takes what is there and watches it; files that are not there yet are waited for. The caller closes it. */
  static async start(options: CertificateFilesOptions): Promise<CertificateFiles> {
    const files = new CertificateFiles(options)
    const { certificate, key, clock, logger } = options
    files.#watcher = await FileWatcher.start({ clock, logger, onChange: () => files.#take() }, [
      certificate,
      key,
    ])
    files.#take()
    return files
  }

  async close(): Promise<void> {
    await this.#watcher?.close()
  }

  #take(): void {
    const { certificate, key, logger, onCertificate } = this.#options
    try {
      const { identity, leaf } = readPair(certificate, key)
      onCertificate(identity)
      logger.info('certificate taken', { notAfter: leaf.validTo, names: leaf.subjectAltName })
    } catch (error) {
      logger.warn('certificate not taken', { error: messageOf(error) })
    }
  }
}

/** Throws `PosternError`. */
function readPair(
  certificateFile: string,
  keyFile: string,
): { readonly identity: ServerIdentity; readonly leaf: X509Certificate } {
  const certificateChainPem = readTextFile(certificateFile, maxFileBytes)
  const privateKeyPem = readTextFile(keyFile, maxFileBytes)
  const leaf = readLeaf(certificateFile, certificateChainPem)
  if (!isKeyOf(leaf, keyFile, privateKeyPem)) {
    const message = `the private key in ${keyFile} does not belong to ${certificateFile}`
    throw new PosternError('ERR_PRIVATE_KEY_MISMATCH', message)
  }
  return { identity: { certificateChainPem, privateKeyPem }, leaf }
}

function readLeaf(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new PosternError('ERR_PEM_MALFORMED', `${file} holds no readable certificate`, { cause })
  }
}

function isKeyOf(leaf: X509Certificate, file: string, pem: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(pem))
  } catch {
    // The cause is left out: nothing of a key file belongs into a message.
    throw new PosternError('ERR_PEM_MALFORMED', `${file} holds no readable private key`)
  }
}
