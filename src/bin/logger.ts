import pino from 'pino'
import type { LogFields, Logger } from '../core/logger.ts'
import type { Terminal } from './terminal.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

/** Logs to stderr: JSON lines, or readable text where a person reads. `LOG_LEVEL`: debug, info (default), warn, error. */
export function createLogger(terminal: Terminal): Logger {
  const level = levelOf(terminal.env['LOG_LEVEL'])
  return terminal.isInteractive ? new TextLogger(terminal, level) : jsonLogger(terminal, level)
}

const levels: readonly Level[] = ['debug', 'info', 'warn', 'error']

function levelOf(text: string | undefined): Level {
  return levels.find((level) => level === text) ?? 'info'
}

function jsonLogger(terminal: Terminal, level: Level): Logger {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    terminal.stderr,
  )
  const write = (at: Level) => (message: string, fields?: LogFields) => {
    logger[at](fields ?? {}, message)
  }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

class TextLogger implements Logger {
  readonly #terminal: Terminal
  readonly #least: number

  constructor(terminal: Terminal, level: Level) {
    this.#terminal = terminal
    this.#least = levels.indexOf(level)
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }

  #write(level: Level, message: string, fields: LogFields = {}): void {
    if (levels.indexOf(level) < this.#least) return
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`)
    this.#terminal.stderr.write(`${level.padEnd(5)} ${message}${rest.join('')}\n`)
  }
}
