import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { constants, existsSync } from 'node:fs'
import { mkdir, open, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { skip } from '../support/skip.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import type { CallerConnection } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'

/** Long enough that a thousand lines of it are more than the sidecar keeps back. */
const longPath = `/${'x'.repeat(4_000)}`
const full = '/dev/full'

describe('an audit log that cannot be written', () => {
  let mesh: Mesh | undefined
  let caller: CallerConnection | undefined
  let stop = new AbortController()

  afterEach(async () => {
    stop.abort()
    stop = new AbortController()
    caller?.close()
    await mesh?.close()
    caller = mesh = undefined
  })

  async function start(audit: object): Promise<{ mesh: Mesh; caller: CallerConnection }> {
    mesh = await Mesh.start({ config: { audit } })
    caller = await (await mesh.svidCaller(checkoutId)).open('h2')
    return { mesh, caller }
  }

  async function statusOf(path = '/'): Promise<number> {
    return (await caller?.call({ path }))?.status ?? 0
  }

  /** Asks until the answer has this status; how many answers there were. */
  async function asksUntil(status: number, path = '/'): Promise<number> {
    let answers = 1
    await mesh?.postern.until(
      `status ${status}`,
      async () => {
        // Refusals are lines too: many at once would fill the log as fast as a pipe is read.
        for (let i = 0; i < (status === 503 ? 50 : 1); i++, answers++) {
          if ((await statusOf(path)) === status) return true
        }
        return false
      },
      60_000,
    )
    return answers
  }

  it('on a full disk stops nobody, is told in the log and counted when it is lost', async function () {
    if (!existsSync(full)) skip(this, 'there is no /dev/full')
    const { mesh: m } = await start({ file: full })
    await m.postern.until('a failed write', async () => {
      assert.equal(await statusOf(), 200)
      return (await m.postern.metric('postern_audit_writable')) === 0
    })
    assert.equal((await m.postern.logged('audit log cannot be written')).level, 'warn')
    assert.equal(await m.postern.metric('postern_audit_lines_dropped_total'), 0)
    await m.postern.until(
      'lines that are lost',
      async () => {
        for (let i = 0; i < 100; i++) assert.equal(await statusOf(longPath), 200)
        return (await m.postern.metric('postern_audit_lines_dropped_total')) > 0
      },
      120_000,
    )
    assert.equal((await m.postern.ready()).status, 200)
    m.postern.signal('SIGTERM')
    assert.equal(await m.postern.exited, 0)
  }).timeout(180_000)

  it('on a full disk refuses everybody where it is required, and is not ready', async function () {
    if (!existsSync(full)) skip(this, 'there is no /dev/full')
    const { mesh: m } = await start({ file: full, required: true })
    await asksUntil(503)
    const reply = await caller?.call()
    assert.equal(reply?.json.reason, 'audit_unavailable')
    assert.deepEqual(await m.postern.ready(), { status: 503, missing: ['audit'] })
    const reached = m.workload.seen.length
    assert.equal(await statusOf(), 503)
    assert.equal(m.workload.seen.length, reached)
    assert.equal((await m.anonymous().call()).json.reason, 'credential_missing')
    m.postern.signal('SIGTERM')
    assert.equal(await m.postern.exited, 0)
  }).timeout(90_000)

  it('in a pipe whose reader sleeps is kept back, then required to move, and goes on when it does', async () => {
    const directory = await temporaryDirectory()
    const fifo = join(directory, 'audit.fifo')
    execFileSync('mkfifo', [fifo])
    // Both ends are open, so that it is not refused for want of a reader.
    const reader = await open(fifo, constants.O_RDWR | constants.O_NONBLOCK)
    const { mesh: m } = await start({ file: fifo, required: true })
    const answers = await asksUntil(503, longPath)
    assert.equal((await caller?.call())?.json.reason, 'audit_unavailable')
    assert.ok(answers > 500, `${answers}`)
    assert.deepEqual((await m.postern.ready()).missing, ['audit'])
    const drained = drain(reader.fd, stop.signal)
    await asksUntil(200)
    assert.equal(await m.postern.metric('postern_audit_lines_dropped_total'), 0)
    await m.postern.stop()
    stop.abort()
    const text = await drained
    await reader.close()
    for (const line of text.split('\n').slice(0, -1)) JSON.parse(line)
    assert.ok(text.includes('audit_unavailable'), text.slice(-3000))
  }).timeout(180_000)

  it('goes on where it stopped when there is room on its disk again', async function () {
    const disk = await temporaryDirectory()
    const size = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'postern-test', disk])
    if (size.status !== 0) skip(this, 'no tmpfs can be mounted here')
    try {
      const file = join(disk, 'audit.log')
      await mkdir(disk, { recursive: true })
      const { mesh: m } = await start({ file, required: true })
      await asksUntil(503, longPath)
      assert.equal(await m.postern.metric('postern_audit_writable'), 0)
      // What is held back may be more than the whole disk takes at once.
      await m.postern.until(
        'status 200',
        async () => {
          await truncate(file)
          return (await statusOf()) === 200
        },
        60_000,
      )
      await m.postern.until('it is written', async () =>
        (await readFile(file, 'utf8')).includes('"path":"/"'),
      )
      assert.equal(await m.postern.metric('postern_audit_writable'), 1)
      assert.equal((await m.postern.logged('audit log is written again')).level, 'warn')
    } finally {
      await mesh?.close()
      mesh = undefined
      spawnSync('umount', [disk])
    }
  }).timeout(120_000)
})

/** What can be read until the signal. */
async function drain(fd: number, signal: AbortSignal): Promise<string> {
  const { read } = await import('node:fs')
  const buffer = Buffer.alloc(65_536)
  let text = ''
  for (;;) {
    const count = await new Promise<number>((resolve) => {
      read(fd, buffer, 0, buffer.length, null, (error, bytes) =>
        resolve(error === null ? bytes : 0),
      )
    })
    if (count > 0) text += buffer.toString('latin1', 0, count)
    else if (signal.aborted) return text
    else await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
