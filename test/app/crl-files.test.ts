import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CrlFiles, type WithCrls } from '../../src/app/crl-files.ts'
import { parseProducts } from '../../src/config/products-file.ts'
import { finish } from '../../src/core/steps.ts'
import { authenticate } from '../../src/policy/authenticate.ts'
import type { ProductMap } from '../../src/policy/product-map.ts'
import { type RevocationListSpec, toPem } from '../support/revocation-list-writer.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

const hourMs = 3_600_000
const nowMs = Math.floor(Date.now() / 1_000) * 1_000

describe('CrlFiles', () => {
  let directory: string
  let ca: TestCa
  let middle: TestCa
  let leaf: TestLeaf
  let below: TestLeaf
  let files: CrlFiles
  let products: ProductMap

  before(async () => {
    ca = await TestCa.root('partner-b')
    middle = await ca.intermediate()
    leaf = await ca.leaf()
    below = await middle.leaf()
  })

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'postern-crl-'))
    files = new CrlFiles(join(directory, 'products.yaml'))
    products = mapWith('crl: [b.crl]')
  })

  afterEach(() => rmSync(directory, { recursive: true }))

  const mapWith = (settings: string, ...cas: TestCa[]) =>
    parseProducts(
      `version: 1\nproducts: {}\nauthorities:\n  b: { certificates: b.pem, ${settings} }\n`,
      'products.yaml',
      { readPem: () => [ca, ...cas].map(({ pem }) => pem).join('') },
    )
  const write = (bytes: Buffer | string, name = 'b.crl') =>
    writeFileSync(join(directory, name), bytes)
  const listOf = (
    issuer: TestCa,
    revoked: readonly TestLeaf[],
    options: Partial<RevocationListSpec> = {},
  ) =>
    issuer.revocationList(
      revoked.map(({ certificate }) => certificate),
      { thisUpdateMs: nowMs - hourMs, nextUpdateMs: nowMs + hourMs, ...options },
    )
  const read = (map = products): WithCrls => finish(files.read(map, nowMs))
  const messagesOf = ({ problems }: WithCrls) => problems.map(({ message }) => message)
  const isRevoked = (one: TestLeaf, { products: map }: WithCrls) => {
    const trust = { bundles: new Map(), authorities: map.authorities }
    const peer = authenticate(one.certificates, trust, nowMs)
    return peer.kind === 'untrusted' && peer.reason === 'certificate_revoked'
  }

  it('attaches what the files hold, DER and PEM', () => {
    write(listOf(ca, [leaf]))
    write(toPem(listOf(middle, [below])), 'm.crl')
    const both = read(mapWith('crl: [b.crl, m.crl]'))
    assert.deepEqual(both.problems, [])
    assert.ok(isRevoked(leaf, both))
    assert.ok(isRevoked(below, both))
  })

  it('gives the same map as long as no byte changed, and another one when some did', () => {
    write(listOf(ca, []))
    const first = read()
    assert.ok(first.isNew)
    const again = read()
    assert.equal(again.products, first.products)
    assert.ok(!again.isNew)
    write(listOf(ca, [leaf]))
    const changed = read()
    assert.ok(changed.isNew)
    assert.notEqual(changed.products, first.products)
    assert.ok(!isRevoked(leaf, first))
    assert.ok(isRevoked(leaf, changed))
  })

  it('is the parsed map itself where no authority names a file', () => {
    const without = mapWith('')
    assert.equal(read(without).products, without)
    assert.ok(files.isEmpty)
  })

  it('reads nothing again for a change of the map alone', () => {
    write(listOf(ca, []))
    const lists = read().products.authorities.get('b')?.revocation?.lists
    const { products: next, isNew } = read(mapWith('crl: [b.crl], crlRequired: true'))
    const revocation = next.authorities.get('b')?.revocation
    assert.ok(!isNew)
    assert.equal(revocation?.required, true)
    assert.equal(revocation.lists[0], lists?.[0])
  })

  it('says where a file is named that is not there', () => {
    const { problems } = read(mapWith('crl: [none.crl], crlRequired: true'))
    assert.equal(problems.length, 1)
    assert.equal(problems[0]?.where, 'products.yaml:4:35')
    assert.equal(problems[0].path, 'authorities.b.crl[0]')
    assert.match(problems[0].message, /^none\.crl: cannot read .*ENOENT/)
    assert.equal(problems[0].isRequired, true)
  })

  const bad: { name: string; file: () => Promise<Buffer | string>; says: RegExp }[] = [
    { name: 'is broken', file: async () => 'hello', says: /neither DER nor PEM/ },
    { name: 'is empty', file: async () => '', says: /neither DER nor PEM/ },
    {
      name: 'its CA did not sign',
      file: async () => listOf(await TestCa.root('partner-b'), []),
      says: /"CN=root,O=partner-b" is not signed by/,
    },
    {
      name: 'is signed with SHA-1',
      file: async () => listOf(ca, [], { signature: { hash: 'sha1' } }),
      says: /weak/,
    },
    {
      name: 'is older than the one in force',
      file: async () => listOf(ca, [], { thisUpdateMs: nowMs - 2 * hourMs }),
      says: /is older than the one in force/,
    },
  ]
  for (const { name, file, says } of bad) {
    it(`changes nothing for a file that ${name}, and says so each time`, async () => {
      write(listOf(ca, [leaf]))
      const good = read()
      write(await file())
      for (let time = 0; time < 2; time++) {
        const after = read()
        assert.match(messagesOf(after).join(), says)
        assert.equal(after.products, good.products)
      }
      write(listOf(ca, [], { thisUpdateMs: nowMs }))
      const mended = read()
      assert.deepEqual(mended.problems, [])
      assert.ok(!isRevoked(leaf, mended))
    })
  }

  it('takes the other files while one is bad', () => {
    write('hello', 'a.crl')
    write(listOf(ca, [leaf]))
    const taken = read(mapWith('crl: [a.crl, b.crl]'))
    assert.equal(taken.problems.length, 1)
    assert.ok(isRevoked(leaf, taken))
  })

  it('refuses a list of a CA that may not sign lists', async () => {
    const mute = await TestCa.root('mute', { keyUsage: ['keyCertSign'] })
    write(listOf(mute, []))
    assert.match(messagesOf(read(mapWith('crl: [b.crl]', mute))).join(), /is not signed by/)
  })

  it('holds a list against the CA certificates of the moment', async () => {
    const renewed = await TestCa.root('partner-b')
    write(listOf(renewed, [leaf]))
    assert.equal(read().problems.length, 1)
    const taken = read(mapWith('crl: [b.crl]', renewed))
    assert.deepEqual(taken.problems, [])
    assert.ok(isRevoked(leaf, taken))
  })

  it('takes an older list in place of one with a date to come', () => {
    write(listOf(ca, [leaf], { thisUpdateMs: nowMs + 1_000 }))
    read()
    write(listOf(ca, []))
    const mended = read()
    assert.deepEqual(mended.problems, [])
    assert.ok(!isRevoked(leaf, mended))
  })

  it('never takes a revocation back for a file with one byte changed', function () {
    this.timeout(180_000)
    const original = { root: listOf(ca, [leaf]), middle: listOf(middle, [below]) }
    write(original.root)
    write(original.middle, 'm.crl')
    const map = mapWith('crl: [b.crl, m.crl]')
    const before = read(map)
    assert.ok(isRevoked(leaf, before) && isRevoked(below, before))
    for (const [name, der] of [
      ['b.crl', original.root],
      ['m.crl', original.middle],
    ] as const) {
      for (let offset = 0; offset < der.length; offset += 1) {
        const changed = Buffer.from(der)
        changed[offset] = (changed[offset] ?? 0) ^ 0x01
        write(changed, name)
        const after = read(map)
        assert.ok(isRevoked(leaf, after) && isRevoked(below, after), `${name} ${offset}`)
      }
      write(der, name)
    }
  })

  it('keeps the list of an intermediate until its successor is known to be signed', async () => {
    write(listOf(middle, [below]))
    const before = read()
    assert.ok(isRevoked(below, before))
    const twin = await ca.intermediate()
    write(listOf(twin, [], { thisUpdateMs: nowMs }))
    assert.ok(isRevoked(below, read()))
    write(listOf(middle, [], { thisUpdateMs: nowMs }))
    const successor = read()
    assert.ok(!isRevoked(below, successor))
    write(listOf(middle, [], { thisUpdateMs: nowMs, nextUpdateMs: nowMs + 2 * hourMs }))
    assert.equal(read().products.authorities.get('b')?.revocation?.lists.length, 2)
  })
})
