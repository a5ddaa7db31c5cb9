import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PosternProcess } from '../support/postern-process.ts'

const mib = 1024 * 1024

/** One after the other, each with a line feed behind it. */
const hostileLines: readonly [string, Buffer | string][] = [
  ['20 MiB without a line feed', Buffer.alloc(20 * mib, 0x61)],
  ['NULs', Buffer.alloc(100_000)],
  ['bytes that are no UTF-8', Buffer.alloc(100_000, 0xff)],
  ['nested lists', '['.repeat(500_000)],
  ['nested objects', '{"a":'.repeat(100_000)],
  ['a name of the language', '{"__proto__":{"direction":"inbound"}}'],
  ['numbers out of range', '{"time":"9999999-99-99","status":1e999}'],
  ['control characters', `{"id":"${'\u001b[31m'.repeat(1_000)}"}`],
]

describe('postern replay of an audit log that is none', () => {
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'postern-audit-'))
  })

  after(() => rm(directory, { recursive: true }))

  const products = { version: 1, products: { all: { apiKeys: 'accept' } } }

  for (const [name, line] of [...hostileLines, ['all of them', all()] as const]) {
    it(`says so in a few words: ${name}`, async () => {
      const audit = join(directory, 'audit.jsonl')
      await writeFile(audit, line)
      const args = ['replay', '--audit', audit, '--products', 'products.yaml']
      const files = { 'products.yaml': products }
      const { code, stdout, stderr } = await PosternProcess.runToEnd(args, { files })
      assert.deepEqual([code, stdout], [64, ''])
      assert.match(stderr, /ERR_AUDIT_MALFORMED/)
      assert.ok(stderr.length < 1_000, `${stderr.length} characters`)
    })
  }
})

function all(): Buffer {
  return Buffer.concat(hostileLines.flatMap(([, line]) => [Buffer.from(line), Buffer.from('\n')]))
}
