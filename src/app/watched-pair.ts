import { createPrivateKey, type KeyObject } from 'node:crypto'
import { FileWatcher } from '../config/file-watcher.ts'
import { readTextFile } from '../config/read-file.ts'
import type { Clock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'

export interface WatchedPairOptions {
  /** The certificate, its key, and what is taken together with them. */
  readonly files: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  /** Reads them all, and takes all or nothing; must not throw. */
  readonly take: () => void
}

/**
 * A certificate and its key in files that something else renews. Takes what is there now and whenever it changes; files that are
 * not there yet are waited for. The caller closes it.
 */
export async function watchPair(options: WatchedPairOptions): Promise<FileWatcher> {
  const { files, clock, logger, take } = options
  const watcher = await FileWatcher.start({ clock, logger, onChange: take }, files)
  take()
  return watcher
}

/** Reads a private key in PEM that is not encrypted. Throws `PosternError`. */
export function readPrivateKey(file: string, maxBytes: number): { pem: string; key: KeyObject } {
  const pem = readTextFile(file, maxBytes)
  try {
    return { pem, key: createPrivateKey(pem) }
  } catch {
    // The cause is left out: nothing of a key file belongs into a message.
    throw new PosternError('ERR_PEM_MALFORMED', `${file} holds no readable private key`)
  }
}
