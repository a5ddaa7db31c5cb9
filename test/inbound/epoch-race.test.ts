import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { TrustState } from '../../src/policy/trust-state.ts'
import type { DecisionRecord } from '../../src/telemetry/telemetry.ts'
import { Caller, type CallerConnection, httpVersions, identityOf } from '../e2e/support/caller.ts'
import type { TestLeaf } from '../support/test-ca.ts'
import { InboundHarness } from './support/inbound-harness.ts'

const ownId = 'spiffe://corp.example/checkout/web'
const partnerId = 'spiffe://partner-a.example/orders'

describe('handshakes and requests that race changes of trust', function () {
  this.timeout(180_000)

  let harness: InboundHarness
  let own: TestLeaf
  let partner: TestLeaf
  let trusted: TrustState['bundles']
  let distrusted: TrustState['bundles']

  async function start(options: { tcpPort?: number } = {}): Promise<void> {
    harness = await InboundHarness.start(options)
    own = await harness.corp.leaf({ spiffeId: ownId })
    partner = await harness.partnerA.leaf({ spiffeId: partnerId })
    trusted = harness.trust.bundles
    distrusted = new Map([...trusted].filter(([name]) => name !== 'partner-a.example'))
    harness.telemetry.onDecided = (record) => assertOfThisMoment(record)
  }

  afterEach(() => harness.close())

  it('are each decided by the epoch of their moment, and no connection outlives its trust', async () => {
    await start()
    answerInTwoHalves()
    const kept = await Promise.all(httpVersions.map((version) => openLive(own, version)))

    for (let round = 0; round < 120; round++) {
      const doomed = await Promise.all(httpVersions.map((version) => openLive(partner, version)))
      const asked = [...doomed, ...kept].map((connection) => connection.call().catch(noReply))
      const calls = Array.from({ length: 8 }, (_, i) => {
        const leaf = i % 4 === 0 ? own : partner
        return callerOf(leaf)
          .call({}, httpVersions[i % 2])
          .catch(noReply)
      })
      await turns(round % 40)
      harness.changeTrust({ bundles: distrusted })
      await Promise.all([...asked, ...calls])
      await Promise.all(doomed.map((connection) => connection.ended))
      assertOutcomes()
      harness.changeTrust({ bundles: trusted })
    }

    for (const connection of kept) assert.equal((await connection.call()).status, 200)
    for (const connection of kept) connection.close()
  })

  it('leave no tunnel open whose caller lost its trust', async () => {
    const joined = new Set<Socket>()
    const workload = createServer((socket) => {
      joined.add(socket)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => joined.delete(socket))
      socket.pipe(socket)
    })
    await new Promise<void>((resolve) => workload.listen(0, '127.0.0.1', resolve))
    await start({ tcpPort: (workload.address() as AddressInfo).port })
    const kept = await harness.connect(own)

    for (let round = 0; round < 150; round++) {
      const sockets = Array.from({ length: 6 }, () => harness.connect(partner).then(open))
      await turns(round % 40)
      harness.changeTrust({ bundles: distrusted })
      await Promise.all(sockets.map(async (socket) => ended(await socket)))
      await until(() => joined.size === 1)
      assert.equal(await echo(kept), 'hello')
      harness.changeTrust({ bundles: trusted })
    }

    kept.destroy()
    workload.close()
  })

  /** Right at the moment of the decision: what it was decided by is what is in force. */
  function assertOfThisMoment({ decision, peer }: DecisionRecord): void {
    const { epoch, bundles } = harness.trust
    const isPartner = peer.kind === 'svid' ? peer.id.toString() === partnerId : true
    const mayPass = !isPartner || bundles.has('partner-a.example')
    const was = { epoch: decision.epoch, outcome: decision.outcome }
    assert.deepEqual(was, { epoch, outcome: mayPass ? 'allow' : 'deny' })
  }

  /** What was allowed came to its end, whatever changed meanwhile. */
  function assertOutcomes(): void {
    const { ended, decisions } = harness.telemetry
    const allowed = decisions.splice(0).filter(({ decision }) => decision.outcome === 'allow')
    const finished = ended.splice(0).filter(({ record }) => record.decision.outcome === 'allow')
    assert.equal(finished.length, allowed.length)
    for (const { outcome } of finished) {
      assert.deepEqual([outcome.status, outcome.error], [200, undefined])
    }
  }

  function answerInTwoHalves(): void {
    harness.workload.answerWith((_request, response) => {
      response.write('first half, ')
      setImmediate(() => response.end('second half'))
    })
  }

  function callerOf(leaf: TestLeaf): Caller {
    return new Caller({ port: harness.port, identity: identityOf(leaf) })
  }

  /** A connection that has had one request allowed. */
  async function openLive(
    leaf: TestLeaf,
    version: (typeof httpVersions)[number],
  ): Promise<CallerConnection> {
    const connection = await callerOf(leaf).open(version)
    assert.equal((await connection.call()).status, 200)
    return connection
  }
})

/** The connection ended before the request was taken: there is nothing to look at. */
function noReply(): undefined {
  return undefined
}

function open(socket: TLSSocket): TLSSocket {
  socket.on('error', () => socket.destroy())
  socket.write('hello')
  return socket
}

async function echo(socket: TLSSocket): Promise<string> {
  const reply = new Promise<string>((resolve) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString()))
  })
  socket.write('hello')
  return reply
}

function ended(socket: TLSSocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve()
    socket.resume()
    socket.once('close', () => resolve())
  })
}

/** So many turns of the event loop, which is where a change can come between two steps. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
