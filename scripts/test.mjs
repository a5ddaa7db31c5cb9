/**
 * `npm test`: checks, build, then the suites of tests, each in its own process and bounded in time. With names behind
 * `--`, only those suites: `npm test -- unit`. The last line holds the sums. Exit code 1 when anything failed or
 * nothing ran. Under CI=true the outside tools are installed first, and one that cannot be had is a failure.
 */
import { delimiter } from 'node:path'
import { runChecks } from './lib/checks.mjs'
import { runMochaSuite } from './lib/mocha-suite.mjs'
import { checkLine, exitCode, summary } from './lib/report.mjs'
import { run } from './lib/run.mjs'
import { binFolder } from './lib/tool-cache.mjs'
import { installTools } from './lib/tools.mjs'

const isCi = process.env.CI === 'true'
const minute = 60_000

const suites = {
  check: { run: runCheckSuite },
  build: { run: runBuild },
  unit: { run: mocha({ folder: 'test', without: ['test/e2e', 'test/deploy'], minutes: 10 }) },
  e2e: {
    run: mocha({
      folder: 'test/e2e',
      without: ['test/e2e/spire', 'test/e2e/kubernetes'],
      minutes: 15,
    }),
    needsBuild: true,
  },
  deploy: { run: mocha({ folder: 'test/deploy', minutes: 15 }), needsBuild: true },
  kubernetes: { run: mocha({ folder: 'test/e2e/kubernetes', minutes: 5 }), needsBuild: true },
  spire: { run: mocha({ folder: 'test/e2e/spire', minutes: 15 }), needsBuild: true },
}

const results = await runSuites(chosenSuites(process.argv.slice(2)))
console.log(`\n${summary(results)}`)
process.exitCode = exitCode(results)

function chosenSuites(names) {
  const unknown = names.filter((name) => !Object.hasOwn(suites, name))
  if (unknown.length > 0) {
    console.error(`no suite ${unknown.join(', ')}; there are: ${Object.keys(suites).join(', ')}`)
    process.exit(64)
  }
  const wanted = new Set(names.length === 0 ? Object.keys(suites) : names)
  if ([...wanted].some((name) => suites[name].needsBuild)) wanted.add('build')
  return Object.keys(suites).filter((name) => wanted.has(name))
}

async function runSuites(names) {
  const results = isCi ? [await runToolSuite()] : []
  let isBuilt = true
  for (const name of names) {
    console.log(`\n== ${name}`)
    const { run: runSuite, needsBuild = false } = suites[name]
    const result = needsBuild && !isBuilt ? notBuilt(name) : await runSuite(name)
    if (name === 'build') isBuilt = result.failed === 0
    results.push(result)
  }
  return results
}

/** Tools that are there prove nothing, so they do not count; a missing one fails the run. */
async function runToolSuite() {
  console.log('== tools')
  const { failures, seconds } = await installTools({ say: console.log })
  for (const failure of failures) console.log(failure)
  return { ...emptySuite('tools'), failed: failures.length, failures, seconds }
}

async function runCheckSuite(name) {
  const startMs = Date.now()
  const suite = emptySuite(name)
  const report = (result) => {
    console.log(checkLine(result))
    if (result.ok) suite.passed += 1
    else suite.failures.push(result.name)
  }
  await runChecks({ useCache: !isCi, report })
  return { ...suite, failed: suite.failures.length, seconds: (Date.now() - startMs) / 1000 }
}

async function runBuild(name) {
  const { code, seconds, output } = await run('npm', ['run', '--silent', 'build'], {
    timeoutMs: 5 * minute,
  })
  const ok = code === 0
  console.log(checkLine({ name, ok, seconds, output: output.trimEnd() }))
  const failures = ok ? [] : ['npm run build']
  return {
    ...emptySuite(name),
    passed: ok ? 1 : 0,
    failed: failures.length,
    failures,
    seconds,
  }
}

function mocha(suite) {
  return (name) => runMochaSuite({ name, ...suite, env: testEnvironment() })
}

function testEnvironment() {
  const bin = binFolder()
  const path = [bin, process.env.PATH].join(delimiter)
  return { ...process.env, PATH: path, POSTERN_TOOLS_BIN: bin }
}

function notBuilt(name) {
  console.log('not run: the build failed')
  return { ...emptySuite(name), failed: 1, failures: ['not run: the build failed'] }
}

function emptySuite(name) {
  return { name, passed: 0, failed: 0, skipped: [], failures: [], seconds: 0 }
}
