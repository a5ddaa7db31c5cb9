import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { skipMissingTool } from '../support/skip.ts'

const root = join(import.meta.dirname, '../..')
const scripts = [
  '.ci/run',
  'examples/spire/run',
  'spire/down',
  'spire/install',
  'spire/lib.sh',
  'spire/server',
  'spire/up',
]

describe('shell scripts', () => {
  for (const script of scripts) {
    it(`bash can read ${script}`, () => {
      const { status, stderr } = spawnSync('bash', ['-n', script], { cwd: root, encoding: 'utf8' })

      assert.equal(status, 0, stderr)
    })
  }

  it('shellcheck has nothing to say about them', function () {
    const { error, status, stdout } = spawnSync('shellcheck', ['-x', ...scripts], {
      cwd: root,
      encoding: 'utf8',
    })
    if (error !== undefined) skipMissingTool(this, 'shellcheck')

    assert.equal(status, 0, stdout)
  })
})
