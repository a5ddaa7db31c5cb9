import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, run } from './run.mjs'

const minute = 60_000

/**
 * Runs the tests below `folder` in their own process, bounded in time, and resolves to the suite's result. A process
 * that does not come to its end, or ends badly after its tests passed, counts as one failure more.
 */
export async function runMochaSuite({ name, folder, without = [], minutes, env }) {
  const scratch = mkdtempSync(join(tmpdir(), 'postern-test-'))
  const counts = join(scratch, 'counts.jsonl')
  const options = [
    join(root, 'node_modules/mocha/bin/mocha.js'),
    '--reporter=test/support/reporter.mjs',
    ...without.map((other) => `--ignore=${other}/**`),
    folder,
  ]
  const ended = await run(process.execPath, options, {
    timeoutMs: minutes * minute,
    env: { ...env, POSTERN_TEST_COUNTS: counts },
    live: true,
  })
  const events = readEvents(counts)
  rmSync(scratch, { recursive: true, force: true })
  return suiteResult({ name, minutes, ended, events })
}

/** The reporter writes one line per test as it ends, so a crash loses nothing of what came before. */
function readEvents(file) {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.slice(0, -1).map((line) => JSON.parse(line))
}

function suiteResult({ name, minutes, ended, events }) {
  const of = (kind) => events.filter((event) => event.kind === kind)
  const failures = of('failed').map(({ title }) => title)
  const crash = crashOf({ ended, minutes, hasEnded: of('end').length > 0, failures })
  if (crash !== undefined) failures.push(crash)
  return {
    name,
    passed: of('passed').length,
    failed: failures.length,
    skipped: of('skipped'),
    failures,
    seconds: ended.seconds,
  }
}

function crashOf({ ended, minutes, hasEnded, failures }) {
  const when = hasEnded ? 'after its last test' : 'before its last test'
  if (ended.timedOut) return `the process was ended ${when}: more than ${minutes} min`
  if (!hasEnded) return `the process ended ${when}: exit code ${ended.code ?? 'none'}`
  if (ended.code !== 0 && failures.length === 0) {
    return `the process failed ${when}: exit code ${ended.code ?? 'none'}`
  }
  return undefined
}
