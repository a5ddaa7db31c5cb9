import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readme, root } from './support/readme.ts'

const text = readFileSync(join(root, 'docs/security.md'), 'utf8')
const linked = /\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g

describe('docs/security.md', () => {
  const rows = new Readme(text).rows.filter(([, answer]) => answer !== undefined)

  it('names for each attack a test, and each of them exists and holds tests', () => {
    const attacks = rows.filter(([, , shown = '']) => shown.includes(']('))
    assert.ok(attacks.length >= 30, String(attacks.length))
    for (const [attack = '', , shown = ''] of attacks) {
      const tests = [...shown.matchAll(linked)].map(([, name = '', path = '']) => ({ name, path }))
      assert.equal(tests.length, shown.split('](').length - 1, attack)
      for (const { name, path } of tests) {
        assert.ok(path.endsWith(`/${name}.test.ts`), path)
        assert.ok(existsSync(join(root, path)), path)
        assert.match(
          readFileSync(join(root, path), 'utf8'),
          /\bit\(|Rows\(|\bit[A-Z]|forEach/,
          path,
        )
      }
    }
  })

  it('names limits and reasons that the README knows', () => {
    const known = new Set(new Readme().codes.flatMap((code) => code.split(/[.:\s]+/)))
    const named = new Readme(text).codes.filter((code) => /^[a-z]+(?:_[a-z]+)+$/.test(code))
    const limits = new Readme(text).codes.filter((code) =>
      /^(?:max[A-Z]|[a-z]+Timeout$)/.test(code),
    )
    assert.ok(named.length >= 1)
    assert.ok(limits.length >= 8)
    for (const name of [...named, ...limits]) assert.ok(known.has(name), name)
  })

  it('is told of in the README', () => {
    assert.match(new Readme().text, /\]\(docs\/security\.md\)/)
  })
})
