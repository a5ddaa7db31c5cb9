import assert from 'node:assert/strict'
import { RecentDecisions } from '../../../src/admin/memory/recent-decisions.ts'
import { allow, deny, recordOf } from '../../telemetry/support/records.ts'

const maxHeaderBytes = 16 * 1024

describe('RecentDecisions', () => {
  const allowed = (id: string) => recordOf({ id, decision: allow() })
  const denied = (id: string) => recordOf({ id, decision: deny() })
  const ids = (recent: RecentDecisions, after = 0) =>
    [...recent.after(after)].map(({ record }) => record.id)

  it('gives both kinds in one order, newest first', () => {
    const recent = new RecentDecisions({ maxHeaderBytes })
    for (const record of [allowed('1'), denied('2'), denied('3'), allowed('4')]) recent.add(record)

    assert.deepEqual(ids(recent), ['4', '3', '2', '1'])
    assert.deepEqual(ids(recent, 2), ['4', '3'])
    assert.deepEqual(ids(recent, 4), [])
    assert.equal(recent.count, 4)
  })

  it('keeps a denial whatever is allowed after it', () => {
    const recent = new RecentDecisions({ maxHeaderBytes })
    recent.add(denied('no'))
    for (let i = 0; i < 5_000; i++) recent.add(allowed(`yes ${i}`))

    assert.equal(recent.find('no')?.id, 'no')
    assert.equal(recent.find('yes 4999')?.id, 'yes 4999')
    assert.equal(recent.find('yes 0'), undefined)
    assert.equal(ids(recent).length, 513)
    assert.equal(ids(recent).at(-1), 'no')
  })

  it('keeps fewer where each may hold on to a large head', () => {
    const recent = new RecentDecisions({ maxHeaderBytes: 1024 * 1024 })
    for (let i = 0; i < 100; i++) recent.add(allowed(String(i)))

    assert.deepEqual(
      ids(recent),
      Array.from({ length: 16 }, (_, i) => String(99 - i)),
    )
  })
})
