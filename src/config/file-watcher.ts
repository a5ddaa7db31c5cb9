import { createHash } from 'node:crypto'
import { constants, type FSWatcher, watch } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock, Timer } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'

export interface FileWatcherOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Called after the contents of a watched file changed, or the file came or went; never for a mere touch. */
  readonly onChange: () => void
  /** How often the contents are compared without being told, milliseconds. Default 30000. */
  readonly pollMs?: number
  /** How long the file system must be quiet before files are read, milliseconds: editors write in steps. Default 100. */
  readonly settleMs?: number
}

const defaultPollMs = 30_000
const defaultSettleMs = 100
const absent = 'absent'

/**
 * Notices changes of files by their contents. It watches the directories and not the files: a Kubernetes volume swaps the
 * `..data` symlink beside them, and an editor puts a new file in the old one's place; a watch on the file itself misses the
 * second such swap. A slow poll catches what a watch misses.
 */
export class FileWatcher {
  readonly #options: FileWatcherOptions
  readonly #watches = new Map<string, FSWatcher>()
  #files: readonly string[] = []
  #digests = new Map<string, string>()
  #settle: Timer | undefined
  #poll: Timer | undefined
  #checking: Promise<void> = Promise.resolve()
  #closed = false

  private constructor(options: FileWatcherOptions) {
    this.#options = options
  }

  /** Resolves when the present contents are known: a change after that is noticed. */
  static async start(options: FileWatcherOptions, files: readonly string[]): Promise<FileWatcher> {
    const watcher = new FileWatcher(options)
    await watcher.watch(files)
    watcher.#schedulePoll()
    return watcher
  }

  /** Watches these files from now on. Their contents of this moment are taken as known. */
  async watch(files: readonly string[]): Promise<void> {
    this.#files = [...new Set(files)]
    this.#watchDirectories()
    this.#digests = await digestsOf(this.#files)
  }

  /** Idempotent; waits for a comparison that is under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#settle?.cancel()
    this.#poll?.cancel()
    for (const one of this.#watches.values()) one.close()
    this.#watches.clear()
    await this.#checking
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #watchDirectories(): void {
    const directories = new Set(this.#files.map((file) => dirname(file)))
    for (const [directory, one] of this.#watches) {
      if (directories.has(directory)) continue
      one.close()
      this.#watches.delete(directory)
    }
    for (const directory of directories) {
      if (!this.#watches.has(directory)) this.#watchDirectory(directory)
    }
  }

  #watchDirectory(directory: string): void {
    try {
      const one = watch(directory, { persistent: false }, () => this.#touched())
      one.on('error', () => this.#lost(directory))
      this.#watches.set(directory, one)
    } catch (error) {
      this.#options.logger.warn('directory cannot be watched, it is polled', {
        directory,
        error: messageOf(error),
      })
    }
  }

  /** The directory itself went away or was replaced; the poll watches it again. */
  #lost(directory: string): void {
    this.#watches.get(directory)?.close()
    this.#watches.delete(directory)
    this.#touched()
  }

  #touched(): void {
    if (this.#closed) return
    this.#settle?.cancel()
    const { clock, settleMs } = this.#options
    this.#settle = clock.setTimer(settleMs ?? defaultSettleMs, () => this.#check())
  }

  #schedulePoll(): void {
    const { clock, pollMs } = this.#options
    this.#poll = clock.setTimer(pollMs ?? defaultPollMs, () => {
      this.#watchDirectories()
      this.#check()
      this.#schedulePoll()
    })
  }

  #check(): void {
    this.#checking = this.#checking.then(() => this.#compare())
  }

  async #compare(): Promise<void> {
    if (this.#closed) return
    const files = this.#files
    const digests = await digestsOf(files)
    const isChanged = files.some((file) => digests.get(file) !== this.#digests.get(file))
    this.#digests = digests
    if (isChanged && !this.#isClosed()) this.#options.onChange()
  }

  /** A method, because the state may change while a comparison waits for the disk. */
  #isClosed(): boolean {
    return this.#closed
  }
}

async function digestsOf(files: readonly string[]): Promise<Map<string, string>> {
  const digests = await Promise.all(files.map((file) => digestOf(file)))
  return new Map(files.map((file, i) => [file, digests[i] ?? absent]))
}

/** In pieces, because a keys file may have a hundred megabytes. What cannot be read counts as absent. */
async function digestOf(file: string): Promise<string> {
  try {
    // O_NONBLOCK: a named pipe without a writer would hold the thread that opens it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      if (!(await handle.stat()).isFile()) return absent
      const digest = createHash('sha256')
      for await (const chunk of handle.createReadStream({ autoClose: false })) {
        digest.update(chunk as Buffer)
      }
      return digest.digest('hex')
    } finally {
      await handle.close()
    }
  } catch {
    return absent
  }
}
