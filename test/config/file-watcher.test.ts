import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileWatcher } from '../../src/config/file-watcher.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { FakeClock } from '../support/fake-clock.ts'

describe('FileWatcher', () => {
  let directory: string
  let changes: number
  let waiters: (() => void)[]
  let watcher: FileWatcher | undefined

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'postern-watch-'))
    changes = 0
    waiters = []
  })

  afterEach(async () => {
    await watcher?.close()
    watcher = undefined
    await rm(directory, { recursive: true })
  })

  async function start(
    file: string,
    pollMs = 60_000,
    clock: Clock = systemClock,
    settleMs = 20,
  ): Promise<void> {
    const onChange = () => {
      changes++
      for (const waiter of waiters.splice(0)) waiter()
    }
    const options = { clock, logger: silentLogger, settleMs, pollMs, onChange }
    watcher = await FileWatcher.start(options, [file])
  }

  function changed(): Promise<void> {
    return new Promise((resolve) => waiters.push(resolve))
  }

  it('notices a file that is written in place', async () => {
    const file = join(directory, 'a.yaml')
    await writeFile(file, 'one')
    await start(file)
    const change = changed()
    await writeFile(file, 'two')
    await change
    assert.equal(changes, 1)
  })

  it('notices a file that is put in the place of the old one, again and again', async () => {
    const file = join(directory, 'a.yaml')
    await writeFile(file, '0')
    await start(file)
    for (let i = 1; i <= 3; i++) {
      const change = changed()
      await writeFile(`${file}.new`, String(i))
      await rename(`${file}.new`, file)
      await change
    }
    assert.equal(changes, 3)
  })

  it('follows the ..data swap of a Kubernetes volume, twice in a row', async () => {
    await publish('v1')
    await symlink('..data/a.yaml', join(directory, 'a.yaml'))
    await start(join(directory, 'a.yaml'))
    for (const version of ['v2', 'v3']) {
      const change = changed()
      await publish(version)
      await change
    }
    assert.equal(changes, 2)
  })

  it('says nothing when a file is touched or another one beside it changes', async () => {
    const file = join(directory, 'a.yaml')
    await writeFile(file, 'one')
    await start(file)
    await utimes(file, new Date(), new Date())
    await writeFile(join(directory, 'b.yaml'), 'other')
    const change = changed()
    // The comparison after this write comes after those before it: one change in all.
    await writeFile(file, 'two')
    await change
    assert.equal(changes, 1)
  })

  it('notices a file that comes, in a directory that came first', async () => {
    const file = join(directory, 'later', 'a.yaml')
    await start(file, 50)
    const change = changed()
    await mkdir(join(directory, 'later'))
    await writeFile(file, 'one')
    await change
    assert.equal(changes, 1)
  })

  it('follows a symlink to a file of another directory', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'postern-target-'))
    await writeFile(join(elsewhere, 'a.yaml'), 'one')
    await symlink(join(elsewhere, 'a.yaml'), join(directory, 'a.yaml'))
    await start(join(directory, 'a.yaml'))
    const change = changed()
    await writeFile(join(elsewhere, 'a.yaml'), 'two')
    await change
    assert.equal(changes, 1)
    await rm(elsewhere, { recursive: true })
  })

  it('follows a directory that another takes the place of, again and again', async () => {
    const file = join(directory, 'conf', 'a.yaml')
    await mkdir(join(directory, 'conf'))
    await writeFile(file, '0')
    await start(file)
    for (let i = 1; i <= 2; i++) {
      await replaceDirectory(`${i}`)
      const change = changed()
      await writeFile(file, `${i}, edited`)
      await change
    }
  })

  it('looks at a file in a directory that is never quiet', async () => {
    const clock = new FakeClock()
    const file = join(directory, 'a.yaml')
    await writeFile(file, 'one')
    await start(file, 60_000, clock, 100)
    const heard = watch(directory)
    const noise = async () => {
      const event = once(heard, 'change')
      await writeFile(join(directory, 'log'), String(clock.monotonic()))
      await event
    }
    const change = changed()
    await writeFile(file, 'two')
    await until(() => clock.nextTimerMs === 100)
    for (let i = 1; i <= 11; i++) {
      clock.advance(90)
      await noise()
      await until(() => clock.nextTimerMs === 100)
    }
    clock.advance(90)
    await noise()
    await turn()
    clock.advance(10)
    heard.close()
    await change
    assert.equal(changes, 1)
  })

  it('misses no change between what it saw last and being told to watch the file again', async () => {
    const file = join(directory, 'a.yaml')
    await writeFile(file, 'one')
    await start(file, 50)
    const change = changed()
    await writeFile(file, 'two')
    await watcher?.watch([file])
    await change
  })

  it('tells of a file that is as it was, when somebody else has read it meanwhile', async () => {
    const file = join(directory, 'a.yaml')
    await writeFile(file, 'one')
    await start(file)
    watcher?.forget()
    const change = changed()
    await writeFile(file, 'one')
    await change
    assert.equal(changes, 1)
  })

  it('does not hang at a named pipe', async () => {
    const file = join(directory, 'pipe')
    execFileSync('mkfifo', [file])
    await start(file)
    const change = changed()
    await rm(file)
    await writeFile(file, 'one')
    await change
  })

  /** Resolves when the new directory is seen. */
  async function replaceDirectory(name: string): Promise<void> {
    const fresh = join(directory, `fresh-${name}`)
    await mkdir(fresh)
    await writeFile(join(fresh, 'a.yaml'), name)
    const change = changed()
    await rename(join(directory, 'conf'), join(directory, `old-${name}`))
    await rename(fresh, join(directory, 'conf'))
    await change
  }

  /** What the kubelet does: a new directory, and the symlink renamed over the old one. */
  async function publish(version: string): Promise<void> {
    await mkdir(join(directory, `..${version}`))
    await writeFile(join(directory, `..${version}`, 'a.yaml'), version)
    await symlink(`..${version}`, join(directory, '..data_tmp'))
    await rename(join(directory, '..data_tmp'), join(directory, '..data'))
  }
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await turn()
}
