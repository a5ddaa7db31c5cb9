import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { DialPause } from '../../src/outbound/dial-pause.ts'
import { eventually, settle } from '../proxy/support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { Gate } from './support/gate.ts'
import { billing, OutboundHarness, TestMesh } from './support/outbound-harness.ts'
import { TestPeer } from './support/test-peer.ts'

describe('the pause between dials', () => {
  const longest = () => 0

  it('is none after one failure, then doubles up to a second', () => {
    const clock = new FakeClock()
    const pause = new DialPause(clock, longest)
    assert.deepEqual([pause.remainingMs, pause.isFailing], [0, false])
    const pauses: number[] = []
    for (let i = 0; i < 7; i++) {
      pause.failed()
      assert.ok(pause.isFailing)
      pauses.push(pause.remainingMs)
      clock.advance(pause.remainingMs)
      assert.equal(pause.remainingMs, 0)
    }
    assert.deepEqual(pauses, [0, 100, 200, 400, 800, 1_000, 1_000])
  })

  it('counts the dials that fail together once, and is over with one that goes well', () => {
    const clock = new FakeClock()
    const pause = new DialPause(clock, longest)
    for (let i = 0; i < 20; i++) pause.failed()
    assert.equal(pause.remainingMs, 100)
    pause.reset()
    assert.deepEqual([pause.remainingMs, pause.isFailing], [0, false])
    pause.failed()
    assert.equal(pause.remainingMs, 0)
  })
})

/** The clock of the pauses stands still: only what a test does can end one. */
describe('a peer that keeps failing', () => {
  let mesh: TestMesh
  let peer: TestPeer
  let gate: Gate
  let clock: FakeClock
  let harness: OutboundHarness
  const sockets: Socket[] = []

  before(async () => {
    mesh = await TestMesh.create()
  })

  async function start(protocol: 'http' | 'tcp', alpn: readonly string[] = []): Promise<void> {
    const leaf = await mesh.corp.leaf({ spiffeId: billing })
    peer = await TestPeer.start(leaf, { ALPNProtocols: [...alpn] })
    gate = await Gate.start(peer.port)
    clock = new FakeClock(Date.now())
    harness = await OutboundHarness.start(mesh, { upstreamPort: gate.port, protocol, clock })
  }

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    harness.close()
    gate.close()
    await peer.close()
  })

  const statusesOf = async (calls: readonly Promise<{ readonly status: number }>[]) =>
    (await Promise.all(calls)).map(({ status }) => status)

  for (const alpn of ['http/1.1', 'h2']) {
    describe(`and speaks ${alpn}`, () => {
      /** It was there, is gone, and has failed twice: a pause has begun. */
      async function fallen(): Promise<void> {
        await start('http', [alpn])
        assert.equal((await harness.call()).status, 200)
        gate.shut()
        await eventually(() => harness.telemetry.openPeerConnections === 0)
        for (let i = 0; i < 2; i++) assert.equal((await harness.call()).status, 502)
        assert.equal(gate.dials, 3)
      }

      it('is dialled once for all who wait for the end of a pause', async () => {
        await fallen()
        const calls = Array.from({ length: 20 }, () => harness.call())
        await eventually(() => harness.servers.connections === 20)
        await settle()
        assert.equal(gate.dials, 3)
        clock.advance(1_000)
        assert.deepEqual(await statusesOf(calls), Array(20).fill(502))
        assert.equal(gate.dials, 4)
      })

      it('serves all who wait once it is there again, and then has no pause', async () => {
        await fallen()
        const calls = Array.from({ length: 20 }, () => harness.call())
        await eventually(() => harness.servers.connections === 20)
        gate.open()
        clock.advance(1_000)
        assert.deepEqual(await statusesOf(calls), Array(20).fill(200))
        // Those that a call did without are on their way still.
        const wanted = alpn === 'h2' ? 1 : 20
        await eventually(() => harness.telemetry.openPeerConnections === wanted)
        gate.shut()
        await eventually(() => harness.telemetry.openPeerConnections === 0)
        gate.open()
        assert.equal((await harness.call()).status, 200)
      })

      const changes: readonly { name: string; change: () => unknown }[] = [
        { name: 'our SVID is new', change: () => harness.identify() },
        {
          name: 'the trust changes',
          change: () => {
            harness.changeTrust({})
          },
        },
      ]
      for (const { name, change } of changes) {
        it(`is dialled at once when ${name}`, async () => {
          await fallen()
          const call = harness.call()
          await eventually(() => harness.servers.connections === 1)
          await settle()
          gate.open()
          await change()
          assert.equal((await call).status, 200)
        })
      }

      it('is not dialled for a caller that has left', async () => {
        await fallen()
        const caller = connect(harness.port, '127.0.0.1')
        sockets.push(caller)
        caller.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        await eventually(() => harness.servers.connections === 1)
        await settle()
        caller.destroy()
        await eventually(() => harness.servers.connections === 0)
        clock.advance(1_000)
        await settle()
        assert.equal(gate.dials, 3)
      })
    })
  }

  it('is somebody else: that counts as failing too', async () => {
    await start('http', ['h2'])
    harness.changeTrust({ bundles: new Map() })
    for (let i = 0; i < 2; i++) {
      assert.equal((await harness.call()).json['reason'], 'peer_untrusted')
    }
    const call = harness.call()
    await eventually(() => harness.servers.connections === 1)
    await settle()
    assert.equal(gate.dials, 2)
    clock.advance(1_000)
    assert.equal((await call).json['reason'], 'peer_untrusted')
  })

  describe('over TCP', () => {
    const dial = (): Socket => {
      const socket = connect(harness.port, '127.0.0.1')
      socket.on('error', () => undefined)
      sockets.push(socket)
      return socket
    }

    async function fallen(): Promise<void> {
      await start('tcp')
      gate.shut()
      for (let i = 0; i < 2; i++) {
        const socket = dial()
        await eventually(() => socket.destroyed)
      }
      assert.equal(gate.dials, 2)
    }

    it('is dialled for a connection when the pause is over', async () => {
      await fallen()
      const socket = dial()
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      await eventually(() => harness.servers.connections === 1)
      await settle()
      assert.equal(gate.dials, 2)
      gate.open()
      clock.advance(1_000)
      await eventually(() => text.startsWith('HTTP/1.1 200 '))
    })

    it('is not dialled without an identity', async () => {
      await fallen()
      const socket = dial()
      await eventually(() => harness.servers.connections === 1)
      harness.loseIdentity()
      clock.advance(1_000)
      await eventually(() => socket.destroyed)
      assert.equal(harness.telemetry.ended.at(-1)?.outcome.error, 'identity_unavailable')
      assert.equal(gate.dials, 2)
    })
  })
})
