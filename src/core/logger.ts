/** Fields of a log line. Never a secret: keys and private keys have no place in them. */
export type LogFields = Readonly<Record<string, unknown>>

/**
 * `debug` for one connection's life, `info` for lifecycle and denials, `warn` for what recovered, `error` for bugs.
 * Messages are constant; what varies stands in the fields.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

/** Drops everything. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
