import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { createApiKey, digestOf } from '../../src/policy/api-key.ts'
import { type AuditLine, PosternProcess, temporaryDirectory } from '../support/postern-process.ts'
import type { Caller, CallerIdentity } from './support/caller.ts'
import { expiredIdentity } from './support/caller-cases.ts'
import { checkoutId, Mesh, sidecarId } from './support/mesh.ts'
import { OtlpReceiver } from './support/otlp-receiver.ts'
import { writeIdentity } from './support/programs.ts'
import { RawConnection } from './support/raw-tls.ts'
import { Secrets } from './support/secrets.ts'

const billingId = 'spiffe://corp.example/billing'
const notTaken = 'file not taken, the last good one serves'
const adminPaths = ['/', '/page.js', '/status', '/decisions?limit=1000', '/migration', '/explain']

/**
 * One run with callers of all kinds, denials, a connection that a change of trust ends, calls of the workload, and files that
 * are broken; then everything that came out of it.
 */
describe('a key that the run used', () => {
  const secrets = new Secrets()
  let mesh: Mesh
  let receiver: OtlpReceiver
  let billing: Server
  let webSockets: WebSocketServer
  let files: string
  let audit: readonly AuditLine[]

  before(async () => {
    files = await temporaryDirectory()
    receiver = await OtlpReceiver.start()
    billing = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'))
    })
    billing.listen(0, '127.0.0.1')
    await once(billing, 'listening')
    mesh = await Mesh.prepare(meshOptions())
    webSockets = new WebSocketServer({ server: mesh.workload.server })
    billing.setSecureContext(tlsOf(await mesh.mint(billingId)))
    await mesh.startPostern()
    secrets.privateKey("the sidecar's private key", mesh.agent.svid(sidecarId).privateKeyPem)
    for (const [name, key] of Object.entries(mesh.keys)) secrets.apiKey(`key ${name}`, key)
    await decideAll()
  })

  after(async () => {
    webSockets.close()
    billing.close()
    await mesh.close()
    await receiver.close()
    await rm(files, { recursive: true, force: true })
  })

  function meshOptions() {
    const exporterToken = secret('the token for the collector')
    const { port } = billing.address() as AddressInfo
    return {
      keys: {
        reports: { product: 'reports' },
        expired: { product: 'reports', expires: '2020-01-01' },
        dropped: { product: 'reports' },
      },
      config: {
        audit: { file: 'audit.jsonl' },
        state: { directory: 'state' },
        outbound: [
          { listen: '127.0.0.1:0', upstream: `127.0.0.1:${port}`, expect: billingId },
          { listen: '127.0.0.1:0', upstream: `127.0.0.1:${port}`, expect: sidecarId },
        ],
      },
      env: {
        LOG_LEVEL: 'debug',
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=${exporterToken}`,
        OTEL_BSP_SCHEDULE_DELAY: '50',
      },
    }
  }

  /** Drawn for this run. */
  function secret(name: string): string {
    const text = randomBytes(24).toString('hex')
    secrets.text(name, text)
    return text
  }

  function caller(name: string, identity: CallerIdentity): Caller {
    secrets.privateKey(`the private key of ${name}`, identity.privateKeyPem)
    return mesh.caller(identity)
  }

  async function decideAll(): Promise<void> {
    const own = await mesh.mint(checkoutId)
    const partner = await mesh.mint('spiffe://partner-a.example/shop')
    const leaf = await mesh.partnerB.leaf({ subject: '/CN=batch' })
    const expired = await expiredIdentity(mesh)
    await writeIdentity(files, 'own', own)
    const mistyped = another(mesh.key('reports'))
    secrets.apiKey('a key with a typing error', { key: mistyped, sha256: digestOf(mistyped) })
    const unknown = createApiKey(randomBytes)
    secrets.apiKey('a key of nobody', unknown)
    const password = secret('a password of the caller')
    const cookie = secret('a cookie')

    const checkout = caller('an SVID', own)
    const dropped = await mesh.keyCaller('dropped').open('h2')
    const headers = { authorization: `Bearer ${password}`, cookie: `session=${cookie}` }
    const path = `/pay?token=${secret('a token in the query')}`
    const withKey = (key: string) => mesh.anonymous().call({ headers: { 'x-api-key': key } })
    const replies = [
      await checkout.call({ headers, path }),
      await checkout.call({ headers: { 'x-api-key': mesh.key('reports') } }, 'h2'),
      await caller('a federated SVID', partner).call({}, 'h2'),
      await caller('a partner', { certificatePem: leaf.pem, privateKeyPem: leaf.keyPem }).call(),
      await dropped.call(),
      await mesh.anonymous().call({ headers: { authorization: `ApiKey ${mesh.key('reports')}` } }),
      await caller('an expired SVID', expired).call({
        headers: { 'x-api-key': mesh.key('reports') },
      }),
      await mesh.keyCaller('expired').call(),
      await withKey(mistyped),
      await withKey(unknown.key),
      await withKey(`${mesh.key('reports')}${mesh.key('reports')}`),
    ]
    assert.deepEqual(
      replies.map(({ status }) => status),
      [200, 200, 200, 200, 200, 200, 403, 401, 401, 401, 401],
    )
    await callWebSocket()
    const plain = await RawConnection.open(mesh.postern.port)
    plain.write(`GET / HTTP/1.1\r\nx-api-key: ${mesh.key('reports')}\r\n\r\n`)
    await plain.ended()
    await callOut(secret('a password of the workload'))
    await breakFiles(unknown.key)
    await mesh.postern.write({ 'api-keys.yaml': keysWithout('dropped') })
    await dropped.ended
    dropped.close()
    await mesh.postern.until('every line', async () => {
      audit = (await readFile(mesh.postern.path('audit.jsonl'), 'utf8'))
        .split('\n')
        // What stands behind the last line feed is still being written.
        .slice(0, -1)
        .map((line) => JSON.parse(line) as AuditLine)
      return audit.length === replies.length + 4
    })
    const ids = () => new Set(receiver.spans.map((span) => span.attributes['postern.decision_id']))
    await mesh.postern.until('a span of each', () => audit.every(({ id }) => ids().has(id)))
  }

  const keysWithout = (name: string) => ({ version: 1, keys: mesh.keyEntries(name) })

  async function callWebSocket(): Promise<void> {
    const client = new WebSocket(`wss://127.0.0.1:${mesh.postern.port}/chat`, {
      rejectUnauthorized: false,
      headers: { 'x-api-key': mesh.key('reports') },
    })
    await once(client, 'open')
    client.close(1000)
    await once(client, 'close')
  }

  /** By both listeners: the peer that is expected, and another. */
  async function callOut(password: string): Promise<void> {
    const statuses = []
    for (const port of mesh.postern.outboundPorts) {
      const authorization = `Bearer ${password}`
      const request = httpRequest({ port, path: '/v1?x=1', headers: { authorization } }).end()
      const [reply] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }]
      reply.resume()
      statuses.push(reply.statusCode)
    }
    assert.deepEqual(statuses, [200, 502])
  }

  /** Keys in the clear where their digest belongs, in each place where somebody may put one. */
  async function breakFiles(key: string): Promise<void> {
    const entry = { id: 'k_12345678', product: 'reports', consumer: 'acme' }
    const drafts = [
      { version: 1, keys: [{ ...entry, sha256: key }] },
      { version: 1, keys: [{ ...entry, sha256: digestOf(key), key }] },
      { version: 1, keys: [{ ...entry, id: key, sha256: digestOf(key) }] },
      { version: 1, keys: [{ ...entry, [key]: true, sha256: digestOf(key) }] },
      { version: 1, keys: { [key]: entry } },
      `version: 1\nkeys:\n  - ${key}: [\n`,
    ]
    for (const draft of drafts) {
      const before = mesh.postern.logs.length
      await mesh.postern.write({ 'api-keys.yaml': draft })
      await mesh.postern.logged(notTaken, before)
    }
  }

  /** A command of the built program beside the running sidecar, with its files; what it printed. */
  async function run(...args: readonly string[]): Promise<string> {
    const env = {
      POSTERN_ADMIN_LISTEN: `127.0.0.1:${mesh.postern.adminPort}`,
      POSTERN_HEALTH_LISTEN: `127.0.0.1:${mesh.postern.healthPort}`,
    }
    const { stdout, stderr } = await PosternProcess.runToEnd(args, { files: {}, env })
    return stdout + stderr
  }

  /** Holds what must be there, so that an empty output proves nothing. */
  function assertClean(name: string, output: string, expected: string | RegExp): void {
    const isThere = expected instanceof RegExp ? expected.test(output) : output.includes(expected)
    assert.ok(isThere, `${name} does not hold ${String(expected)}: ${output.slice(0, 500)}`)
    secrets.assertNoneIn(name, output)
  }

  /** What the stream of decisions says of a call. */
  async function streamed(): Promise<string> {
    const { adminPort: port } = mesh.postern
    const headers = { accept: 'text/event-stream' }
    const request = httpRequest({ port, path: '/decisions', headers, agent: false }).end()
    const [reply] = (await once(request, 'response')) as [NodeJS.ReadableStream]
    await mesh.keyCaller('reports').call()
    let text = ''
    for await (const chunk of reply) {
      text += String(chunk)
      if (text.includes('api_key')) break
    }
    request.destroy()
    return text
  }

  const anId = () =>
    audit.find(({ decision }) => decision['key'] === mesh.keys['reports']!.id)?.id ?? ''

  it('is found by this test in every form in which it could be written', async () => {
    assert.ok(secrets.forms.length > 60)
    for (const form of secrets.forms) assert.notDeepEqual(secrets.in(`before${form}after`), [])
    // It is what the callers had, as their files say.
    const pem = await readFile(join(files, 'own-key.pem'), 'utf8')
    assert.ok(secrets.in(pem).includes('the private key of an SVID in PEM'))
    assert.notDeepEqual(secrets.in(mesh.key('reports')), [])
    assert.notDeepEqual(secrets.in(await readFile(mesh.postern.path('api-keys.yaml'), 'utf8')), [])
  })

  it('is not in the audit log in its file', async () => {
    const text = await readFile(mesh.postern.path('audit.jsonl'), 'latin1')
    assertClean('the audit log', text, mesh.keys['reports']!.id)
  })

  it('is not in the log at debug, whatever was wrong with the files', () => {
    assertClean('the log', mesh.postern.output, notTaken)
    assert.ok(mesh.postern.logs.some(({ level }) => level === 'debug'))
  })

  it('is not in the spans as they were received', () => {
    const bodies = Buffer.concat(receiver.bodies).toString('latin1')
    assertClean('the spans', bodies, mesh.keys['reports']!.id)
    assertClean('the spans', bodies, billingId)
  })

  it('is not in the metrics', async () => {
    assertClean('the metrics', await mesh.postern.metrics(), 'postern_decisions_total')
    const response = await fetch(`http://127.0.0.1:${mesh.postern.healthPort}/metrics`, {
      headers: { accept: 'application/openmetrics-text' },
    })
    assertClean('OpenMetrics', await response.text(), '# EOF')
    assertClean('/readyz', JSON.stringify(await mesh.postern.ready()), '200')
  })

  it('is not on the status page, in what it is made of, or in any explanation', async () => {
    const admin = async (path: string) =>
      (await fetch(`http://127.0.0.1:${mesh.postern.adminPort}${path}`)).text()
    const queries = [
      ...Object.values(mesh.keys).map(({ id }) => `/explain?apiKeyId=${id}`),
      `/explain?spiffeId=${encodeURIComponent(checkoutId)}`,
      ...audit.map(({ id }) => `/decisions/${id}`),
    ]
    for (const path of [...adminPaths, ...queries]) assertClean(path, await admin(path), /\S{2}/)
    assertClean('/status', await admin('/status'), mesh.keys['reports']!.id)
    assertClean('the stream', await streamed(), mesh.keys['reports']!.id)
  })

  it('is not in what explain, check, migration, replay and key list print', async () => {
    const { id } = mesh.keys['reports']!
    const config = ['--config', mesh.postern.path('postern.yaml')]
    const replay = [
      ...['replay', '--audit', mesh.postern.path('audit.jsonl')],
      ...['--products', mesh.postern.path('products.yaml')],
      ...['--api-keys', mesh.postern.path('api-keys.yaml')],
    ]
    const commands: { args: readonly string[]; expected: string }[] = [
      { args: ['explain', anId(), ...config], expected: id },
      { args: ['explain', '--api-key-id', id, ...config], expected: id },
      { args: ['explain', '--cert', join(files, 'own.pem'), ...config], expected: checkoutId },
      { args: ['check', '--live', ...config], expected: sidecarId },
      { args: ['migration', ...config], expected: id },
      { args: replay, expected: 'unchanged' },
      { args: ['key', 'list', '--file', mesh.postern.path('api-keys.yaml')], expected: id },
    ]
    for (const { args, expected } of commands) {
      for (const form of ['text', 'json']) {
        const output = await run(...args, '-o', form)
        assertClean(`postern ${args.slice(0, 2).join(' ')} -o ${form}`, output, expected)
      }
    }
  }).timeout(120_000)

  it('is not in what replay says of a change that locks its holder out', async () => {
    const keys = join(files, 'no-keys.yaml')
    await writeFile(keys, 'version: 1\nkeys: []\n')
    const products = mesh.postern.path('products.yaml')
    const log = ['--audit', mesh.postern.path('audit.jsonl')]
    const output = await run('replay', ...log, '--products', products, '--api-keys', keys)
    assertClean('replay', output, 'api_key_unknown')
  })

  it('did not reach the workload as a key, and is not in what is kept on the disk', async () => {
    const keys = new Secrets()
    for (const [name, key] of Object.entries(mesh.keys)) keys.apiKey(name, key)
    keys.assertNoneIn('the workload', JSON.stringify(mesh.workload.seen))
    assert.ok(mesh.workload.seen.length > 5)
    mesh.postern.signal('SIGTERM')
    await mesh.postern.exited
    assertClean('the log at the end', mesh.postern.output, 'draining')
    const state = mesh.postern.path('state')
    const names = await readdir(state)
    assert.deepEqual(names, ['usage.json'])
    for (const name of names) {
      assertClean(name, await readFile(join(state, name), 'latin1'), mesh.keys['reports']!.id)
    }
  })
})

function tlsOf({ certificatePem, privateKeyPem }: CallerIdentity) {
  return { cert: certificatePem, key: privateKeyPem }
}

/** Another last character: a key as a tired person types it. */
function another(key: string): string {
  return key.slice(0, -1) + (key.endsWith('a') ? 'b' : 'a')
}
