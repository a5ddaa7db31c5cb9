import { writeFileSync } from 'node:fs'
import Mocha from 'mocha'

const { EVENT_RUN_END, EVENT_TEST_PENDING } = Mocha.Runner.constants

/** Mocha's `spec` output, plus a file with the counts and the reason of each skip for scripts/test.mjs. */
export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const skipped = []
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test.fullTitle()))
    runner.once(EVENT_RUN_END, () => {
      const file = process.env.POSTERN_TEST_COUNTS
      if (file === undefined) return
      const { passes, failures } = this.stats
      writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped }))
    })
  }
}
