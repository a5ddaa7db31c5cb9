import type { Change, Example, ReplaySummary, SkipReason } from '../policy/replay-report.ts'
import { formatTable } from './table.ts'

const mostCallersShown = 10
const mostChangesShown = 50

/** The files that decided again. */
export interface ReplayedWith {
  readonly products: string
  readonly apiKeys?: string
}

/** A replay for people. */
export function formatReplay(summary: ReplaySummary, flags: ReplayedWith): string {
  const { replayed, changed, changes, otherCalls } = summary
  const keys = flags.apiKeys ?? 'each key as it was'
  const shown = changes.slice(0, mostChangesShown)
  const hidden = changes.slice(mostChangesShown).reduce((sum, { calls }) => sum + calls, otherCalls)
  return [
    `${calls(replayed)} decided again with ${flags.products} and ${keys}`,
    formatTable([
      ['  allow became deny', String(changed.allow_to_deny)],
      ['  deny became allow', String(changed.deny_to_allow)],
      ['  same outcome, another answer', String(changed.answer)],
      ['  unchanged', String(summary.unchanged)],
    ]),
    ...shown.flatMap((change) => ['', ...formatChange(change)]),
    ...(hidden === 0 ? [] : ['', `${calls(hidden)} changed in other ways`]),
    ...notes(summary),
  ]
    .map(printable)
    .join('\n')
}

/** Texts of callers must not steer a terminal. */
function printable(text: string): string {
  return text.replace(
    /[^\x20-\x7e\n]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function formatChange(change: Change): string[] {
  const { from, to, callers, examples } = change
  const shown = callers.slice(0, mostCallersShown)
  const hidden = callers
    .slice(mostCallersShown)
    .reduce((sum, caller) => sum + caller.calls, change.otherCalls)
  return [
    `${describe(from)}  ->  ${describe(to)}: ${calls(change.calls)}`,
    formatTable(shown.map((caller) => [`  ${caller.principal}`, calls(caller.calls)])),
    ...(hidden === 0 ? [] : [`  other callers  ${calls(hidden)}`]),
    ...examples.map(formatExample),
  ]
}

function describe({ outcome, reason, product, consumer, upstream }: Change['from']): string {
  const parts = [
    product === undefined ? '' : `product ${product}`,
    consumer === undefined ? '' : `consumer ${consumer}`,
    upstream === undefined ? '' : `upstream ${upstream}`,
  ].filter((part) => part !== '')
  const facts = parts.length === 0 ? '' : ` (${parts.join(', ')})`
  return `${outcome} ${reason}${facts}`
}

function formatExample({ id, atMs, request, why }: Example): string {
  const asked = request === undefined ? 'TCP' : `${request.method} ${request.host}${request.path}`
  return `    ${new Date(atMs).toISOString()} ${id} ${asked}: ${why}`
}

const skipNotes: Readonly<Record<SkipReason, string>> = {
  ended_connection: 'the end of a live connection, whose calls have lines of their own',
  outbound: 'outbound calls, which no product map decides',
  listener_address: 'refused by the addresses of the listener, which no product map decides',
  truncated: 'longer than the log holds',
  unreadable: 'no line of an audit log',
}

function notes(summary: ReplaySummary): string[] {
  const skipped = Object.entries(summary.skipped) as [SkipReason, number][]
  const lines = [
    ...skipped.flatMap(([reason, count]) =>
      count === 0 ? [] : [`not decided again: ${count} lines, ${skipNotes[reason]}`],
    ),
    ...(summary.rateLimited === 0
      ? []
      : [`limits are not replayed: ${calls(summary.rateLimited)} above one counted as allowed`]),
    ...(summary.unrecorded === 0
      ? []
      : [`${calls(summary.unrecorded)} that could not be recorded counted as allowed`]),
    ...(summary.unknownKeys === 0
      ? []
      : [`${calls(summary.unknownKeys)} had an unknown key, which has no name and stays unknown`]),
  ]
  return lines.length === 0 ? [] : ['', ...lines]
}

function calls(count: number): string {
  return count === 1 ? '1 call' : `${count} calls`
}
