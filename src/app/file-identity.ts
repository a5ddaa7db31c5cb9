import { createPrivateKey } from 'node:crypto'
import { FileWatcher } from '../config/file-watcher.ts'
import { readTextFile } from '../config/read-file.ts'
import type { IdentityConfig } from '../config/sidecar-config.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { X509Svid } from '../spiffe/x509-svid.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { parsePemCertificates } from '../x509/pem.ts'
import { readBundles } from './read-bundles.ts'
import type { Sidecar } from './sidecar.ts'

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
 * match its key, as between two writes, changes nothing and the pair before serves on.
 */
export class FileIdentity {
  readonly #options: FileIdentityOptions
  #watcher: FileWatcher | undefined

  private constructor(options: FileIdentityOptions) {
    this.#options = options
  }

  /** Takes what is there and watches it; files that are not there yet are waited for. The caller closes it. */
  static async start(options: FileIdentityOptions): Promise<FileIdentity> {
    const identity = new FileIdentity(options)
    const { files, clock, logger } = options
    identity.#watcher = await FileWatcher.start(
      { clock, logger, onChange: () => identity.#take() },
      [files.certificate, files.key, ...files.bundles.values()],
    )
    identity.#take()
    return identity
  }

  async close(): Promise<void> {
    await this.#watcher?.close()
  }

  #take(): void {
    const { files, sidecar, telemetry, logger } = this.#options
    try {
      const svid = readSvid(files.certificate, files.key)
      sidecar.holdIdentity(svid, readBundles(files.bundles))
      telemetry.identityUpdate('accepted')
    } catch (error) {
      telemetry.identityUpdate('rejected')
      logger.warn('identity files not taken', { error: messageOf(error) })
    }
  }
}

/** Reads an SVID and its private key. Throws `PosternError`. */
export function readSvid(certificateFile: string, keyFile: string): X509Svid {
  const certificates = parsePemCertificates(readTextFile(certificateFile, maxFileBytes))
  return X509Svid.parse({ certificates, privateKeyDer: readPrivateKey(keyFile) })
}

function readPrivateKey(file: string): Buffer {
  const pem = readTextFile(file, maxFileBytes)
  try {
    return createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
  } catch {
    // The cause is left out: nothing of a key file belongs into a message.
    throw new PosternError('ERR_PEM_MALFORMED', `${file} holds no readable private key`)
  }
}
