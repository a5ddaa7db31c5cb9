/** `npm run check`: format, lint, types, generated code, unused code. Exit code 1 when any of them failed. */
import { runChecks } from './lib/checks.mjs'
import { checkLine } from './lib/report.mjs'

let ok = true
await runChecks({
  useCache: process.env.CI !== 'true',
  report: (result) => {
    ok &&= result.ok
    console.log(checkLine(result))
  },
})
process.exitCode = ok ? 0 : 1
