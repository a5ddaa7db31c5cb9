import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { runTool } from '../proxy/support/http2-tools.ts'
import { requireTool } from '../support/tools.ts'
import type { CallerIdentity } from './support/caller.ts'
import { checkoutId, Mesh, type MeshOptions, sidecarId } from './support/mesh.ts'
import { OtlpReceiver } from './support/otlp-receiver.ts'

const keys = { acme: { product: 'reports' } }

describe('WebSocket through the program', () => {
  let mesh: Mesh
  let workload: WebSocketServer | undefined

  async function start(options: MeshOptions = {}): Promise<void> {
    mesh = await Mesh.start({ keys, ...options })
    workload = new WebSocketServer({ server: mesh.workload.server })
    echo(workload)
  }

  afterEach(async () => {
    for (const client of workload?.clients ?? []) client.terminate()
    workload?.close()
    await mesh.close()
  })

  /** Verifies the sidecar by its bundle and SPIFFE ID. */
  async function open(identity?: CallerIdentity): Promise<WebSocket> {
    const client = new WebSocket(`wss://127.0.0.1:${mesh.postern.port}/chat`, {
      ca: mesh.agent.bundlePem('corp.example'),
      checkServerIdentity: isSidecar,
      ...(identity === undefined
        ? { headers: { 'x-api-key': mesh.key('acme') } }
        : { cert: identity.certificatePem, key: identity.privateKeyPem }),
    })
    client.on('error', () => undefined)
    await once(client, 'open')
    return client
  }

  async function openCount(count: number): Promise<void> {
    await mesh.postern.until(`${count} open`, async () => {
      const labels = { protocol: 'websocket' }
      return (await mesh.postern.metric('postern_connections', labels)) === count
    })
  }

  it('echoes for an SVID and for a key, and is recorded once, with its bytes', async () => {
    const receiver = await OtlpReceiver.start()
    await start({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint } })
    for (const identity of [await mesh.mint(checkoutId), undefined]) {
      const client = await open(identity)
      await openCount(1)
      client.send('hello')
      assert.equal(String((await once(client, 'message'))[0]), 'hello')
      client.close(1000)
      assert.equal((await once(client, 'close'))[0], 1000)
      await openCount(0)
    }
    await mesh.postern.until('both audited', () => mesh.postern.audit.length === 2)
    for (const line of mesh.postern.audit) {
      assert.equal(line.protocol, 'websocket')
      assert.equal(line.status, 101)
      assert.equal(line.error, undefined)
    }
    const reasons = mesh.postern.audit.map(({ decision }) => decision.reason)
    assert.deepEqual(reasons, ['svid_id', 'api_key'])
    assert.ok(!mesh.postern.output.includes(mesh.key('acme')))
    assert.equal(await mesh.postern.stop(), 0)
    const spans = receiver.spans.filter(({ name }) => name === 'GET')
    assert.deepEqual(
      spans.map(({ attributes }) => attributes['http.response.status_code']).map(String),
      ['101', '101'],
    )
    assert.equal(receiver.spans.filter(({ name }) => name === 'authorize').length, 2)
    await receiver.close()
  })

  it('is cut when its key goes out of the file, with both reasons in the audit log', async () => {
    await start()
    const client = await open()
    const other = await open(await mesh.mint(checkoutId))
    const closed = once(client, 'close')
    await mesh.postern.write({ 'api-keys.yaml': { version: 1, keys: [] } })
    assert.equal((await closed)[0], 1006)
    other.send('still here')
    assert.equal(String((await once(other, 'message'))[0]), 'still here')
    await mesh.postern.until('audited', () => mesh.postern.audit.length === 2)
    const end = mesh.postern.audit.find(({ decision }) => decision.outcome === 'deny')
    assert.equal(end?.decision.reason, 'api_key_unknown')
    assert.equal(JSON.stringify(end).includes('"api_key"'), true)
    other.terminate()
  })

  it('goes on during the drain, until its time is over', async () => {
    await start({ config: { drain: { timeout: '4s' } } })
    const client = await open()
    mesh.postern.signal('SIGTERM')
    await mesh.postern.logged('draining')
    const closed = once(client, 'close')
    client.send('last words')
    assert.equal(String((await once(client, 'message'))[0]), 'last words')
    assert.equal((await closed)[0], 1006)
    assert.equal(await mesh.postern.exited, 0)
  })

  it('reaches a workload on a Unix socket', async () => {
    const path = join(tmpdir(), `postern-ws-${process.pid}.sock`)
    const server = createServer()
    const behind = new WebSocketServer({ server })
    echo(behind)
    server.listen(path)
    await once(server, 'listening')
    await start({ inbound: { upstream: `unix:${path}` } })
    const client = await open()
    const message = Buffer.alloc(1 << 20, 'x')
    client.send(message)
    assert.equal(Buffer.compare((await once(client, 'message'))[0] as Buffer, message), 0)
    client.terminate()
    behind.close()
    server.close()
    await rm(path, { force: true })
  })

  it('serves a client that is not Node', async function () {
    const python = requireTool(this, 'python-websockets')
    await start()
    const identity = await mesh.mint(checkoutId)
    await mesh.postern.write({
      'client.pem': identity.certificatePem,
      'client.key': identity.privateKeyPem,
    })
    const { exitCode, stderr, stdout } = await runTool(python, [
      '-c',
      pythonClient,
      `wss://127.0.0.1:${mesh.postern.port}/chat`,
      mesh.postern.path('client.pem'),
      mesh.postern.path('client.key'),
      mesh.key('acme'),
    ])
    assert.equal(exitCode, 0, stderr)
    assert.equal(stdout.toString(), 'certificate ok\nkey ok\nrefused 401\n')
  })
})

function echo(server: WebSocketServer): void {
  server.on('connection', (socket) => {
    socket.on('error', () => undefined)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
}

/** Node asks for an error or nothing, whatever the types of `ws` say. */
const isSidecar = ((_host: string, peer: { readonly subjectaltname?: string }) =>
  peer.subjectaltname === `URI:${sidecarId}`
    ? undefined
    : new Error(`not ${sidecarId}`)) as unknown as () => boolean

const pythonClient = `
import asyncio, os, ssl, sys
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

uri, certificate, key_file, key = sys.argv[1:]

def tls(with_certificate):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if with_certificate:
        context.load_cert_chain(certificate, key_file)
    return context

async def echo(with_certificate, headers):
    async with connect(uri, ssl=tls(with_certificate), additional_headers=headers, max_size=None) as ws:
        for size in (0, 1, 65536, 1 << 20):
            message = os.urandom(size)
            await ws.send(message)
            assert await ws.recv() == message, size
        await ws.send('a text, compressed' * 1000)
        assert (await ws.recv()).startswith('a text')
        await (await ws.ping())

async def main():
    await echo(True, {})
    print('certificate ok')
    await echo(False, {'x-api-key': key})
    print('key ok')
    try:
        await echo(False, {})
    except InvalidStatus as refused:
        print('refused', refused.response.status_code)

asyncio.run(main())
`
