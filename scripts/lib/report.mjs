/**
 * What a suite came to: `{ name, passed, failed, skipped, failures, seconds }`, where `skipped` is a list of
 * `{ title, reason }` and `failures` a list of titles. Everything here is pure: results to text.
 */

/** One line for a check, and what it said when it failed. */
export function checkLine({ name, ok, seconds, output }) {
  const line = `${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds.toFixed(1)} s)`
  return ok ? line : `${line}\n${indent(output)}`
}

/** Everything that is said when all suites have ended; the last line holds the sums and nothing else. */
export function summary(suites) {
  const parts = [skipLines(suites), failureLines(suites), table(suites), [lastLine(suites)]]
  return parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')
}

/** A run in which nothing passed or failed has proven nothing. */
export function exitCode(suites) {
  const { passed, failed } = sum(suites)
  return failed > 0 || passed + failed === 0 ? 1 : 0
}

function skipLines(suites) {
  const lines = suites.flatMap(({ name, skipped }) =>
    skipped.map(({ title, reason }) => `  ${name}: ${title}: ${reason}`),
  )
  return lines.length === 0 ? [] : ['skipped:', ...lines]
}

function failureLines(suites) {
  const lines = suites.flatMap(({ name, failures }) => failures.map((it) => `  ${name}: ${it}`))
  return lines.length === 0 ? [] : ['failed:', ...lines]
}

function table(suites) {
  const width = Math.max(...suites.map(({ name }) => name.length), 'suite'.length)
  const row = (name, ...cells) =>
    [name.padEnd(width), ...cells.map((it) => it.padStart(8))].join(' ')
  return [
    row('suite', 'passed', 'failed', 'skipped', 'seconds'),
    ...suites.map((it) =>
      row(it.name, ...[it.passed, it.failed, it.skipped.length].map(String), it.seconds.toFixed(1)),
    ),
  ]
}

function lastLine(suites) {
  const { passed, failed, skipped } = sum(suites)
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

function sum(suites) {
  const total = (count) => suites.reduce((before, suite) => before + count(suite), 0)
  return {
    passed: total((suite) => suite.passed),
    failed: total((suite) => suite.failed),
    skipped: total((suite) => suite.skipped.length),
  }
}

function indent(text) {
  return text.replaceAll(/^(?=.)/gm, '     ')
}
