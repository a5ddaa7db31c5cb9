import assert from 'node:assert/strict'
import { FadingTable } from '../../../src/admin/memory/fading-table.ts'
import { mostCallersOfAKind, Usage } from '../../../src/admin/memory/usage.ts'
import { allow, deny, now, recordOf } from '../../telemetry/support/records.ts'

const byKey = {
  credential: 'api-key',
  principal: 'acme',
  consumer: 'acme',
  apiKeyId: 'k_1',
  reason: 'api_key',
} as const

describe('Usage', () => {
  it('counts a caller of a product by what it presented', () => {
    const usage = new Usage(now)
    usage.add(recordOf({ decision: allow(), atMs: now + 1 }))
    usage.add(recordOf({ decision: allow(), atMs: now + 2 }))
    usage.add(
      recordOf({
        decision: deny({ ...pick(allow()), reason: 'request_not_allowed' }),
        atMs: now + 3,
      }),
    )
    usage.add(recordOf({ decision: allow(byKey), atMs: now + 4 }))

    assert.deepEqual(usage.callersOf('payments'), [
      {
        product: 'payments',
        principal: 'spiffe://corp.example/checkout',
        credential: 'x509-svid',
        allowed: 2,
        denied: 1,
        firstMs: now + 1,
        lastMs: now + 3,
        lastAllowedMs: now + 2,
      },
      {
        product: 'payments',
        principal: 'acme',
        credential: 'api-key',
        allowed: 1,
        denied: 0,
        firstMs: now + 4,
        lastMs: now + 4,
        lastAllowedMs: now + 4,
      },
    ])
    assert.equal(usage.changes, 4)
  })

  it('counts a key that is known, also when it is refused or stands beside a certificate', () => {
    const usage = new Usage(now)
    usage.add(recordOf({ decision: allow({ apiKeyId: 'k_1', consumer: 'acme' }) }))
    const { product, consumer, apiKeyId } = { product: 'payments', ...byKey }
    const expired = deny({ product, consumer, apiKeyId, reason: 'api_key_expired', status: 401 })
    usage.add(recordOf({ decision: expired }))

    const key = usage.key('payments', 'k_1')
    assert.deepEqual([key?.allowed, key?.denied, key?.consumer], [1, 1, 'acme'])
    assert.equal(usage.callersOf('payments').length, 1)
  })

  it('counts nobody who proved nothing', () => {
    const usage = new Usage(now)
    usage.add(recordOf({ decision: deny({ reason: 'issuer_unknown' }) }))
    assert.deepEqual(usage.snapshot(), { sinceMs: now, callers: [], keys: [] })
    assert.equal(usage.changes, 0)
  })

  it('goes on from a snapshot, which it does not change', () => {
    const before = new Usage(now)
    before.add(recordOf({ decision: allow({ ...byKey }) }))
    const snapshot = structuredClone(before.snapshot())
    const after = Usage.from(snapshot)
    after.add(recordOf({ decision: allow({ ...byKey }), atMs: now + 9 }))

    assert.equal(after.sinceMs, now)
    assert.equal(after.callersOf('payments')[0]?.allowed, 2)
    assert.equal(after.key('payments', 'k_1')?.lastMs, now + 9)
    assert.equal(snapshot.callers[0]?.allowed, 1)
  })

  it('forgets the callers that were seen longest ago, and no key for their sake', () => {
    const usage = new Usage(now)
    usage.add(recordOf({ decision: allow(byKey), atMs: now }))
    for (let i = 0; i < mostCallersOfAKind + 1; i++) {
      const principal = `spiffe://corp.example/job/${i}`
      usage.add(recordOf({ decision: allow({ principal }), atMs: now + 1 + i }))
    }

    const principals = new Set(usage.callersOf('payments').map(({ principal }) => principal))
    assert.ok(principals.size <= mostCallersOfAKind + 1)
    assert.ok(principals.has('acme'))
    assert.ok(principals.has(`spiffe://corp.example/job/${mostCallersOfAKind}`))
    assert.ok(!principals.has('spiffe://corp.example/job/0'))
    assert.equal(usage.forgotten, mostCallersOfAKind / 10)
  })
})

describe('FadingTable', () => {
  it('holds at most so many, and those that were seen last', () => {
    const table = new FadingTable<{ lastMs: number }>(20)
    for (let i = 0; i < 1_000; i++) table.add(`row ${i % 7}`, `column ${i}`, { lastMs: i })

    const held = [...table.values()].map(({ lastMs }) => lastMs)
    assert.equal(held.length, table.size)
    assert.ok(table.size <= 20 && table.size >= 18)
    assert.ok(Math.min(...held) >= 980)
    assert.equal(table.size + table.forgotten, 1_000)
    assert.equal(table.get('row 5', 'column 999')?.lastMs, 999)
  })
})

function pick({ product, principal, credential, rule }: ReturnType<typeof allow>) {
  return { product, principal, credential, ...(rule !== undefined && { rule }) }
}
