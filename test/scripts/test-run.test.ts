import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '../..')

interface TestRun {
  readonly exitCode: number | null
  readonly output: string
  readonly lastLine: string
}

describe('npm test', function () {
  this.timeout(180_000)
  let checkout: string

  beforeEach(() => {
    checkout = makeCheckout()
  })

  afterEach(() => {
    rmSync(checkout, { recursive: true, force: true })
  })

  it('ends with the sums alone on the last line and exit code 0 when nothing failed', () => {
    writeTest('test/unit/a.test.ts', `it('passes', () => {}); it('passes too', () => {})`)

    const { exitCode, lastLine } = runSuites(checkout, ['unit'])

    assert.equal(lastLine, '2 passed, 0 failed, 0 skipped')
    assert.equal(exitCode, 0)
  })

  it('adds up several suites, names what failed and exits with 1', () => {
    writeTest('test/unit/a.test.ts', `it('passes', () => {})`)
    writeTest('test/e2e/a.test.ts', `it('breaks', () => { throw new Error('no') })`)
    writeTest('test/e2e/spire/a.test.ts', `it('passes', () => {})`)

    const { exitCode, output, lastLine } = runSuites(checkout, ['unit', 'spire', 'e2e'])

    assert.equal(lastLine, '3 passed, 1 failed, 0 skipped')
    assert.match(output, /^failed:\n {2}e2e: breaks$/m)
    assert.equal(exitCode, 1)
  })

  it('prints the reason of every skip, wherever it was asked for', () => {
    writeTest(
      'test/unit/a.test.ts',
      `import { skip } from '../support/skip.ts'
       it('passes', () => {})
       it('in a test', function () { skip(this, 'reason one') })
       describe('suite', () => {
         before(function () { skip(this, 'reason two') })
         it('before all', () => {})
         describe('inner', () => { it('deeper', () => {}) })
       })
       describe('each', () => {
         beforeEach(function () { skip(this, 'reason three') })
         it('before each', () => {})
       })
       it.skip('without one', () => {})`,
    )

    const { exitCode, output, lastLine } = runSuites(checkout, ['unit'])

    assert.match(output, /^ {2}unit: in a test: reason one$/m)
    assert.match(output, /^ {2}unit: suite before all: reason two$/m)
    assert.match(output, /^ {2}unit: suite inner deeper: reason two$/m)
    assert.match(output, /^ {2}unit: each before each: reason three$/m)
    assert.match(output, /^ {2}unit: without one: no reason given$/m)
    assert.equal(lastLine, '1 passed, 0 failed, 5 skipped')
    assert.equal(exitCode, 0)
  })

  it('counts a suite that crashed as one failure more, and keeps what passed before', () => {
    writeTest(
      'test/unit/a.test.ts',
      `it('passes', () => {}); it('crashes', () => process.exit(0)); it('never runs', () => {})`,
    )

    const { exitCode, lastLine } = runSuites(checkout, ['unit'])

    assert.equal(lastLine, '1 passed, 1 failed, 0 skipped')
    assert.equal(exitCode, 1)
  })

  it('counts a process that fails after its last test as a failure', () => {
    writeTest(
      'test/unit/a.test.ts',
      `it('passes', () => {}); after(() => void setTimeout(() => { throw new Error('late') }, 50))`,
    )

    const { exitCode, lastLine } = runSuites(checkout, ['unit'])

    assert.equal(lastLine, '1 passed, 1 failed, 0 skipped')
    assert.equal(exitCode, 1)
  })

  it('fails when every test was skipped, because nothing was proven', () => {
    writeTest('test/unit/a.test.ts', `it.skip('later', () => {})`)

    const { exitCode, lastLine } = runSuites(checkout, ['unit'])

    assert.equal(lastLine, '0 passed, 0 failed, 1 skipped')
    assert.equal(exitCode, 1)
  })

  it('fails the suites that need the build when the build failed', () => {
    writeTest('src/broken.ts', `export const broken: number = 'text'`)
    writeTest('test/e2e/a.test.ts', `it('passes', () => {})`)

    const { exitCode, lastLine } = runSuites(checkout, ['e2e'])

    assert.equal(lastLine, '0 passed, 2 failed, 0 skipped')
    assert.equal(exitCode, 1)
  })

  it('refuses a suite that it does not know', () => {
    const { exitCode, output } = runSuites(checkout, ['unti'])

    assert.match(output, /no suite unti/)
    assert.equal(exitCode, 64)
  })

  function writeTest(path: string, code: string): void {
    const file = join(checkout, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, code)
  }
})

/** As little of a checkout as the scripts need: themselves, the settings, and one source file to build. */
/** What every run of mocha loads. */
const support = ['reporter.mjs', 'skip.ts', 'fuzz-seed.ts'].map((name) => `test/support/${name}`)

function makeCheckout(): string {
  const checkout = mkdtempSync(join(tmpdir(), 'postern-checkout-'))
  const copied = [
    'scripts',
    'package.json',
    '.mocharc.json',
    'tsconfig.json',
    'tsconfig.build.json',
  ]
  for (const path of [...copied, ...support]) {
    cpSync(join(root, path), join(checkout, path), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'))
  mkdirSync(join(checkout, 'src'))
  writeFileSync(join(checkout, 'src/one.ts'), 'export const one = 1\n')
  return checkout
}

function runSuites(checkout: string, suites: readonly string[]): TestRun {
  const environment = { ...process.env, CI: '', POSTERN_TEST_COUNTS: undefined }
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(checkout, 'scripts/test.mjs'), ...suites],
    { cwd: checkout, env: environment, encoding: 'utf8', timeout: 60_000 },
  )
  const lines = stdout.trimEnd().split('\n')
  return { exitCode: status, output: stdout + stderr, lastLine: lines.at(-1) ?? '' }
}
