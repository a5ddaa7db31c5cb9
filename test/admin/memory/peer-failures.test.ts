import assert from 'node:assert/strict'
import { PeerFailures } from '../../../src/admin/memory/peer-failures.ts'
import { denyPeer, parseExpectedPeer } from '../../../src/policy/peer-decision.ts'
import { allow, deny, now, recordOf } from '../../telemetry/support/records.ts'

const expected = parseExpectedPeer('billing.example:8443', 'spiffe://corp.example/billing')

function failureOf(reason: Parameters<typeof denyPeer>[0], detail: string, atMs: number) {
  return recordOf({ direction: 'outbound', atMs, decision: denyPeer(reason, expected, 1, detail) })
}

describe('PeerFailures', () => {
  it('knows the last failure of each peer', () => {
    const failures = new PeerFailures()
    failures.add(failureOf('upstream_unavailable', 'connect ECONNREFUSED', now))
    failures.add(failureOf('handshake_failed', 'alert bad certificate', now + 1))

    assert.deepEqual(failures.of('billing.example:8443'), {
      atMs: now + 1,
      reason: 'handshake_failed',
      detail: 'alert bad certificate',
    })
    assert.equal(failures.of('other.example:8443'), undefined)
  })

  it('takes no caller that was refused for a peer, and no call that went well for a failure', () => {
    const failures = new PeerFailures()
    failures.add(recordOf({ decision: deny() }))
    failures.add(recordOf({ direction: 'outbound', decision: allow() }))
    assert.equal(failures.of('billing.example:8443'), undefined)
  })
})
