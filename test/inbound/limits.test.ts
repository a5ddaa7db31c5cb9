import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { eventually, settle } from '../proxy/support/eventually.ts'
import { type HarnessOptions, InboundHarness } from './support/inbound-harness.ts'

describe('limits of the port', () => {
  let harness: InboundHarness | undefined
  const sockets: Socket[] = []

  async function start(options: HarnessOptions): Promise<InboundHarness> {
    harness = await InboundHarness.start(options)
    return harness
  }

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await harness?.close()
  })

  /** A connection that says nothing of itself. */
  async function open(own: InboundHarness): Promise<Socket> {
    const socket = dial(own.port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => socket.destroy())
    await new Promise((resolve) => socket.once('connect', resolve))
    return socket
  }

  async function openTls(own: InboundHarness): Promise<TLSSocket> {
    const socket = await own.connect()
    sockets.push(socket)
    socket.on('error', () => socket.destroy())
    return socket
  }

  async function isServed(own: InboundHarness): Promise<void> {
    const reply = await own.call({ headers: { 'x-api-key': own.keys[0]?.key ?? '' } })
    assert.equal(reply.status, 200, reply.text)
  }

  it('closes a connection above the number of all, and takes one again when another went', async () => {
    const own = await start({ limits: { maxConnections: 2 } })
    const [first] = [await openTls(own), await openTls(own)]
    await eventually(() => own.server.connections === 2)

    await once(await open(own), 'close')
    assert.deepEqual(own.telemetry.handshakes, ['anonymous', 'anonymous', 'too_many_connections'])

    first.destroy()
    await eventually(() => own.server.connections === 1)
    await isServed(own)
  })

  it('closes a connection above the number of one address, and takes one again when another went', async () => {
    const own = await start({ limits: { maxConnectionsPerAddress: 2 } })
    const [first] = [await openTls(own), await openTls(own)]
    await eventually(() => own.server.connections === 2)

    await once(await open(own), 'close')
    assert.equal(own.telemetry.handshakes.at(-1), 'too_many_connections_of_address')

    first.destroy()
    await eventually(() => own.server.connections === 1)
    await isServed(own)
  })

  it('counts the callers of a balancer one by one', async () => {
    const own = await start({
      balancers: ['127.0.0.1'],
      limits: { maxConnectionsPerAddress: 1 },
    })
    const behind = async (address: string) => {
      const socket = await open(own)
      socket.write(`PROXY TCP4 ${address} 192.0.2.1 1 2\r\n`)
      return socket
    }
    const [first, second] = [await behind('192.0.2.7'), await behind('192.0.2.8')]
    await once(await behind('192.0.2.7'), 'close')

    assert.deepEqual(own.telemetry.handshakes, ['too_many_connections_of_address'])
    assert.ok(!first.destroyed && !second.destroyed)
  })

  it('takes all addresses of one network of IPv6 for one caller', async () => {
    const own = await start({
      balancers: ['127.0.0.1'],
      limits: { maxConnectionsPerAddress: 1 },
    })
    const behind = async (address: string) => {
      const socket = await open(own)
      socket.write(`PROXY TCP6 ${address} 2001:db8::1 1 2\r\n`)
      return socket
    }
    await behind('2001:db8:0:1::7')
    await once(await behind('2001:db8:0:1:ffff::8'), 'close')
    const other = await behind('2001:db8:0:2::7')
    await settle()

    assert.deepEqual(own.telemetry.handshakes, ['too_many_connections_of_address'])
    assert.ok(!other.destroyed)
  })

  it('holds no more half-open connections than it may, and serves callers meanwhile', async () => {
    const most = 50
    const own = await start({ limits: { maxHandshakes: most, maxConnectionsPerAddress: 100_000 } })
    let closed = 0
    for (let i = 0; i < 2_000; i++) {
      const socket = await open(own)
      socket.once('close', () => closed++)
      // Some begin a handshake and never go on.
      if (i % 2 === 0) socket.write(Buffer.from('1603010200010001fc0303', 'hex'))
      if (i % 200 === 0) await isServed(own)
    }
    await eventually(() => closed >= 2_000 - most)
    await isServed(own)

    const results = own.telemetry.handshakes
    const count = (result: string) => results.filter((one) => one === result).length
    assert.equal(count('anonymous'), 11)
    assert.ok(count('too_many_handshakes') >= 1_900, JSON.stringify(count('too_many_handshakes')))
    // The rest goes by its time.
    await eventually(() => closed === 2_000)
    assert.equal(results.length, 2_011)
  }).timeout(180_000)

  it('gives a handshake its time and no more, however it drips', async () => {
    const own = await start({})
    const socket = await open(own)
    // A record that says it is longer than what comes in the time.
    const hello = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(500)])
    let at = 0
    const drip = setInterval(() => {
      if (!socket.destroyed) socket.write(hello.subarray(at, ++at))
    }, 400)
    await new Promise((resolve) => socket.once('close', resolve))
    clearInterval(drip)

    assert.deepEqual(own.telemetry.handshakes, ['timeout'])
    assert.ok(at < hello.length, 'closed in the middle')
    await isServed(own)
  })
})
