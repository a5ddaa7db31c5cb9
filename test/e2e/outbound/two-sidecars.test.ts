import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Metadata } from '@grpc/grpc-js'
import { WebSocket, WebSocketServer } from 'ws'
import { echoClient, EchoWorkload } from '../../proxy/support/http2-grpc-echo.ts'
import { PosternProcess, temporaryDirectory } from '../../support/postern-process.ts'
import { skipMissingTool } from '../../support/skip.ts'
import { Workload } from '../../support/workload.ts'
import { hasProgram, writeIdentity } from '../support/programs.ts'
import { billingId, callPlain, shopId, TwoSidecars } from './support/two-sidecars.ts'

describe('two sidecars back to back', () => {
  let workload: Workload
  let pair: TwoSidecars

  before(async function () {
    this.timeout(60_000)
    workload = await Workload.start()
    pair = await TwoSidecars.start({ workload: workload.address })
  })

  after(async () => {
    await pair.close()
    await workload.close()
  })

  it('carry HTTP/1.1: the called workload is told the SPIFFE ID of the caller, and both record one trace', async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c'
    const reply = await callPlain(pair.port, {
      'x-postern-principal': 'spiffe://corp.example/admin',
      traceparent: `00-${trace}-b7ad6b7169203331-01`,
    })

    assert.equal(reply.status, 200)
    const seen = workload.seen.at(-1)
    assert.equal(seen?.headers['x-postern-principal'], shopId)
    assert.equal(seen.headers['x-postern-product'], 'invoices')
    const find = (postern: PosternProcess) => postern.audit.find((line) => line.trace === trace)
    await pair.shop.until('both recorded', () => Boolean(find(pair.shop) && find(pair.billing)))
    const out = find(pair.shop)
    assert.deepEqual(
      [out?.['direction'], out?.decision.reason, out?.decision['principal'], out?.status],
      ['outbound', 'svid_id', billingId, 200],
    )
    assert.equal(find(pair.billing)?.['direction'], 'inbound')
    assert.equal(find(pair.billing)?.decision['principal'], shopId)
  })

  it('carry HTTP/2 with prior knowledge', async () => {
    const session = connectHttp2(`http://127.0.0.1:${pair.port}`)
    const stream = session.request({ ':path': '/v1/h2' })
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    stream.resume()
    await once(stream, 'close')
    session.close()

    assert.equal(headers[':status'], 200)
    assert.equal(workload.seen.at(-1)?.url, '/v1/h2')
  })

  it('go on through new SVIDs and a new CA on both sides, without a call that fails', async function () {
    this.timeout(60_000)
    const before = pair.shop.logs.filter(({ msg }) => msg === 'identity in service').length
    const statuses: number[] = []
    const stop = new AbortController()
    const calling = (async () => {
      while (!stop.signal.aborted) statuses.push((await callPlain(pair.port)).status)
    })()
    await pair.agent.renewNow()
    const domains = ['corp.example', 'partner-a.example']
    const changes = [pair.shop, pair.billing].map((postern) => changesOf(postern) + domains.length)
    for (const domain of domains) await pair.agent.prepareCa(domain)
    // A new CA signs once everybody trusts it, as SPIRE does it.
    for (const [i, postern] of [pair.shop, pair.billing].entries()) {
      await postern.until('both CAs trusted', () => changesOf(postern) >= changes[i]!)
    }
    for (const domain of domains) await pair.agent.activateCa(domain)
    const renewed = () =>
      pair.shop.logs.filter(({ msg }) => msg === 'identity in service').length >= before + 2
    await pair.shop.until('new SVIDs', renewed)
    const soFar = statuses.length
    await pair.shop.until('more calls', () => statuses.length > soFar + 5)
    stop.abort()
    await calling

    assert.deepEqual(new Set(statuses), new Set([200]))
  })

  it('part when their trust domains do, with calls under way, and find each other again', async function () {
    this.timeout(60_000)
    assert.equal((await callPlain(pair.port)).status, 200)
    await pair.agent.defederate('corp.example', 'partner-a.example')
    let last = await callPlain(pair.port)
    await pair.shop.until('the peer is trusted no more', async () => {
      last = await callPlain(pair.port)
      return last.json['reason'] === 'peer_untrusted'
    })
    assert.equal(last.status, 502)
    assert.match(String(last.json['detail']), /trust_domain_unknown/)
    const line = await pair.shop.audited(last.json['decision_id'])
    assert.equal(line.peer['reason'], 'trust_domain_unknown')
    assert.ok(
      (await pair.shop.metric('postern_outbound_decisions_total', { reason: 'peer_untrusted' })) >
        0,
    )
    const count = workload.seen.length
    await callPlain(pair.port)
    assert.equal(workload.seen.length, count)

    await pair.agent.federate('corp.example', 'partner-a.example')
    await pair.shop.until('the peer is trusted again', async () => {
      return (await callPlain(pair.port)).status === 200
    })
  })
})

describe('two sidecars back to back, of which one is not whom the other expects', () => {
  it('get no request through', async function () {
    this.timeout(60_000)
    const workload = await Workload.start()
    const pair = await TwoSidecars.start({
      workload: workload.address,
      expect: 'spiffe://partner-a.example/other',
    })
    try {
      const { status, json } = await callPlain(pair.port)
      assert.deepEqual([status, json['reason']], [502, 'peer_unexpected'])
      assert.equal(workload.seen.length, 0)
      assert.deepEqual(pair.billing.audit, [])
    } finally {
      await pair.close()
      await workload.close()
    }
  })
})

describe('two sidecars back to back, for gRPC', () => {
  it('carry calls of grpc-js, with metadata and streams', async function () {
    this.timeout(60_000)
    const workload = await EchoWorkload.start()
    const pair = await TwoSidecars.start({ workload: `127.0.0.1:${workload.port}` })
    const client = echoClient(pair.port)
    try {
      const metadata = new Metadata()
      metadata.add('x-list', 'a')
      const text = await new Promise<string>((resolve, reject) => {
        client.unary(Buffer.from('hello'), metadata, {}, (error, reply) => {
          if (error === null) resolve(String(reply))
          else reject(error)
        })
      })
      assert.equal(text, 'hello')
      const chat = client.chat()
      for (const message of ['1', '2', '3']) chat.write(Buffer.from(message))
      chat.end()
      const echoed: string[] = []
      for await (const message of chat) echoed.push(String(message))
      assert.deepEqual(echoed, ['1', '2', '3'])
      const failed = await new Promise((resolve) => client.fails(Buffer.from(''), resolve))
      assert.equal((failed as { code: number }).code, 9)
    } finally {
      client.close()
      await pair.close()
      workload.close()
    }
  })
})

describe('two sidecars back to back, for WebSocket', function () {
  this.timeout(60_000)
  let workload: Workload
  let webSockets: WebSocketServer
  let requests: IncomingMessage[]
  let pair: TwoSidecars

  before(async () => {
    workload = await Workload.start()
    requests = []
    webSockets = new WebSocketServer({ server: workload.server })
    webSockets.on('connection', (opened, request) => {
      requests.push(request)
      opened.on('error', () => undefined)
      opened.on('message', (data, isBinary) => opened.send(data, { binary: isBinary }))
    })
    pair = await TwoSidecars.start({ workload: workload.address })
  })

  after(async () => {
    await pair.close()
    webSockets.close()
    await workload.close()
  })

  it('carry its messages; the called workload is told who calls, and both record one trace', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const client = new WebSocket(`ws://127.0.0.1:${pair.port}/chat`, {
      headers: {
        'x-postern-principal': 'spiffe://corp.example/admin',
        traceparent: `00-${trace}-b7ad6b7169203331-01`,
      },
    })
    await once(client, 'open')
    for (const bytes of [0, 1, 1 << 20]) {
      const message = Buffer.alloc(bytes, 'm')
      client.send(message)
      const [reply] = (await once(client, 'message')) as [Buffer]
      assert.equal(Buffer.compare(reply, message), 0)
    }
    assert.equal(
      await pair.shop.metric('postern_outbound_connections', { protocol: 'websocket' }),
      1,
    )
    client.close(4000)
    assert.equal(((await once(client, 'close')) as [number])[0], 4000)

    const { headers } = requests.at(-1)!
    assert.equal(headers['x-postern-principal'], shopId)
    const find = (postern: PosternProcess) => postern.audit.find((line) => line.trace === trace)
    await pair.shop.until('both recorded', () => Boolean(find(pair.shop) && find(pair.billing)))
    const lines = [find(pair.shop), find(pair.billing)]
    assert.deepEqual(
      lines.map((line) => [line?.['direction'], line?.protocol, line?.status]),
      [
        ['outbound', 'websocket', 101],
        ['inbound', 'websocket', 101],
      ],
    )
    assert.equal(lines[0]?.decision['principal'], billingId)
  })

  it('carry it from a workload that speaks HTTP/2', async () => {
    const session = connectHttp2(`http://127.0.0.1:${pair.port}`)
    await once(session, 'remoteSettings')
    const stream = session.request(
      {
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':path': '/h2',
        ':authority': 'billing.example',
        'sec-websocket-version': '13',
      },
      { endStream: false },
    )
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    assert.equal(headers[':status'], 200)
    // A text of two bytes, masked by zeros.
    stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]))
    const [frame] = (await once(stream, 'data')) as [Buffer]
    assert.deepEqual(frame, Buffer.from([0x81, 2, 0x68, 0x69]))
    assert.equal(requests.at(-1)?.headers.host, 'billing.example')
    session.destroy()
  })

  it('end it when their trust domains part', async () => {
    const client = new WebSocket(`ws://127.0.0.1:${pair.port}/chat`)
    await once(client, 'open')
    const { length } = pair.shop.audit
    const closed = once(client, 'close')
    await pair.agent.defederate('corp.example', 'partner-a.example')
    assert.equal(((await closed) as [number])[0], 1006)
    await pair.shop.until('the end recorded', () =>
      pair.shop.audit
        .slice(length)
        .some(
          ({ protocol, decision }) =>
            protocol === 'websocket' && decision.reason === 'peer_untrusted',
        ),
    )
  })
})

describe('two sidecars back to back, for TCP', () => {
  it('carry bytes, and half-close', async function () {
    this.timeout(60_000)
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined)
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
      socket.on('end', () => socket.end(text.toUpperCase()))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const pair = await TwoSidecars.start({ workload: `127.0.0.1:${port}`, protocol: 'tcp' })
    try {
      const socket = connect({ port: pair.port, allowHalfOpen: true })
      socket.end('hello')
      let text = ''
      for await (const chunk of socket) text += String(chunk)
      assert.equal(text, 'HELLO')
    } finally {
      await pair.close()
      server.close()
    }
  })
})

describe('a sidecar that calls a server of OpenSSL', () => {
  it('is shown to it by its SVID', async function () {
    this.timeout(60_000)
    if (!(await hasProgram('openssl', 'version'))) skipMissingTool(this, 'openssl')
    const workload = await Workload.start()
    const pair = await TwoSidecars.start({ workload: workload.address })
    const directory = await temporaryDirectory()
    const minted = await pair.agent.mint({ trustDomain: 'partner-a.example', spiffeId: billingId })
    const files = await writeIdentity(directory, 'server', minted)
    const port = await freePort()
    const server = spawn(
      'openssl',
      ['s_server', '-accept', `127.0.0.1:${port}`, '-www', '-verify', '5'].concat([
        '-cert',
        files.certificate,
        '-cert_chain',
        files.certificate,
        '-key',
        files.key,
      ]),
      { stdio: 'ignore' },
    )
    const shop = await PosternProcess.start({
      files: {
        'postern.yaml': {
          identity: { files: await identityFiles(pair, directory) },
          inbound: { listen: '127.0.0.1:0' },
          outbound: [
            { listen: '127.0.0.1:0', upstream: `127.0.0.1:${port}`, expect: 'partner-a.example' },
          ],
          health: { listen: '127.0.0.1:0' },
          admin: { listen: '127.0.0.1:0' },
        },
        'products.yaml': { version: 1, products: {} },
      },
    })
    try {
      let text = ''
      await shop.until('OpenSSL answers', async () => {
        const reply = await callPlain(shop.outboundPorts[0]!)
        text = reply.text
        return reply.status === 200
      })
      assert.match(text, /Client certificate/)
      assert.match(text, /spiffe:\/\/corp\.example\/shop/)
    } finally {
      server.kill()
      await shop.stop()
      await pair.close()
      await workload.close()
      await rm(directory, { recursive: true, force: true })
    }
  })
})

function changesOf(postern: PosternProcess): number {
  return postern.logs.filter(({ msg }) => msg === 'trust changed').length
}

async function identityFiles(pair: TwoSidecars, directory: string) {
  const minted = await pair.agent.mint({ trustDomain: 'corp.example', spiffeId: shopId })
  const { certificate, key } = await writeIdentity(directory, 'shop', minted)
  const { writeFile } = await import('node:fs/promises')
  const bundle = `${directory}/partner-a.pem`
  await writeFile(bundle, pair.agent.bundlePem('partner-a.example'))
  return { certificate, key, bundles: { 'partner-a.example': bundle } }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
