import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { eventually, settle } from '../proxy/support/eventually.ts'
import { RawSocket } from '../proxy/support/raw-socket.ts'
import { RawWorkload } from '../proxy/support/raw-workload.ts'
import { type HarnessOptions, InboundHarness } from './support/inbound-harness.ts'

const key = 'dGhlIHNhbXBsZSBub25jZQ=='
/** Of RFC 6455 1.3. */
const acceptOfKey = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

/** WebSocket of HTTP/1.1 byte by byte. The oracle stands at the workload. */
describe('WebSocket, byte by byte', () => {
  let harness: InboundHarness
  let workload: RawWorkload
  let callers: RawSocket[]
  let smuggled: string

  async function start(options: HarnessOptions = {}): Promise<void> {
    callers = []
    workload = await RawWorkload.start()
    harness = await InboundHarness.start({
      plaintext: 'allow',
      workloadPort: workload.port,
      ...options,
    })
  }

  beforeEach(async () => {
    await start()
    smuggled = `GET /SMUGGLED HTTP/1.1\r\nhost: evil\r\nx-postern-product: forged\r\nx-api-key: ${harness.keys[0]!.key}\r\n\r\n`
  })

  afterEach(async () => {
    for (const caller of callers) caller.destroy()
    await harness.close()
    await workload.close()
  })

  async function connect(): Promise<RawSocket> {
    const caller = await RawSocket.connect(harness.port)
    callers.push(caller)
    return caller
  }

  /** A handshake as it should be, but for the lines that are given: `undefined` leaves one out. */
  function handshake(changes: Readonly<Record<string, string | undefined>> = {}): string {
    const { line = 'GET /chat HTTP/1.1', extra = '', ...others } = changes
    const fields: Record<string, string | undefined> = {
      host: 'api.example',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': key,
      'x-api-key': harness.keys[0]!.key,
      ...others,
    }
    const lines = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}: ${value ?? ''}\r\n`)
    return `${line}\r\n${lines.join('')}${extra}\r\n`
  }

  /** Asks, and resolves with both sides when the workload has the request. */
  async function ask(
    bytes = handshake(),
  ): Promise<{ caller: RawSocket; taken: RawSocket; request: string }> {
    const caller = await connect()
    caller.write(bytes)
    const taken = await workload.connection(workload.connections.length)
    const request = await taken.take('\r\n\r\n')
    return { caller, taken, request }
  }

  /** Both sides of an open WebSocket. */
  async function open(): Promise<{ caller: RawSocket; taken: RawSocket }> {
    const { caller, taken, request } = await ask()
    taken.write(accepting(request))
    await caller.take('\r\n\r\n')
    return { caller, taken }
  }

  describe('the handshake', () => {
    it('is made anew on each side, and answered for the key that each gave', async () => {
      const { caller, taken, request } = await ask(
        handshake({ extra: 'Sec-WebSocket-Protocol: a, b\r\nsec_websocket_key: x\r\n' }),
      )
      assert.match(request, /^GET \/chat HTTP\/1\.1\r\nhost: api\.example\r\n/)
      assert.match(request, /\r\nconnection: Upgrade\r\nupgrade: websocket\r\n/)
      assert.equal(request.match(/sec[-_]websocket[-_]key/gi)?.length, 1)
      assert.ok(!request.includes(key))
      assert.match(request, /\r\nSec-WebSocket-Protocol: a, b\r\n/)
      assert.ok(!/content-length|transfer-encoding|via|forwarded: /i.test(request))
      taken.write(
        accepting(request, 'Sec-WebSocket-Protocol: b\r\nKeep-Alive: timeout=5\r\nVia: x\r\n'),
      )
      const head = await caller.take('\r\n\r\n')
      assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
      assert.match(head, new RegExp(`\r\nsec-websocket-accept: ${escaped(acceptOfKey)}\r\n`))
      assert.equal(head.match(/sec-websocket-accept/gi)?.length, 1)
      assert.match(head, /\r\nupgrade: websocket\r\nconnection: Upgrade\r\n/)
      assert.match(head, /\r\nSec-WebSocket-Protocol: b\r\n/)
      assert.ok(!/keep-alive/i.test(head))
    })

    for (const upgrade of ['WebSocket', 'WEBSOCKET', ' websocket ', 'websocket,', ', websocket']) {
      it(`takes Upgrade: ${JSON.stringify(upgrade)} for what it is`, async () => {
        const { request } = await ask(handshake({ upgrade, connection: 'keep-alive, UPGRADE' }))
        assert.match(request, /\r\nupgrade: websocket\r\n/)
      })
    }

    it('lets identity fields that Connection lists reach nobody but us', async () => {
      const { request } = await ask(
        handshake({
          connection: 'Upgrade, x-postern-product, x-api-key, host, sec-websocket-key, cookie',
          extra: 'X-Postern-Product: forged\r\nCookie: a=b\r\nX-Forwarded-For: 6.6.6.6\r\n',
        }),
      )
      assert.deepEqual(request.match(/x-postern-product: .*/gi), ['x-postern-product: reports'])
      assert.deepEqual(request.match(/x-forwarded-for: .*/gi), ['x-forwarded-for: 127.0.0.1'])
      assert.equal(request.match(/host: api\.example/gi)?.length, 1 + 1)
      assert.ok(!/cookie|x-api-key|pst_/i.test(request))
    })

    it('carries 10,000 bytes of header whole', async () => {
      const cookie = `a=${'x'.repeat(10_000)}`
      const { request } = await ask(handshake({ cookie }))
      assert.ok(request.includes(`\r\ncookie: ${cookie}\r\n`))
    })

    const refused: readonly [string, Record<string, string | undefined>, string][] = [
      ['POST', { line: 'POST /chat HTTP/1.1' }, 'websocket_malformed'],
      ['a method that only looks like GET', { line: 'get /chat HTTP/1.1' }, 'websocket_malformed'],
      ['a body', { 'content-length': '5' }, 'websocket_malformed'],
      ['a chunked body', { 'transfer-encoding': 'chunked' }, 'websocket_malformed'],
      [
        'both lengths',
        { 'content-length': '5', 'transfer-encoding': 'chunked' },
        'framing_ambiguous',
      ],
      ['several protocols', { upgrade: 'websocket, h2c' }, 'websocket_malformed'],
      ['several protocols, the other first', { upgrade: 'h2c, websocket' }, 'websocket_malformed'],
      ['several Upgrade fields', { extra: 'Upgrade: TLS/1.0\r\n' }, 'websocket_malformed'],
      ['a version of the protocol', { upgrade: 'websocket/13' }, 'websocket_malformed'],
      ['no key', { 'sec-websocket-key': undefined }, 'websocket_malformed'],
      ['two keys', { extra: `Sec-WebSocket-Key: ${key}\r\n` }, 'websocket_malformed'],
      ['two keys in one', { 'sec-websocket-key': `${key}, ${key}` }, 'websocket_malformed'],
      ['a short key', { 'sec-websocket-key': 'c2hvcnQ=' }, 'websocket_malformed'],
      [
        'a key of 17 bytes',
        { 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAAA=' },
        'websocket_malformed',
      ],
      ['a key that is no base64', { 'sec-websocket-key': '!'.repeat(24) }, 'websocket_malformed'],
      ['no version', { 'sec-websocket-version': undefined }, 'websocket_version_unsupported'],
      ['version 8', { 'sec-websocket-version': '8' }, 'websocket_version_unsupported'],
      ['two versions', { 'sec-websocket-version': '13, 8' }, 'websocket_version_unsupported'],
    ]
    for (const [name, changes, code] of refused) {
      it(`is refused with ${name}, and what follows is no request`, async () => {
        const caller = await connect()
        caller.write(`${handshake(changes)}${smuggled}`)
        await caller.has(`"reason":"${code}"`)
        assert.match(caller.text, /^HTTP\/1\.1 400 /)
        assert.equal(/sec-websocket-version: 13/i.test(caller.text), code.includes('version'))
        await caller.ended()
        assert.equal(caller.text.match(/HTTP\/1\.1/g)?.length, 1)
        assert.equal(workload.connections.length, 0)
      })
    }

    const ordinary: readonly [string, Record<string, string | undefined>][] = [
      [
        'Upgrade: h2c, as Java offers it',
        { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings', 'http2-settings': 'AAEAAEAA' },
      ],
      ['Upgrade: TLS/1.0', { upgrade: 'TLS/1.0' }],
      ['an Upgrade that Connection does not list', { connection: 'keep-alive' }],
      ['HTTP/1.0, which has no upgrades', { line: 'GET /chat HTTP/1.0' }],
    ]
    for (const [name, changes] of ordinary) {
      it(`takes a request with ${name} for an ordinary one`, async () => {
        const { caller, taken, request } = await ask(handshake(changes))
        assert.ok(!/\r\n(upgrade|http2-settings|connection):/i.test(request), request)
        taken.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        await caller.has('\r\n\r\nok')
        assert.equal(harness.telemetry.decisions[0]?.protocol, 'http/1.1')
      })
    }
  })

  describe('bytes behind the handshake', () => {
    it('wait until the workload has accepted, and are not lost', async () => {
      const { caller, taken, request } = await ask(`${handshake()}early`)
      caller.write(' and later')
      await settle()
      assert.equal(taken.text, '')
      taken.write(`${accepting(request)}first of the workload`)
      await caller.has('\r\n\r\nfirst of the workload')
      await taken.has('early and later')
    })

    it('are never read by a workload that refuses', async () => {
      const { caller, taken } = await ask(`${handshake()}${smuggled}`)
      taken.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnono')
      await caller.has('nono')
      // What came behind is a request of its own: decided and sent by itself, with our fields.
      const next = await workload.connection(1)
      const request = await next.take('\r\n\r\n')
      assert.match(request, /^GET \/SMUGGLED HTTP\/1\.1\r\n/)
      assert.ok(!request.includes('forged'))
      assert.match(request, /x-postern-product: reports/)
      assert.equal(taken.text, '')
      next.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      await caller.has('ok')
      assert.deepEqual(
        harness.telemetry.ended.map(({ outcome }) => outcome.status),
        [403, 200],
      )
    })

    it('are read by nobody when we refuse', async () => {
      const caller = await connect()
      caller.write(
        `${handshake({ 'x-api-key': 'pst_none' })}${smuggled.replace(/x-api-key: .*\r\n/, '')}`,
      )
      await caller.has(/401[^]*401/)
      assert.equal(workload.connections.length, 0)
    })

    it('are let go when the workload is lost before it has answered', async () => {
      const { caller, taken } = await ask(`${handshake()}early`)
      taken.reset()
      await caller.has('"reason":"upstream_reset"')
      assert.match(caller.text, /^HTTP\/1\.1 502 /)
    })
  })

  describe('a workload', () => {
    const wrong: readonly [string, (request: string) => string, string][] = [
      ['answers garbage', () => 'SSH-2.0-OpenSSH_9.2\r\n\r\n', 'upstream_malformed'],
      [
        'accepts another key',
        () => accepting(`sec-websocket-key: ${key}\r\n`),
        'upstream_malformed',
      ],
      [
        'accepts none',
        () => 'HTTP/1.1 101 OK\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
        'upstream_malformed',
      ],
      [
        'accepts twice',
        (request) => accepting(request, `sec-websocket-accept: ${acceptOfKey}\r\n`),
        'upstream_malformed',
      ],
      [
        'switches to something else',
        (request) => accepting(request).replace('upgrade: websocket', 'upgrade: h2c'),
        'upstream_malformed',
      ],
      [
        'switches without Connection',
        (request) => accepting(request).replace(/connection: .*\r\n/i, ''),
        'upstream_malformed',
      ],
      [
        'switches in HTTP/1.0',
        (request) => accepting(request).replace('1.1', '1.0'),
        'upstream_malformed',
      ],
      [
        'frames its reply twice',
        () => 'HTTP/1.1 403 no\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        'upstream_malformed',
      ],
    ]
    for (const [name, reply, reason] of wrong) {
      it(`that ${name} opens nothing`, async () => {
        const { caller, taken, request } = await ask()
        taken.write(`${reply(request)}and more`)
        await caller.has(`"reason":"${reason}"`)
        assert.match(caller.text, /^HTTP\/1\.1 502 /)
        assert.ok(!caller.text.includes('and more'))
        await taken.closed()
        assert.deepEqual(harness.telemetry.upstreamErrors, [reason])
        assert.equal(harness.telemetry.ended[0]?.outcome.status, 502)
      })
    }

    it('that is not there is 503, and one that never answers 504', async () => {
      await harness.close()
      await workload.close()
      await start({ responseTimeoutMs: 300 })
      const { caller } = await ask()
      await caller.has('"reason":"upstream_timeout"')
      assert.match(caller.text, /^HTTP\/1\.1 504 /)
      await workload.close()
      const other = await connect()
      other.write(handshake())
      await other.has('"reason":"upstream_unavailable"')
      assert.match(other.text, /^HTTP\/1\.1 503 /)
      workload = await RawWorkload.start()
    })

    it('may answer slowly, byte by byte, with news before', async () => {
      const { caller, taken, request } = await ask()
      const reply = `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${accepting(request)}frame`
      for (const byte of Buffer.from(reply, 'latin1')) {
        taken.write(Buffer.of(byte))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await caller.has(/^HTTP\/1\.1 103 [^]*\r\n\r\nHTTP\/1\.1 101 [^]*\r\n\r\nframe$/)
    })

    it('that refuses in chunks is passed on, and the connection takes the next request', async () => {
      const { caller, taken } = await ask()
      taken.write(
        'HTTP/1.1 426 Upgrade Required\r\ntransfer-encoding: chunked\r\nupgrade: foo\r\nx-a: b\r\n\r\n',
      )
      taken.write('4\r\nnono\r\n0\r\nx-trailer: c\r\n\r\nHTTP/1.1 200 OK\r\n\r\nsecond answer')
      const reply = await caller.take('0\r\nx-trailer: c\r\n\r\n')
      assert.match(reply, /^HTTP\/1\.1 426 Upgrade Required\r\n/)
      assert.match(reply, /x-a: b\r\n/)
      assert.match(reply, /transfer-encoding: chunked\r\n\r\n4\r\nnono\r\n0\r\n/)
      assert.ok(!/upgrade: foo|second answer/.test(reply))
      await taken.ended()
      const post = { line: 'POST /next HTTP/1.1', upgrade: undefined, connection: undefined }
      caller.write(`${handshake({ ...post, 'transfer-encoding': 'chunked' })}3\r\nabc\r\n0\r\n\r\n`)
      const next = await workload.connection(1)
      assert.match(await next.take('\r\n0\r\n\r\n'), /^POST \/next /)
      next.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      await caller.has(/200 OK[^]*ok$/)
    })

    it('that refuses until it closes is passed on', async () => {
      const { caller, taken } = await ask()
      taken.write('HTTP/1.0 404 Not Found\r\n\r\nnothing here')
      taken.fin()
      await caller.has(/^HTTP\/1\.1 404 Not Found\r\n[^]*nothing here/)
    })

    it('that takes the handshake for an ordinary request is passed on to HTTP/1.1', async () => {
      const { caller, taken } = await ask()
      taken.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage')
      await caller.has(/^HTTP\/1\.1 200 OK\r\n[^]*page$/)
    })
  })

  describe('the end', () => {
    it('of one half leaves the other open: the caller first', async () => {
      const { caller, taken } = await open()
      caller.write('question')
      caller.fin()
      await taken.ended()
      assert.equal(taken.text, 'question')
      taken.write('answer')
      taken.fin()
      await caller.ended()
      assert.equal(caller.text, 'answer')
      await eventually(() => harness.telemetry.ended.length === 1)
      assert.deepEqual(bytesAndError(), [8, 6, undefined])
    })

    it('of one half leaves the other open: the workload first', async () => {
      const { caller, taken } = await open()
      taken.write('all said')
      taken.fin()
      await caller.ended()
      assert.equal(caller.isClosed, false)
      const late = Buffer.alloc(300_000, 'late')
      caller.write(late)
      await eventually(() => taken.bytes.length === late.length)
      caller.fin()
      await taken.closed()
      await eventually(() => harness.telemetry.ended.length === 1)
      assert.deepEqual(bytesAndError(), [late.length, 8, undefined])
    })

    it('that is a reset is a reset on the other side: of the caller', async () => {
      const { caller, taken } = await open()
      caller.reset()
      await taken.closed()
      assert.equal(taken.errorCode, 'ECONNRESET')
      await eventually(() => harness.telemetry.ended[0]?.outcome.error === 'downstream_aborted')
    })

    it('that is a reset is a reset on the other side: of the workload', async () => {
      const { caller, taken } = await open()
      taken.reset()
      await caller.closed()
      assert.equal(caller.errorCode, 'ECONNRESET')
      await eventually(() => harness.telemetry.ended[0]?.outcome.error === 'upstream_reset')
      assert.deepEqual(harness.telemetry.upstreamErrors, ['upstream_reset'])
    })

    it('of a caller that goes before the answer frees the workload', async () => {
      const { caller, taken } = await ask()
      caller.destroy()
      await taken.closed()
      await eventually(() => harness.telemetry.ended[0]?.outcome.status === 499)
    })

    function bytesAndError(): unknown[] {
      const { outcome } = harness.telemetry.ended[0]!
      return [outcome.requestBytes, outcome.replyBytes, outcome.error]
    }
  })

  it('that is open is not read as HTTP in either direction', async () => {
    const { caller, taken } = await open()
    caller.write(smuggled)
    await taken.has(smuggled)
    taken.write('HTTP/1.1 500 no\r\n\r\n')
    await caller.has('HTTP/1.1 500 no\r\n\r\n')
    assert.equal(harness.telemetry.decisions.length, 1)
  })
})

/** The 101 that a workload gives to a request. */
function accepting(request: string, extra = ''): string {
  const [, sent = ''] = /sec-websocket-key: (.*)\r\n/i.exec(request) ?? []
  const accept = createHash('sha1')
    .update(`${sent}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  return (
    'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n${extra}\r\n`
  )
}

function escaped(text: string): string {
  return text.replaceAll(/[+/=]/g, '\\$&')
}
