import assert from 'node:assert/strict'
import { type Caller, httpVersions } from '../../support/caller.ts'
import { assertProblem } from '../../support/problem.ts'

/** A certificate that is not trusted gets a clean answer on a new connection, which then ends. */
export async function assertRefused(caller: Caller, reason: string): Promise<void> {
  for (const version of httpVersions) {
    const connection = await caller.open(version)
    assertProblem(await connection.call(), 403, reason)
    await connection.ended
    connection.close()
  }
}

/** Without an identity of its own the sidecar takes no new connection. */
export async function assertNoHandshake(caller: Caller): Promise<void> {
  await assert.rejects(caller.open())
}
