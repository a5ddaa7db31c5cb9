import assert from 'node:assert/strict'
import { skipMissingTool } from '../support/skip.ts'
import { Mesh } from './support/mesh.ts'
import { OtlpReceiver } from './support/otlp-receiver.ts'
import { hasProgram, runProgram } from './support/programs.ts'
import { RawConnection } from './support/raw-tls.ts'

/** What OpenSSL's client, which tells us by an alert what it does not like, makes fail. */
const failures: { name: string; args: readonly string[]; reason: string }[] = [
  {
    name: 'TLS 1.1',
    args: ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'],
    reason: 'unsupported_protocol',
  },
  {
    name: 'no cipher suite of ours',
    args: ['-tls1_2', '-cipher', 'AES128-SHA256'],
    reason: 'no_shared_cipher',
  },
  { name: 'no protocol of ours', args: ['-alpn', 'smtp'], reason: 'no_application_protocol' },
  {
    name: 'an alert of a caller that does not know our CA',
    args: ['-verify_return_error', '-no-CAfile', '-no-CApath', '-no-CAstore'],
    reason: 'tlsv1_alert_unknown_ca',
  },
]

describe('the record of a handshake that failed in TLS', () => {
  let mesh: Mesh
  let receiver: OtlpReceiver

  beforeEach(async function () {
    if (!(await hasProgram('openssl', 'version'))) skipMissingTool(this, 'openssl')
    receiver = await OtlpReceiver.start()
    mesh = await Mesh.start({
      keys: { reports: { product: 'reports' } },
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' },
    })
  })

  afterEach(async () => {
    await mesh.close()
    await receiver.close()
  })

  const handshakes = (result: string) => mesh.postern.metric('postern_handshakes_total', { result })
  const spans = () => receiver.spans.filter(({ name }) => name === 'handshake')

  async function fail(args: readonly string[]): Promise<void> {
    await runProgram('openssl', ['s_client', '-connect', `127.0.0.1:${mesh.postern.port}`, ...args])
  }

  /** Waits for what came before it: spans leave in order. */
  async function flushed(): Promise<void> {
    const { json } = await mesh.keyCaller('reports').call()
    const { trace } = await mesh.postern.audited(json.headers?.['x-request-id'])
    const hasCome = () => receiver.spans.some(({ traceId }) => traceId === trace)
    await mesh.postern.until('the span of the request', hasCome)
  }

  it('is one span that names the reason, and one count', async () => {
    for (const { args, reason, name } of failures) {
      await fail(args)
      const find = () => spans().find(({ attributes }) => attributes['postern.reason'] === reason)
      await mesh.postern.until(`the span of ${name}`, () => find() !== undefined)
      assert.equal(find()?.attributes['postern.handshake'], 'failed')
      assert.equal(find()?.attributes['client.address'], '127.0.0.1')
    }
    assert.equal(spans().length, failures.length)
    assert.equal(await handshakes('failed'), failures.length)
    assert.deepEqual(mesh.postern.audit, [], 'nothing was decided')
  })

  it('is no span for the health checks of a balancer, which connect and close', async () => {
    for (let i = 0; i < 20; i++) {
      const connection = await RawConnection.open(mesh.postern.port)
      if (i % 2 === 0) connection.socket.end()
      else connection.socket.resetAndDestroy()
    }
    await mesh.postern.until('every count', async () => (await handshakes('silent')) === 20)
    await flushed()
    assert.deepEqual(spans(), [])
    assert.equal(await handshakes('failed'), 0)
  })

  it('is a count for each connection of a scanner, but not a span', async () => {
    for (let i = 0; i < 400; i++) {
      const connection = await RawConnection.open(mesh.postern.port)
      connection.write('GET / HTTP/1.1\r\n\r\n')
      await connection.ended()
    }
    await mesh.postern.until('every count', async () => (await handshakes('failed')) === 400)
    await flushed()
    // As many as at once may be, and one for each ten seconds that this took.
    assert.ok(spans().length >= 5 && spans().length < 40, `${spans().length} spans`)
    for (const { attributes } of spans()) {
      assert.equal(attributes['postern.reason'], 'http_request')
    }
    assert.equal(await mesh.postern.metric('postern_spans_dropped_total'), 0)
  }).timeout(180_000)
})
