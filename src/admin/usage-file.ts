import { mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Clock, Timer } from '../core/clock.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { mostCallersOfAKind, mostSeenKeys, Usage, type UsageSnapshot } from './memory/usage.ts'

export interface UsageFileOptions {
  /** `state.directory`; undefined: nothing is kept. Made when it is not there. */
  readonly directory: string | undefined
  readonly clock: Clock
  readonly logger: Logger
}

const fileName = 'usage.json'
const saveEveryMs = 60_000
const largestFile = 64 * 1024 * 1024

/**
 * Keeps who called and which keys were used across restarts, in `usage.json` of the state directory: names, counts and
 * times, never a key. Written whole, every minute in which something changed and at the end. It is a memory, not the truth:
 * a file that cannot be read is put aside with a warning, and one that cannot be written costs only what it would have kept.
 */
export class UsageFile {
  readonly usage: Usage
  readonly #options: UsageFileOptions
  #timer: Timer | undefined
  #saving: Promise<void> = Promise.resolve()
  #savedChanges = 0
  #hasWarned = false
  #closed = false

  private constructor(options: UsageFileOptions, usage: Usage) {
    this.#options = options
    this.usage = usage
  }

  /** Never fails because of the file. The caller closes it. */
  static async open(options: UsageFileOptions): Promise<UsageFile> {
    const { clock } = options
    const file = new UsageFile(options, (await load(options)) ?? new Usage(clock.now()))
    if (options.directory !== undefined) file.#schedule()
    return file
  }

  /** Writes what is new. Resolves when it is on the disk, or could not be written. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save())
    return this.#saving
  }

  /** Saves for the last time. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return this.#saving
    this.#closed = true
    this.#timer?.cancel()
    await this.save()
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(saveEveryMs, () => {
      void this.save()
      if (!this.#closed) this.#schedule()
    })
  }

  async #save(): Promise<void> {
    const { directory, logger } = this.#options
    const { changes } = this.usage
    if (directory === undefined || changes === this.#savedChanges) return
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await replace(join(directory, fileName), render(this.usage.snapshot()))
      this.#savedChanges = changes
      this.#hasWarned = false
    } catch (error) {
      if (this.#hasWarned) return
      this.#hasWarned = true
      logger.warn('state cannot be written', { directory, error: messageOf(error) })
    }
  }
}

/** A reader sees the file of before or all of the new one, also after a power cut. */
async function replace(file: string, text: string): Promise<void> {
  const draft = `${file}.new`
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
}

/** What a sidecar kept in its state directory, running or not. */
export interface KeptUsage {
  readonly usage: Usage
  /** When something new was last kept, milliseconds since 1970. */
  readonly savedMs: number
}

/** Reads `usage.json` of a state directory and changes nothing. Throws `PosternError` ERR_FILE_UNREADABLE. */
export async function readKeptUsage(directory: string): Promise<KeptUsage> {
  const file = join(directory, fileName)
  try {
    return await read(file)
  } catch (cause) {
    const expected = 'expected what a sidecar with this state.directory writes every minute'
    const error = messageOf(cause).slice(0, 200)
    throw new PosternError('ERR_FILE_UNREADABLE', `${file}: ${error}, ${expected}`, { cause })
  }
}

async function read(file: string): Promise<KeptUsage> {
  const { size, mtimeMs } = await stat(file)
  if (size > largestFile) throw new RangeError('it is larger than 64 MiB')
  return { usage: Usage.from(parse(await readFile(file, 'utf8'))), savedMs: mtimeMs }
}

async function load({ directory, logger }: UsageFileOptions): Promise<Usage | undefined> {
  if (directory === undefined) return undefined
  const file = join(directory, fileName)
  try {
    return (await read(file)).usage
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') return undefined
    const fields = { file, error: messageOf(error).slice(0, 200) }
    if (code === undefined) {
      logger.warn('state is damaged and is put aside', fields)
      await rename(file, `${file}.damaged`).catch(() => undefined)
    } else {
      logger.warn('state cannot be read', fields)
    }
    return undefined
  }
}

/** Of an error of the file system: nothing is wrong with what stands in the file. */
function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

const word = z.string().max(4_096)
const count = z.number().int().min(0)
const counters = {
  allowed: count,
  denied: count,
  firstMs: count,
  lastMs: count,
  lastAllowedMs: count,
}
const schema = z.strictObject({
  version: z.literal(1),
  sinceMs: count,
  callers: z
    .array(
      z.strictObject({
        product: word,
        principal: word,
        credential: z.enum(['x509-svid', 'x509', 'api-key']),
        ...counters,
      }),
    )
    .max(3 * mostCallersOfAKind),
  keys: z
    .array(z.strictObject({ id: word, product: word, consumer: word, ...counters }))
    .max(mostSeenKeys),
})

function render(snapshot: UsageSnapshot): string {
  return `${JSON.stringify({ version: 1, ...snapshot })}\n`
}

function parse(text: string): UsageSnapshot {
  const result = schema.safeParse(JSON.parse(text))
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new TypeError(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not as expected'}`)
}
