import assert from 'node:assert/strict'
import { httpVersions } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { assertProblem } from './support/problem.ts'

describe('a sidecar whose agent is away', () => {
  it('serves on until its SVID ends, tells everybody then, and is back with the agent', async () => {
    await using mesh = await Mesh.start({ svidTtlMs: 12_000 })
    const { postern } = mesh
    const identity = await mesh.mint(checkoutId, 3_600_000)
    const caller = mesh.caller(identity)
    const live = await Promise.all(httpVersions.map((version) => caller.open(version)))
    for (const one of live) assert.equal((await one.call()).status, 200)

    await mesh.agent.stopServing()
    const connected = () => postern.metric('postern_workload_api_connected')
    await postern.until('disconnected', async () => (await connected()) === 0)
    const endMs = 1000 * (await postern.metric('postern_svid_not_after_seconds'))
    assert.equal((await caller.call()).status, 200)
    assert.equal((await postern.ready()).status, 200)

    await postern.until('not ready', async () => (await postern.ready()).status === 503)
    assert.ok(Date.now() > endMs, 'it served until the end')
    assert.deepEqual((await postern.ready()).missing, ['identity'])
    assert.equal(await postern.live(), 200)
    for (const one of live) assertProblem(await one.call(), 503, 'identity_unavailable')
    const refused = { result: 'identity_unavailable' }
    const before = await postern.metric('postern_handshakes_total', refused)
    await assert.rejects(caller.call())
    assert.equal(await postern.metric('postern_handshakes_total', refused), before + 1)

    await mesh.agent.startServing()
    // By now it waits up to 16 s between two attempts.
    await postern.until('ready', async () => (await postern.ready()).status === 200, 60_000)
    for (const one of live) {
      assert.equal((await one.call()).status, 200)
      one.close()
    }
    assert.equal((await caller.call()).status, 200)
  }).timeout(120_000)
})
