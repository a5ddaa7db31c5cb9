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

/** Thousands of handshakes in all, each with its requests, in each protocol. */
const rounds = 110
const newcomersPerRound = 20
const tunnelsPerRound = 14

interface Newcomer {
  readonly connection: CallerConnection
  readonly isTrusted: boolean
}

describe('handshakes and requests that race changes of trust', function () {
  this.timeout(300_000)

  let harness: InboundHarness
  let own: TestLeaf
  let partner: TestLeaf
  let trusted: TrustState['bundles']
  let distrusted: TrustState['bundles']
  /** How often the partner was decided, by protocol and outcome. */
  const raced = new Map<string, number>()

  async function start(options: { tcpPort?: number } = {}): Promise<void> {
    harness = await InboundHarness.start(options)
    raced.clear()
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

    for (let round = 0; round < rounds; round++) {
      const doomed = await Promise.all(httpVersions.map((version) => openLive(partner, version)))
      const asked = [...doomed, ...kept].map((connection) => connection.call().catch(noReply))
      const newcomers = Array.from({ length: newcomersPerRound }, (_, i) => newcomer(i))
      await turns(round % 40)
      harness.changeTrust({ bundles: distrusted })
      await Promise.all(asked)
      await Promise.all(doomed.map((connection) => connection.ended))
      for (const one of await Promise.all(newcomers)) await assertNotSlipped(one)
      assertOutcomes()
      harness.changeTrust({ bundles: trusted })
    }

    assertRaced('http/1.1')
    assertRaced('h2')
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

    for (let round = 0; round < rounds; round++) {
      const sockets = Array.from({ length: tunnelsPerRound }, () =>
        harness.connect(partner).then(open),
      )
      await turns(round % 40)
      harness.changeTrust({ bundles: distrusted })
      const all = await Promise.all(sockets)
      await until('all are cut', () => all.every((socket) => socket.destroyed))
      await until('no other tunnel is open', () => joined.size === 1)
      assert.equal(await echo(kept), 'hello')
      harness.changeTrust({ bundles: trusted })
    }

    assertRaced('tcp')
    kept.destroy()
    workload.close()
  })

  /** Shakes hands, and asks for something at once, or not: every fifth is idle when the trust changes. */
  async function newcomer(index: number): Promise<Newcomer> {
    const isTrusted = index % 7 === 0
    const version = httpVersions[index % 2]
    const connection = await callerOf(isTrusted ? own : partner).open(version)
    if (index % 5 !== 0) await Promise.race([connection.call().catch(noReply), connection.ended])
    return { connection, isTrusted }
  }

  /** Whatever it was told while the trust changed: now it is known who it is. */
  async function assertNotSlipped({ connection, isTrusted }: Newcomer): Promise<void> {
    const ended = connection.ended.then(noReply)
    const reply = await Promise.race([connection.call().catch(noReply), ended])
    if (isTrusted) assert.equal(reply?.status, 200)
    else assert.notEqual(reply?.status, 200)
    connection.close()
  }

  /** The partner was decided on both sides of the change, hundreds of times each. */
  function assertRaced(protocol: DecisionRecord['protocol']): void {
    const [allowed = 0, denied = 0] = ['allow', 'deny'].map((it) => raced.get(`${protocol} ${it}`))
    assert.ok(allowed + denied > 1_000, `${allowed + denied} decisions`)
    assert.ok(Math.min(allowed, denied) > 100, `${allowed} were allowed and ${denied} denied`)
  }

  /** Right at the moment of the decision: what it was decided by is what is in force. */
  function assertOfThisMoment({ decision, peer, protocol }: DecisionRecord): void {
    const { epoch, bundles } = harness.trust
    const isPartner = peer.kind === 'svid' ? peer.id.toString() === partnerId : true
    const mayPass = !isPartner || bundles.has('partner-a.example')
    const was = { epoch: decision.epoch, outcome: decision.outcome }
    assert.deepEqual(was, { epoch, outcome: mayPass ? 'allow' : 'deny' })
    const key = `${protocol} ${decision.outcome}`
    if (isPartner) raced.set(key, (raced.get(key) ?? 0) + 1)
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
  socket.resume()
  return socket
}

async function echo(socket: TLSSocket): Promise<string> {
  const reply = new Promise<string>((resolve) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString()))
  })
  socket.write('hello')
  return reply
}

/** So many turns of the event loop, which is where a change can come between two steps. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 30_000
  while (!condition()) {
    assert.ok(performance.now() < endMs, `never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
