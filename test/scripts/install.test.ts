import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const lock = {
  packages: {
    '': { name: 'fixture' },
    'node_modules/one': { version: '1.0.0', integrity: 'sha512-one' },
    'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-two', optional: true },
  },
}
const installed = { packages: { 'node_modules/one': lock.packages['node_modules/one'] } }

describe('scripts/install.mjs', () => {
  let checkout: string

  beforeEach(() => {
    checkout = mkdtempSync(join(tmpdir(), 'postern-install-'))
    mkdirSync(join(checkout, 'scripts'))
    cpSync(join(root, 'scripts/install.mjs'), join(checkout, 'scripts/install.mjs'))
    writeJson('package-lock.json', lock)
    writeJson('node_modules/.package-lock.json', installed)
    writeJson('node_modules/one/package.json', {})
  })

  afterEach(() => {
    rmSync(checkout, { recursive: true, force: true })
  })

  it('does nothing, quietly, when node_modules holds what the lock asks for', () => {
    const { exitCode, output, npmWasAskedFor } = install(0)

    assert.deepEqual(
      { exitCode, output, npmWasAskedFor },
      { exitCode: 0, output: '', npmWasAskedFor: '' },
    )
  })

  const stale: readonly { name: string; spoil: () => void }[] = [
    { name: 'node_modules is absent', spoil: () => remove('node_modules') },
    {
      name: 'an installation was interrupted',
      spoil: () => remove('node_modules/.package-lock.json'),
    },
    { name: 'a package folder is gone', spoil: () => remove('node_modules/one') },
    {
      name: 'the lock asks for another package',
      spoil: () => writeJson('package-lock.json', { packages: { 'node_modules/new': {} } }),
    },
    {
      name: 'the lock asks for another version',
      spoil: () =>
        writeJson('package-lock.json', {
          packages: { 'node_modules/one': { integrity: 'sha512-x' } },
        }),
    },
  ]
  for (const { name, spoil } of stale) {
    it(`runs npm ci when ${name}`, () => {
      spoil()

      const { exitCode, npmWasAskedFor } = install(0)

      assert.match(npmWasAskedFor, /^ci /)
      assert.equal(exitCode, 0)
    })
  }

  it('fails when npm ci fails', () => {
    remove('node_modules')

    const { exitCode } = install(7)

    assert.equal(exitCode, 1)
  })

  function writeJson(path: string, value: unknown): void {
    mkdirSync(join(checkout, path, '..'), { recursive: true })
    writeFileSync(join(checkout, path), JSON.stringify(value))
  }

  function remove(path: string): void {
    rmSync(join(checkout, path), { recursive: true })
  }

  /** npm is a script that notes what it was asked for. */
  function install(npmExitCode: number) {
    const npm = join(checkout, 'npm.cjs')
    const notes = join(checkout, 'asked')
    writeFileSync(
      npm,
      `require('node:fs').writeFileSync(${JSON.stringify(notes)}, process.argv.slice(2).join(' '))
       process.exit(${npmExitCode})`,
    )
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(checkout, 'scripts/install.mjs')],
      { env: { ...process.env, npm_execpath: npm }, encoding: 'utf8', timeout: 60_000 },
    )
    return {
      exitCode: status,
      output: stdout + stderr,
      npmWasAskedFor: existsSync(notes) ? readFileSync(notes, 'utf8') : '',
    }
  }
})
