import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import fc from 'fast-check'
import { cut, edited, places } from '../http1/mutations.ts'
import { data, END, headers, preface, settingsAck } from '../http2/support/raw-frames.ts'
import { eventually, unchanged } from '../proxy/support/eventually.ts'
import { RawSocket } from '../proxy/support/raw-socket.ts'
import { InboundHarness } from './support/inbound-harness.ts'
import { type SeenHead, type SeenUpgrade, UpgradeOracle } from './support/upgrade-oracle.ts'

const runs = { numRuns: 300 }
const key = 'dGhlIHNhbXBsZSBub25jZQ=='

/** In most cases the first, so that most requests are nearly good. */
function mostly<T>(good: T, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { arbitrary: fc.constant(good), weight: 24 },
    ...others.map((other) => ({ arbitrary: fc.constant(other), weight: 1 })),
  )
}

/** Each in one of twenty-five cases. */
function seldom(...lines: readonly string[]): fc.Arbitrary<string> {
  const each = lines.map((line) => mostly('', line))
  return fc.tuple(...each).map((chosen) => chosen.join(''))
}

/** What a caller must not say, in all spellings. */
const forged = [
  'X-Postern-Product: forged\r\n',
  'x_postern_principal: forged\r\n',
  'X-POSTERN_Consumer: forged\r\n',
  'x-postern-new: forged\r\n',
  'X-Forwarded-For: 6.6.6.6\r\n',
  'Connection: x-postern-product, x-api-key\r\n',
]

describe('any request for an upgrade at all', () => {
  let harness: InboundHarness
  let oracle: UpgradeOracle
  let apiKey: string
  /** The identity fields of a plain good request. */
  let ours: readonly (readonly [string, string])[]
  let accepted: number

  before(async () => {
    oracle = await UpgradeOracle.start()
    harness = await InboundHarness.start({ plaintext: 'allow', workloadPort: oracle.port })
    apiKey = harness.keys[0]!.key
    await harness.call({ headers: { 'x-api-key': apiKey } })
    ours = identityOf(oracle.requests[0]!)
    assert.ok(ours.length >= 3)
  })

  beforeEach(() => {
    accepted = 0
  })

  after(async () => {
    await harness.close()
    await oracle.close()
  })

  const smuggled = () =>
    `GET /SMUGGLED HTTP/1.1\r\nhost: evil\r\nx-postern-product: forged\r\nx-api-key: ${apiKey}\r\n\r\n`

  /** Sends the bytes in pieces, waits until nothing moves any more, and ends the connection. Returns what came back. */
  async function send(pieces: readonly Buffer[]): Promise<string> {
    oracle.forget()
    harness.telemetry.decisions.length = 0
    const caller = await RawSocket.connect(harness.port)
    for (const piece of pieces) caller.write(piece)
    await unchanged(() => caller.receivedBytes + oracle.size)
    const { text } = caller
    caller.fin()
    await unchanged(() => oracle.size)
    caller.destroy()
    await eventually(() => harness.server.connections === 0)
    return text
  }

  /** `sent`: the bytes that may be behind a handshake. */
  function assertOracleAgrees(sent: string): void {
    const allowed = harness.telemetry.decisions.filter(
      ({ decision }) => decision.outcome === 'allow',
    )
    const upgrades = allowed.filter(({ protocol }) => protocol === 'websocket')
    assert.deepEqual(oracle.violations, [])
    assert.ok(oracle.upgrades.length <= upgrades.length, 'an upgrade that nobody decided on')
    assert.ok(
      oracle.requests.length <= allowed.length - upgrades.length,
      'a request that nobody decided on',
    )
    const unknown = allowed.filter(({ request }) => !METHODS.includes(request?.method ?? ''))
    assert.ok(oracle.unknownMethods <= unknown.length, 'a request line that nobody decided on')
    for (const request of oracle.requests) assertOrdinary(request)
    for (const upgrade of oracle.upgrades) assertUpgrade(upgrade, sent)
    accepted += oracle.upgrades.filter(({ isAccepted }) => isAccepted).length
  }

  function assertOrdinary(request: SeenHead): void {
    assertIdentity(request)
    assert.deepEqual(valuesOf(request, 'upgrade'), [])
    assert.ok(!valuesOf(request, 'connection').some((value) => /upgrade/i.test(value)))
  }

  function assertUpgrade(upgrade: SeenUpgrade, sent: string): void {
    assertIdentity(upgrade)
    assert.equal(upgrade.method, 'GET')
    assert.deepEqual(valuesOf(upgrade, 'upgrade'), ['websocket'])
    assert.deepEqual(valuesOf(upgrade, 'connection'), ['Upgrade'])
    assert.deepEqual(valuesOf(upgrade, 'sec-websocket-version'), ['13'])
    assert.equal(valuesOf(upgrade, 'sec-websocket-key').length, 1)
    assert.deepEqual(valuesOf(upgrade, 'content-length'), [])
    assert.deepEqual(valuesOf(upgrade, 'transfer-encoding'), [])
    assert.equal(upgrade.early, '', 'bytes before the answer')
    if (upgrade.isAccepted) assert.ok(sent.includes(upgrade.tunnel), 'bytes that nobody sent')
    else assert.equal(upgrade.tunnel, '')
  }

  function assertIdentity(head: SeenHead): void {
    assert.deepEqual(identityOf(head), ours)
    assert.deepEqual(valuesOf(head, 'x-forwarded-for'), ['127.0.0.1'])
    assert.ok(!head.fields.some(([, value]) => value.includes('pst_')))
  }

  const workloads = [
    { name: 'accepts', accepts: true },
    { name: 'refuses', accepts: false },
  ]

  for (const { name, accepts } of workloads) {
    it(`of HTTP/1.1 reaches a workload that ${name} as one decided, if at all`, async () => {
      oracle.accepts = accepts
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(http1Bytes(), edited(http1Bytes())),
          places,
          async (bytes, at) => {
            const reply = await send(cut(bytes, at))
            assertOracleAgrees(bytes.toString('latin1'))
            const switched = reply.match(/HTTP\/1\.1 101 /g)?.length ?? 0
            const could = oracle.upgrades.filter(({ isAccepted }) => isAccepted).length
            assert.ok(switched <= could, 'a switch that the workload did not make')
          },
        ),
        runs,
      )
      assert.equal(accepted >= 20, accepts, `${accepted} were accepted`)
    }).timeout(120_000)

    it(`of HTTP/2 reaches a workload that ${name} as one decided, if at all`, async () => {
      oracle.accepts = accepts
      await fc.assert(
        fc.asyncProperty(http2Frames(), places, async ({ frames, tunnel }, at) => {
          await send(cut(Buffer.concat([preface(), settingsAck(), ...frames]), at))
          assertOracleAgrees(tunnel)
        }),
        runs,
      )
      assert.equal(accepted >= 20, accepts, `${accepted} were accepted`)
    }).timeout(120_000)
  }

  /** A handshake, nearly good in most cases, and what may follow it. */
  function http1Bytes(): fc.Arbitrary<Buffer> {
    const lines = fc.tuple(
      mostly('host: api.example\r\n', '', 'host: api.example\r\nhost: other\r\n'),
      mostly(
        'connection: Upgrade\r\n',
        'connection: keep-alive, UPGRADE\r\n',
        'connection: keep-alive\r\n',
        'connection: upgrade, sec-websocket-key, host\r\n',
        '',
      ),
      mostly(
        'upgrade: websocket\r\n',
        'Upgrade: WebSocket\r\n',
        'upgrade: h2c\r\n',
        'upgrade: websocket, h2c\r\n',
        'upgrade:\twebsocket \r\n',
        'upgrade: web\0socket\r\n',
        '',
      ),
      mostly('sec-websocket-version: 13\r\n', 'sec-websocket-version: 8\r\n', ''),
      mostly(`sec-websocket-key: ${key}\r\n`, 'sec_websocket_key: x\r\n', ''),
      mostly(`x-api-key: ${apiKey}\r\n`, 'x-api-key: pst_none\r\n', ''),
      seldom(...forged),
      seldom(
        'Content-Length: 5\r\n',
        'Transfer-Encoding: chunked\r\n',
        'Upgrade: h2c\r\n',
        'HTTP2-Settings: AAEAAEAA\r\n',
        'Expect: 100-continue\r\n',
        `Sec-WebSocket-Key: ${key}\r\n`,
      ),
    )
    const line = mostly(
      'GET /chat HTTP/1.1\r\n',
      'GET /chat HTTP/1.0\r\n',
      'POST /chat HTTP/1.1\r\n',
      'CONNECT api.example:80 HTTP/1.1\r\n',
      'GET http://api.example/chat HTTP/1.1\r\n',
    )
    const handshake = fc
      .tuple(line, lines)
      .map(([first, fields]) => `${first}${fields.join('')}\r\n`)
    const follower = fc.oneof(
      fc.constantFrom('', 'early bytes', smuggled(), `5\r\nhello\r\n0\r\n\r\n${smuggled()}`),
      handshake,
    )
    return fc.tuple(handshake, follower).map((texts) => Buffer.from(texts.join(''), 'latin1'))
  }

  /** An extended CONNECT (RFC 8441), nearly good in most cases, data on it, and sometimes another request. */
  function http2Frames(): fc.Arbitrary<{ frames: Buffer[]; tunnel: string }> {
    const fields = fc
      .tuple(
        mostly([':method', 'CONNECT'], [':method', 'GET'], [':method', 'POST'], []),
        mostly([':protocol', 'websocket'], [':protocol', 'WebSocket'], [':protocol', 'h2c'], []),
        mostly([':scheme', 'https'], [':scheme', 'ftp'], []),
        mostly([':path', '/chat'], [':path', ''], [':path', '/a b'], [':path', '/a\r\nx: y'], []),
        mostly([':authority', 'api.example'], [':authority', 'a@b'], []),
        mostly(['sec-websocket-version', '13'], ['sec-websocket-version', '8'], []),
        mostly(['x-api-key', apiKey], ['x-api-key', 'pst_none'], []),
        mostly([], ['host', 'other.example'], ['content-length', '5'], [':protocol', 'websocket']),
        mostly([], ['upgrade', 'websocket'], ['connection', 'upgrade'], ['sec-websocket-key', key]),
        mostly([], ['x-postern-product', 'forged'], ['x_postern_principal', 'forged']),
        mostly([], ['x-forwarded-for', '6.6.6.6'], ['transfer-encoding', 'chunked']),
      )
      .map((entries) => entries.flat())
    const payload = fc.constantFrom('early bytes', smuggled(), '')
    const ends = fc.constantFrom(0, 0, END)
    const second = fc.option(fields, { nil: undefined, freq: 3 })
    return fc
      .tuple(fields, fc.array(payload, { maxLength: 3 }), ends, ends, second)
      .map(([first, payloads, endsHead, endsData, other]) => {
        const frames = [headers(1, first, endsHead)]
        for (const text of payloads) frames.push(data(1, text))
        frames.push(data(1, '', endsData))
        if (other !== undefined) frames.push(headers(3, other), data(3, payloads.join('')))
        return { frames, tunnel: payloads.join('') }
      })
  }
})

function valuesOf({ fields }: SeenHead, name: string): readonly string[] {
  return fields.filter(([field]) => field === name).map(([, value]) => value)
}

function identityOf({ fields }: SeenHead): readonly (readonly [string, string])[] {
  return fields.filter(([name]) => /^x[-_]postern/.test(name))
}
