import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { DevAgent } from '../../src/dev/dev-agent.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import { SpiffePeer } from '../support/spiffe-peer.ts'
import { requireTool } from '../support/tools.ts'

const spiffeId = 'spiffe://corp.example/checkout'

/** What go-spiffe read of a whole state. */
interface State {
  readonly svids: readonly { readonly id: string; readonly hint: string; readonly serial: string }[]
  readonly bundles: Readonly<Record<string, number>>
}

type Line = Partial<State> & { readonly error?: string }

describe('the embedded agent, as the Workload API client of go-spiffe sees it', () => {
  let command: string
  let directory: string
  let agent: DevAgent
  let peer: SpiffePeer

  before(function () {
    command = requireTool(this, 'spiffe-peer')
  })

  beforeEach(async () => {
    directory = await temporaryDirectory()
    agent = await DevAgent.start({
      clock: systemClock,
      logger: silentLogger,
      trustDomains: ['corp.example', 'partner-a.example', 'stranger.example'],
      federation: [['corp.example', 'partner-a.example']],
    })
    const socketPath = join(directory, 'agent.sock')
    await agent.listen({ socketPath, spiffeId, hint: 'internal' })
    peer = SpiffePeer.start(command, socketPath, 'watch')
  })

  afterEach(async () => {
    await peer.stop()
    await agent.close()
    await rm(directory, { recursive: true, force: true })
  })

  /** The first state that follows a change and is as it should be. */
  async function stateAfter(
    change: () => Promise<unknown>,
    is: (state: State) => boolean,
  ): Promise<State> {
    const { length } = peer.lines
    await change()
    const isState = (line: Line) => line.svids !== undefined && is(line as State)
    return (await peer.line(change.toString(), isState, length)) as State
  }

  const first = () => peer.line<State>('a state', ({ svids }: Line) => svids !== undefined)

  it('hands out the SVID with its hint, our bundle and those of federated trust domains only', async () => {
    const { svids, bundles } = await first()
    assert.deepEqual(
      svids.map(({ id, hint }) => ({ id, hint })),
      [{ id: spiffeId, hint: 'internal' }],
    )
    assert.deepEqual(bundles, { 'corp.example': 1, 'partner-a.example': 1 })
  })

  it('pushes a new SVID, and each step of the rotation of a CA', async () => {
    const serials = [(await first()).svids[0]?.serial]
    const isNew = ({ svids: [svid] }: State) => !serials.includes(svid?.serial)
    const renewed = await stateAfter(() => agent.renewNow(), isNew)
    serials.push(renewed.svids[0]?.serial)
    const roots = (count: number) => (state: State) => state.bundles['corp.example'] === count
    const prepared = await stateAfter(() => agent.prepareCa('corp.example'), roots(2))
    assert.equal(prepared.svids[0]?.serial, serials[1])
    const activated = await stateAfter(() => agent.activateCa('corp.example'), isNew)
    assert.equal(activated.bundles['corp.example'], 2)
    await stateAfter(() => agent.withdrawOldCa('corp.example'), roots(1))
  })

  it('pushes the end of a federation, and a new one', async () => {
    await first()
    const domains = ({ bundles }: State) => Object.keys(bundles).sort().join()
    await stateAfter(
      () => agent.defederate('corp.example', 'partner-a.example'),
      (state) => domains(state) === 'corp.example',
    )
    await stateAfter(
      () => agent.federate('corp.example', 'stranger.example'),
      (state) => domains(state) === 'corp.example,stranger.example',
    )
  })

  it('ends the stream when the identity is withdrawn, and gives it back to who asks again', async () => {
    await first()
    await agent.removeEntry(spiffeId)
    await peer.line('refused', (line: Line) => line.error === 'PermissionDenied')
    const { svids } = await stateAfter(
      () => agent.addEntry(spiffeId),
      () => true,
    )
    assert.equal(svids[0]?.id, spiffeId)
  }).timeout(180_000)

  it('is found again after it was away', async () => {
    await first()
    await agent.stopServing()
    await peer.line('lost', (line: Line) => line.error !== undefined)
    await stateAfter(
      () => agent.startServing(),
      () => true,
    )
  }).timeout(180_000)
})
