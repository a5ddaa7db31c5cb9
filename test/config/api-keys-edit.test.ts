import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  appendKey,
  formatKeyEntry,
  type NewKeyEntry,
  revokeKey,
} from '../../src/config/api-keys-edit.ts'
import { parseApiKeys, readApiKeys } from '../../src/config/api-keys-file.ts'
import { ConfigError } from '../../src/config/problem.ts'
import { PosternError } from '../../src/core/errors.ts'
import { digestOf } from '../../src/policy/api-key.ts'

const file = 'api-keys.yaml'
const nowMs = Date.UTC(2026, 10, 20, 12, 0, 0, 500)
const revokedMs = Date.UTC(2026, 10, 20, 12)

function entry(id: string, parts: Partial<NewKeyEntry> = {}): NewKeyEntry {
  return { id, sha256: digestOf(id), product: 'payments', consumer: 'acme', ...parts }
}

const append = (text: string, id: string) => appendKey(text, file, entry(id))
const revoke = (text: string, id: string) => revokeKey(text, file, id, nowMs)
const entries = (text: string) => [...parseApiKeys(text, file).entries()]

const lines = `# the keys of production
version: 1
keys:
  - ${formatKeyEntry(entry('k_1', { notBefore: '2026-11-01' }))}
  # of the shop
  - ${formatKeyEntry(entry('k_2', { expires: '2027-02-01' }))}   # until the move
`

const blocks = `version: 1
keys:
- id: k_1   # the first
  sha256: ${digestOf('k_1')}
  product: payments
  consumer: acme # of the shop

- id: k_2
  expires: 2027-02-01 # until the move
  sha256: ${digestOf('k_2')}
  product: payments
  consumer: acme
# the end
`

const flow = `{ version: 1, keys: [ ${formatKeyEntry(entry('k_1'))}, ${formatKeyEntry(entry('k_2'))} ] } # all\n`

const forms = { lines, blocks, flow, 'lines of Windows': lines.replaceAll('\n', '\r\n') }

describe('formatKeyEntry', () => {
  it('writes what is read fastest, whatever the names are', () => {
    const text = fc.stringMatching(/^[!-~](?:[ -~]{0,20}[!-~])?$/)
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,8}$/)
    const word = fc.constantFrom('true', 'null', 'False', '12', '1e3', '0x1f', '3ds', 'y', '#', '-')
    fc.assert(
      fc.property(fc.oneof(text, word), fc.oneof(name, word), (consumer, product) => {
        fc.pre(/^[A-Za-z0-9]/.test(product))
        const written = formatKeyEntry(entry('k_1', { consumer, product, expires: '2027-02-01' }))
        const { keys, form } = readApiKeys(`version: 1\nkeys:\n- ${written}\n`, file)
        const found = keys.find({ id: 'k_1' })
        assert.deepEqual([found?.consumer, found?.product], [consumer, product])
        assert.equal(found?.expiresMs, Date.UTC(2027, 1, 1))
        assert.ok(form === 'lines' || consumer.includes('"') || consumer.includes('\\'))
      }),
    )
  })
})

describe('appendKey', () => {
  it('begins a new file', () => {
    const text = append('', 'k_1')
    assert.equal(text, `version: 1\nkeys:\n  - ${formatKeyEntry(entry('k_1'))}\n`)
    assert.equal(entries(text).length, 1)
  })

  it('begins an empty list', () => {
    for (const empty of [
      'version: 1\nkeys: []\n',
      'version: 1\nkeys: [] # none\n',
      'keys: [ ]\nversion: 1',
    ]) {
      assert.equal(entries(append(empty, 'k_1')).length, 1, empty)
    }
  })

  for (const [name, text] of Object.entries(forms)) {
    it(`adds to a file of ${name}, and leaves everything else as it is`, () => {
      const edited = append(append(text, 'k_3'), 'k_4')
      assert.deepEqual(
        entries(edited).map(({ id }) => id),
        ['k_1', 'k_2', 'k_3', 'k_4'],
      )
      assert.equal(without(edited, text), true)
      assert.equal(edited.includes('\r\n'), text.includes('\r\n'))
    })
  }

  it('keeps a file of lines one', () => {
    assert.equal(readApiKeys(append(lines, 'k_3'), file).form, 'lines')
  })

  it('writes the new line as the others are indented', () => {
    const added = append(lines.replaceAll(/^ {2}/gm, '    '), 'k_3').split('\n').at(-2)
    assert.ok(added?.startsWith('    - { id: k_3,'))
  })

  it('adds to a file without a line end at its end', () => {
    assert.equal(entries(append(lines.trimEnd(), 'k_3')).length, 3)
  })

  it('refuses an id that is taken', () => {
    assert.throws(() => append(lines, 'k_2'), ConfigError)
  })

  it('refuses a file that is wrong already', () => {
    assert.throws(() => append('version: 1\nkeys: {}\n', 'k_1'), ConfigError)
    assert.throws(() => append('# nothing\n', 'k_1'), ConfigError)
  })
})

describe('revokeKey', () => {
  for (const [name, text] of Object.entries(forms)) {
    for (const id of ['k_1', 'k_2']) {
      it(`expires ${id} in a file of ${name}, and leaves everything else as it is`, () => {
        const before = entries(text)
        const edited = revoke(text, id)
        assert.deepEqual(
          entries(edited).map(({ id: one, expiresMs }) => [one, expiresMs]),
          before.map((one) => [one.id, one.id === id ? revokedMs : one.expiresMs]),
        )
        const comments = (from: string) => from.match(/#.*?(?=\r?\n|$)/g)
        assert.deepEqual(comments(edited), comments(text))
      })
    }
  }

  it('is in force at once', () => {
    assert.ok((entries(revoke(lines, 'k_1'))[0]?.expiresMs ?? Infinity) <= nowMs)
  })

  it('leaves a key that has expired before as it is', () => {
    const old = appendKey(lines, file, entry('k_0', { expires: '2026-11-20' }))
    assert.equal(revoke(old, 'k_0'), old)
  })

  it('changes nothing the second time', () => {
    const once = revoke(lines, 'k_1')
    assert.equal(revoke(once, 'k_1'), once)
  })

  it('refuses an id that no key has', () => {
    assert.throws(
      () => revoke(lines, 'k_9'),
      (thrown) => thrown instanceof PosternError && thrown.code === 'ERR_CONFIG_INVALID',
    )
  })

  it('refuses what it cannot edit without changing another key', () => {
    const shared = `version: 1
keys:
  - { id: k_1, sha256: ${digestOf('k_1')}, product: payments, consumer: acme, expires: &end 2027-01-01 }
  - { id: k_2, sha256: ${digestOf('k_2')}, product: payments, consumer: acme, expires: *end }
`
    assert.equal(entries(shared).length, 2)
    assert.throws(() => revoke(shared, 'k_1'), PosternError)
    assert.equal(entries(revoke(shared, 'k_2'))[1]?.expiresMs, revokedMs)
  })
})

/** Whether `edited` is `text` with one piece put in. */
function without(edited: string, text: string): boolean {
  let start = 0
  while (start < text.length && edited[start] === text[start]) start++
  const rest = text.length - start
  return rest === 0 || edited.endsWith(text.slice(start))
}
