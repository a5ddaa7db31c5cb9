import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readKeptUsage, UsageFile } from '../../src/admin/usage-file.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { CapturingLogger } from '../telemetry/support/fakes.ts'
import { allow, now, recordOf } from '../telemetry/support/records.ts'
import { temporaryFolder } from '../workload-api/support/temporary-folder.ts'

describe('UsageFile', () => {
  const folder = temporaryFolder()
  const file = () => folder.path('state/usage.json')
  let logger: CapturingLogger

  beforeEach(() => {
    logger = new CapturingLogger()
  })

  const open = (directory = folder.path('state'), clock = new FakeClock(now)) =>
    UsageFile.open({ directory, clock, logger })

  it('remembers across restarts since when, who and how often, and is for its owner alone', async () => {
    const first = await open()
    first.usage.add(recordOf({ decision: allow({ apiKeyId: 'k_1', consumer: 'acme' }) }))
    await first.close()
    const second = await open(folder.path('state'), new FakeClock(now + 5_000))
    await second.close()

    assert.deepEqual(second.usage.snapshot(), first.usage.snapshot())
    assert.equal(second.usage.sinceMs, now)
    assert.equal(statSync(file()).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(folder.path('state')), ['usage.json'])
    assert.deepEqual(logger.lines, [])
  })

  it('saves by itself once a minute, when there is something new', async () => {
    const clock = new FakeClock(now)
    const usageFile = await open(folder.path('state'), clock)
    clock.advance(60_000)
    await usageFile.save()
    assert.throws(() => statSync(file()), { code: 'ENOENT' })

    usageFile.usage.add(recordOf({ decision: allow() }))
    clock.advance(60_000)
    await usageFile.save()
    const inode = statSync(file()).ino
    clock.advance(60_000)
    await usageFile.save()
    assert.equal(statSync(file()).ino, inode)
    await usageFile.close()
  })

  const damaged: readonly { name: string; text: string }[] = [
    { name: 'half a file', text: '{"version":1,"sinceMs":12,"call' },
    { name: 'no JSON', text: 'hello' },
    { name: 'another version', text: '{"version":2,"sinceMs":1,"callers":[],"keys":[]}' },
    { name: 'a count below zero', text: withCaller({ allowed: -1 }) },
    { name: 'a credential that there is not', text: withCaller({ credential: 'password' }) },
    { name: 'a field more', text: withCaller({ apiKey: 'pst_' }) },
  ]
  it('is read by who only looks, with the time at which it was kept', async () => {
    const usageFile = await open()
    usageFile.usage.add(recordOf({ decision: allow({ apiKeyId: 'k_1', consumer: 'acme' }) }))
    await usageFile.close()
    const kept = await readKeptUsage(folder.path('state'))

    assert.deepEqual(kept.usage.snapshot(), usageFile.usage.snapshot())
    assert.equal(kept.savedMs, statSync(file()).mtimeMs)
  })

  it('is not there for who only looks, or damaged, and is left as it is', async () => {
    const refused = { code: 'ERR_FILE_UNREADABLE' }
    await assert.rejects(readKeptUsage(folder.path('state')), refused)
    mkdirSync(folder.path('state'), { recursive: true })
    for (const { text } of damaged) {
      writeFileSync(file(), text)
      await assert.rejects(readKeptUsage(folder.path('state')), refused)
      assert.equal(readFileSync(file(), 'utf8'), text)
    }
  })

  for (const { name, text } of damaged) {
    it(`puts ${name} aside with a warning and begins anew`, async () => {
      mkdirSync(folder.path('state'))
      writeFileSync(file(), text)
      const usageFile = await open()

      assert.equal(usageFile.usage.snapshot().callers.length, 0)
      assert.deepEqual(logger.messages('warn'), ['state is damaged and is put aside'])
      assert.equal(readFileSync(`${file()}.damaged`, 'utf8'), text)
      usageFile.usage.add(recordOf({ decision: allow() }))
      await usageFile.close()
      assert.equal((await open()).usage.snapshot().callers.length, 1)
    })
  }

  it('reads what the damaged ones were made from', async () => {
    mkdirSync(folder.path('state'))
    writeFileSync(file(), withCaller({}))
    assert.equal((await open()).usage.callersOf('p')[0]?.principal, 'x')
    assert.deepEqual(logger.lines, [])
  })

  it('goes on where nothing can be written, and says so once', async () => {
    writeFileSync(folder.path('taken'), '')
    const usageFile = await open(folder.path('taken/state'))
    usageFile.usage.add(recordOf({ decision: allow() }))
    await usageFile.save()
    await usageFile.close()
    assert.deepEqual(logger.messages('warn'), ['state cannot be read', 'state cannot be written'])
  })

  it('writes nothing without a directory', async () => {
    const usageFile = await UsageFile.open({ directory: undefined, clock: new FakeClock(), logger })
    usageFile.usage.add(recordOf({ decision: allow() }))
    await usageFile.close()
    assert.deepEqual(logger.lines, [])
  })
})

function withCaller(parts: object): string {
  const times = { firstMs: 1, lastMs: 2, lastAllowedMs: 2 }
  const caller = { product: 'p', principal: 'x', credential: 'x509', allowed: 1, denied: 0 }
  const callers = [{ ...caller, ...times, ...parts }]
  return JSON.stringify({ version: 1, sinceMs: 1, callers, keys: [] })
}
