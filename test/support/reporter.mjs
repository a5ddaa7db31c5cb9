import { appendFileSync } from 'node:fs'
import Mocha from 'mocha'

const { EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_PASS, EVENT_TEST_PENDING } =
  Mocha.Runner.constants

/**
 * Mocha's `spec` output, plus one JSON line per test, as it ends, in the file that POSTERN_TEST_COUNTS names:
 * `{ kind: 'passed' | 'failed' | 'skipped' | 'end', title, reason }`. scripts/test.mjs adds them up.
 */
export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const file = process.env.POSTERN_TEST_COUNTS
    if (file === undefined) return
    const write = (event) => appendFileSync(file, `${JSON.stringify(event)}\n`)
    runner.on(EVENT_TEST_PASS, (test) => write({ kind: 'passed', title: test.fullTitle() }))
    runner.on(EVENT_TEST_FAIL, (test) => write({ kind: 'failed', title: test.fullTitle() }))
    runner.on(EVENT_TEST_PENDING, (test) => write({ kind: 'skipped', ...skipOf(test) }))
    runner.once(EVENT_RUN_END, () => write({ kind: 'end' }))
  }
}

/** test/support/skip.ts leaves the reason at the end of the title. */
function skipOf(test) {
  const [, title, reason] = /^(.*) \[skipped: (.*)\]$/s.exec(test.fullTitle()) ?? []
  return title === undefined
    ? { title: test.fullTitle(), reason: 'no reason given' }
    : { title, reason }
}
