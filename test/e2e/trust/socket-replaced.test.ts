import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { DevAgent } from '../../../src/dev/dev-agent.ts'
import type { CallerIdentity } from '../support/caller.ts'
import { assertRefused } from './support/assert-refused.ts'
import { GuardedWorkload } from './support/guarded-workload.ts'
import { checkoutId, ownDomain, paymentsId } from './support/trust-world.ts'

describe("an agent's socket that is replaced in place", () => {
  let folder: string
  let first: DevAgent
  let second: DevAgent

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-csi-'))
    ;[first, second] = await Promise.all([startAgent(), startAgent()])
  })

  afterEach(async () => {
    await Promise.all([first.close(), second.close()])
    await rm(folder, { recursive: true, force: true })
  })

  it('is followed when another socket is moved over it', async () => {
    const socketPath = join(folder, 'agent.sock')
    const [one, two] = [join(folder, 'one.sock'), join(folder, 'two.sock')]
    await first.listen({ socketPath: one, spiffeId: paymentsId })
    await second.listen({ socketPath: two, spiffeId: paymentsId })
    // Moved as well: a server that ends removes the path that it bound, whatever stands there by then.
    await rename(one, socketPath)

    await assertFollowed(socketPath, () => rename(two, socketPath))
  })

  it('is followed when its folder is a link that points to another one now', async () => {
    const link = join(folder, 'data')
    await pointTo('first')
    await first.listen({ socketPath: join(folder, 'first/agent.sock'), spiffeId: paymentsId })
    await second.listen({ socketPath: join(folder, 'second/agent.sock'), spiffeId: paymentsId })

    await assertFollowed(join(link, 'agent.sock'), () => pointTo('second'))

    /** As a volume of Kubernetes is swapped: a new link is moved over the old one. */
    async function pointTo(target: string): Promise<void> {
      await mkdir(join(folder, target), { recursive: true })
      await symlink(target, `${link}.new`)
      await rename(`${link}.new`, link)
    }
  })

  /** The agent behind the open stream goes on until it ends; then the one that has its place is asked. */
  async function assertFollowed(socketPath: string, replace: () => Promise<void>): Promise<void> {
    const endpoint = { address: `unix://${socketPath}` }
    await using sidecar = await GuardedWorkload.start(endpoint)
    const [before, after] = await Promise.all([mint(first), mint(second)])
    const live = await sidecar.openLive(before)
    const { epoch } = await sidecar.metrics()

    await replace()
    await first.renewNow()
    assert.deepEqual(await live.call(), [200, 200])
    assert.equal((await sidecar.metrics()).epoch, epoch)

    await first.stopServing()
    await live.ended()
    assert.equal((await sidecar.caller(after).call()).status, 200)
    await assertRefused(sidecar.caller(before), 'issuer_unknown')
    const metrics = await sidecar.metrics()
    assert.deepEqual([metrics.epoch, metrics.isConnected], [epoch + 1, true])
    await sidecar.untilMissing()
  }
})

function startAgent(): Promise<DevAgent> {
  return DevAgent.start({
    clock: systemClock,
    logger: silentLogger,
    trustDomains: [ownDomain],
  })
}

function mint(agent: DevAgent): Promise<CallerIdentity> {
  return agent.mint({ trustDomain: ownDomain, spiffeId: checkoutId })
}
