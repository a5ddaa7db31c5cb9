import { CommanderError } from 'commander'
import { type ErrorCode, PosternError } from '../core/errors.ts'

/** How the process ends (DESIGN.md 11). */
export const exitCodes = {
  done: 0,
  failed: 1,
  /** A check found problems. */
  problemsFound: 2,
  /** Wrong use, or a file that is not what it should be. */
  wrongUse: 64,
  /** A bug of ours. */
  bug: 70,
} as const

/** Errors that the operator mends by changing a file, a flag or the environment. */
const wrongUse: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_ADDRESS_INVALID',
  'ERR_AUDIT_MALFORMED',
  'ERR_CERTIFICATE_MALFORMED',
  'ERR_CONFIG_INVALID',
  'ERR_FILE_UNREADABLE',
  'ERR_PEM_MALFORMED',
  'ERR_PRIVATE_KEY_MISMATCH',
  'ERR_SPIFFE_ID_INVALID',
  'ERR_TRUST_DOMAIN_INVALID',
])

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUse
  }
  if (error instanceof PosternError) {
    return wrongUse.has(error.code) ? exitCodes.wrongUse : exitCodes.failed
  }
  return exitCodes.bug
}
