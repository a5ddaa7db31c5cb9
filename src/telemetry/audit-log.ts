import type { Clock, Timer } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'

/** Where the lines of the audit log go. One call at a time. */
export interface AuditSink {
  /** Writes as much as it can without waiting for room; resolves with what became of it. */
  append(bytes: Uint8Array): Promise<AppendResult>
  /** Begins a new file under the same name. When that fails it rejects and the old one stays in use. */
  reopen(): Promise<void>
  close(): Promise<void>
}

export interface AppendResult {
  /** So many bytes, from the beginning, are written. */
  readonly written: number
  /** Why not all of them; absent when there was only no room now. */
  readonly error?: unknown
}

export interface AuditLogOptions {
  readonly sink: AuditSink
  readonly clock: Clock
  readonly logger: Logger
  /** Bytes that wait at most, also while a write hangs. Default 8 MiB. */
  readonly maxHeldBytes?: number
  readonly onDropped: (lines: number) => void
  /** A write failed, or the first one went well again. */
  readonly onFailing: (isFailing: boolean) => void
}

const flushIntervalMs = 100
const linesPerWrite = 256
const defaultMaxHeldBytes = 8 * 1024 * 1024
const chunkBytes = 256 * 1024
const closeIntervalMs = 20
/** So long a reader may take nothing before it counts as gone: 1 s. */
const mostIdleAttempts = 50
const longestCloseMs = 4_000

/** Lines on their way to the sink. */
interface Chunk {
  readonly bytes: Buffer
  length: number
  lines: number
  /** So many bytes are written. */
  written: number
}

/**
 * Collects lines and hands them to the sink every 100 ms or 256 lines. While the sink takes nothing (a full disk, a
 * reader that hangs) lines wait up to a bound, and then the new ones are dropped and counted. Never throws or blocks.
 *
 * Each line is copied at once into memory that is used again: to keep the strings and join them costs 0.8 us more a line.
 */
export class AuditLog {
  readonly #options: AuditLogOptions
  readonly #maxHeldBytes: number
  #heldBytes = 0
  #filling = emptyChunk()
  /** Oldest first. */
  readonly #full: Chunk[] = []
  #spare: Chunk | undefined
  #timer: Timer | undefined
  #busy: Promise<boolean> | undefined
  #closing: Promise<void> | undefined
  /** The last write did not finish: only the timer tries again. */
  #isStalled = false
  #isFailing = false
  #dropped = 0

  constructor(options: AuditLogOptions) {
    this.#options = options
    this.#maxHeldBytes = options.maxHeldBytes ?? defaultMaxHeldBytes
  }

  /**
   * Whether the next lines can be expected to be kept: the last write did not fail, and half of the room is left for the lines
   * of what is under way.
   */
  get isWritable(): boolean {
    return !this.#isFailing && this.#heldBytes <= this.#maxHeldBytes / 2
  }

  /** One line with its line feed, in ASCII. */
  append(line: string): void {
    const hasRoom = this.#heldBytes + line.length <= this.#maxHeldBytes
    if (!hasRoom || line.length > chunkBytes || this.#closing !== undefined) {
      this.#drop(1)
      return
    }
    if (this.#filling.length + line.length > chunkBytes) this.#seal()
    const chunk = this.#filling
    chunk.bytes.write(line, chunk.length, 'latin1')
    chunk.length += line.length
    chunk.lines++
    this.#heldBytes += line.length
    this.#schedule()
  }

  /** Writes what is held, as far as the sink takes it now. */
  async flush(): Promise<void> {
    for (let goesOn = true; goesOn && this.#isHolding;) goesOn = await this.#write()
  }

  /** After the file was rotated: what comes from now on goes to a new file, and no line is split between the two. */
  async reopen(): Promise<void> {
    while (this.#busy !== undefined) await this.#busy
    await this.#occupy(this.#reopenSink())
  }

  /**
   * Flushes, waits for a reader that takes some at a time, counts what could not be written as dropped, and closes the sink.
   * Idempotent.
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const endMs = this.#options.clock.monotonic() + longestCloseMs
    let lastMove = { heldBytes: Infinity, attempts: 0 }
    while ((await this.#flushMore()) && this.#options.clock.monotonic() < endMs) {
      const heldBytes = this.#unwrittenBytes
      const moved = heldBytes < lastMove.heldBytes
      lastMove = moved ? { heldBytes, attempts: 0 } : { heldBytes, attempts: lastMove.attempts + 1 }
      if (lastMove.attempts === mostIdleAttempts) break
      await this.#pause()
    }
    this.#timer?.cancel()
    this.#giveUp()
    await this.#options.sink.close()
  }

  /** Whether to come again: there was only no room. */
  async #flushMore(): Promise<boolean> {
    await this.flush()
    return this.#isHolding && !this.#isFailing
  }

  get #unwrittenBytes(): number {
    return this.#heldBytes - (this.#full[0]?.written ?? 0)
  }

  /** Nothing else may keep the process from its end. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.setTimer(closeIntervalMs, resolve, { keepAlive: true })
    })
  }

  get #isHolding(): boolean {
    return this.#heldBytes > 0
  }

  #seal(): void {
    this.#full.push(this.#filling)
    this.#filling = this.#spare ?? emptyChunk()
    this.#spare = undefined
  }

  #schedule(): void {
    const isDue = this.#full.length > 0 || this.#filling.lines >= linesPerWrite
    if (isDue && !this.#isStalled && this.#busy === undefined) void this.#write()
    else this.#timer ??= this.#options.clock.setTimer(flushIntervalMs, () => void this.#write())
  }

  /** Joins the write that is on its way, else begins one. Whether all of its chunk is written. */
  #write(): Promise<boolean> {
    this.#timer?.cancel()
    this.#timer = undefined
    return this.#busy ?? this.#occupy(this.#writeOldest())
  }

  /** The sink takes one call at a time. */
  #occupy(call: Promise<boolean>): Promise<boolean> {
    this.#busy = call.finally(() => {
      this.#busy = undefined
      if (this.#isHolding && this.#closing === undefined) this.#schedule()
    })
    return this.#busy
  }

  async #reopenSink(): Promise<boolean> {
    try {
      await this.#options.sink.reopen()
      const [oldest] = this.#full
      if (oldest !== undefined) rewindToLine(oldest)
    } catch (error) {
      this.#options.logger.warn('audit log cannot be opened again, the old file stays in use', {
        error: messageOf(error),
      })
    }
    return true
  }

  /** Whether all of the oldest chunk is written. Never rejects. */
  async #writeOldest(): Promise<boolean> {
    if (this.#full.length === 0) this.#seal()
    const [chunk] = this.#full
    if (chunk === undefined) return true
    const { written, error } = await this.#tryAppend(chunk)
    chunk.written += written
    const isDone = chunk.written >= chunk.length
    if (isDone) this.#release()
    this.#isStalled = !isDone
    this.#noteState(isDone, error)
    return isDone
  }

  async #tryAppend({ bytes, length, written }: Chunk): Promise<AppendResult> {
    try {
      return await this.#options.sink.append(bytes.subarray(written, length))
    } catch (error) {
      return { written: 0, error }
    }
  }

  #release(): void {
    const chunk = this.#full.shift()
    if (chunk === undefined) return
    this.#heldBytes -= chunk.length
    this.#spare = Object.assign(chunk, { length: 0, lines: 0, written: 0 })
  }

  /** Only a change is worth a line. */
  #noteState(isDone: boolean, error: unknown): void {
    const { logger } = this.#options
    if (error !== undefined && !this.#isFailing) {
      this.#setFailing(true)
      logger.warn('audit log cannot be written', { error: messageOf(error) })
    } else if (isDone && (this.#isFailing || this.#dropped > 0)) {
      logger.warn('audit log is written again', { droppedLines: this.#dropped })
      this.#setFailing(false)
      this.#dropped = 0
    }
  }

  #setFailing(isFailing: boolean): void {
    this.#isFailing = isFailing
    this.#options.onFailing(isFailing)
  }

  #drop(lines: number): void {
    this.#dropped += lines
    this.#options.onDropped(lines)
  }

  #giveUp(): void {
    const lines = [...this.#full, this.#filling].reduce((sum, one) => sum + unwrittenLines(one), 0)
    this.#full.length = 0
    this.#filling = emptyChunk()
    this.#heldBytes = 0
    if (lines === 0) return
    this.#drop(lines)
    this.#options.logger.warn('audit log is closed with lines that could not be written', { lines })
  }
}

/** Its memory is not touched before it is used. */
function emptyChunk(): Chunk {
  return { bytes: Buffer.allocUnsafeSlow(chunkBytes), length: 0, lines: 0, written: 0 }
}

const lineFeed = 0x0a

function rewindToLine(chunk: Chunk): void {
  chunk.written = chunk.written === 0 ? 0 : chunk.bytes.lastIndexOf(lineFeed, chunk.written - 1) + 1
}

function unwrittenLines({ bytes, lines, written }: Chunk): number {
  let whole = 0
  let at = bytes.indexOf(lineFeed)
  while (at !== -1 && at < written) {
    whole++
    at = bytes.indexOf(lineFeed, at + 1)
  }
  return lines - whole
}
