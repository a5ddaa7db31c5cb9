import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PosternError } from '../../src/core/errors.ts'
import { AuditFile } from '../../src/telemetry/audit-file.ts'
import { skip } from '../support/skip.ts'

describe('the file of the audit log', () => {
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'postern-audit-'))
  })

  after(async () => {
    await rm(directory, { recursive: true })
  })

  it('is appended to, and not readable for others', async () => {
    const path = join(directory, 'appended.log')
    await writeFile(path, 'old\n', { mode: 0o600 })
    const file = await AuditFile.open(path)
    assert.deepEqual(await file.append(Buffer.from('new\n')), { written: 4 })
    await file.close()
    assert.equal(await readFile(path, 'utf8'), 'old\nnew\n')
    const fresh = join(directory, 'fresh.log')
    await (await AuditFile.open(fresh)).close()
    assert.equal((await stat(fresh)).mode & 0o007, 0)
  })

  it('goes on in a new file after a rotation', async () => {
    const path = join(directory, 'rotated.log')
    const file = await AuditFile.open(path)
    await file.append(Buffer.from('one\n'))
    await rename(path, `${path}.1`)
    await file.append(Buffer.from('two\n'))
    await file.reopen()
    await file.append(Buffer.from('three\n'))
    await file.close()
    assert.equal(await readFile(`${path}.1`, 'utf8'), 'one\ntwo\n')
    assert.equal(await readFile(path, 'utf8'), 'three\n')
  })

  it('stays in use when it cannot be opened again', async () => {
    const sub = await mkdtemp(join(directory, 'sub-'))
    const file = await AuditFile.open(join(sub, 'audit.log'))
    await rename(sub, join(directory, 'moved'))
    await assert.rejects(file.reopen(), hasCode('ERR_AUDIT_UNAVAILABLE'))
    assert.deepEqual(await file.append(Buffer.from('one\n')), { written: 4 })
    await file.close()
    assert.equal(await readFile(join(directory, 'moved', 'audit.log'), 'utf8'), 'one\n')
  })

  it('is refused where there is no such directory, or a directory in its place', async () => {
    for (const path of [join(directory, 'none', 'audit.log'), directory]) {
      await assert.rejects(AuditFile.open(path), hasCode('ERR_AUDIT_UNAVAILABLE'))
    }
  })

  it('refuses a named pipe that nobody reads instead of waiting for a reader', async () => {
    const path = join(directory, 'pipe')
    await promisify(execFile)('mkfifo', [path])
    await assert.rejects(AuditFile.open(path), hasCode('ERR_AUDIT_UNAVAILABLE'))
  })

  it('says how much a full disk took', async function () {
    // Every write to this device fails as on a full disk.
    const file = await AuditFile.open('/dev/full').catch(() => skip(this, 'no /dev/full here'))
    const { written, error } = await file.append(Buffer.from('one\n'))
    assert.equal(written, 0)
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    await file.close()
  })

  it('takes what fits a pipe whose reader hangs, and lets the process exit', async function () {
    if (process.platform !== 'linux') skip(this, 'reads /proc')
    const path = join(directory, 'stdout')
    await promisify(execFile)('mkfifo', [path])
    // Open for reading as well, and never read.
    const pipe = await open(path, 'r+')
    const { code, stderr } = await run(
      `const file = await AuditFile.open('-')
      const first = await file.append(Buffer.alloc(8 << 20, 'x'))
      const second = await file.append(Buffer.from('y'))
      // The loader of TypeScript makes descriptor 1 non-blocking by chance; the program itself must not count on that.
      const fs = await import('node:fs')
      const flags = []
      for (let fd = 3; fd < 64; fd++) {
        try {
          if (fs.readlinkSync('/proc/self/fd/' + fd) !== ${JSON.stringify(path)}) continue
          const info = fs.readFileSync('/proc/self/fdinfo/' + fd, 'utf8')
          flags.push(parseInt(/flags:\\s*(\\d+)/.exec(info)[1], 8))
        } catch {}
      }
      process.stderr.write(JSON.stringify({ first, second, flags }))
      process.exit(0)`,
      pipe.fd,
    )
    await pipe.close()
    assert.equal(code, 0, stderr)
    const { first, second, flags } = JSON.parse(stderr) as {
      first: { written: number }
      second: { written: number }
      flags: number[]
    }
    assert.ok(first.written > 0 && first.written < 8 << 20)
    assert.deepEqual(second, { written: 0 })
    assert.deepEqual(
      flags.map((flag) => (flag & constants.O_NONBLOCK) !== 0),
      [true],
    )
  })

  it('writes to standard output also where that cannot be opened anew', async () => {
    // What Node gives to a child as a pipe is one end of a socket pair.
    const { code, stdout, stderr } = await run(
      `const file = await AuditFile.open('-')
      await file.append(Buffer.from('one\\n'))
      await file.reopen()
      await file.append(Buffer.from('two\\n'))
      await file.close()`,
      'pipe',
    )
    assert.equal(code, 0, stderr)
    assert.equal(stdout, 'one\ntwo\n')
  })
})

/** Runs a script that has `AuditFile` in a process of its own. */
async function run(script: string, stdout: number | 'pipe') {
  const module = new URL('../../src/telemetry/audit-file.ts', import.meta.url).href
  const source = `import { AuditFile } from ${JSON.stringify(module)}\n${script}`
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', source],
    { stdio: ['ignore', stdout, 'pipe'] },
  )
  const written = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk: Buffer) => (written.stdout += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (written.stderr += chunk.toString()))
  const code = await new Promise((resolve) => child.on('close', resolve))
  return { code, ...written }
}

function hasCode(code: string) {
  return (error: unknown) => error instanceof PosternError && error.code === code
}
