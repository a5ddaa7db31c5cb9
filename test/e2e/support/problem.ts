import assert from 'node:assert/strict'
import type { Reply } from './caller.ts'

const members = ['type', 'title', 'status', 'detail', 'reason', 'decision_id']

/** Asserts a reply of our own for HTTP: exactly the members of DESIGN.md 6, and the header fields that go with its status. */
export function assertProblem(reply: Reply, status: number, reason: string): void {
  assert.equal(reply.json.reason, reason, reply.text)
  assert.equal(reply.status, status)
  assert.equal(reply.headers['content-type'], 'application/problem+json')
  assert.deepEqual(Object.keys(reply.json), members)
  assert.equal(reply.json['status'], status)
  assert.equal(reply.headers['www-authenticate'] !== undefined, status === 401)
  assert.equal(reply.headers['retry-after'] !== undefined, status === 429)
}
