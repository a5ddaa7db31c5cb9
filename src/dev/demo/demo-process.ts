import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { type Clock, wait } from '../../core/clock.ts'
import { PosternError } from '../../core/errors.ts'

export interface DemoProcessOptions {
  /** For messages: `the sidecar`. */
  readonly name: string
  readonly clock: Clock
  /** Ends every wait. */
  readonly signal: AbortSignal
  /** Gets each line of stdout. */
  readonly onOutput?: (line: string) => void
  /** Gets each line of stderr. */
  readonly onLog?: (line: string) => void
  /** Longest wait, milliseconds. Default 10 s. */
  readonly patienceMs?: number
}

const lookEveryMs = 20
const killAfterMs = 5_000
const rememberedLines = 15

/** A process of the demo. It remembers its last lines, for the message when it fails. */
export class DemoProcess {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #options: DemoProcessOptions
  readonly #lastLines: string[] = []
  readonly #exited: Promise<void>
  /** It has ended and all its output was read. */
  readonly #ended: Promise<void>
  /** How it ended. */
  #end: string | undefined

  /** The process is stopped by `stop`. */
  constructor(child: ChildProcessWithoutNullStreams, options: DemoProcessOptions) {
    this.#child = child
    this.#options = options
    const failed = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
    })
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const closed = new Promise<string>((resolve) => {
      child.once('close', (code, signal) => resolve(signal ?? `exit code ${code ?? -1}`))
    })
    this.#exited = Promise.race([exited, failed.then(() => undefined)])
    this.#ended = Promise.race([failed, closed]).then((end) => {
      this.#end = end
    })
    // A process that is gone says so by its end.
    child.stdin.on('error', () => undefined)
    this.#follow(child.stdout, options.onOutput)
    this.#follow(child.stderr, options.onLog)
  }

  /** Writes a line to its stdin. */
  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  /**
   * Resolves with the first answer of `look` that is not undefined. Throws `PosternError` ERR_DEMO_FAILED with the last
   * lines when the process ends or the wait is too long, and the signal's reason when that aborts.
   */
  async until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    const { clock, signal, patienceMs = 10_000 } = this.#options
    const endMs = clock.monotonic() + patienceMs
    for (;;) {
      const found = await look()
      if (found !== undefined) return found
      if (this.#end !== undefined) throw this.#failure(`ended (${this.#end}) before ${what}`)
      if (clock.monotonic() > endMs) throw this.#failure(`took more than ${patienceMs} ms: ${what}`)
      await wait(clock, lookEveryMs, signal)
      signal.throwIfAborted()
    }
  }

  /** Resolves when it has ended and all its output was read. */
  ended(): Promise<void> {
    return this.#ended
  }

  /** Resolves when it has ended, with what there is to say about that. */
  async failure(): Promise<PosternError> {
    await this.#ended
    return this.#failure(`ended (${this.#end ?? 'unknown'})`)
  }

  /** Ends it: SIGTERM, and SIGKILL when that does not help in 5 s. Resolves when it has ended. Idempotent. */
  async stop(): Promise<void> {
    const { clock } = this.#options
    this.#child.kill('SIGTERM')
    const killer = clock.setTimer(killAfterMs, () => this.#child.kill('SIGKILL'))
    await this.#exited
    killer.cancel()
  }

  #follow(stream: Readable, onLine: (line: string) => void = () => undefined): void {
    createInterface({ input: stream }).on('line', (line) => {
      this.#lastLines.push(line)
      if (this.#lastLines.length > rememberedLines) this.#lastLines.shift()
      onLine(line)
    })
  }

  #failure(what: string): PosternError {
    const lines = this.#lastLines.map((line) => `\n  ${line}`).join('')
    return new PosternError('ERR_DEMO_FAILED', `${this.#options.name} ${what}; it said:${lines}`)
  }
}
