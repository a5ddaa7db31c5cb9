import assert from 'node:assert/strict'
import { AuditLog, type AppendResult } from '../../src/telemetry/audit-log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { CapturingLogger, FakeSink, gate, settle } from './support/fakes.ts'

function start(maxHeldBytes?: number) {
  const clock = new FakeClock()
  const sink = new FakeSink()
  const logger = new CapturingLogger()
  const dropped = { lines: 0 }
  const failing: boolean[] = []
  const log = new AuditLog({
    clock,
    sink,
    logger,
    onDropped: (lines) => (dropped.lines += lines),
    onFailing: (isFailing) => failing.push(isFailing),
    ...(maxHeldBytes === undefined ? {} : { maxHeldBytes }),
  })
  return { clock, sink, logger, dropped, failing, log }
}

describe('the audit log', () => {
  it('writes nothing before 100 ms, and then everything at once', async () => {
    const { clock, sink, log } = start()
    log.append('one\n')
    log.append('two\n')
    clock.advance(99)
    await settle()
    assert.equal(sink.appends, 0)
    clock.advance(1)
    await settle()
    assert.equal(sink.text, 'one\ntwo\n')
    assert.equal(sink.appends, 1)
  })

  it('writes 256 lines without waiting', async () => {
    const { sink, log } = start()
    for (let i = 0; i < 255; i++) log.append(`${i}\n`)
    await settle()
    assert.equal(sink.appends, 0)
    log.append('255\n')
    await settle()
    assert.deepEqual(
      sink.lines,
      Array.from({ length: 256 }, (_, i) => `${i}`),
    )
  })

  it('has no timer when there is nothing to write', async () => {
    const { clock, log } = start()
    assert.equal(clock.nextTimerMs, undefined)
    log.append('one\n')
    assert.equal(clock.nextTimerMs, 100)
    clock.advance(100)
    await settle()
    assert.equal(clock.nextTimerMs, undefined)
  })

  it('keeps the order of lines that come while a write is on its way', async () => {
    const { clock, sink, log } = start()
    const { passed, open } = gate()
    sink.answer = async (bytes) => {
      await passed
      return { written: sink.take(bytes, bytes.length) }
    }
    const expected: string[] = []
    for (let i = 0; i < 2_000; i++) {
      log.append(`line ${i}\n`)
      expected.push(`line ${i}`)
      if (i === 300) await settle()
    }
    open()
    await settle()
    clock.advance(100)
    await settle()
    assert.deepEqual(sink.lines, expected)
  })

  it('writes more than fits one of its chunks, line by line', async () => {
    const { sink, log } = start()
    const line = `${'x'.repeat(30_000)}\n`
    for (let i = 0; i < 60; i++) log.append(line)
    // A chunk that is full does not wait for the timer.
    await settle()
    assert.equal(sink.appends, 7)
    await log.flush()
    assert.equal(sink.text, line.repeat(60))
  })

  it('goes on with the byte after the last that was written', async () => {
    const { clock, sink, log } = start()
    sink.answer = async (bytes) => ({ written: sink.take(bytes, Math.min(5, bytes.length)) })
    log.append('first\n')
    log.append('second\n')
    for (let i = 0; i < 3; i++) {
      clock.advance(100)
      await settle()
    }
    assert.equal(sink.text, 'first\nsecond\n')
    assert.equal(sink.appends, 3)
  })

  for (const { name, answer, warned } of [
    {
      name: 'that takes nothing',
      answer: (): Promise<AppendResult> => Promise.resolve({ written: 0 }),
      warned: [],
    },
    {
      name: 'that fails',
      answer: (): Promise<AppendResult> =>
        Promise.resolve({ written: 0, error: new Error('ENOSPC') }),
      warned: ['audit log cannot be written'],
    },
    {
      name: 'that rejects',
      answer: (): Promise<AppendResult> => Promise.reject(new Error('EIO')),
      warned: ['audit log cannot be written'],
    },
  ]) {
    it(`holds lines for a sink ${name}, drops and counts what is too much, and recovers`, async () => {
      const { clock, sink, logger, dropped, log } = start(1_000)
      sink.answer = answer
      const lines = Array.from({ length: 500 }, (_, i) => `${String(i).padStart(9, '0')}\n`)
      for (const line of lines) log.append(line)
      clock.advance(1_000)
      await settle()
      assert.equal(dropped.lines, 400)
      assert.deepEqual(logger.messages('warn'), warned)

      sink.answer = undefined
      clock.advance(100)
      await settle()
      assert.equal(sink.text, lines.slice(0, 100).join(''))
      assert.deepEqual(logger.lines.at(-1)?.fields, { droppedLines: 400 })
      log.append('new\n')
      await log.flush()
      assert.equal(sink.lines.at(-1), 'new')
      assert.equal(dropped.lines, 400)
    })
  }

  it('is not writable from a failed write to the next one that goes well, and tells both once', async () => {
    const { clock, sink, failing, log } = start()
    sink.answer = () => Promise.resolve({ written: 0, error: new Error('ENOSPC') })
    assert.equal(log.isWritable, true)
    log.append('one\n')
    for (let i = 0; i < 3; i++) {
      clock.advance(100)
      await settle()
      assert.equal(log.isWritable, false)
    }
    sink.answer = undefined
    clock.advance(100)
    await settle()
    assert.equal(log.isWritable, true)
    assert.deepEqual(failing, [true, false])
  })

  it('is not writable while more than half of its room is taken, because its reader hangs', async () => {
    const { clock, sink, log } = start(1_000)
    sink.answer = () => Promise.resolve({ written: 0 })
    for (let i = 0; i < 50; i++) log.append('123456789\n')
    clock.advance(100)
    await settle()
    assert.equal(log.isWritable, true)
    log.append('123456789\n')
    assert.equal(log.isWritable, false)
    sink.answer = undefined
    clock.advance(100)
    await settle()
    assert.equal(log.isWritable, true)
  })

  it('asks a sink that takes nothing only when the timer says so', async () => {
    const { clock, sink, log } = start()
    sink.answer = () => Promise.resolve({ written: 0 })
    log.append('one\n')
    clock.advance(100)
    await settle()
    for (let i = 0; i < 1_000; i++) log.append(`${i}\n`)
    await settle()
    assert.equal(sink.appends, 1)
    clock.advance(100)
    await settle()
    assert.equal(sink.appends, 2)
  })

  it('has its whole bound again after lines are written, any number of times', async () => {
    const { sink, dropped, log } = start(1_000)
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 90; i++) log.append('123456789\n')
      await log.flush()
    }
    assert.equal(dropped.lines, 0)
    sink.answer = () => Promise.resolve({ written: 0 })
    for (let i = 0; i < 200; i++) log.append('123456789\n')
    assert.equal(dropped.lines, 100)
  })

  it('drops by its bound also while a write hangs', async () => {
    const { sink, dropped, log } = start(1_000)
    sink.answer = () => gate<AppendResult>().passed
    for (let i = 0; i < 1_000; i++) log.append('123456789\n')
    await settle()
    assert.equal(dropped.lines, 900)
  })

  it('drops a line that no chunk can hold and keeps the others', async () => {
    const { sink, dropped, log } = start()
    log.append('before\n')
    log.append(`${'x'.repeat(256 * 1024)}\n`)
    log.append('after\n')
    await log.flush()
    assert.equal(sink.text, 'before\nafter\n')
    assert.equal(dropped.lines, 1)
  })

  it('flushes what is held at once, and gives up when the sink takes no more', async () => {
    const { sink, log } = start()
    log.append('one\n')
    await log.flush()
    assert.equal(sink.text, 'one\n')
    sink.answer = () => Promise.resolve({ written: 0 })
    log.append('two\n')
    await log.flush()
    assert.equal(sink.appends, 2)
  })

  it('begins a half-written line again in the new file', async () => {
    const { clock, sink, log } = start()
    sink.answer = async (bytes) => ({ written: sink.take(bytes, 'first\nsec'.length) })
    log.append('first\nsecond\n')
    clock.advance(100)
    await settle()
    assert.equal(sink.text, 'first\nsec')
    sink.answer = undefined
    sink.text = ''
    await log.reopen()
    await log.flush()
    assert.equal(sink.reopens, 1)
    assert.equal(sink.text, 'second\n')
  })

  it('makes one call at a time, whatever comes while one hangs', async () => {
    const { clock, sink, log } = start()
    const { passed, open } = gate()
    sink.answer = async (bytes) => {
      await passed
      return { written: sink.take(bytes, bytes.length) }
    }
    log.append('one\n')
    clock.advance(100)
    log.append('two\n')
    clock.advance(500)
    const flushed = log.flush()
    const reopened = log.reopen()
    for (let i = 0; i < 300; i++) log.append(`${i}\n`)
    clock.advance(500)
    open()
    await Promise.all([flushed, reopened])
    await log.flush()
    assert.equal(sink.overlaps, 0)
    assert.equal(sink.lines.length, 302)
  })

  it('opens the file again only after the write that is on its way', async () => {
    const { clock, sink, log } = start()
    const { passed, open } = gate()
    sink.answer = async (bytes) => {
      await passed
      return { written: sink.take(bytes, bytes.length) }
    }
    log.append('one\n')
    clock.advance(100)
    const reopened = log.reopen()
    await settle()
    assert.equal(sink.reopens, 0)
    open()
    await reopened
    assert.equal(sink.reopens, 1)
    assert.equal(sink.text, 'one\n')
  })

  it('keeps the old file when the new one cannot be opened', async () => {
    const { sink, logger, log } = start()
    sink.reopen = () => Promise.reject(new Error('EACCES'))
    await log.reopen()
    log.append('one\n')
    await log.flush()
    assert.equal(sink.text, 'one\n')
    assert.equal(logger.messages('warn').length, 1)
  })

  it('is closed with every line written when its reader takes some at a time', async () => {
    const { sink, dropped, log, clock } = start()
    sink.answer = async (bytes) => ({ written: sink.take(bytes, 10) })
    for (let i = 0; i < 30; i++) log.append('123456789\n')
    const closed = log.close()
    for (let i = 0; i < 40 && sink.closes === 0; i++) {
      await settle()
      clock.advance(20)
    }
    await closed
    assert.equal(sink.lines.length, 30)
    assert.equal(dropped.lines, 0)
  })

  it('is closed at once when its disk is full', async () => {
    const { sink, dropped, log } = start()
    sink.answer = () => Promise.resolve({ written: 0, error: new Error('ENOSPC') })
    log.append('one\n')
    await log.close()
    assert.equal(dropped.lines, 1)
  })

  it('counts what it cannot write as dropped when it is closed, and closes the sink once', async () => {
    const { sink, dropped, log, clock } = start()
    log.append('one\n')
    log.append('two\n')
    log.append('three\n')
    sink.answer = async (bytes) => {
      const answer = { written: sink.take(bytes, 5) }
      sink.answer = () => Promise.resolve({ written: 0 })
      return answer
    }
    const closed = Promise.all([log.close(), log.close()])
    for (let i = 0; i < 60; i++) {
      await settle()
      clock.advance(20)
    }
    await closed
    assert.equal(dropped.lines, 2)
    assert.equal(sink.closes, 1)
    log.append('late\n')
    assert.equal(dropped.lines, 3)
    assert.equal(clock.nextTimerMs, undefined)
  })
})
