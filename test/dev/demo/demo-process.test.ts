import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { systemClock } from '../../../src/core/clock.ts'
import { PosternError } from '../../../src/core/errors.ts'
import { DemoProcess, type DemoProcessOptions } from '../../../src/dev/demo/demo-process.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { eventually } from '../../workload-api/support/eventually.ts'

describe('DemoProcess', () => {
  let child: ChildProcessWithoutNullStreams

  afterEach(() => {
    child.kill('SIGKILL')
  })

  function start(script: string, options: Partial<DemoProcessOptions> = {}): DemoProcess {
    child = spawn('sh', ['-c', script], { stdio: 'pipe' })
    const { signal } = new AbortController()
    return new DemoProcess(child, { name: 'the child', clock: systemClock, signal, ...options })
  }

  it('hands over lines of stdout and of stderr, and takes lines', async () => {
    const output: string[] = []
    const log: string[] = []
    const process = start('read line; echo "$line"; echo log >&2', {
      onOutput: (line) => output.push(line),
      onLog: (line) => log.push(line),
    })

    process.tell('hello')
    const found = await process.until('both', () => output[0] && log[0])

    assert.equal(found, 'log')
    assert.deepEqual([output, log], [['hello'], ['log']])
  })

  it('says with its last lines that it ended before what was waited for', async () => {
    const process = start('echo first; seq 20 >&2; exit 3')

    const error = await process
      .until('something', () => undefined)
      .catch((thrown: unknown) => thrown)

    assert.ok(error instanceof PosternError)
    assert.equal(error.code, 'ERR_DEMO_FAILED')
    assert.match(error.message, /exit code 3/)
    assert.match(error.message, /\n {2}19\n {2}20$/)
    assert.doesNotMatch(error.message, /first/)
  })

  it('says so when the program cannot be started', async () => {
    child = spawn('/no/such/program', { stdio: 'pipe' })
    const { signal } = new AbortController()
    const process = new DemoProcess(child, { name: 'it', clock: systemClock, signal })

    await assert.rejects(
      process.until('something', () => undefined),
      { code: 'ERR_DEMO_FAILED' },
    )
    await process.stop()
  })

  it('waits only so long', async () => {
    const clock = new FakeClock()
    const process = start('exec sleep 60', { clock, patienceMs: 50 })
    let looks = 0
    const waiting = process.until('something', () => {
      looks++
      return undefined
    })
    const refused = assert.rejects(waiting, { code: 'ERR_DEMO_FAILED' })

    for (let look = 1; look <= 3; look++) {
      await eventually(() => looks === look && clock.nextTimerMs !== undefined)
      clock.advance(20)
    }

    await refused
  })

  it('ends a wait when the signal aborts', async () => {
    const abort = new AbortController()
    const process = start('exec sleep 60', { signal: abort.signal })
    const waiting = process.until('something', () => undefined)

    abort.abort()

    await assert.rejects(waiting, { name: 'AbortError' })
  })

  it('stops a process that obeys, also twice', async () => {
    const process = start('exec sleep 60')

    await process.stop()
    await process.stop()

    assert.equal(child.signalCode, 'SIGTERM')
  })

  it('does not wait for what a stopped process has left behind', async () => {
    const process = start('sleep 5 & echo started; wait')
    await once(child.stdout, 'data')

    await process.stop()

    assert.equal(child.signalCode, 'SIGTERM')
    child.stdout.destroy()
    child.stderr.destroy()
  })

  it('kills a process that does not obey', async () => {
    const clock = new FakeClock()
    const process = start('trap "" TERM; echo deaf; while :; do sleep 0.1; done', { clock })
    await once(child.stdout, 'data')

    const stopped = process.stop()
    clock.advance(5_000)
    await stopped

    assert.equal(child.signalCode, 'SIGKILL')
  })
})
