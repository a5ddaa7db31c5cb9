import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../../workload-api/support/temporary-folder.ts'

const root = join(import.meta.dirname, '../../..')

/** In place of the compiler: a program that says how it was started. */
const compiler = `
import { mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('dist/bin', { recursive: true })
writeFileSync('dist/bin/postern.js', 'console.log(process.argv.slice(1).join(" ")); process.exitCode = 7')
`

describe('scripts/demo.mjs', () => {
  const folder = temporaryFolder()
  const program = () => folder.path('dist/bin/postern.js')

  beforeEach(() => {
    for (const name of [
      'scripts/demo.mjs',
      'scripts/clean.mjs',
      'scripts/copy-page.mjs',
      'scripts/lib/run.mjs',
      'scripts/lib/build.mjs',
    ]) {
      mkdirSync(dirname(folder.path(name)), { recursive: true })
      cpSync(join(root, name), folder.path(name))
    }
    write('node_modules/typescript/bin/tsc', compiler)
    write('package.json', '{ "type": "module" }')
    for (const name of ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json']) {
      write(name, '{}')
    }
    write('src/bin/postern.ts', '')
  })

  function write(name: string, text: string): void {
    mkdirSync(dirname(folder.path(name)), { recursive: true })
    writeFileSync(folder.path(name), text)
  }

  function run(...options: string[]) {
    const script = folder.path('scripts/demo.mjs')
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...options], {
      encoding: 'utf8',
    })
    return { status, stdout, hasBuilt: stderr.includes('building') }
  }

  it('builds what is not there, and becomes the demo with its options and exit code', () => {
    const { status, stdout, hasBuilt } = run('--keep')

    assert.equal(hasBuilt, true)
    assert.equal(stdout, `${program()} demo --keep\n`)
    assert.equal(status, 7)
  })

  it('builds once', () => {
    run()

    const { status, hasBuilt } = run()

    assert.equal(hasBuilt, false)
    assert.equal(status, 7)
  })

  for (const changed of ['src/bin/postern.ts', 'package-lock.json']) {
    it(`builds anew, from nothing, when ${changed} is newer`, () => {
      run()
      write('dist/stale.js', '')
      const inAnHour = Date.now() / 1_000 + 3_600
      utimesSync(folder.path(changed), inAnHour, inAnHour)

      assert.equal(run().hasBuilt, true)
      assert.equal(existsSync(folder.path('dist/stale.js')), false)
    })
  }

  it('plays nothing when the build fails', () => {
    run()
    rmSync(program())
    write('node_modules/typescript/bin/tsc', 'process.exitCode = 2')

    const { status, stdout } = run()

    assert.equal(status, 1)
    assert.equal(stdout, '')
  })
})
