import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { AuditLine } from '../support/postern-process.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import { freePort } from '../support/free-port.ts'
import { requireTool } from '../support/tools.ts'
import { expiredCaller } from './support/caller-cases.ts'
import { checkoutId, Mesh } from './support/mesh.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

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
