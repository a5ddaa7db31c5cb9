#!/usr/bin/env node
import { messageOf, PosternError } from '../core/errors.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { createProgram } from './program.ts'
import type { Terminal } from './terminal.ts'

function processTerminal(): Terminal {
  const shutdown = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => shutdown.abort())
  }
  // Unless somebody listens, Node opens its debugger at this signal, to everybody on the machine.
  process.on('SIGUSR1', () => undefined)
  return {
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    isInteractive: process.stdout.isTTY && process.stderr.isTTY,
    shutdown: shutdown.signal,
    onHangup: (listener) => void process.on('SIGHUP', listener),
    onRotate: (listener) => void process.on('SIGUSR1', listener),
    setExitCode: (code) => {
      process.exitCode = code
    },
  }
}

/** Errors of commander have been printed by it already. */
function report(error: unknown): void {
  const code = exitCodeOf(error)
  if (error instanceof PosternError) {
    process.stderr.write(`postern: ${error.code}: ${error.message}\n`)
  } else if (code === exitCodes.bug) {
    const stack = error instanceof Error ? error.stack : undefined
    process.stderr.write(`postern: this is a bug: ${stack ?? messageOf(error)}\n`)
  }
  process.exitCode = code
}

// A closed pipe (`postern key list | head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.done)
})

try {
  await createProgram(processTerminal()).parseAsync(process.argv)
} catch (error) {
  report(error)
}
