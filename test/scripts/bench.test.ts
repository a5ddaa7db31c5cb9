import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

describe('npm run bench', function () {
  this.timeout(180_000)
  let checkout: string

  beforeEach(() => {
    checkout = mkdtempSync(join(tmpdir(), 'postern-bench-'))
    mkdirSync(join(checkout, 'bench'))
    cpSync(join(root, 'bench/run.mjs'), join(checkout, 'bench/run.mjs'))
    cpSync(join(root, 'scripts'), join(checkout, 'scripts'), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'))
    put('table.mjs', `export const benchmarks = ${JSON.stringify(table)}`)
    put('good.ts', `const given: string[] = process.argv.slice(2); console.log('good', ...given)`)
    put('bad.ts', `process.exit(3)`)
  })

  afterEach(() => {
    rmSync(checkout, { recursive: true, force: true })
  })

  const table = [
    {
      ...{ name: 'good', file: 'good.ts', measures: 'what is good', options: '[seconds=5]' },
      isDefault: true,
    },
    { name: 'bad', file: 'bad.ts', measures: 'what is bad' },
    { name: 'built', file: 'good.ts', measures: 'the built program', needsBuild: true },
  ]

  it('runs what is named, in that order, with the options behind --', () => {
    const { status, stdout } = bench('good', 'good', '--', '10', '--fast')

    assert.equal(status, 0)
    assert.equal(stdout, '\n== good\ngood 10 --fast\n\n== good\ngood 10 --fast\n')
  })

  it('runs the rest after a failure, and ends with 1', () => {
    const { status, stdout } = bench('bad', 'good')

    assert.equal(status, 1)
    assert.match(stdout, /== bad\n\n== good\ngood\n$/)
  })

  it('builds dist/ first for one that runs it', () => {
    const { status, stderr } = bench('built')

    assert.equal(status, 1, 'there is nothing to build from')
    assert.match(stderr, /^building dist\/ \.\.\.\n/)
  })

  for (const names of [['nothing'], ['good', 'nothing']]) {
    it(`refuses ${names.join(' ')} and runs nothing`, () => {
      const { status, stdout, stderr } = bench(...names)

      assert.equal(status, 64)
      assert.equal(stdout, '')
      assert.equal(stderr, 'no benchmark nothing; there are: good, bad, built\n')
    })
  }

  it('runs the one that is meant when none is named', () => {
    const { status, stdout } = bench('--', '10')

    assert.equal(status, 0)
    assert.equal(stdout, '\n== good\ngood 10\n')
  })

  it('lists the names, and explains them with --help', () => {
    assert.equal(bench('--list').stdout, 'good\nbad\nbuilt\n')
    assert.match(bench('--help').stdout, /^ {2}good {3}what is good\n {11}-- \[seconds=5\]\n/m)
  })

  it('knows every benchmark of this checkout', () => {
    const { stdout } = run(join(root, 'bench/run.mjs'), '--list')

    const files = readdirSync(join(root, 'bench')).filter((name) => name.endsWith('.ts'))
    assert.deepEqual(stdout.trim().split('\n'), files.map((name) => name.slice(0, -3)).sort())
  })

  function put(name: string, text: string): void {
    writeFileSync(join(checkout, 'bench', name), text)
  }

  function bench(...words: string[]) {
    return run(join(checkout, 'bench/run.mjs'), ...words)
  }

  function run(...words: string[]) {
    return spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 })
  }
})
