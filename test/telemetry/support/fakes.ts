import type { Logger, LogFields } from '../../../src/core/logger.ts'
import type { AppendResult, AuditSink } from '../../../src/telemetry/audit-log.ts'

/** Keeps every line. */
export class CapturingLogger implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields }[] = []

  debug(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'debug', message, fields })
  }

  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'info', message, fields })
  }

  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'warn', message, fields })
  }

  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'error', message, fields })
  }

  /** Messages of one level. */
  messages(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message)
  }
}

/** An audit sink in memory whose next answers a test can choose. */
export class FakeSink implements AuditSink {
  text = ''
  appends = 0
  reopens = 0
  closes = 0
  /** Calls that came before the one before them was over; there must be none. */
  overlaps = 0
  /** Takes the place of the answer; `text` then gets nothing by itself. */
  answer: ((bytes: Uint8Array) => Promise<AppendResult>) | undefined
  #calls = 0

  async append(bytes: Uint8Array): Promise<AppendResult> {
    this.appends++
    return this.#alone(async () => {
      if (this.answer !== undefined) return await this.answer(bytes)
      return { written: this.take(bytes, bytes.length) }
    })
  }

  async reopen(): Promise<void> {
    this.reopens++
    await this.#alone(() => Promise.resolve())
  }

  async close(): Promise<void> {
    this.closes++
  }

  /** Keeps the first `count` bytes. */
  take(bytes: Uint8Array, count: number): number {
    this.text += Buffer.from(bytes.subarray(0, count)).toString('latin1')
    return count
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1)
  }

  async #alone<Result>(call: () => Promise<Result>): Promise<Result> {
    if (++this.#calls > 1) this.overlaps++
    try {
      return await call()
    } finally {
      this.#calls--
    }
  }
}

/** A promise and the way to settle it. */
export function gate<Value = void>() {
  let open: (value: Value) => void = () => undefined
  const passed = new Promise<Value>((resolve) => (open = resolve))
  return { passed, open }
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate)
}
