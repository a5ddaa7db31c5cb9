import { PassThrough } from 'node:stream'
import type { Terminal } from '../../src/bin/terminal.ts'

/** A terminal that keeps what is written to it. */
export class FakeTerminal implements Terminal {
  readonly stdin = new PassThrough()
  readonly stdout = new PassThrough()
  readonly stderr = new PassThrough()
  readonly isInteractive = false
  readonly env: Readonly<Record<string, string | undefined>>
  readonly #shutdown = new AbortController()
  exitCode = 0

  constructor(env: Readonly<Record<string, string | undefined>> = {}) {
    this.env = env
  }

  get shutdown(): AbortSignal {
    return this.#shutdown.signal
  }

  /** Everything written to stdout since the last call. */
  takeOutput(): string {
    return String((this.stdout.read() as Buffer | null) ?? '')
  }

  /** Everything written to stderr since the last call. */
  takeErrors(): string {
    return String((this.stderr.read() as Buffer | null) ?? '')
  }

  onHangup(): void {
    // Nobody hangs up here.
  }

  onRotate(): void {
    // Nor rotates logs.
  }

  setExitCode(code: number): void {
    this.exitCode = code
  }
}
