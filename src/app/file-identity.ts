import type { FileWatcher } from '../config/file-watcher.ts'
import type { IdentityConfig } from '../config/sidecar-config.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { X509Svid } from '../spiffe/x509-svid.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { readBundles } from './read-bundles.ts'
import { readCertificates } from './read-certificates.ts'
import type { Sidecar } from './sidecar.ts'
import { readPrivateKey, watchPair } from './watched-pair.ts'

export interface FileIdentityOptions {
  readonly files: Extract<IdentityConfig, { kind: 'files' }>
  readonly sidecar: Pick<Sidecar, 'holdIdentity'>
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
}

const maxFileBytes = 4 * 1024 * 1024

/**
 * Our identity from files, as cert-manager, Vault or step-ca write them. They are taken as one: a certificate that does not
 * match its key, as between two writes, changes nothing and the pair before serves on. The caller closes what it gets.
 */
export function watchFileIdentity(options: FileIdentityOptions): Promise<FileWatcher> {
  const { files, clock, logger } = options
  return watchPair({
    files: [files.certificate, files.key, ...files.bundles.values()],
    ...{ clock, logger, take: () => take(options) },
  })
}

function take({ files, sidecar, telemetry, logger }: FileIdentityOptions): void {
  try {
    const svid = readSvid(files.certificate, files.key)
    sidecar.holdIdentity(svid, readBundles(files.bundles))
    telemetry.identityUpdate('accepted')
  } catch (error) {
    telemetry.identityUpdate('rejected')
    logger.warn('identity files not taken', { error: messageOf(error) })
  }
}

/** Reads an SVID and its private key. Throws `PosternError`. */
export function readSvid(certificateFile: string, keyFile: string): X509Svid {
  const certificates = readCertificates(certificateFile, maxFileBytes)
  const { key } = readPrivateKey(keyFile, maxFileBytes)
  return X509Svid.parse({
    certificates,
    privateKeyDer: key.export({ type: 'pkcs8', format: 'der' }),
  })
}
