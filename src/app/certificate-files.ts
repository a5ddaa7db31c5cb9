import { X509Certificate } from 'node:crypto'
import type { FileWatcher } from '../config/file-watcher.ts'
import { readTextFile } from '../config/read-file.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { ServerIdentity } from '../tls/context.ts'
import { readPrivateKey, watchPair } from './watched-pair.ts'

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
 * a certificate that does not match its key, as between two writes, changes nothing. The caller closes what it gets.
 */
export function watchCertificateFiles(options: CertificateFilesOptions): Promise<FileWatcher> {
  const { certificate, key, clock, logger } = options
  return watchPair({ files: [certificate, key], clock, logger, take: () => take(options) })
}

function take({ certificate, key, logger, onCertificate }: CertificateFilesOptions): void {
  try {
    const { identity, leaf } = readPair(certificate, key)
    onCertificate(identity)
    logger.info('certificate taken', { notAfter: leaf.validTo, names: leaf.subjectAltName })
  } catch (error) {
    logger.warn('certificate not taken', { error: messageOf(error) })
  }
}

/** Throws `PosternError`. */
function readPair(
  certificateFile: string,
  keyFile: string,
): { readonly identity: ServerIdentity; readonly leaf: X509Certificate } {
  const certificateChainPem = readTextFile(certificateFile, maxFileBytes)
  const leaf = readLeaf(certificateFile, certificateChainPem)
  const { pem: privateKeyPem, key } = readPrivateKey(keyFile, maxFileBytes)
  if (!leaf.checkPrivateKey(key)) {
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
