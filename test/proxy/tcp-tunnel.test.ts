import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  connect,
  createServer,
  type AddressInfo,
  type LookupFunction,
  type Server,
  Socket,
} from 'node:net'
import { createHash } from 'node:crypto'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { TcpTunnel, type TunnelOutcome } from '../../src/proxy/tcp-tunnel.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually, settle } from './support/eventually.ts'
import { RawSocket } from './support/raw-socket.ts'
import { RawWorkload } from './support/raw-workload.ts'

const megabyte = 1024 * 1024

describe('a TCP tunnel', () => {
  const clock = new FakeClock()
  let workload: RawWorkload
  let server: Server
  let deadlines: Deadlines
  let dial: () => Socket
  let tunnels: TcpTunnel[]
  /** The proxy's two sockets of each tunnel. */
  let sockets: { downstream: Socket; upstream: Socket }[]
  let outcomes: TunnelOutcome[]
  let bugs: unknown[]
  let caller: RawSocket

  beforeEach(async () => {
    workload = await RawWorkload.start()
    deadlines = new Deadlines(clock)
    ;[tunnels, sockets, outcomes, bugs] = [[], [], [], []]
    dial = () => connect({ port: workload.port, host: '127.0.0.1', allowHalfOpen: true })
    server = createServer({ allowHalfOpen: true }, (downstream) => {
      const upstream = dial()
      sockets.push({ downstream, upstream })
      tunnels.push(
        new TcpTunnel({
          ...{ downstream, upstream, deadlines, connectTimeoutMs: 3_000, idleTimeoutMs: 60_000 },
          onEnd: (outcome) => outcomes.push(outcome),
          onBug: (error) => bugs.push(error),
        }),
      )
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  afterEach(async () => {
    caller.destroy()
    for (const tunnel of tunnels) tunnel.destroy()
    await eventually(() => outcomes.length === tunnels.length)
    assert.deepEqual(bugs, [])
    deadlines.close()
    await workload.close()
    await new Promise((resolve) => server.close(resolve))
  })

  const open = async (): Promise<RawSocket> => {
    caller = await RawSocket.connect((server.address() as AddressInfo).port)
    return await workload.connection(0)
  }

  const outcome = async (): Promise<TunnelOutcome> => {
    await eventually(() => outcomes.length === 1)
    return outcomes[0]!
  }

  it('carries bytes both ways and counts them', async () => {
    const far = await open()
    caller.write('ping')
    await far.has('ping')
    far.write('pong!')
    await caller.has('pong!')
    caller.fin()
    far.fin()
    assert.deepEqual(await outcome(), { requestBytes: 4, replyBytes: 5 })
    assert.equal(caller.errorCode, undefined)
    assert.equal(far.errorCode, undefined)
  })

  it("keeps the way back open after the caller's end", async () => {
    const far = await open()
    caller.write('all I have')
    caller.fin()
    await far.ended()
    await settle()
    far.write('an answer')
    await caller.has('an answer')
    assert.equal(caller.hasEnded, false)
    far.fin()
    await caller.ended()
    assert.deepEqual(await outcome(), { requestBytes: 10, replyBytes: 9 })
  })

  it("keeps the way there open after the workload's end", async () => {
    const far = await open()
    far.write('hello')
    far.fin()
    await caller.ended()
    caller.write('still talking')
    await far.has('still talking')
    assert.equal(far.hasEnded, false)
    caller.fin()
    await far.ended()
    assert.deepEqual(await outcome(), { requestBytes: 13, replyBytes: 5 })
  })

  it('cuts the workload when the caller breaks off', async () => {
    const far = await open()
    caller.write('half a mess')
    await far.has('half a mess')
    caller.reset()
    await far.closed()
    assert.equal(far.errorCode, 'ECONNRESET')
    assert.equal(far.hasEnded, false, 'an end would claim that all had arrived')
    assert.deepEqual(await outcome(), {
      ...{ requestBytes: 11, replyBytes: 0, error: 'downstream_aborted' },
    })
  })

  it('cuts the caller when the workload breaks off, also after its own end', async () => {
    const far = await open()
    caller.fin()
    await far.ended()
    far.write('half an ans')
    await caller.has('half an ans')
    far.reset()
    await caller.closed()
    assert.equal(caller.errorCode, 'ECONNRESET')
    assert.equal(caller.hasEnded, false)
    assert.deepEqual(await outcome(), {
      ...{ requestBytes: 0, replyBytes: 11, error: 'upstream_reset' },
    })
  })

  it('carries what the caller said before the workload was reached', async () => {
    let found: () => void = () => undefined
    const lookup: LookupFunction = (_host, _options, done) => {
      found = () => done(null, [{ address: '127.0.0.1', family: 4 }])
    }
    dial = () => connect({ port: workload.port, host: 'workload', lookup, allowHalfOpen: true })
    caller = await RawSocket.connect((server.address() as AddressInfo).port)
    caller.write('early')
    caller.fin()
    await eventually(() => tunnels.length === 1)
    await settle()
    found()
    const far = await workload.connection(0)
    await far.has('early')
    await far.ended()
    far.fin()
    assert.deepEqual(await outcome(), { requestBytes: 5, replyBytes: 0 })
  })

  it('closes the caller when the workload cannot be connected to', async () => {
    const { port } = workload
    dial = () => connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    await workload.close()
    caller = await RawSocket.connect((server.address() as AddressInfo).port)
    await caller.closed()
    assert.equal((await outcome()).error, 'upstream_unavailable')
    workload = await RawWorkload.start()
  })

  it('closes the caller when the workload is not reached in time', async () => {
    dial = () => new NeverConnecting()
    caller = await RawSocket.connect((server.address() as AddressInfo).port)
    await eventually(() => tunnels.length === 1)
    caller.write('hello?')
    await settle()
    clock.advance(2_500)
    await settle()
    assert.equal(caller.isClosed, false)
    clock.advance(1_000)
    await caller.closed()
    assert.equal((await outcome()).error, 'upstream_unavailable')
  })

  it('ends when nothing moves, and not before', async () => {
    const far = await open()
    await settle()
    for (const from of [caller, far, caller, far]) {
      clock.advance(50_000)
      from.write('.')
      await settle()
    }
    assert.equal(caller.isClosed, false)
    clock.advance(61_000)
    await caller.closed()
    await far.closed()
    assert.deepEqual(await outcome(), { requestBytes: 2, replyBytes: 2, error: 'idle' })
  })

  it('ends at once when its owner says so', async () => {
    const far = await open()
    tunnels[0]!.destroy()
    await caller.closed()
    await far.closed()
    assert.deepEqual(await outcome(), { requestBytes: 0, replyBytes: 0, error: 'cut' })
  })

  const ways = [
    { name: 'to the workload', from: () => caller, to: (far: RawSocket) => far },
    { name: 'to the caller', from: (far: RawSocket) => far, to: () => caller },
  ]

  for (const { name, from, to } of ways) {
    it(`carries 100 MiB ${name} and holds little while nobody reads`, async () => {
      const far = await open()
      const [source, sink] = [from(far), to(far)]
      const total = 100 * megabyte
      const received = createHash('sha1')
      let receivedBytes = 0
      sink.socket.removeAllListeners('data')
      sink.socket.pause()
      const sent = createHash('sha1')
      const piece = Buffer.alloc(megabyte)
      const poured = (async () => {
        for (let at = 0; at < total; at += megabyte) {
          piece.fill(at / megabyte)
          sent.update(piece)
          if (!source.socket.write(Buffer.from(piece))) await once(source.socket, 'drain')
        }
        source.fin()
      })()
      const held = () => {
        const { downstream, upstream } = sockets[0]!
        const ends = [downstream, upstream]
        return ends.reduce((sum, end) => sum + end.writableLength + end.readableLength, 0)
      }
      let peak = 0
      const looks = setInterval(() => (peak = Math.max(peak, held())), 1)
      await eventually(() => source.socket.writableNeedDrain && held() > 0)
      for (let i = 0; i < 5; i++) await settle()
      assert.ok(held() > 0)
      sink.socket.on('data', (chunk: Buffer) => {
        received.update(chunk)
        receivedBytes += chunk.length
      })
      sink.socket.resume()
      await poured
      await eventually(() => receivedBytes === total)
      clearInterval(looks)
      assert.equal(received.digest('hex'), sent.digest('hex'))
      assert.ok(peak <= 256 * 1024, `${peak} bytes held`)
      sink.fin()
      const { requestBytes, replyBytes, error } = await outcome()
      assert.deepEqual(
        { bytes: requestBytes + replyBytes, error },
        { bytes: total, error: undefined },
      )
    })
  }
})

/** As a host that drops our SYN. */
class NeverConnecting extends Socket {
  override readonly connecting = true
}
