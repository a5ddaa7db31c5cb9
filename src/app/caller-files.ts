import { hash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { FileWatcher } from '../config/file-watcher.ts'
import { largestKeysFile, parseApiKeys } from '../config/api-keys-file.ts'
import { largestProductsFile } from '../config/products-draft.ts'
import { parseProducts } from '../config/products-file.ts'
import { readTextFile } from '../config/read-file.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { ApiKeys } from '../policy/api-keys.ts'
import type { ProductMap } from '../policy/product-map.ts'
import type { ConfigFile, ConfigReloadResult } from '../telemetry/telemetry.ts'

/** What the operator's files say about callers: one value, taken as a whole. */
export interface CallerFiles {
  readonly products: ProductMap
  readonly apiKeys: ApiKeys
}

/** Where the files are. */
export interface CallerFilePaths {
  /** products.yaml. */
  readonly products: string
  /** api-keys.yaml; undefined: no keys. */
  readonly apiKeys: string | undefined
  readonly allowRemoteUpstream: boolean
}

const maxPemBytes = 4 * 1024 * 1024

type Read = (file: string, maxBytes: number) => string

/**
 * One file of the operator, with what it was parsed to. It is parsed again only when a byte of it, or of a PEM file that it
 * names, changed: a million keys are not read again for a change of the product map.
 */
class ParsedFile<Value> {
  readonly #parse: (read: Read) => Value
  #good: { readonly value: Value; readonly sources: ReadonlyMap<string, Source> } | undefined
  /** Every file that the last attempt asked for, found or not. */
  #asked: readonly string[] = []

  constructor(parse: (read: Read) => Value) {
    this.#parse = parse
  }

  /** Files that the last attempt asked for: a change of any of them is worth another. */
  get asked(): readonly string[] {
    return this.#asked
  }

  /** Whether the files still hold what the value was parsed from. */
  get isCurrent(): boolean {
    return this.#good !== undefined && isUnchanged(this.#good.sources)
  }

  /** Throws what is wrong; the value of before stays. */
  load(): Value {
    if (this.#good !== undefined && this.isCurrent) {
      this.#asked = [...this.#good.sources.keys()]
      return this.#good.value
    }
    const sources = new Map<string, Source>()
    const asked = new Set<string>()
    try {
      const value = this.#parse((file, maxBytes) => {
        asked.add(file)
        const text = readTextFile(file, maxBytes)
        sources.set(file, { digest: digestOf(text), maxBytes })
        return text
      })
      this.#good = { value, sources }
      return value
    } finally {
      this.#asked = [...asked]
    }
  }
}

/** What a file held when it was parsed. */
interface Source {
  readonly digest: string
  readonly maxBytes: number
}

function isUnchanged(sources: ReadonlyMap<string, Source>): boolean {
  try {
    return [...sources].every(
      ([file, { digest, maxBytes }]) => digestOf(readTextFile(file, maxBytes)) === digest,
    )
  } catch {
    return false
  }
}

function digestOf(text: string): string {
  return hash('sha256', text, 'base64')
}

function parseProductsFile(paths: CallerFilePaths): ParsedFile<ProductMap> {
  const { products: file, allowRemoteUpstream } = paths
  return new ParsedFile((read) =>
    parseProducts(read(file, largestProductsFile), file, {
      readPem: (path) => read(resolve(dirname(file), path), maxPemBytes),
      allowRemoteUpstream,
    }),
  )
}

function parseApiKeysFile({ apiKeys: file }: CallerFilePaths): ParsedFile<ApiKeys> {
  return new ParsedFile((read) =>
    file === undefined ? ApiKeys.empty : parseApiKeys(read(file, largestKeysFile), file),
  )
}

/** Loads the files once. Throws `PosternError` with everything that is wrong in the first bad one. */
export function loadCallerFiles(paths: CallerFilePaths): CallerFiles {
  return {
    products: parseProductsFile(paths).load(),
    apiKeys: parseApiKeysFile(paths).load(),
  }
}

export interface CallerFilesOptions {
  readonly paths: CallerFilePaths
  readonly clock: Clock
  readonly logger: Logger
  /** The files changed and are good. */
  readonly onFiles: (files: CallerFiles) => void
  /** `error`: what is wrong with a file that was refused. */
  readonly onReload: (file: ConfigFile, result: ConfigReloadResult, error?: string) => void
}

/**
 * Keeps what the files say as they change. A bad file changes nothing: it is reported whole, and the last good state
 * serves on, of both files.
 */
export class FollowedCallerFiles {
  readonly #options: CallerFilesOptions
  readonly #products: ParsedFile<ProductMap>
  readonly #apiKeys: ParsedFile<ApiKeys>
  #current: CallerFiles
  #watcher: FileWatcher | undefined
  #reloading: Promise<void> = Promise.resolve()

  private constructor(options: CallerFilesOptions) {
    this.#options = options
    this.#products = parseProductsFile(options.paths)
    this.#apiKeys = parseApiKeysFile(options.paths)
    this.#current = { products: this.#products.load(), apiKeys: this.#apiKeys.load() }
  }

  /** Loads and begins to watch. Throws `PosternError` with everything that is wrong in the first bad file. */
  static async start(options: CallerFilesOptions): Promise<FollowedCallerFiles> {
    const files = new FollowedCallerFiles(options)
    const { clock, logger } = options
    files.#watcher = await FileWatcher.start(
      { clock, logger, onChange: () => void files.#queueReload() },
      files.#asked,
    )
    // They were read before they were watched.
    if (!files.#products.isCurrent || !files.#apiKeys.isCurrent) await files.reload()
    return files
  }

  get current(): CallerFiles {
    return this.#current
  }

  /** Reads all files again. Resolves when what they say is in force, or was refused. */
  reload(): Promise<void> {
    this.#watcher?.forget()
    return this.#queueReload()
  }

  #queueReload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload())
    return this.#reloading
  }

  async close(): Promise<void> {
    await this.#watcher?.close()
  }

  get #asked(): string[] {
    return [...this.#products.asked, ...this.#apiKeys.asked]
  }

  async #reload(): Promise<void> {
    const { products, apiKeys } = await this.#load()
    if (products.kind === 'good' && apiKeys.kind === 'good') {
      this.#take({ products: products.value, apiKeys: apiKeys.value })
    } else {
      this.#refuse('products', products)
      this.#refuse('api-keys', apiKeys)
    }
  }

  /** Again when a file was asked for that had not been watched yet: a change of it in between would be told to nobody. */
  async #load(): Promise<{ products: Attempt<ProductMap>; apiKeys: Attempt<ApiKeys> }> {
    const watched = new Set(this.#asked)
    const products = attempt(() => this.#products.load())
    const apiKeys = attempt(() => this.#apiKeys.load())
    await this.#watcher?.watch(this.#asked)
    const isWatched = this.#asked.every((file) => watched.has(file))
    return isWatched ? { products, apiKeys } : this.#load()
  }

  #take(files: CallerFiles): void {
    const { onReload, onFiles } = this.#options
    const before = this.#current
    this.#current = files
    onReload('products', files.products === before.products ? 'unchanged' : 'accepted')
    onReload('api-keys', files.apiKeys === before.apiKeys ? 'unchanged' : 'accepted')
    onFiles(files)
  }

  #refuse(file: ConfigFile, loaded: Attempt<unknown>): void {
    if (loaded.kind === 'good') return
    const { logger, onReload } = this.#options
    logger.error('file not taken, the last good one serves', { file, error: loaded.error })
    onReload(file, 'refused', loaded.error)
  }
}

type Attempt<Value> =
  | { readonly kind: 'good'; readonly value: Value }
  | { readonly kind: 'bad'; readonly error: string }

function attempt<Value>(load: () => Value): Attempt<Value> {
  try {
    return { kind: 'good', value: load() }
  } catch (error) {
    return { kind: 'bad', error: messageOf(error) }
  }
}
