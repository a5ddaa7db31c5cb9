import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as http2Connect } from 'node:http2'
import { connect as dial, type Socket } from 'node:net'
import { eventually } from '../proxy/support/eventually.ts'
import { InboundHarness } from './support/inbound-harness.ts'

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

describe('plaintext: allow', () => {
  let harness: InboundHarness
  let key: string

  beforeEach(async () => {
    harness = await InboundHarness.start({ plaintext: 'allow' })
    key = harness.keys[0]?.key ?? ''
  })

  afterEach(() => harness.close())

  /** A connection without TLS, and everything that came on it. */
  async function open(): Promise<{ socket: Socket; text: () => string; closed: Promise<unknown> }> {
    const socket = dial(harness.port, '127.0.0.1')
    socket.setNoDelay(true)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await once(socket, 'connect')
    return { socket, text: () => text, closed }
  }

  const get = (more = '') => `GET /plain HTTP/1.1\r\nHost: a\r\n${more}Connection: close\r\n\r\n`

  it('serves HTTP/1.1 to a key, and says that it came without TLS', async () => {
    const { socket, text, closed } = await open()
    socket.write(get(`x-api-key: ${key}\r\n`))
    await closed

    assert.match(text(), /^HTTP\/1\.1 200 /)
    const headers = harness.workload.seen[0]?.headers ?? {}
    assert.equal(headers['x-forwarded-proto'], 'http')
    assert.equal(headers['x-postern-credential'], 'api-key')
    assert.equal(harness.telemetry.decisions[0]?.peer.kind, 'plaintext')
    assert.deepEqual(harness.telemetry.handshakes, ['plaintext'])
  })

  it('asks for a key', async () => {
    const { socket, text, closed } = await open()
    socket.write(get())
    await closed

    assert.match(text(), /^HTTP\/1\.1 401 .*"reason":"credential_missing"/s)
    assert.equal(harness.workload.seen.length, 0)
  })

  it('serves HTTP/2 with prior knowledge', async () => {
    const session = http2Connect(`http://127.0.0.1:${harness.port}`)
    const stream = session.request({ ':path': '/h2', 'x-api-key': key })
    const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }]
    stream.resume()
    await once(stream, 'close')
    session.close()

    assert.equal(headers[':status'], 200)
    assert.equal(harness.workload.seen[0]?.url, '/h2')
    assert.equal(harness.telemetry.decisions[0]?.protocol, 'h2')
  })

  it('finds out byte by byte', async () => {
    for (const [bytes, expected] of [
      [get(`x-api-key: ${key}\r\n`), /^HTTP\/1\.1 200 /],
      // SETTINGS of ours, as a frame of HTTP/2 with the setting of its streams.
      [preface, /^[^H]{9}/s],
    ] as const) {
      const { socket, text } = await open()
      for (const byte of Buffer.from(bytes, 'latin1')) {
        socket.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await eventually(() => expected.test(text()))
      socket.destroy()
    }
  })

  it('still serves TLS, and never takes a bad certificate for none', async () => {
    assert.equal((await harness.call({ headers: { 'x-api-key': key } })).status, 200)
    const forged = await harness.partnerB.leaf({ spiffeId: 'spiffe://corp.example/checkout/web' })
    const reply = await harness.call({ leaf: forged, headers: { 'x-api-key': key } })
    assert.equal(reply.status, 403)
    assert.equal(reply.json.reason, 'issuer_unknown')
  })

  it('upgrades no request to h2c, and serves it', async () => {
    const { socket, text, closed } = await open()
    socket.write(
      `GET /up HTTP/1.1\r\nHost: a\r\nx-api-key: ${key}\r\nConnection: Upgrade, HTTP2-Settings, close\r\n` +
        'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
    )
    await closed

    assert.match(text(), /^HTTP\/1\.1 200 /)
    const headers = harness.workload.seen[0]?.headers ?? {}
    assert.equal(headers['upgrade'], undefined)
    assert.equal(headers['http2-settings'], undefined)
  })

  const slow = [
    { name: 'nothing', bytes: '' },
    { name: 'half a preface', bytes: preface.slice(0, 10) },
    { name: 'the first byte of TLS', bytes: '\x16' },
  ]
  for (const { name, bytes } of slow) {
    it(`gives ${name} the time of a handshake`, async () => {
      const { socket, text, closed } = await open()
      if (bytes !== '') socket.write(Buffer.from(bytes, 'latin1'))
      await closed

      assert.equal(text(), '')
      assert.deepEqual(harness.telemetry.handshakes, ['timeout'])
    })
  }

  const garbage = [
    {
      name: 'a preface that is none',
      bytes: 'PRI * HTTP/2.1\r\n\r\n',
      answer: /^HTTP\/1\.1 (400|405|505) /,
    },
    { name: 'NUL bytes', bytes: '\0\0\0\0\r\n\r\n', answer: /^HTTP\/1\.1 400 / },
  ]
  for (const { name, bytes, answer } of garbage) {
    it(`refuses ${name}`, async () => {
      const { socket, text, closed } = await open()
      socket.write(Buffer.from(bytes, 'latin1'))
      await closed

      assert.match(text(), answer)
      assert.equal(harness.workload.seen.length, 0)
    })
  }
})
