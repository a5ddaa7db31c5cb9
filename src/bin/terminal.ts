import type { Readable, Writable } from 'node:stream'

/** The edges of the process that commands may touch, as a value, so that they are tested without a process. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
  /** Whether a person reads stdout; colours and readable logs are for people. */
  readonly isInteractive: boolean
  /** Aborts at the first SIGTERM or SIGINT. */
  readonly shutdown: AbortSignal
  /** Calls back at each SIGHUP. */
  onHangup(listener: () => void): void
  /** Calls back at each SIGUSR1. */
  onRotate(listener: () => void): void
  /** Sets how the process will end when all work is done. */
  setExitCode(code: number): void
}

/** Writes a line to stdout. */
export function print(terminal: Terminal, line: string): void {
  terminal.stdout.write(`${line}\n`)
}
