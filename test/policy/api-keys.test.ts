import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { createApiKey, digestOf, readApiKeyForm, withoutApiKeys } from '../../src/policy/api-key.ts'
import { type ApiKeyEntry, ApiKeyTable } from '../../src/policy/api-key-table.ts'
import { ApiKeys } from '../../src/policy/api-keys.ts'

function entry(key: string, parts: Partial<ApiKeyEntry> = {}): ApiKeyEntry {
  return {
    id: `id-${key.slice(0, 40)}`,
    sha256: digestOf(key),
    product: 'payments',
    consumer: 'acme',
    notBeforeMs: -Infinity,
    expiresMs: Infinity,
    line: 1,
    ...parts,
  }
}

function keysWith(...entries: readonly ApiKeyEntry[]): ApiKeys {
  const table = new ApiKeyTable()
  for (const one of entries) assert.equal(table.add(one), undefined)
  return ApiKeys.from(table)
}

describe('createApiKey', () => {
  it('makes keys of the documented form, stored as the SHA-256 of the whole key', () => {
    const { key, id, sha256 } = createApiKey(randomBytes)
    assert.match(key, /^pst_k_[0-9a-f]{8}_[0-9A-Za-z]{49}$/)
    assert.ok(key.startsWith(`pst_${id}_`))
    assert.equal(sha256, createHash('sha256').update(key).digest('hex'))
  })

  it('makes a different key each time', () => {
    const keys = Array.from({ length: 50 }, () => createApiKey(randomBytes).key)
    assert.equal(new Set(keys).size, 50)
  })

  it('uses all 256 bits of its source, with leading zeros kept', () => {
    const secretOf = (byte: number) =>
      createApiKey((size) => Buffer.alloc(size, byte)).key.slice(-49, -6)
    assert.equal(secretOf(0), '0'.repeat(43))
    assert.equal(valueOf(secretOf(255)), 2n ** 256n - 1n)
  })

  it('ends in the CRC-32 of everything before it', () => {
    const { key } = createApiKey(() => Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'))
    assert.equal(valueOf(key.slice(-6)), BigInt(crc32Bitwise(key.slice(0, -6))))
  })

  it('draws again when an id is taken, and gives up on a source that repeats itself', () => {
    const drawn: string[] = []
    const { id } = createApiKey(randomBytes, (candidate) => drawn.push(candidate) < 3)
    assert.equal(drawn.length, 3)
    assert.equal(id, drawn[2])
    assert.throws(() => createApiKey(randomBytes, () => true), TypeError)
  })
})

describe('readApiKeyForm', () => {
  it('recognises what createApiKey makes', () => {
    const { key, id } = createApiKey(randomBytes)
    assert.deepEqual(readApiKeyForm(key), { kind: 'well-formed', id })
  })

  it('tells every single typing error', () => {
    const { key } = createApiKey(randomBytes)
    for (let i = 'pst_'.length; i < key.length; i++) {
      const typed = key.slice(0, i) + (key[i] === 'x' ? 'y' : 'x') + key.slice(i + 1)
      assert.equal(readApiKeyForm(typed).kind, 'mistyped', String(i))
    }
    assert.equal(readApiKeyForm(key.slice(0, -1)).kind, 'mistyped')
    assert.equal(readApiKeyForm(`${key}x`).kind, 'mistyped')
  })

  for (const foreign of ['', 'sk_live_123', 'Bearer x', 'PST_k_1_x', 'x'.repeat(5_000)]) {
    it(`calls ${JSON.stringify(foreign.slice(0, 20))} foreign`, () => {
      assert.equal(readApiKeyForm(foreign).kind, 'foreign')
    })
  }

  it('looks at no more than 256 characters', () => {
    assert.equal(readApiKeyForm(`pst_${'_'.repeat(1_000_000)}`).kind, 'mistyped')
  })
})

describe('withoutApiKeys', () => {
  it('cuts each key down to its id, wherever it stands', () => {
    const [a, b] = [createApiKey(randomBytes), createApiKey(randomBytes)]
    assert.equal(
      withoutApiKeys(`keys[0].${a.key}: "${b.key}" is no name`),
      `keys[0].pst_${a.id}_...: "pst_${b.id}_..." is no name`,
    )
  })

  it('leaves alone what is no key', () => {
    const text = 'product pst_payments_and_orders_of_the_whole_year: k_1'
    assert.equal(withoutApiKeys(text), text)
  })
})

describe('ApiKeys', () => {
  const keys = keysWith(
    entry('one', { id: 'k_1', product: 'payments', consumer: 'acme', line: 3 }),
    entry('two', { id: 'k_2', product: 'orders', consumer: 'shop', notBeforeMs: 5, expiresMs: 9 }),
  )

  it('finds a key by what is presented, by digest and by id', () => {
    const expected = {
      id: 'k_2',
      product: 'orders',
      consumer: 'shop',
      notBeforeMs: 5,
      expiresMs: 9,
    }
    for (const presented of ['two', { sha256: digestOf('two') }, { id: 'k_2' }]) {
      assert.deepEqual(keys.find(presented), { ...expected, line: 1 })
    }
  })

  it('finds nothing else', () => {
    const others = ['three', '', 'one ', { sha256: digestOf('x') }, { sha256: '' }, { id: 'k_3' }]
    for (const presented of others) assert.equal(keys.find(presented), undefined)
    assert.equal(ApiKeys.empty.find('one'), undefined)
  })

  it('finds no key by its digest as a key', () => {
    assert.equal(keys.find(digestOf('one')), undefined)
  })

  it('hashes 256 characters and no more', () => {
    const [longest, tooLong] = ['x'.repeat(256), 'x'.repeat(257)]
    const long = keysWith(entry(longest, { id: 'a' }), entry(tooLong, { id: 'b' }))
    assert.equal(long.find(longest)?.id, 'a')
    assert.equal(long.find(tooLong), undefined)
  })

  it('lists its entries in the order of the file', () => {
    assert.deepEqual(
      [...keys.entries()].map(({ id, sha256 }) => [id, sha256]),
      [
        ['k_1', digestOf('one')],
        ['k_2', digestOf('two')],
      ],
    )
  })
})

describe('ApiKeyTable', () => {
  it('refuses an id and a digest that are there, and names the line that has them', () => {
    const table = new ApiKeyTable()
    table.add(entry('one', { id: 'a', line: 3 }))
    table.add(entry('two', { id: 'b', line: 4 }))
    const sameId = table.add(entry('three', { id: 'b', line: 5 }))
    const sameDigest = table.add(entry('one', { id: 'c', line: 6 }))
    assert.deepEqual(sameId, { field: 'id', line: 4 })
    assert.deepEqual(sameDigest, { field: 'sha256', line: 3 })
    assert.equal(table.size, 2)
  })

  it('holds whatever was added, however often it grows', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/), { maxLength: 300 })
    fc.assert(
      fc.property(names, fc.nat(400), (ids, expected) => {
        const table = new ApiKeyTable(expected)
        const entries = ids.map((id, i) =>
          entry(id, { id, product: `p${i % 7}`, consumer: `c${id}`, line: i + 3, expiresMs: i }),
        )
        for (const one of entries) assert.equal(table.add(one), undefined)
        const keys = ApiKeys.from(table)
        assert.deepEqual([...keys.entries()], entries)
        for (const one of entries) assert.equal(keys.find({ sha256: one.sha256 })?.id, one.id)
        for (const one of entries) assert.equal(keys.find({ id: one.id })?.line, one.line)
      }),
      { numRuns: 50 },
    )
  })
})

function valueOf(base62: string): bigint {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  return Array.from(base62).reduce((sum, digit) => sum * 62n + BigInt(digits.indexOf(digit)), 0n)
}

/** CRC-32 (ISO 3309) bit by bit, as a second opinion. */
function crc32Bitwise(text: string): number {
  let crc = 0xffffffff
  for (const byte of Buffer.from(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}
