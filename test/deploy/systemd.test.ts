import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSidecarConfig } from '../../src/config/sidecar-config.ts'
import { hasProgram, runProgram } from '../e2e/support/programs.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import { skip } from '../support/skip.ts'

const unit = join(import.meta.dirname, '../../deploy/systemd/postern.service')

describe('deploy/systemd/postern.service', () => {
  let directory = ''
  let file = ''

  before(async function () {
    if (!(await hasProgram('systemd-analyze', '--version'))) {
      skip(this, 'this machine is not run by systemd')
    }
    directory = await temporaryDirectory()
    file = join(directory, 'postern.service')
    const text = readFileSync(unit, 'utf8')
    // systemd looks whether the program is there, and Node.js is not everywhere in the same place.
    assert.match(text, /^ExecStart=\/usr\/bin\/node /m)
    writeFileSync(file, text.replace('/usr/bin/node', process.execPath))
  })

  after(() => rmSync(directory, { recursive: true, force: true }))

  it('is a unit that systemd understands whole', async () => {
    const { code, stdout, stderr } = await runProgram('systemd-analyze', ['verify', file])
    // systemd-analyze says what it ignores, and ends with 0.
    assert.equal(stdout + stderr, '')
    assert.equal(code, 0)
  })

  it('may do little', async () => {
    const args = ['security', '--offline=yes', '--no-pager', '--threshold=15', file]
    const { code, stdout, stderr } = await runProgram('systemd-analyze', args)
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, /Overall exposure level for postern\.service: [01]\.\d OK/)
  })

  it('waits longer for the end than the sidecar drains by default', () => {
    const seconds = /^TimeoutStopSec=(\d+)s$/m.exec(readFileSync(unit, 'utf8'))?.[1]
    const { delayMs, timeoutMs } = parseSidecarConfig('', '/etc/postern/postern.yaml', {}).drain
    assert.ok(Number(seconds) * 1000 > delayMs + timeoutMs)
  })
})
