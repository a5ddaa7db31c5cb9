import { callsAfterRotation, firstCalls } from './calls.ts'
import { commandsToTry } from './commands-to-try.ts'
import { DemoStage, type StageContext } from './demo-stage.ts'
import type { Paint } from './paint.ts'
import { play, type Row } from './play.ts'
import { rotateOwnCa } from './rotation.ts'
import { renderSpanTree } from './span-tree.ts'
import { renderTable } from './table.ts'

export interface DemoOptions {
  /** Stay and print commands to try until the signal aborts. */
  readonly keep: boolean
}

export interface DemoContext extends StageContext {
  readonly print: (line: string) => void
  readonly paint: Paint
  /** The command line that starts `postern`, for commands to try. */
  readonly program: readonly string[]
}

/** `right`: every answer was the right one. */
export type DemoOutcome = 'right' | 'wrong' | 'interrupted'

/**
 * Plays every kind of caller against one real sidecar and prints what each was told. Leaves no process behind.
 * Throws `PosternError` ERR_DEMO_FAILED when a process fails.
 */
export async function runDemo(options: DemoOptions, context: DemoContext): Promise<DemoOutcome> {
  try {
    return await runToItsEnd(options, context)
  } catch (error) {
    if (context.signal.aborted) return 'interrupted'
    throw error
  }
}

async function runToItsEnd(options: DemoOptions, context: DemoContext): Promise<DemoOutcome> {
  context.print('Starting a Workload API, a workload and the sidecar beside it ...')
  const stage = await DemoStage.set(context)
  try {
    const rows = await playAll(stage, context)
    if (options.keep) await stay(stage, context)
    return rows.every((row) => row.isRight) ? 'right' : 'wrong'
  } finally {
    await stage.close()
  }
}

async function playAll(stage: DemoStage, context: DemoContext): Promise<Row[]> {
  const { print, paint } = context
  const first = await play(firstCalls, stage, context)
  const { epochBefore, epochAfter } = await rotateOwnCa(stage)
  const afterwards = await play(callsAfterRotation, stage, context)
  const groups = [
    { heading: `Who calls 127.0.0.1:${stage.port}, one port for all:`, rows: first },
    {
      heading: `corp.example got a new CA and withdrew the old one (epoch ${epochBefore} to ${epochAfter}); nothing was restarted:`,
      rows: afterwards,
    },
  ]
  const rows = [...first, ...afterwards]
  for (const line of ['', ...renderTable(groups, paint)]) print(line)
  for (const line of await explain(rows, stage, paint)) print(line)
  for (const line of await explainForged(first, stage, paint)) print(line)
  print(summary(rows, paint))
  return rows
}

/** The call of the federated workload as tracing shows it. */
async function explain(rows: readonly Row[], stage: DemoStage, paint: Paint): Promise<string[]> {
  const row = rows.find(({ call, isRight }) => call.certificate === 'partner-a.example' && isRight)
  if (row === undefined) return []
  const trace = await stage.trace(row.decisionId)
  return [
    `Why? One span answers; the second call of the table:`,
    '',
    ...renderSpanTree(trace, paint),
    '',
  ]
}

/** The SVID that a partner forged, as the sidecar explains it to who has the id of the reply. */
async function explainForged(
  rows: readonly Row[],
  stage: DemoStage,
  paint: Paint,
): Promise<string[]> {
  const row = rows.find(({ call, isRight }) => call.certificate === 'forged' && isRight)
  if (row === undefined) return []
  const lines = await stage.explain(row.decisionId)
  return [
    `And the forged one, by the id in its reply: postern explain ${row.decisionId}`,
    '',
    ...lines.map((line, i) => `    ${i === 0 ? paint('bold', line) : line}`),
    '',
  ]
}

function summary(rows: readonly Row[], paint: Paint): string {
  const right = rows.filter((row) => row.isRight).length
  const text = `${right} of ${rows.length} answers are the right ones.`
  return paint(right === rows.length ? 'green' : 'red', text)
}

async function stay(stage: DemoStage, { signal, print, program }: DemoContext): Promise<void> {
  print(`\nThe status page: http://127.0.0.1:${stage.adminPort}/`)
  print('\nStill running. Try these; Ctrl-C ends it.\n')
  for (const line of commandsToTry(stage, program)) print(line)
  const failure = await Promise.race([aborted(signal), stage.failure()])
  if (failure !== undefined && !signal.aborted) throw failure
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
