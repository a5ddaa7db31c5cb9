import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import { connect as tlsConnect, type ConnectionOptions } from 'node:tls'
import { eventually, settle } from '../proxy/support/eventually.ts'
import { type HarnessOptions, InboundHarness } from './support/inbound-harness.ts'

/** The begin of a TLS record that says it is longer. */
const partOfHello = Buffer.from('1603010200010001fc0303', 'hex')
const proxyHeader = 'PROXY TCP4 192.0.2.7 192.0.2.1 4711 8443\r\n'

describe('a handshake that fails in TLS', () => {
  let harness: InboundHarness
  const sockets: Socket[] = []

  async function start(options: HarnessOptions = {}): Promise<InboundHarness> {
    harness = await InboundHarness.start(options)
    return harness
  }

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await harness.close()
  })

  async function open(first: string | Buffer = ''): Promise<Socket> {
    const socket = dial(harness.port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => socket.destroy())
    socket.resume()
    await once(socket, 'connect')
    if (first.length > 0) await new Promise((resolve) => socket.write(first, resolve))
    return socket
  }

  /** TLS that ends in an error on our side, or on theirs. */
  async function fail(options: ConnectionOptions): Promise<void> {
    const { port } = harness
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    sockets.push(socket)
    socket.on('error', () => socket.destroy())
    await closed(socket)
  }

  const counted = () => eventually(() => harness.telemetry.handshakes.length === 1)

  const offers: { name: string; options: ConnectionOptions; reason: string }[] = [
    {
      name: 'TLS 1.1',
      options: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' },
      reason: 'unsupported_protocol',
    },
    {
      name: 'no cipher suite of ours',
      options: { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA256' },
      reason: 'no_shared_cipher',
    },
    {
      name: 'no protocol of ours',
      options: { ALPNProtocols: ['smtp'] },
      reason: 'no_application_protocol',
    },
  ]
  for (const { name, options, reason } of offers) {
    it(`names the reason when a caller offers ${name}`, async () => {
      const { telemetry } = await start()
      await fail(options)
      await counted()
      assert.deepEqual(telemetry.handshakes, ['failed'])
      const [failed] = telemetry.failedHandshakes
      assert.equal(failed?.reason, reason)
      assert.equal(failed.result, 'failed')
      assert.equal(failed.clientAddress, '127.0.0.1')
      assert.ok(failed.clientPort > 0 && failed.durationMs >= 0)
    })
  }

  it('names HTTP without TLS', async () => {
    const { telemetry } = await start()
    await closed(await open('GET / HTTP/1.1\r\n\r\n'))
    assert.deepEqual(telemetry.handshakes, ['failed'])
    assert.equal(telemetry.failedHandshakes[0]?.reason, 'http_request')
  })

  it('is one of a caller that begins and goes away', async () => {
    const { telemetry } = await start()
    const socket = await open(partOfHello)
    socket.end()
    await counted()
    assert.deepEqual(telemetry.handshakes, ['failed'])
    assert.equal(telemetry.failedHandshakes[0]?.reason, 'disconnected')
  })

  it('is one of a caller that begins and stops', async () => {
    const { telemetry } = await start()
    await closed(await open(partOfHello))
    assert.deepEqual(telemetry.handshakes, ['timeout'])
    assert.equal(telemetry.failedHandshakes[0]?.reason, 'timeout')
  })

  it('is one of the oldest that made room', async () => {
    const { telemetry } = await start({ limits: { maxHandshakes: 1 } })
    const oldest = await open(partOfHello)
    await settle()
    await harness.call({ headers: { 'x-api-key': harness.keys[0]?.key ?? '' } })
    await closed(oldest)
    assert.equal(telemetry.failedHandshakes[0]?.result, 'too_many_handshakes')
  })

  it('names whom a balancer connects for', async () => {
    const { telemetry } = await start({ balancers: ['127.0.0.1'] })
    await closed(await open(`${proxyHeader}GET / HTTP/1.1\r\n\r\n`))
    const [failed] = telemetry.failedHandshakes
    assert.equal(failed?.clientAddress, '192.0.2.7')
    assert.equal(failed.clientPort, 4_711)
  })

  it('is one behind the first bytes that were looked at', async () => {
    const { telemetry } = await start({ plaintext: 'allow' })
    await fail({ ALPNProtocols: ['smtp'] })
    await counted()
    assert.equal(telemetry.failedHandshakes[0]?.reason, 'no_application_protocol')
  })

  const silent: { name: string; options?: HarnessOptions; first?: string; reset?: true }[] = [
    { name: 'connects and closes' },
    { name: 'connects and resets', reset: true },
    {
      name: 'sends the header of a balancer and closes',
      options: { balancers: ['127.0.0.1'] },
      first: proxyHeader,
    },
    { name: 'connects and closes where plaintext is allowed', options: { plaintext: 'allow' } },
  ]
  for (const { name, options, first, reset } of silent) {
    it(`is none of a health check that ${name}`, async () => {
      const { telemetry } = await start(options)
      const socket = await open(first)
      if (reset === true) socket.resetAndDestroy()
      else socket.end()
      await counted()
      assert.deepEqual(telemetry.handshakes, ['silent'])
      assert.deepEqual(telemetry.failedHandshakes, [])
    })
  }

  it('is none of a handshake that went well', async () => {
    const { telemetry } = await start()
    const reply = await harness.call({ headers: { 'x-api-key': harness.keys[0]?.key ?? '' } })
    assert.equal(reply.status, 200)
    assert.deepEqual(telemetry.handshakes, ['anonymous'])
    assert.deepEqual(telemetry.failedHandshakes, [])
  })
})

/** `once` of node:events would reject with the error that comes first. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
}
