import assert from 'node:assert/strict'
import fc from 'fast-check'
import { finish } from '../../src/core/steps.ts'
import { readRevocationEntry, reasonOfPlainEntry } from '../../src/x509/revocation-entry.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { enumerated, integer, octetString, oid, sequence, tlv } from '../support/der-writer.ts'
import {
  type EntrySpec,
  issuingDistributionPoint,
  type RevocationListSpec,
} from '../support/revocation-list-writer.ts'
import { TestCa } from '../support/test-ca.ts'

const hourMs = 3_600_000
const nowMs = Date.UTC(2026, 10, 20)

describe('RevocationList', () => {
  let ca: TestCa

  before(async () => {
    ca = await TestCa.root('partner-b')
  })

  const write = (options: Partial<RevocationListSpec> = {}) =>
    ca.revocationList([], { thisUpdateMs: nowMs, nextUpdateMs: nowMs + hourMs, ...options })
  const read = (der: Buffer) => finish(RevocationList.read(der))
  const readWith = (options: Partial<RevocationListSpec>) => read(write(options))

  it('says who issued it, for when, and whom it revokes', () => {
    const list = readWith({
      entries: [
        { serial: 0x80n, atMs: nowMs - hourMs, reason: 1 },
        { serial: 0x1234n, atMs: nowMs },
      ],
    })
    assert.equal(list.version, 2)
    assert.equal(list.issuer, ca.certificate.subject)
    assert.equal(list.thisUpdateMs, nowMs)
    assert.equal(list.nextUpdateMs, nowMs + hourMs)
    assert.equal(list.size, 2)
    assert.deepEqual(list.find(octetsOf(0x80n)), { atMs: nowMs - hourMs, reason: 'keyCompromise' })
    assert.deepEqual(list.find(octetsOf(0x1234n)), { atMs: nowMs, reason: 'unspecified' })
    assert.equal(list.find(octetsOf(0x1233n)), undefined)
    // -128
    assert.equal(list.find(Buffer.from([0x80])), undefined)
  })

  it('is current from thisUpdate to nextUpdate, both included', () => {
    const list = readWith({})
    assert.deepEqual(
      [nowMs - 1, nowMs, nowMs + hourMs, nowMs + hourMs + 1].map((ms) => list.isCurrent(ms)),
      [false, true, true, false],
    )
  })

  const good: { name: string; options: Partial<RevocationListSpec>; size?: number }[] = [
    { name: 'no entries', options: {} },
    { name: 'version 1', options: { version: 1, entries: [{ serial: 1n }] }, size: 1 },
    { name: 'no nextUpdate', options: { nextUpdateMs: null } },
    { name: 'GeneralizedTime', options: { timeForm: 'generalized' } },
    {
      name: 'dates after 2050',
      options: {
        nextUpdateMs: Date.UTC(2060, 1, 1),
        entries: [{ serial: 1n, atMs: Date.UTC(2055) }],
      },
      size: 1,
    },
    {
      name: 'a CRL number and an authority key identifier',
      options: {
        extensions: [
          { oid: '2.5.29.20', value: integer(7) },
          { oid: '2.5.29.35', value: sequence() },
        ],
      },
    },
    {
      name: 'an unknown extension that is not critical, of the list and of an entry',
      options: {
        extensions: [{ oid: '1.2.3.4', value: integer(7) }],
        entries: [{ serial: 5n, extensions: [{ oid: '1.2.3.4', value: integer(7) }] }],
      },
      size: 1,
    },
    {
      name: 'an entry that was taken back, which revokes nothing',
      options: {
        entries: [
          { serial: 5n, reason: 8 },
          { serial: 6n, reason: 6 },
        ],
      },
      size: 1,
    },
    { name: 'a scope', options: { extensions: [issuingDistributionPoint({ only: 'user' })] } },
  ]
  for (const { name, options, size = 0 } of good) {
    it(`reads a list with ${name}`, () => assert.equal(readWith(options).size, size))
  }

  const critical = { oid: '1.2.3.4', isCritical: true, value: integer(7) }
  const bad: { name: string; options: Partial<RevocationListSpec>; says: RegExp }[] = [
    { name: 'a critical extension', options: { extensions: [critical] }, says: /1\.2\.3\.4/ },
    {
      name: 'a critical extension of an entry',
      options: { entries: [{ serial: 5n, extensions: [critical] }] },
      says: /1\.2\.3\.4/,
    },
    {
      name: 'a delta',
      options: { extensions: [{ oid: '2.5.29.27', isCritical: true, value: integer(1) }] },
      says: /delta/,
    },
    {
      name: 'a delta that is not marked critical',
      options: { extensions: [{ oid: '2.5.29.27', value: integer(1) }] },
      says: /delta/,
    },
    {
      name: 'entries of other issuers',
      options: { extensions: [issuingDistributionPoint({ isIndirect: true })] },
      says: /indirect/,
    },
    {
      name: 'an entry of another issuer',
      options: {
        entries: [
          { serial: 5n, extensions: [{ oid: '2.5.29.29', isCritical: true, value: sequence() }] },
        ],
      },
      says: /indirect/,
    },
    {
      name: 'attribute certificates alone',
      options: { extensions: [issuingDistributionPoint({ only: 'attribute' })] },
      says: /public-key/,
    },
    {
      name: 'extensions in version 1',
      options: { version: 1, extensions: [issuingDistributionPoint({})] },
      says: /version 1/,
    },
    {
      name: 'extensions of an entry in version 1',
      options: { version: 1, entries: [{ serial: 5n, reason: 1 }] },
      says: /version 1/,
    },
    {
      name: 'an extension twice',
      options: { extensions: [issuingDistributionPoint({}), issuingDistributionPoint({})] },
      says: /twice/,
    },
    {
      name: 'an unknown reason',
      options: { entries: [{ serial: 5n, reason: 7 }] },
      says: /reason/,
    },
    {
      name: 'an end before its beginning',
      options: { nextUpdateMs: nowMs - 1_000 },
      says: /before/,
    },
    {
      name: 'a serial number of 65 octets',
      options: { entries: [{ serial: 1n << 512n }] },
      says: /serial/,
    },
    {
      name: 'two signature algorithms',
      options: { innerAlgorithm: sequence(oid('1.2.840.10045.4.3.3')) },
      says: /differ/,
    },
  ]
  for (const { name, options, says } of bad) {
    it(`refuses a list with ${name}`, () => {
      assert.throws(() => readWith(options), { code: 'ERR_CRL_MALFORMED', message: says })
    })
  }

  it('refuses what is not DER, empty, or too large', () => {
    const der = write()
    for (const bytes of [
      Buffer.alloc(0),
      der.subarray(0, -1),
      Buffer.concat([der, Buffer.alloc(1)]),
      ca.certificate.der,
      Buffer.alloc(16 * 1024 * 1024, 0x30),
    ])
      assert.throws(() => read(bytes), { code: 'ERR_CRL_MALFORMED' })
  })

  it('finds each of many serial numbers, whatever their order and length, and no other', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.bigInt({ min: 0n, max: (1n << 160n) - 1n }), { maxLength: 60 }),
        fc.uniqueArray(fc.bigInt({ min: 0n, max: 300n }), { maxLength: 60 }),
        (large, small) => {
          const serials = new Set([...large, ...small])
          const list = readWith({ entries: [...serials].map((serial) => ({ serial })) })
          assert.equal(list.size, serials.size)
          for (const serial of serials) assert.ok(list.find(octetsOf(serial)), `${serial}`)
          for (const serial of serials)
            for (const other of [serial + 1n, serial << 8n, serial >> 8n])
              assert.equal(list.find(octetsOf(other)) !== undefined, serials.has(other))
        },
      ),
      { numRuns: 60 },
    )
  })

  it('is read in steps, none of which reads many entries', () => {
    const entries = Array.from({ length: 20_000 }, (_, i) => ({ serial: BigInt(i) }))
    const steps = RevocationList.read(write({ entries }))
    let taken = 0
    while (steps.next().done !== true) taken++
    assert.ok(taken > 100, `${taken} steps`)
  })

  it('knows its signer, and asks each key once', async () => {
    const list = readWith({})
    const twin = await TestCa.root('partner-b')
    assert.equal(list.isSignedBy(ca.certificate), true)
    assert.equal(list.isSignedBy(twin.certificate), false)
    // Whoever changes the bytes now is not noticed: the answer was kept.
    list.signature.fill(0)
    assert.equal(list.isSignedBy(ca.certificate), true)
  })

  describe('the quick way through plain entries', () => {
    const entryOf = (spec: EntrySpec, version: 1 | 2) => {
      const der = write({ version, entries: [spec] })
      const serial = integer(spec.serial)
      const start = der.indexOf(serial) - 2
      return der.subarray(start, start + 2 + (der[start + 1] ?? 0))
    }

    it('is taken by entries as CAs write them', () => {
      const serial = (1n << 150n) + 7n
      assert.equal(reasonOfPlainEntry(entryOf({ serial }, 1), 1), 0)
      assert.equal(reasonOfPlainEntry(entryOf({ serial }, 2), 2), 0)
      assert.equal(reasonOfPlainEntry(entryOf({ serial, reason: 4 }, 2), 2), 4)
    })

    it('says what the strict reader says, or nothing, also of damaged entries', () => {
      const plain = [
        entryOf({ serial: (1n << 150n) + 7n, reason: 1 }, 2),
        entryOf({ serial: 0x80ffn, atMs: Date.UTC(2024, 1, 29, 23, 59, 59) }, 2),
        entryOf({ serial: 0n }, 2),
      ]
      for (const entry of plain)
        for (let at = 2; at < entry.length; at++)
          for (let value = 0; value < 256; value++) {
            const changed = Buffer.from(entry)
            changed[at] = value
            for (const version of [1, 2]) assertAgrees(changed, version)
          }
    })

    it('says what the strict reader says of any date and any octets', () => {
      const date = fc.stringMatching(/^[0-9]{2}[01][0-9][0-3][0-9][0-2][0-9][0-6][0-9][0-6][0-9]Z$/)
      fc.assert(
        fc.property(date, fc.uint8Array({ minLength: 1, maxLength: 70 }), (text, serial) => {
          const time = tlv(0x17, Buffer.from(text))
          assertAgrees(sequence(tlv(0x02, serial), time), 2)
          const reason = sequence(oid('2.5.29.21'), octetString(enumerated(serial[0] ?? 0)))
          assertAgrees(sequence(tlv(0x02, serial), time, sequence(reason)), 2)
        }),
        { numRuns: 2_000 },
      )
    })

    function assertAgrees(entry: Buffer, version: number): void {
      const quick = reasonOfPlainEntry(entry, version)
      if (quick === undefined) return
      assert.equal(readRevocationEntry(entry, version).reason, quick, entry.toString('hex'))
    }
  })
})

/** Content of the INTEGER. */
function octetsOf(serial: bigint): Buffer {
  return integer(serial).subarray(2)
}
