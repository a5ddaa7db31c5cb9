import { isToken } from './field-name.ts'
import { Fault } from './refusal.ts'

/** Each option is compared with each field's name when a message is forwarded. */
const mostOptions = 32

const none: readonly string[] = []

/** What nearly every caller sends; spares the split. */
const usual = new Map<string, readonly string[]>([
  ['keep-alive', ['keep-alive']],
  ['Keep-Alive', ['keep-alive']],
  ['close', ['close']],
  ['upgrade', ['upgrade']],
  ['Upgrade', ['upgrade']],
])

const malformed = new Fault('connection_malformed', 'Connection is no list of tokens')
const tooMany = new Fault('connection_malformed', 'Connection lists too many options')

/** The options that a Connection field lists, lower-cased; empty list elements are skipped, RFC 9110 5.6.1. */
export function parseConnection(value: string | undefined): readonly string[] | Fault {
  if (value === undefined) return none
  return usual.get(value) ?? parseList(value)
}

function parseList(value: string): readonly string[] | Fault {
  const options = value
    .split(',')
    .map((element) => element.trim().toLowerCase())
    .filter((element) => element !== '')
  if (options.length > mostOptions) return tooMany
  return options.every(isToken) ? options : malformed
}

/** Whether the connection outlives the message, RFC 9112 9.3. */
export function isPersistent(minorVersion: 0 | 1, options: readonly string[]): boolean {
  if (options.length === 0) return minorVersion === 1
  if (options.includes('close')) return false
  return minorVersion === 1 || options.includes('keep-alive')
}
