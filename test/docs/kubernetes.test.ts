import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { injectName, prefix } from '../../src/injector/pod/annotations.ts'
import { names } from '../../src/injector/pod/plan.ts'
import { settingList } from '../../src/injector/pod/settings.ts'
import { root } from './support/readme.ts'

describe('docs/kubernetes.md', () => {
  const text = readFileSync(join(root, 'docs/kubernetes.md'), 'utf8')

  it('has every annotation with its flag, default and meaning, and no other', () => {
    const [, section = ''] = text.split('<!-- annotations -->')
    const rows = section.split('<!-- end -->')[0]?.match(/^\| `.*$/gm)
    const written = (rows ?? []).map((row) => row.slice(2, -2).split(' | '))
    const settings = settingList.map(({ name, argument, meaning, default: value }) => [
      `\`${prefix}${name}\``,
      `\`--${name}${argument === undefined ? '' : ` ${argument}`}\``,
      value === undefined ? '' : `\`${value}\``,
      meaning,
    ])

    assert.equal(written[0]?.[0], `\`${injectName}\``)
    assert.deepEqual(written.slice(1), settings)
  })

  it('names everything that is added', () => {
    for (const name of [
      names.sidecar,
      names.port,
      names.healthPort,
      ...Object.values(names.volumes),
    ]) {
      assert.ok(text.includes(`\`${name}\``), name)
    }
  })
})
