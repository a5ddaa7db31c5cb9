import { createHash } from 'node:crypto'
import { constants, type FSWatcher, watch } from 'node:fs'
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
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
/** A directory that is never quiet, because of a log beside the files say, is looked at all the same. */
const longestSettle = 10

/**
 * Notices changes of files by their contents. It watches the directories and not the files: a Kubernetes volume swaps the
 * `..data` symlink beside them, and an editor puts a new file in the old one's place; a watch on the file itself misses the
 * second such swap. A slow poll catches what a watch misses.
 */
export class FileWatcher {
  readonly #options: FileWatcherOptions
  readonly #watches = new Map<string, DirectoryWatch>()
  /** Directories that cannot be watched; each is told once. */
  readonly #polled = new Set<string>()
  #files: readonly string[] = []
  #looks = new Map<string, Look>()
  #settle: Timer | undefined
  /** When the file system began to be unquiet, monotonic milliseconds. */
  #unquietSinceMs: number | undefined
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

  /**
   * Watches these files from now on. Of those that were not watched before, the contents of this moment are taken as known;
   * of the others what was seen last, so that no change between then and now is missed.
   */
  async watch(files: readonly string[]): Promise<void> {
    this.#files = [...new Set(files)]
    await this.#watchDirectories()
    const added = this.#files.filter((file) => !this.#looks.has(file))
    this.#keep(await lookAtAll(added, this.#looks))
  }

  /**
   * Somebody else reads the files now, so that what was seen last says nothing any more: a file that changes and changes
   * back between two looks must still be told of.
   */
  forget(): void {
    this.#looks = new Map(Array.from(this.#looks.keys(), (file) => [file, unreadable]))
  }

  /** Idempotent; waits for a comparison that is under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#settle?.cancel()
    this.#poll?.cancel()
    for (const directory of [...this.#watches.keys()]) this.#unwatch(directory)
    await this.#checking
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Also replaces watches of directories that went away or were replaced: they see nothing any more. */
  async #watchDirectories(): Promise<void> {
    const found = await inodesOf(this.#files)
    if (this.#isClosed()) return
    for (const [directory, one] of this.#watches) {
      if (found.get(directory) !== one.inode) this.#unwatch(directory)
    }
    for (const [directory, inode] of found) {
      if (!this.#watches.has(directory)) this.#watchDirectory(directory, inode)
    }
  }

  #watchDirectory(directory: string, inode: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#touched())
      watcher.on('error', () => {
        this.#unwatch(directory)
        this.#touched()
      })
      this.#watches.set(directory, { watcher, inode })
    } catch (error) {
      if (this.#polled.has(directory)) return
      this.#polled.add(directory)
      const fields = { directory, error: messageOf(error) }
      this.#options.logger.warn('directory cannot be watched, it is polled', fields)
    }
  }

  #unwatch(directory: string): void {
    this.#watches.get(directory)?.watcher.close()
    this.#watches.delete(directory)
  }

  #touched(): void {
    if (this.#closed) return
    const { clock, settleMs = defaultSettleMs } = this.#options
    const nowMs = clock.monotonic()
    this.#unquietSinceMs ??= nowMs
    if (nowMs - this.#unquietSinceMs > settleMs * longestSettle) return
    this.#settle?.cancel()
    this.#settle = clock.setTimer(settleMs, () => {
      this.#unquietSinceMs = undefined
      this.#check()
    })
  }

  #schedulePoll(): void {
    const { clock, pollMs } = this.#options
    this.#poll = clock.setTimer(pollMs ?? defaultPollMs, () => {
      this.#check()
      this.#schedulePoll()
    })
  }

  #check(): void {
    this.#checking = this.#checking.then(() => this.#compare())
  }

  async #compare(): Promise<void> {
    if (this.#closed) return
    // First the watches: what changes after a look must be told.
    await this.#watchDirectories()
    const before = this.#looks
    const looks = await lookAtAll(this.#files, before)
    const isChanged = this.#files.some(
      (file) => looks.get(file)?.digest !== before.get(file)?.digest,
    )
    this.#keep(looks)
    if (isChanged && !this.#isClosed()) this.#options.onChange()
  }

  /** Others may have come to be watched in the meantime. */
  #keep(looks: ReadonlyMap<string, Look>): void {
    const watched = new Set(this.#files)
    const all = [...this.#looks, ...looks].filter(([file]) => watched.has(file))
    this.#looks = new Map(all)
  }

  /** A method, because the state may change while a comparison waits for the disk. */
  #isClosed(): boolean {
    return this.#closed
  }
}

interface DirectoryWatch {
  readonly watcher: FSWatcher
  /** Of the directory that is watched, which may not be the one of this name any more. */
  readonly inode: string
}

/** The directories of the files, with what tells each from another of the same name; those that are not there are left out. */
async function inodesOf(files: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const directories = new Set((await Promise.all(files.map(directoriesOf))).flat())
  const found = await Promise.all(
    Array.from(directories, async (directory): Promise<[string, string][]> => {
      try {
        const { dev, ino } = await stat(directory, { bigint: true })
        return [[directory, `${dev} ${ino}`]]
      } catch {
        return []
      }
    }),
  )
  return new Map(found.flat())
}

/** Where the name of a file can come to mean another: its directory, and the one that a symlink leads to. */
async function directoriesOf(file: string): Promise<string[]> {
  const named = dirname(file)
  try {
    return [named, dirname(await realpath(file))]
  } catch {
    return [named]
  }
}

/** What was seen of a file. */
interface Look {
  /** undefined: it cannot be read. */
  readonly digest: string | undefined
  /** What the file system says about it: changes with every write. */
  readonly state: string
  /** Seen twice: two writes within one tick of the file system's clock leave one `state`. */
  readonly isSettled: boolean
}

async function lookAtAll(
  files: readonly string[],
  before: ReadonlyMap<string, Look>,
): Promise<Map<string, Look>> {
  const looks = await Promise.all(files.map((file) => lookAt(file, before.get(file))))
  return new Map(files.map((file, i) => [file, looks[i] ?? unreadable]))
}

const unreadable: Look = { digest: undefined, state: '', isSettled: false }

/** Reads a file only when it may have changed: a million keys are 180 MB. What cannot be read counts as absent. */
async function lookAt(file: string, before: Look | undefined): Promise<Look> {
  try {
    // O_NONBLOCK: a named pipe without a writer would hold the thread that opens it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      return await lookThrough(handle, before)
    } finally {
      await handle.close()
    }
  } catch {
    return unreadable
  }
}

async function lookThrough(handle: FileHandle, before: Look | undefined): Promise<Look> {
  const found = await handle.stat({ bigint: true })
  if (!found.isFile()) return unreadable
  const state = [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ')
  const isSame = state === before?.state
  if (isSame && before.isSettled) return before
  return { digest: await digestOf(handle), state, isSettled: isSame }
}

async function digestOf(handle: FileHandle): Promise<string> {
  const digest = createHash('sha256')
  for await (const chunk of handle.createReadStream({ autoClose: false })) {
    digest.update(chunk as Buffer)
  }
  return digest.digest('hex')
}
