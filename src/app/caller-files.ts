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
import { inSlices } from '../core/steps.ts'
import { formatProblem } from '../config/problem.ts'
import { ApiKeys } from '../policy/api-keys.ts'
import type { ProductMap } from '../policy/product-map.ts'
import type { ConfigFile, ConfigReloadResult } from '../telemetry/telemetry.ts'
import { CrlFiles, type WithCrls } from './crl-files.ts'

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

/**
 * Loads the files once, without the revocation lists that they name: `readCrls` takes them. Throws `PosternError` with
 * everything that is wrong in the first bad one.
 */
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
 * serves on, of both files. Revocation lists do not wait for either: each file that names some is taken or not by itself.
 */
export class FollowedCallerFiles {
  readonly #options: CallerFilesOptions
  readonly #products: ParsedFile<ProductMap>
  readonly #apiKeys: ParsedFile<ApiKeys>
  readonly #crls: CrlFiles
  /** The last good map, without revocation lists. */
  #parsed: ProductMap
  #current: CallerFiles
  #watcher: FileWatcher | undefined
  #reloading: Promise<void> = Promise.resolve()
  #isClosed = false

  private constructor(options: CallerFilesOptions) {
    this.#options = options
    this.#products = parseProductsFile(options.paths)
    this.#apiKeys = parseApiKeysFile(options.paths)
    this.#crls = new CrlFiles(options.paths.products)
    this.#parsed = this.#products.load()
    this.#current = { products: this.#parsed, apiKeys: this.#apiKeys.load() }
  }

  /** Loads and begins to watch. Throws `PosternError` with everything that is wrong in the first bad file. */
  static async start(options: CallerFilesOptions): Promise<FollowedCallerFiles> {
    const files = new FollowedCallerFiles(options)
    const { clock, logger } = options
    files.#watcher = await FileWatcher.start(
      { clock, logger, onChange: () => void files.#queueReload() },
      files.#asked(files.#parsed),
    )
    await files.#startCrls()
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

  /** Idempotent; waits for a reload that is under way, which changes nothing any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#watcher?.close()
    await this.#reloading
  }

  /** Files that a change of which is worth another attempt. */
  #asked(parsed: ProductMap): string[] {
    return [...this.#products.asked, ...this.#apiKeys.asked, ...this.#crls.pathsOf(parsed)]
  }

  async #startCrls(): Promise<void> {
    const crls = await this.#readCrls(this.#parsed)
    this.#tellCrls(crls)
    this.#current = { ...this.#current, products: crls.products }
  }

  /** In slices: a list may have 100,000 entries. */
  #readCrls(parsed: ProductMap): Promise<WithCrls> {
    const { clock } = this.#options
    return inSlices(this.#crls.read(parsed, clock.now()), clock)
  }

  async #reload(): Promise<void> {
    if (this.#hasClosed()) return
    const { products, apiKeys, crls } = await this.#load()
    if (this.#hasClosed()) return
    if (products.kind === 'good' && apiKeys.kind === 'good') {
      this.#take(products.value, apiKeys.value, crls)
    } else {
      this.#refuse('products', products)
      this.#refuse('api-keys', apiKeys)
      this.#takeCrls(crls)
    }
  }

  /** Again when a file was read that had not been watched yet: a change of it in between would be told to nobody. */
  async #load(): Promise<Loaded> {
    const watched = new Set([...this.#products.asked, ...this.#apiKeys.asked])
    const products = attempt(() => this.#products.load())
    const apiKeys = attempt(() => this.#apiKeys.load())
    const isGood = products.kind === 'good' && apiKeys.kind === 'good'
    const parsed = isGood ? products.value : this.#parsed
    await this.#watcher?.watch(this.#asked(parsed))
    const isWatched = [...this.#products.asked, ...this.#apiKeys.asked].every((file) =>
      watched.has(file),
    )
    if (!isWatched) return this.#load()
    return { products, apiKeys, crls: await this.#readCrls(parsed) }
  }

  #take(parsed: ProductMap, apiKeys: ApiKeys, crls: WithCrls): void {
    const { onReload, onFiles } = this.#options
    onReload('products', parsed === this.#parsed ? 'unchanged' : 'accepted')
    onReload('api-keys', apiKeys === this.#current.apiKeys ? 'unchanged' : 'accepted')
    this.#tellCrls(crls)
    this.#parsed = parsed
    this.#current = { products: crls.products, apiKeys }
    onFiles(this.#current)
  }

  /** Revocations count also while another file is bad. */
  #takeCrls(crls: WithCrls): void {
    this.#tellCrls(crls)
    if (crls.products === this.#current.products) return
    this.#current = { ...this.#current, products: crls.products }
    this.#options.onFiles(this.#current)
  }

  #tellCrls({ isNew, problems }: WithCrls): void {
    if (this.#crls.isEmpty) return
    const { logger, onReload } = this.#options
    if (isNew || problems.length === 0) onReload('crl', isNew ? 'accepted' : 'unchanged')
    if (problems.length > 0) onReload('crl', 'refused', problems.map(formatProblem).join('\n'))
    for (const problem of problems) {
      logger.error('revocation lists not taken, the last good ones serve', {
        error: formatProblem(problem),
        crlRequired: problem.isRequired,
      })
    }
  }

  #refuse(file: ConfigFile, loaded: Attempt<unknown>): void {
    if (loaded.kind === 'good') return
    const { logger, onReload } = this.#options
    logger.error('file not taken, the last good one serves', { file, error: loaded.error })
    onReload(file, 'refused', loaded.error)
  }

  /** A method, because the state may change while a reload waits. */
  #hasClosed(): boolean {
    return this.#isClosed
  }
}

/** What one reload read. */
interface Loaded {
  readonly products: Attempt<ProductMap>
  readonly apiKeys: Attempt<ApiKeys>
  readonly crls: WithCrls
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
