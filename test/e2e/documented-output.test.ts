import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../docs/support/readme.ts'
import { runDocumented } from './support/documented-run.ts'

describe('docs/observability.md', () => {
  let outputs: ReadonlyMap<string, string>

  before(async function () {
    this.timeout(120_000)
    outputs = await runDocumented()
  })

  /** By their names. What differs is refreshed by scripts/documented-output.mjs. */
  it('shows what the commands print', () => {
    const text = readFileSync(join(root, 'docs/observability.md'), 'utf8')
    const places = [...text.matchAll(/<!-- output: (\S+) -->\n```\n([^]*?)```/g)]
    assert.deepEqual(
      Object.fromEntries(places.map(([, name = '', shown = '']) => [name, shown])),
      Object.fromEntries(outputs),
    )
  })
})
