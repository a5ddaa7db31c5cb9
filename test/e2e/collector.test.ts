import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import { type AddressInfo, connect as dial } from 'node:net'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { stringify } from 'yaml'
import type { AuditLine } from '../support/postern-process.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import { freePort } from '../support/free-port.ts'
import { requireTool } from '../support/tools.ts'
import { expiredCaller } from './support/caller-cases.ts'
import { checkoutId, Mesh, threeCallers } from './support/mesh.ts'
import { RawConnection } from './support/raw-tls.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const billingId = 'spiffe://corp.example/billing'

for (const protocol of ['grpc', 'http/protobuf'] as const) {
  describe(`the OpenTelemetry Collector, by ${protocol},`, () => {
    let collector: Collector
    let mesh: Mesh
    const started: { close(): Promise<void> }[] = []

    before(async function () {
      const command = requireTool(this, 'otelcol-postern')
      collector = await Collector.start(command)
      started.unshift(collector)
      mesh = await Mesh.start({
        keys: { reports: { product: 'reports' } },
        env: {
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpointOf(protocol),
          OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
          OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
          OTEL_BSP_SCHEDULE_DELAY: '50',
          OTEL_SERVICE_NAME: 'checkout-postern',
          OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test',
        },
      })
      started.unshift(mesh)
    })

    after(async () => {
      for (const one of started) await one.close()
    })

    it('gets a SERVER span and its authorize span of each decision, which say what the audit log says', async () => {
      const caller = await mesh.svidCaller(checkoutId)
      const context = { traceparent: `00-${traceId}-${spanId}-01` }
      const seen = (await caller.call({ headers: context, path: '/pay?secret=1' })).json.headers
      await mesh.keyCaller('reports').call({ method: 'POST', body: 'x' })
      await mesh.anonymous().call()
      await (await expiredCaller(mesh)).call()
      await mesh.postern.until('every line', () => mesh.postern.audit.length === 4)
      for (const line of mesh.postern.audit) {
        const find = (name: string) =>
          collector.spans.find((span) => span.traceId === line.trace && span.name === name)
        const { method: server } = line['request'] as { method: string }
        await mesh.postern.until(
          `spans of ${line.id}`,
          () => find('authorize') !== undefined && find(server) !== undefined,
          30_000,
        )
        assert.equal(find('authorize')?.parentId, find(server)?.id)
        assert.equal(find(server)?.kind, 'Server')
        assertSame(find('authorize')?.attributes, line)
        assert.equal(find(server)?.attributes['http.response.status_code'], String(line.status))
      }
      const served = collector.spans.find((span) => span.traceId === traceId && span.name === 'GET')
      assert.equal(served?.parentId, spanId)
      assert.equal(served.attributes['url.path'], '/pay')
      // The workload goes on below our span.
      assert.equal(String(seen?.['traceparent']).split('-')[2], served.id)
      assert.match(collector.output, /service\.name: Str\(checkout-postern\)/)
      assert.match(collector.output, /deployment\.environment: Str\(test\)/)
      assert.doesNotMatch(collector.output, /secret/)
      assert.equal(await mesh.postern.metric('postern_spans_dropped_total'), 0)
    })

    it('may go away: requests do not notice, and what is lost is counted', async () => {
      await collector.close()
      const caller = await (await mesh.svidCaller(checkoutId)).open('h2')
      await mesh.postern.until(
        'lost spans',
        async () => {
          for (let i = 0; i < 20; i++) assert.equal((await caller.call()).status, 200)
          return (await mesh.postern.metric('postern_spans_dropped_total')) > 0
        },
        90_000,
      )
      await mesh.postern.logged('spans cannot be exported')
      caller.close()
    }).timeout(120_000)
  })
}

/** Every kind of connection that is no plain request; each has a trace of its own where its caller can name one. */
describe('the OpenTelemetry Collector', () => {
  let collector: Collector
  let mesh: Mesh
  let tcp: Mesh
  let peer: HttpsServer
  let webSockets: WebSocketServer
  const started: { close(): unknown }[] = []
  const heard: Record<string, string | string[] | undefined> = {}

  before(async function () {
    this.timeout(180_000)
    const command = requireTool(this, 'otelcol-postern')
    collector = await Collector.start(command)
    started.unshift(collector)
    peer = createHttpsServer((request, reply) => {
      heard['peer'] = request.headers['traceparent']
      reply.end()
    })
    peer.listen(0, '127.0.0.1')
    await once(peer, 'listening')
    started.unshift({ close: () => peer.closeAllConnections() }, peer)
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpointOf('grpc'),
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    }
    const upstream = `127.0.0.1:${(peer.address() as AddressInfo).port}`
    const outbound = [{ listen: '127.0.0.1:0', upstream, expect: billingId }]
    mesh = await Mesh.prepare({ env, config: { outbound } })
    started.unshift(mesh)
    const { certificatePem: cert, privateKeyPem: key } = await mesh.mint(billingId)
    peer.setSecureContext({ cert, key })
    webSockets = new WebSocketServer({ server: mesh.workload.server })
    webSockets.on('connection', (_, request) => {
      heard['workload'] = request.headers['traceparent']
    })
    started.unshift(webSockets)
    await mesh.startPostern()
    const addresses = { deny: ['127.0.0.2'] }
    tcp = await Mesh.start({ env, inbound: { protocol: 'tcp', addresses } })
    started.unshift(tcp)
  })

  after(async () => {
    for (const one of started) await one.close()
  })

  async function received(what: string, matches: (span: PrintedSpan) => boolean) {
    const find = () => collector.spans.find(matches)
    await mesh.postern.until(`the span of ${what}`, () => find() !== undefined, 30_000)
    return find()!
  }

  it('gets a SERVER span of a WebSocket in the trace of its caller, which goes on to the workload', async () => {
    const trace = traceId.replace('4', '5')
    const { certificatePem: cert, privateKeyPem: key } = await mesh.mint(checkoutId)
    const client = new WebSocket(`wss://127.0.0.1:${mesh.postern.port}/chat`, {
      rejectUnauthorized: false,
      cert,
      key,
      headers: { traceparent: `00-${trace}-${spanId}-01` },
    })
    await once(client, 'open')
    client.close(1000)
    await once(client, 'close')

    const server = await received('the WebSocket', ({ traceId: id, kind }) => {
      return id === trace && kind === 'Server'
    })
    assert.equal(server.name, 'GET')
    assert.equal(server.parentId, spanId)
    assert.equal(server.attributes['http.response.status_code'], '101')
    assert.equal(server.attributes['network.protocol.name'], 'websocket')
    const authorize = await received('its decision', ({ traceId: id, name }) => {
      return id === trace && name === 'authorize'
    })
    assert.equal(authorize.parentId, server.id)
    assert.equal(authorize.attributes['spiffe.id'], checkoutId)
    assert.equal(heard['workload'], `00-${trace}-${server.id}-01`)
  })

  it('gets a CLIENT span of a call of the workload in its trace, which goes on to the peer', async () => {
    const trace = traceId.replace('4', '6')
    const [port] = mesh.postern.outboundPorts
    const headers = { traceparent: `00-${trace}-${spanId}-01` }
    const request = httpRequest({ port, path: '/v1/invoices?secret=1', headers }).end()
    const [reply] = (await once(request, 'response')) as [IncomingMessage]
    reply.resume()
    assert.equal(reply.statusCode, 200)

    const client = await received('the call', ({ traceId: id, kind }) => {
      return id === trace && kind === 'Client'
    })
    assert.equal(client.parentId, spanId)
    assert.equal(client.attributes['server.address'], '127.0.0.1')
    assert.equal(client.attributes['http.response.status_code'], '200')
    const authorize = await received('its decision', ({ traceId: id, name }) => {
      return id === trace && name === 'authorize'
    })
    assert.equal(authorize.parentId, client.id)
    assert.equal(authorize.attributes['postern.direction'], 'outbound')
    assert.equal(authorize.attributes['spiffe.id'], billingId)
    assert.match(authorize.attributes['tls.server.hash.sha256'] ?? '', /^[0-9A-F]{64}$/)
    assert.equal(heard['peer'], `00-${trace}-${client.id}-01`)
  })

  it('gets an authorize span alone of a TCP connection, which has no place for a context', async () => {
    const socket = await (await tcp.svidCaller(checkoutId)).connect()
    socket.end('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
    socket.resume()
    await once(socket, 'close')
    await tcp.postern.until('its line', () => tcp.postern.audit.length === 1)

    const [line] = tcp.postern.audit
    const span = await received('the connection', ({ traceId: id }) => id === line?.trace)
    assert.equal(span.name, 'authorize')
    assert.equal(span.parentId, '')
    assertSame(span.attributes, line!)
    assert.equal(tcp.workload.seen.at(-1)?.headers['traceparent'], undefined)
  })

  it('gets an authorize span alone of a connection that was refused before TLS', async () => {
    const { port } = tcp.postern
    const socket = dial({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })
    socket.on('error', () => socket.destroy())
    await new Promise((resolve) => socket.once('close', resolve))

    const span = await received('the refusal', ({ attributes }) => {
      return attributes['postern.reason'] === 'address_not_allowed'
    })
    assert.equal(span.name, 'authorize')
    assert.equal(span.parentId, '')
    assert.equal(span.attributes['postern.decision'], 'deny')
    assert.equal(span.attributes['client.address'], '127.0.0.2')
  })

  it('gets a handshake span of a handshake that failed in TLS', async () => {
    const connection = await RawConnection.open(mesh.postern.port)
    connection.write('GET / HTTP/1.1\r\n\r\n')
    await connection.ended()

    const span = await received('the handshake', ({ name }) => name === 'handshake')
    assert.equal(span.parentId, '')
    assert.equal(span.kind, 'Internal')
    assert.equal(span.attributes['postern.reason'], 'http_request')
    assert.equal(span.attributes['error.type'], 'http_request')
    assert.equal(span.attributes['client.address'], '127.0.0.1')
  })

  it('gets an authorize span alone of a live connection that a change of trust ended', async () => {
    const trace = traceId.replace('4', '7')
    const caller = await (await mesh.svidCaller('spiffe://partner-a.example/shop')).open('h2')
    const { status } = await caller.call({ headers: { traceparent: `00-${trace}-${spanId}-01` } })
    assert.equal(status, 200)
    const { payments: _, ...without } = threeCallers
    await mesh.postern.write({ 'products.yaml': stringify(mesh.products(without)) })
    await caller.ended
    caller.close()

    const span = await received('its end', ({ attributes }) => {
      return attributes['postern.previous_reason'] !== undefined
    })
    assert.equal(span.name, 'authorize')
    assert.equal(span.parentId, '')
    assert.equal(span.attributes['postern.decision'], 'deny')
    assert.equal(span.attributes['postern.reason'], 'product_unmapped')
    assert.equal(span.attributes['postern.previous_reason'], 'svid_trust_domain')
    assert.equal(span.attributes['spiffe.id'], 'spiffe://partner-a.example/shop')
    // The call before it was of its caller's trace, and is over.
    assert.notEqual(span.traceId, trace)
  })
})

/** An authorize span as the collector prints it, beside the line of the same decision. */
function assertSame(
  attributes: Readonly<Record<string, string>> | undefined,
  { id, decision, peer }: AuditLine,
): void {
  const wanted: Record<string, unknown> = {
    'postern.decision': decision.outcome,
    'postern.reason': decision.reason,
    'postern.decision_id': id,
    'postern.direction': 'inbound',
    'postern.product': decision['product'],
    'postern.principal': decision['principal'],
    'postern.consumer': decision['consumer'],
    'postern.credential': decision['credential'],
    'postern.api_key_id': decision['key'],
    'postern.rule': decision['rule'],
    'postern.epoch': String(decision['epoch']),
    'spiffe.id': peer['spiffe_id'],
  }
  for (const [name, value] of Object.entries(wanted)) assert.equal(attributes?.[name], value, name)
  if (peer.kind !== 'svid') return
  const [leaf = ''] = peer['chain'] as string[]
  assert.equal(attributes?.['tls.client.hash.sha256'], leaf.toUpperCase())
  assert.equal(attributes['tls.client.subject'], peer['subject'])
  assert.equal(attributes['tls.client.issuer'], peer['issuer'])
}

interface PrintedSpan {
  readonly traceId: string
  readonly parentId: string
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly attributes: Readonly<Record<string, string>>
}

/** A real collector that prints what it receives. */
class Collector {
  readonly #child: ChildProcess
  readonly #ports: Readonly<Record<'grpc' | 'http/protobuf', number>>
  output = ''

  private constructor(
    child: ChildProcess,
    ports: Readonly<Record<'grpc' | 'http/protobuf', number>>,
  ) {
    this.#child = child
    this.#ports = ports
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()))
    }
  }

  static async start(command: string): Promise<Collector> {
    const ports = { grpc: await freePort(), 'http/protobuf': await freePort() }
    const directory = await temporaryDirectory()
    const file = join(directory, 'collector.yaml')
    const protocols = {
      grpc: { endpoint: `127.0.0.1:${ports.grpc}` },
      http: { endpoint: `127.0.0.1:${ports['http/protobuf']}` },
    }
    const config = {
      receivers: { otlp: { protocols } },
      exporters: { debug: { verbosity: 'detailed', sampling_initial: 10_000 } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: { traces: { receivers: ['otlp'], exporters: ['debug'] } },
      },
    }
    await writeFile(file, stringify(config))
    const child = spawn(command, ['--config', `file:${file}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const collector = new Collector(child, ports)
    const endMs = performance.now() + 30_000
    while (!collector.output.includes('Everything is ready')) {
      assert.ok(performance.now() < endMs && child.exitCode === null, collector.output)
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    await rm(directory, { recursive: true })
    return collector
  }

  endpointOf(protocol: 'grpc' | 'http/protobuf'): string {
    return `http://127.0.0.1:${this.#ports[protocol]}`
  }

  get spans(): PrintedSpan[] {
    return this.output
      .split(/^Span #\d+$/m)
      .slice(1)
      .map(readSpan)
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}

/** The detailed form of the debug exporter. */
function readSpan(text: string): PrintedSpan {
  const field = (name: string) => new RegExp(`^ +${name} *: (.*)$`, 'm').exec(text)?.[1] ?? ''
  const [span = ''] = text.split(/^ResourceSpans|^\S.*info/m)
  const attributes = [...span.matchAll(/^ +-> ([\w.]+): \w+\((.*)\)$/gm)]
  return {
    traceId: field('Trace ID'),
    parentId: field('Parent ID'),
    id: field('ID'),
    name: field('Name'),
    kind: field('Kind'),
    attributes: Object.fromEntries(attributes.map(([, name = '', value = '']) => [name, value])),
  }
}
