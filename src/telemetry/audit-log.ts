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
  /** Characters that wait at most, also while a write hangs. Default 8 MiB. */
  readonly maxHeldChars?: number
  readonly onDropped: (lines: number) => void
}

const flushIntervalMs = 100
const linesPerWrite = 256
const defaultMaxHeldChars = 8 * 1024 * 1024

/** Lines on their way to the sink: the bytes, and how many of them are written. */
interface Batch {
  readonly bytes: Buffer
  readonly chars: number
  readonly lines: number
  written: number
}

/**
 * Collects lines and hands them to the sink every 100 ms or 256 lines. While the sink takes nothing (a full disk, a
 * reader that hangs) lines wait up to a bound, and then the new ones are dropped and counted. Never throws or blocks.
 */
export class AuditLog {
  readonly #options: AuditLogOptions
  readonly #maxHeldChars: number
  #lines: string[] = []
  #waitingChars = 0
  #batch: Batch | undefined
  #timer: Timer | undefined
  #busy: Promise<boolean> | undefined
  #closing: Promise<void> | undefined
  #isFailing = false
  #dropped = 0

  constructor(options: AuditLogOptions) {
    this.#options = options
    this.#maxHeldChars = options.maxHeldChars ?? defaultMaxHeldChars
  }

  /** One line with its line feed. */
  append(line: string): void {
    const hasRoom = this.#heldChars + line.length <= this.#maxHeldChars
    if (!hasRoom || this.#closing !== undefined) {
      this.#drop(1)
      return
    }
    this.#lines.push(line)
    this.#waitingChars += line.length
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

  /** Flushes, counts what could not be written as dropped, and closes the sink. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    await this.flush()
    this.#timer?.cancel()
    this.#giveUp()
    await this.#options.sink.close()
  }

  get #isHolding(): boolean {
    return this.#batch !== undefined || this.#lines.length > 0
  }

  get #heldChars(): number {
    return this.#waitingChars + (this.#batch?.chars ?? 0)
  }

  #schedule(): void {
    // A batch that is there and not being written is one that found no room: only the timer tries again.
    const isDue = this.#lines.length >= linesPerWrite && this.#batch === undefined
    if (isDue && this.#busy === undefined) void this.#write()
    else this.#timer ??= this.#options.clock.setTimer(flushIntervalMs, () => void this.#write())
  }

  /** Joins the write that is on its way, else begins one. Whether all of its batch is written. */
  #write(): Promise<boolean> {
    this.#timer?.cancel()
    this.#timer = undefined
    return this.#busy ?? this.#occupy(this.#writeBatch())
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
      if (this.#batch !== undefined) rewindToLine(this.#batch)
    } catch (error) {
      this.#options.logger.warn('audit log cannot be opened again, the old file stays in use', {
        error: messageOf(error),
      })
    }
    return true
  }

  /** Whether all of the batch is written. Never rejects. */
  async #writeBatch(): Promise<boolean> {
    const batch = (this.#batch ??= this.#takeLines())
    const { written, error } = await this.#tryAppend(batch)
    batch.written += written
    const isDone = batch.written >= batch.bytes.length
    if (isDone) this.#batch = undefined
    this.#noteState(isDone, error)
    return isDone
  }

  #takeLines(): Batch {
    const text = this.#lines.join('')
    const batch = {
      bytes: Buffer.from(text),
      chars: text.length,
      lines: this.#lines.length,
      written: 0,
    }
    this.#lines = []
    this.#waitingChars = 0
    return batch
  }

  async #tryAppend(batch: Batch): Promise<AppendResult> {
    try {
      return await this.#options.sink.append(batch.bytes.subarray(batch.written))
    } catch (error) {
      return { written: 0, error }
    }
  }

  /** Only a change is worth a line. */
  #noteState(isDone: boolean, error: unknown): void {
    const { logger } = this.#options
    if (error !== undefined && !this.#isFailing) {
      this.#isFailing = true
      logger.warn('audit log cannot be written', { error: messageOf(error) })
    } else if (isDone && (this.#isFailing || this.#dropped > 0)) {
      logger.warn('audit log is written again', { droppedLines: this.#dropped })
      this.#isFailing = false
      this.#dropped = 0
    }
  }

  #drop(lines: number): void {
    this.#dropped += lines
    this.#options.onDropped(lines)
  }

  #giveUp(): void {
    const lines = this.#lines.length + (this.#batch === undefined ? 0 : unwrittenLines(this.#batch))
    this.#lines = []
    this.#waitingChars = 0
    this.#batch = undefined
    if (lines === 0) return
    this.#drop(lines)
    this.#options.logger.warn('audit log is closed with lines that could not be written', { lines })
  }
}

const lineFeed = 0x0a

function rewindToLine(batch: Batch): void {
  batch.written = batch.written === 0 ? 0 : batch.bytes.lastIndexOf(lineFeed, batch.written - 1) + 1
}

function unwrittenLines({ bytes, lines, written }: Batch): number {
  let whole = 0
  for (let at = bytes.indexOf(lineFeed); at !== -1 && at < written;) {
    whole++
    at = bytes.indexOf(lineFeed, at + 1)
  }
  return lines - whole
}
