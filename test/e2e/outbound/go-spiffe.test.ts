import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { DevAgent } from '../../../src/dev/dev-agent.ts'
import { echoClient, type EchoClient } from '../../proxy/support/http2-grpc-echo.ts'
import {
  type AuditLine,
  PosternProcess,
  temporaryDirectory,
} from '../../support/postern-process.ts'
import { SpiffePeer } from '../../support/spiffe-peer.ts'
import { requireTool } from '../../support/tools.ts'
import { callPlain } from './support/two-sidecars.ts'

const shopId = 'spiffe://corp.example/shop'
const billingId = 'spiffe://partner-a.example/billing'
const otherId = 'spiffe://partner-a.example/other'

/** What the server says that it saw. */
interface Seen {
  readonly protocol: string
  readonly path: string
  readonly caller: string
  readonly serial: string
  readonly headers: Readonly<Record<string, string>>
}

interface StartOptions {
  readonly what?: 'serve' | 'serve-grpc' | 'serve-tcp'
  readonly serves?: string
  readonly expect?: string
}

describe('a server on go-spiffe that the workload calls through us', function () {
  this.timeout(60_000)
  let command: string
  let directory: string
  let agent: DevAgent | undefined
  const started: { stop(): Promise<unknown> }[] = []

  before(async function () {
    directory = await temporaryDirectory()
    command = requireTool(this, 'spiffe-peer')
    agent = await DevAgent.start({
      clock: systemClock,
      logger: silentLogger,
      trustDomains: ['corp.example', 'partner-a.example'],
    })
    await agent.listen({ socketPath: socketOf('shop'), spiffeId: shopId })
    await agent.listen({ socketPath: socketOf('billing'), spiffeId: billingId })
  })

  afterEach(async () => {
    for (const process of started.splice(0)) await process.stop()
  })

  after(async () => {
    await agent?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const socketOf = (name: string) => join(directory, `${name}.sock`)

  /** A server with the identity of billing that serves only this caller, and our sidecar that expects this server. */
  async function start({ what = 'serve', serves = shopId, expect = billingId }: StartOptions = {}) {
    const { peer, port } = await SpiffePeer.serve(command, socketOf('billing'), serves, what)
    started.push(peer)
    const protocol = what === 'serve-tcp' ? 'tcp' : 'http'
    const postern = await PosternProcess.start({
      files: {
        'postern.yaml': {
          identity: { workloadApi: `unix://${socketOf('shop')}` },
          inbound: { listen: '127.0.0.1:0' },
          outbound: [{ listen: '127.0.0.1:0', upstream: `127.0.0.1:${port}`, expect, protocol }],
          health: { listen: '127.0.0.1:0' },
          admin: { listen: '127.0.0.1:0' },
        },
        'products.yaml': { version: 1, products: {} },
      },
    })
    started.push(postern)
    const [localPort = 0] = postern.outboundPorts
    return { peer, postern, localPort, call: () => callPlain(localPort) }
  }

  /** The one line of the audit log, once it is there. */
  async function onlyAuditLine(postern: PosternProcess): Promise<AuditLine> {
    await postern.until('audited', () => postern.audit.length > 0)
    assert.equal(postern.audit.length, 1)
    return postern.audit[0]!
  }

  it('sees our SVID, and we see that it is whom we expect', async () => {
    const { call, peer, postern } = await start()
    const { status, json, headers } = await call()
    assert.equal(status, 200)
    assert.equal(peer.lines.length, 2)
    const seen = json as unknown as Seen
    assert.deepEqual([seen.caller, seen.path], [shopId, '/v1/invoices'])
    assert.equal(seen.headers['X-Postern-Principal'], undefined)
    assert.equal(headers['content-type'], 'application/json')
    await postern.until('audited', () => postern.audit.length === 1)
    const [line] = postern.audit
    assert.deepEqual(
      [line?.['direction'], line?.decision.outcome, line?.decision['principal']],
      ['outbound', 'allow', billingId],
    )
  })

  it('gets no request when it is not whom we expect', async () => {
    const { call, peer } = await start({ expect: otherId })
    const { status, json } = await call()
    assert.equal(status, 502)
    assert.equal(json['reason'], 'peer_unexpected')
    assert.equal(peer.lines.length, 1, 'its port and no request')
  })

  it('refuses our SVID when we are not whom it expects, and the workload is told', async () => {
    const { call, peer, postern } = await start({ serves: otherId })
    const { status, json } = await call()
    await peer.until('its refusal', () => peer.errors.includes(`unexpected ID "${shopId}"`))
    assert.equal(status, 502)
    assert.equal(json['reason'], 'upstream_reset')
    assert.equal(peer.lines.length, 1, 'its port and no request')
    await postern.until('audited', () => postern.audit.length === 1)
    assert.equal(postern.audit[0]?.status, 502)
  })

  it('is called on through new SVIDs and new CAs on both sides, and sees the new ones', async () => {
    const { call, postern } = await start()
    const changes = () => postern.logs.filter(({ msg }) => msg === 'trust changed').length
    const first = (await call()).json as unknown as Seen
    for (const trustDomain of ['corp.example', 'partner-a.example']) {
      for (const change of ['prepareCa', 'withdrawOldCa'] as const) {
        const before = changes()
        await agent![change](trustDomain)
        await postern.until('a change of trust', () => changes() > before)
        if (change === 'prepareCa') await agent!.activateCa(trustDomain)
      }
    }
    let last = first
    await postern.until('a connection with the new SVID', async () => {
      const { status, json } = await call()
      assert.equal(status, 200)
      last = json as unknown as Seen
      return last.serial !== first.serial
    })
    assert.equal(last.caller, shopId)
  })

  describe('for gRPC', () => {
    const clients: EchoClient[] = []

    afterEach(() => {
      for (const client of clients.splice(0)) client.close()
    })

    async function startGrpc(options: StartOptions = {}) {
      const running = await start({ what: 'serve-grpc', ...options })
      const client = echoClient(running.localPort)
      clients.push(client)
      return { ...running, client }
    }

    it('gets calls, and its metadata, trailers and messages come back', async () => {
      const { client, peer, postern } = await startGrpc()
      const metadata = new Metadata()
      metadata.set('x-postern-principal', 'spiffe://corp.example/admin')
      const { message, header, trailer } = await unary(client, 'hello', metadata)
      assert.equal(message, 'hello')
      assert.deepEqual(header.get('x-caller'), [shopId])
      assert.deepEqual(trailer.get('x-trailer'), [`after ${shopId}`])
      assert.deepEqual(peer.lines.at(-1), { method: 'Unary', caller: shopId, principal: null })
      const { protocol, decision, status: code } = await onlyAuditLine(postern)
      assert.deepEqual(
        [protocol, decision.outcome, decision['principal'], code],
        ['h2', 'allow', billingId, 200],
      )
    })

    it('streams to us, and both ways', async () => {
      const { client } = await startGrpc()
      const sent = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
      assert.deepEqual(Buffer.concat(await messagesOf(client.list(sent))), sent)
      const chat = client.chat()
      const echoed: string[] = []
      chat.write(Buffer.from('0'))
      for await (const message of chat) {
        echoed.push(String(message))
        if (echoed.length === 3) chat.end()
        else chat.write(Buffer.from(String(echoed.length)))
      }
      assert.deepEqual(echoed, ['0', '1', '2'])
    })

    it('fails with a status of its own, before and after its first message', async () => {
      const { client } = await startGrpc()
      const failed = await new Promise<ServiceError | null>((resolve) =>
        client.fails(Buffer.from(''), resolve),
      )
      assert.deepEqual(
        [failed?.code, failed?.details, failed?.metadata.get('x-why')],
        [status.FAILED_PRECONDITION, 'não · %25', ['because']],
      )
      const chat = client.chat()
      chat.write(Buffer.from('go'))
      const echoed: string[] = []
      await assert.rejects(
        async () => {
          for await (const message of chat) {
            echoed.push(String(message))
            chat.write(Buffer.from('stop'))
          }
        },
        { code: status.DATA_LOSS, details: 'lost' },
      )
      assert.deepEqual(echoed, ['go'])
    })

    it('gets no call when it is not whom we expect, and the workload is told in words of gRPC', async () => {
      const { client, peer, postern } = await startGrpc({ expect: otherId })
      await assert.rejects(unary(client, 'secret'), { code: status.UNAVAILABLE })
      assert.equal(peer.lines.length, 1, 'its port and no call')
      assert.equal((await onlyAuditLine(postern)).decision.reason, 'peer_unexpected')
    })

    it('refuses our SVID when we are not whom it expects, and the workload is told', async () => {
      const { client, peer } = await startGrpc({ serves: otherId })
      await assert.rejects(unary(client, 'secret'), { code: status.UNAVAILABLE })
      assert.equal(peer.lines.length, 1, 'its port and no call')
    })
  })

  describe('for TCP', () => {
    it('speaks first, sees our SVID, and answers after the end of what it was told', async () => {
      const { localPort, peer, postern } = await start({ what: 'serve-tcp' })
      const socket = connect({ port: localPort, host: '127.0.0.1', allowHalfOpen: true })
      const [greeting] = (await once(socket, 'data')) as [Buffer]
      assert.equal(String(greeting), 'hello\n')
      const said = 'x'.repeat(1_000_000)
      socket.end(said)
      let answer = ''
      for await (const chunk of socket) answer += String(chunk)
      assert.equal(answer, said.toUpperCase())
      assert.deepEqual(peer.lines.at(-1), { caller: shopId, bytes: said.length })
      const { protocol, direction, decision } = await onlyAuditLine(postern)
      assert.deepEqual(
        [protocol, direction, decision.outcome, decision['principal']],
        ['tcp', 'outbound', 'allow', billingId],
      )
    })

    it('gets not a byte when it is not whom we expect, and the workload is reset', async () => {
      const { localPort, peer, postern } = await start({ what: 'serve-tcp', expect: otherId })
      const socket = connect({ port: localPort, host: '127.0.0.1' })
      socket.write('secret')
      const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
      assert.equal(error.code, 'ECONNRESET')
      assert.equal((await onlyAuditLine(postern)).decision.reason, 'peer_unexpected')
      assert.equal(peer.lines.length, 1, 'its port and no connection')
    })

    it('refuses our SVID when we are not whom it expects, and the workload is cut off', async () => {
      const { localPort, peer } = await start({ what: 'serve-tcp', serves: otherId })
      const socket = connect({ port: localPort, host: '127.0.0.1' })
      let received = 0
      socket.on('data', (chunk) => (received += chunk.length))
      socket.on('error', () => undefined)
      await new Promise((resolve) => socket.once('close', resolve))
      await peer.until('its refusal', () => peer.errors.includes(`unexpected ID "${shopId}"`))
      assert.equal(received, 0)
      assert.equal(peer.lines.length, 1, 'its port and no connection')
    })
  })
})

async function unary(client: EchoClient, text: string, metadata = new Metadata()) {
  let header = new Metadata()
  let trailer = new Metadata()
  const message = await new Promise<string>((resolve, reject) => {
    const call = client.unary(Buffer.from(text), metadata, {}, (error, reply) => {
      if (error === null) resolve(String(reply))
      else reject(error)
    })
    call.on('metadata', (received) => (header = received))
    call.on('status', (ended) => (trailer = ended.metadata))
  })
  return { message, header, trailer }
}

async function messagesOf(stream: AsyncIterable<unknown>): Promise<Buffer[]> {
  const messages: Buffer[] = []
  for await (const message of stream) messages.push(message as Buffer)
  return messages
}
