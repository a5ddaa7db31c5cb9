import { join } from 'node:path'
import { root, run } from './run.mjs'

const minute = 60_000
const cache = 'node_modules/.cache'

/**
 * What `npm run check` looks at, the slowest first. A rule that reads types can change its mind about a file that did
 * not change, so CI trusts no cache; the everyday loop does.
 */
const checks = [
  {
    name: 'lint',
    tool: 'eslint',
    options: ['.', '--max-warnings=0'],
    cached: ['--cache', '--cache-strategy=content', `--cache-location=${cache}/eslint/`],
  },
  {
    name: 'types',
    tool: 'tsc',
    options: ['--noEmit', '--pretty', 'false'],
    cached: ['--incremental', '--tsBuildInfoFile', `${cache}/tsc.tsbuildinfo`],
  },
  {
    name: 'format',
    tool: 'prettier',
    options: ['--check', '--log-level=warn', '.'],
    cached: [
      '--cache',
      '--cache-strategy=content',
      `--cache-location=${cache}/prettier/.prettier-cache`,
    ],
  },
  {
    name: 'unused code and dependencies',
    tool: 'knip',
    options: ['--no-progress', '--no-config-hints'],
    cached: [],
  },
  {
    name: 'generated code',
    script: 'scripts/generate.mjs',
    options: ['--check'],
    cached: [],
  },
]

/**
 * Runs every check, two at a time, and tells each result as it comes: `{ name, ok, seconds, output }`. All run, even
 * when one fails.
 */
export async function runChecks({ useCache, report }) {
  const waiting = [...checks]
  const worker = async () => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      report(await runCheck(check, useCache))
    }
  }
  await Promise.all([worker(), worker()])
}

/** A failure that comes out of the cache may be of yesterday: it is looked at again without it. */
async function runCheck(check, useCache) {
  const result = await runOnce(check, useCache)
  if (result.ok || !useCache || check.cached.length === 0) return result
  return runOnce(check, false)
}

async function runOnce({ name, tool, script, options, cached }, useCache) {
  const program = join(root, script ?? `node_modules/.bin/${tool}`)
  const all = [program, ...options, ...(useCache ? cached : [])]
  const { code, timedOut, output, seconds } = await run(process.execPath, all, {
    timeoutMs: 15 * minute,
  })
  const remark = timedOut ? '\nended: took longer than 15 minutes' : ''
  return { name, ok: code === 0, seconds, output: `${output.trimEnd()}${remark}` }
}
