import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { skip } from '../support/skip.ts'

const root = join(import.meta.dirname, '../..')

describe('a sidecar at half load', () => {
  it('fails no request and does not grow in a minute of rotations, reloads and a bad workload', function () {
    if (process.env['CI'] !== 'true') {
      skip(this, 'takes two minutes; CI=true runs it, and so does npm run soak')
    }
    this.timeout(300_000)
    const soak = ['--import', 'tsx', join(root, 'bench/soak.ts'), '--minutes', '1']

    const { status, stdout, stderr } = spawnSync(process.execPath, soak, { encoding: 'utf8' })

    assert.equal(status, 0, `${stdout}\n${stderr}`)
    assert.match(stdout, /^nothing failed, nothing grew$/m)
  })
})
