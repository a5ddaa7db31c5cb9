import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const library = pathToFileURL(join(import.meta.dirname, '../../scripts/lib/run.mjs')).href

interface Ended {
  readonly code?: number
  readonly timedOut: boolean
  readonly output: string
}

describe('run of scripts/lib', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-run-'))
  })

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  it('tells the exit code and the output', () => {
    const { code, timedOut, output } = run('echo out; echo err >&2; exit 3', 10_000)

    assert.equal(code, 3)
    assert.equal(timedOut, false)
    assert.deepEqual(output.trim().split('\n').sort(), ['err', 'out'])
  })

  it('ends a command that takes too long, with everything that it started', () => {
    const { code, timedOut } = run('sleep 60 & echo $! > child; sleep 60', 500)

    assert.equal(code, undefined)
    assert.equal(timedOut, true)
    assert.ok(!isRunning(childOfCommand()))
  })

  it('ends what a command left behind', () => {
    const { code, timedOut } = run('sleep 60 & echo $! > child', 10_000)

    assert.equal(code, 0)
    assert.equal(timedOut, false)
    assert.ok(!isRunning(childOfCommand()))
  })

  it('tells of a command that does not exist', () => {
    const { code, output } = runProgram('no-such-program', [], 10_000)

    assert.equal(code, undefined)
    assert.match(output, /ENOENT/)
  })

  function run(shellCommand: string, timeoutMs: number): Ended {
    return runProgram('sh', ['-c', shellCommand], timeoutMs)
  }

  function runProgram(program: string, options: readonly string[], timeoutMs: number): Ended {
    const call = [program, options, { timeoutMs, cwd: folder }].map((it) => JSON.stringify(it))
    const code = `import { run } from '${library}'
      console.log(JSON.stringify(await run(${call.join(', ')})))`
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', code],
      { encoding: 'utf8', timeout: 60_000 },
    )
    assert.notEqual(stdout, '', stderr)
    return JSON.parse(stdout) as Ended
  }

  function childOfCommand(): number {
    return Number(readFileSync(join(folder, 'child'), 'utf8'))
  }
})

/** A process that was killed but that nobody waited for is not running. */
function isRunning(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
  return stdout.trim() !== '' && !stdout.startsWith('Z')
}
