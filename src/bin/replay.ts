import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { loadCallerFiles } from '../app/caller-files.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import { Replay, type ReplayFiles } from '../policy/replay.ts'
import { ReplayReport, type ReplaySummary } from '../policy/replay-report.ts'
import { readAuditLine } from '../telemetry/audit-reader.ts'
import { LineSplitter } from '../telemetry/line-splitter.ts'
import { exitCodes } from './exit-codes.ts'
import { formatReplay, type ReplayedWith } from './format-replay.ts'
import type { OutputForm } from './options.ts'
import { print, type Terminal } from './terminal.ts'

export interface ReplayFlags extends ReplayedWith {
  /** `-`: stdin. */
  readonly audit: string
  readonly output: OutputForm
}

/** Far longer than any line that we write. */
const longestLine = 1024 * 1024
const bytesPerRead = 1024 * 1024

/**
 * Decides the calls of an audit log again and prints what changes (DESIGN.md 11). Reads the log as a stream. Throws
 * `PosternError` for a bad file, and ERR_AUDIT_MALFORMED when no line of the log can be read.
 */
export async function replay(flags: ReplayFlags, terminal: Terminal): Promise<void> {
  const summary = await replayLog(flags, loadFiles(flags), terminal)
  refuseForeignLog(flags.audit, summary)
  if (flags.output === 'json') print(terminal, JSON.stringify(toJson(summary)))
  else print(terminal, formatReplay(summary, flags))
  const { allow_to_deny: denied, deny_to_allow: allowed } = summary.changed
  if (denied + allowed > 0) terminal.setExitCode(exitCodes.problemsFound)
}

/** Whether an upstream may be remote is a setting of postern.yaml, which is not asked here. */
function loadFiles({ products, apiKeys }: ReplayFlags): ReplayFiles {
  const files = loadCallerFiles({ products, apiKeys, allowRemoteUpstream: true })
  return apiKeys === undefined ? { products: files.products } : files
}

async function replayLog(
  { audit }: ReplayFlags,
  files: ReplayFiles,
  terminal: Terminal,
): Promise<ReplaySummary> {
  const report = new ReplayReport()
  const again = new Replay(files)
  const lines = new LineSplitter(
    longestLine,
    (text) => {
      const read = readAuditLine(text)
      if (read.kind === 'skipped') report.skip(read.reason)
      else report.add(read.call, again.decide(read.call))
    },
    () => report.skip('unreadable'),
  )
  for await (const chunk of openLog(audit, terminal)) lines.push(chunk)
  lines.end()
  return report.summary()
}

async function* openLog(file: string, terminal: Terminal): AsyncGenerator<Buffer> {
  const stream: Readable =
    file === '-' ? terminal.stdin : createReadStream(file, { highWaterMark: bytesPerRead })
  try {
    for await (const chunk of stream) yield Buffer.from(chunk as Uint8Array)
  } catch (cause) {
    const message = `cannot read ${file}: ${messageOf(cause)}`
    throw new PosternError('ERR_FILE_UNREADABLE', message, { cause })
  }
}

/** An empty log is a log; one of which nothing can be read was given by mistake, and says nothing of the change. */
function refuseForeignLog(file: string, { replayed, skipped }: ReplaySummary): void {
  const { unreadable, ...readable } = skipped
  const isRead = replayed > 0 || Object.values(readable).some((count) => count > 0)
  if (unreadable === 0 || isRead) return
  throw new PosternError(
    'ERR_AUDIT_MALFORMED',
    `${file}: none of its ${unreadable} lines is one of an audit log (postern schema audit)`,
  )
}

/** Times as everywhere in JSON. */
function toJson(summary: ReplaySummary): object {
  return {
    ...summary,
    changes: summary.changes.map((change) => ({
      ...change,
      examples: change.examples.map(({ atMs, ...example }) => ({
        ...example,
        time: new Date(atMs).toISOString(),
      })),
    })),
  }
}
