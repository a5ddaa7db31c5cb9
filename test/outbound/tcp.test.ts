import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { eventually } from '../proxy/support/eventually.ts'
import { TestCa } from '../support/test-ca.ts'
import { billing, OutboundHarness, ownId, TestMesh } from './support/outbound-harness.ts'

describe('calls of the workload over TCP', () => {
  let mesh: TestMesh
  let server: Server
  let harness: OutboundHarness
  let sockets: TLSSocket[]

  before(async () => {
    mesh = await TestMesh.create()
  })

  async function start(onSocket: (socket: TLSSocket) => void, spiffeId = billing) {
    const leaf = await mesh.corp.leaf({ spiffeId })
    sockets = []
    const options = {
      cert: leaf.pem,
      key: leaf.keyPem,
      requestCert: true,
      rejectUnauthorized: false,
    }
    server = createServer({ ...options, allowHalfOpen: true }, (socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      onSocket(socket)
    })
    server.on('tlsClientError', () => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    harness = await OutboundHarness.start(mesh, { upstreamPort: port, protocol: 'tcp' })
  }

  afterEach(() => {
    harness.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  function dial(): Socket {
    return connect({ host: '127.0.0.1', port: harness.port, allowHalfOpen: true })
  }

  async function textOf(socket: Socket): Promise<string> {
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text
  }

  it('carry bytes both ways, and half-close: the peer answers after the end of what it was told', async () => {
    let client: string | undefined
    await start((socket) => {
      client = socket.getPeerCertificate().subjectaltname
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
      socket.on('end', () => socket.end(text.toUpperCase()))
    })
    const socket = dial()
    socket.end('hello')

    assert.equal(await textOf(socket), 'HELLO')
    assert.equal(client, `URI:${ownId}`)
    await eventually(() => harness.telemetry.ended.length === 1)
    const [ended] = harness.telemetry.ended
    assert.deepEqual(
      [ended?.record.direction, ended?.record.protocol, ended?.record.decision.outcome],
      ['outbound', 'tcp', 'allow'],
    )
    assert.deepEqual([ended?.outcome.requestBytes, ended?.outcome.replyBytes], [5, 5])
    assert.equal(harness.telemetry.openPeerConnections, 0)
  })

  it('carry what the peer says first', async () => {
    await start((socket) => socket.end('220 hello'))
    assert.equal(await textOf(dial().end()), '220 hello')
  })

  it('carry 8 MiB in either direction', async () => {
    await start((socket) => socket.pipe(socket))
    const socket = dial()
    const sent = Buffer.alloc(8 * 1024 * 1024, 'x')
    socket.end(sent)
    let bytes = 0
    for await (const chunk of socket) bytes += (chunk as Buffer).length

    assert.equal(bytes, sent.length)
  })

  it('are reset before a byte of them leaves when the peer is another one', async () => {
    let received = 0
    await start(
      (socket) => socket.on('data', (chunk: Buffer) => (received += chunk.length)),
      'spiffe://corp.example/mallory',
    )
    const socket = dial()
    socket.write('secret')
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    await eventually(() => sockets.every(({ destroyed }) => destroyed))

    assert.equal(error.code, 'ECONNRESET')
    assert.equal(received, 0)
    assert.equal(harness.telemetry.decisions[0]?.decision.reason, 'peer_unexpected')
    assert.equal(harness.telemetry.ended[0]?.outcome.error, 'peer_unexpected')
  })

  it('are reset without an identity of ours, and without a peer', async () => {
    await start(() => undefined)
    harness.loseIdentity()
    const refused = dial()
    await once(refused, 'error')
    await harness.identify()
    server.close()
    const unreachable = dial()
    await once(unreachable, 'error')

    assert.deepEqual(
      harness.telemetry.decisions.map(({ decision }) => decision.reason),
      ['identity_unavailable', 'upstream_unavailable'],
    )
  })

  it('are cut at once when the peer is trusted no more, and live on when it is', async () => {
    await start((socket) => socket.write('here'))
    const socket = dial()
    await once(socket, 'data')
    harness.changeTrust({ bundles: new Map(mesh.bundles) })
    await eventually(() => harness.telemetry.judged.kept === 1)
    assert.equal(socket.destroyed, false)
    const other = await TestCa.root('other')
    harness.changeTrust({ bundles: new Map([['corp.example', other.bundle('corp.example')]]) })
    await once(socket, 'error')
    await eventually(() => harness.telemetry.ended.length === 2)

    const [rejudged, tunnel] = harness.telemetry.ended
    assert.equal(rejudged?.record.decision.reason, 'peer_untrusted')
    assert.equal(rejudged.record.previousReason, 'svid_id')
    assert.equal(tunnel?.outcome.error, 'cut')
  })

  it('live on when our SVID is renewed', async () => {
    await start((socket) => socket.pipe(socket))
    const socket = dial()
    socket.write('a')
    await once(socket, 'data')
    await harness.identify()
    socket.write('b')
    const [echoed] = (await once(socket, 'data')) as [Buffer]

    assert.equal(echoed.toString(), 'b')
    assert.equal(sockets.length, 1)
    socket.destroy()
  })

  it('are dialled no further when the workload leaves', async () => {
    await start(() => undefined)
    const socket = dial()
    await once(socket, 'connect')
    socket.resetAndDestroy()
    await eventually(() => harness.telemetry.ended.length === 1)
    await eventually(() => sockets.every(({ destroyed }) => destroyed))
  })
})
