import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { CidrSet, parseCidr } from '../../src/policy/cidr-set.ts'
import { type HarnessOptions, InboundHarness, product } from './support/inbound-harness.ts'
import { eventually } from '../proxy/support/eventually.ts'

function setOf(...texts: string[]): CidrSet {
  return new CidrSet(texts.map(parseCidr))
}

describe('addresses', () => {
  let harness: InboundHarness | undefined

  async function start(options: HarnessOptions): Promise<InboundHarness> {
    harness = await InboundHarness.start(options)
    return harness
  }

  afterEach(async () => {
    await harness?.close()
    harness = undefined
  })

  /** Connects and never speaks. Resolves when it is closed, with the bytes that came. */
  async function untilClosed(socket: Socket): Promise<number> {
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('close', resolve))
    return bytes
  }

  it('closes a connection from a denied range before TLS, with a record', async () => {
    const { port, telemetry } = await start({ addresses: { deny: setOf('127.0.0.0/8') } })

    assert.equal(await untilClosed(dial(port, '127.0.0.1')), 0)

    const [{ record, outcome } = {}] = telemetry.ended
    assert.equal(record?.decision.reason, 'address_not_allowed')
    assert.equal(record.protocol, 'handshake')
    assert.equal(record.clientAddress, '127.0.0.1')
    assert.equal(outcome?.status, 0)
    assert.deepEqual(record.decision.steps, [
      { name: 'address', outcome: 'deny', detail: 'deny lists 127.0.0.0/8, where 127.0.0.1 is' },
    ])
    assert.deepEqual(telemetry.handshakes, ['address_not_allowed'])
  })

  it('closes a connection that no allowed range holds', async () => {
    const { port, telemetry } = await start({ addresses: { allow: setOf('192.0.2.0/24') } })

    assert.equal(await untilClosed(dial(port, '127.0.0.1')), 0)
    assert.equal(telemetry.ended[0]?.record.decision.reason, 'address_not_allowed')
  })

  it('serves a connection from an allowed range, and says so in the steps', async () => {
    const own = await start({ addresses: { allow: setOf('127.0.0.1'), deny: setOf('::/0') } })
    const headers = { 'x-api-key': own.keys[0]?.key ?? '' }

    const reply = await own.call({ headers })

    assert.equal(reply.status, 200, reply.text)
    assert.deepEqual(own.telemetry.decisions[0]?.decision.steps[0]?.name, 'address')
  })

  it("denies a product's callers from elsewhere with 403, and keeps others served", async () => {
    const { port, keys, call, telemetry } = bound(
      await start({
        keys: [{ product: 'near' }, { product: 'far' }],
        products: [
          product('near', { apiKeys: 'accept', addresses: { allow: setOf('127.0.0.0/8') } }),
          product('far', { apiKeys: 'accept', addresses: { deny: setOf('127.0.0.0/8') } }),
        ],
      }),
    )
    assert.ok(port > 0)

    const near = await call({ headers: { 'x-api-key': keys[0]?.key ?? '' } })
    const far = await call({ headers: { 'x-api-key': keys[1]?.key ?? '' } })

    assert.equal(near.status, 200, near.text)
    assert.equal(far.status, 403)
    assert.equal(far.json.reason, 'address_not_allowed')
    assert.equal(telemetry.decisions[1]?.decision.product, 'far')
  })

  it('believes no x-forwarded-for, forwarded or x-real-ip', async () => {
    const own = await start({
      keys: [{ product: 'far' }],
      products: [product('far', { apiKeys: 'accept', addresses: { allow: setOf('192.0.2.7') } })],
    })
    const reply = await own.call({
      headers: {
        'x-api-key': own.keys[0]?.key ?? '',
        'x-forwarded-for': '192.0.2.7',
        forwarded: 'for=192.0.2.7',
        'x-real-ip': '192.0.2.7',
      },
    })

    assert.equal(reply.status, 403)
    assert.equal(reply.json.reason, 'address_not_allowed')
  })

  describe('by PROXY protocol', () => {
    const header1 = Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n')
    const header2 = Buffer.concat([
      Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex'),
      Buffer.from('c0000207c0000201', 'hex'),
      Buffer.from('15b301bb', 'hex'),
    ])
    const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')
    const unknown = Buffer.from('PROXY UNKNOWN\r\n')

    /** One request over TLS behind `header`, which leaves in the given pieces. Returns the reply's text. */
    async function behind(own: InboundHarness, pieces: readonly Buffer[]): Promise<string> {
      const socket = dial(own.port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.setNoDelay(true)
      await once(socket, 'connect')
      for (const piece of pieces) {
        socket.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      const secure = tlsConnect({ socket, rejectUnauthorized: false })
      const key = own.keys[0]?.key ?? ''
      secure.write(`GET / HTTP/1.1\r\nHost: a\r\nx-api-key: ${key}\r\nConnection: close\r\n\r\n`)
      let text = ''
      secure.on('data', (chunk: Buffer) => (text += chunk.toString()))
      secure.on('error', () => undefined)
      await new Promise((resolve) => secure.once('close', resolve))
      return text
    }

    const whole = [
      { name: 'version 1', pieces: [header1] },
      { name: 'version 2', pieces: [header2] },
      { name: 'version 1 byte by byte', pieces: [...header1].map((byte) => Buffer.from([byte])) },
      { name: 'version 2 byte by byte', pieces: [...header2].map((byte) => Buffer.from([byte])) },
    ]
    for (const { name, pieces } of whole) {
      for (const plaintext of ['refuse', 'allow'] as const) {
        it(`takes the caller's address of ${name}, plaintext: ${plaintext}`, async () => {
          const own = await start({ balancers: ['127.0.0.1'], plaintext })

          const text = await behind(own, pieces)

          assert.match(text, /^HTTP\/1\.1 200 /)
          const { record } = own.telemetry.ended[0] ?? {}
          assert.deepEqual([record?.clientAddress, record?.clientPort], ['192.0.2.7', 5555])
          assert.equal(own.workload.seen[0]?.headers['x-forwarded-for'], '192.0.2.7')
        })
      }
    }

    for (const [name, header] of [
      ['LOCAL', local],
      ['UNKNOWN', unknown],
    ] as const) {
      it(`takes the balancer itself for the caller with ${name}`, async () => {
        const own = await start({ balancers: ['127.0.0.1'] })

        assert.match(await behind(own, [header]), /^HTTP\/1\.1 200 /)
        assert.equal(own.telemetry.ended[0]?.record.clientAddress, '127.0.0.1')
      })
    }

    it('holds the address that was told against the rules', async () => {
      const own = await start({
        balancers: ['127.0.0.1'],
        addresses: { deny: setOf('192.0.2.0/24') },
      })

      assert.equal(await behind(own, [header1]), '')
      assert.equal(own.telemetry.ended[0]?.record.clientAddress, '192.0.2.7')
      assert.equal(own.telemetry.ended[0].record.decision.reason, 'address_not_allowed')
      assert.match(await behind(own, [unknown]), /^HTTP\/1\.1 200 /)
    })

    it('takes plaintext behind it', async () => {
      const own = await start({ balancers: ['127.0.0.1'], plaintext: 'allow' })
      const socket = dial(own.port, '127.0.0.1')
      socket.write(header1)
      socket.write(`GET / HTTP/1.1\r\nHost: a\r\nx-api-key: ${own.keys[0]?.key ?? ''}\r\n\r\n`)
      await eventually(() => own.workload.seen.length === 1)
      assert.equal(own.workload.seen[0]?.headers['x-forwarded-for'], '192.0.2.7')
      assert.equal(own.workload.seen[0].headers['x-forwarded-proto'], 'http')
      socket.destroy()
    })

    it('closes a connection of a balancer that begins with anything else', async () => {
      const own = await start({ balancers: ['127.0.0.1'] })

      assert.equal(await behind(own, []), '')
      assert.equal(await behind(own, [Buffer.from('PROXY TCP4 nonsense\r\n')]), '')
      assert.deepEqual(own.telemetry.handshakes, [
        'proxy_header_malformed',
        'proxy_header_malformed',
      ])
      assert.equal(own.workload.seen.length, 0)
    })

    it('closes a connection of a balancer that stays silent', async () => {
      const own = await start({ balancers: ['127.0.0.1'] })
      const socket = dial(own.port, '127.0.0.1')
      socket.write(header1.subarray(0, 10))

      assert.equal(await untilClosed(socket), 0)
      assert.deepEqual(own.telemetry.handshakes, ['timeout'])
    })

    for (const plaintext of ['refuse', 'allow'] as const) {
      it(`believes no header of anybody else, plaintext: ${plaintext}`, async () => {
        const own = await start({ balancers: ['192.0.2.1'], plaintext })

        for (const header of [header1, header2, local, unknown]) {
          assert.doesNotMatch(await behind(own, [header]), /^HTTP\/1\.1 200 /)
        }
        assert.equal(own.workload.seen.length, 0)
        const told = own.telemetry.ended.map(({ record }) => record.clientAddress)
        assert.ok(!told.includes('192.0.2.7'))
      })
    }
  })
})

function bound(harness: InboundHarness) {
  const { port, keys, telemetry } = harness
  return { port, keys, telemetry, call: harness.call.bind(harness) }
}
