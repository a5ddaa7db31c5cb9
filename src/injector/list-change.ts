import { isEqual, type Json } from './json.ts'

/** How one list becomes another: the same number of items at both ends stay, what is between is replaced. */
export interface ListChange {
  /** Where the change begins. */
  readonly at: number
  /** How many items go. */
  readonly removed: number
  readonly added: readonly Json[]
}

/** The shortest single change; undefined when the lists say the same. */
export function listChange(
  before: readonly Json[],
  after: readonly Json[],
): ListChange | undefined {
  const shorter = Math.min(before.length, after.length)
  let at = 0
  while (at < shorter && isEqual(before[at], after[at])) at++
  if (at === before.length && at === after.length) return undefined
  let same = 0
  while (same < shorter - at && isEqual(before.at(-1 - same), after.at(-1 - same))) same++
  return {
    at,
    removed: before.length - at - same,
    added: after.slice(at, after.length - same),
  }
}
