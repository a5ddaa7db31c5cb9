import { InvalidArgumentError } from 'commander'
import type { TcpAddress } from '../config/address.ts'
import { duration, tcpAddress } from '../config/scalars.ts'

/** Reads `10s`, `5m`, `1h` of a flag into milliseconds. */
export function durationOption(text: string): number {
  const parsed = duration('1s', '1000h').safeParse(text)
  if (parsed.success) return parsed.data
  throw new InvalidArgumentError('expected a duration such as 10s, 5m or 1h.')
}

/** `text` for people, `json` for programs. */
export type OutputForm = 'text' | 'json'

/** Reads `-o`. */
export function outputOption(text: string): OutputForm {
  if (text === 'text' || text === 'json') return text
  throw new InvalidArgumentError('expected text or json.')
}

/** Reads `host:port` of a flag. */
export function addressOption(text: string): TcpAddress {
  const parsed = tcpAddress.safeParse(text)
  if (parsed.success) return parsed.data
  throw new InvalidArgumentError('expected host:port or [IPv6]:port.')
}
