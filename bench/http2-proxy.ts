/**
 * What one HTTP/2 request through the proxy's ends costs: `node --import tsx bench/http2-proxy.ts [seconds] [h2load options]`.
 * The proxy runs alone on CPU 0; h2load (Debian's nghttp2-client) and the workload share CPU 1. Prints the proxy's CPU time
 * (user and system, from /proc) per answered request, for a workload of HTTP/1.1 and one of HTTP/2. Linux only.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../src/core/clock.ts'
import { Http2Connection } from '../src/http2/connection.ts'
import type { ServerEvents } from '../src/http2/events.ts'
import { Deadlines } from '../src/proxy/deadlines.ts'
import { Exchange, type ExchangeOwner } from '../src/proxy/exchange.ts'
import type {
  IncomingRequest,
  ReplySink,
  RequestServer,
  RequestSink,
  Upstream,
} from '../src/proxy/ends.ts'
import { HeaderRules } from '../src/proxy/header-rules.ts'
import { Http1Upstream } from '../src/proxy/http1-upstream.ts'
import { Http2Downstream } from '../src/proxy/http2-downstream.ts'
import { Http2Socket } from '../src/proxy/http2-socket.ts'
import { Http2Upstream } from '../src/proxy/http2-upstream.ts'

type Protocol = 'http1' | 'h2c'

const ticksPerSecond = 100
const warmUpSeconds = '2'
const sixteenStreams = ['-c8', '-m16']
const oneStream = ['-c32', '-m1']

const headers = [
  'user-agent: bench/1.0',
  'accept: */*',
  'accept-encoding: gzip, deflate, br',
  'x-request-id: 0f8fad5b-d9cb-469f-a165-70867728950e',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'content-type: application/json',
  'x-api-key: pst_k8f3a2c91_0123456789abcdefghijklmnopqrstuvwxyz0123456789abc',
]
const replyFields = [
  ...['server', 'raw', 'date', 'Fri, 20 Nov 2026 10:00:00 GMT'],
  ...['content-type', 'text/plain', 'content-length', '12'],
]
const hello = Buffer.from('hello world\n')
const http1Reply = Buffer.from(
  'HTTP/1.1 200 OK\r\nServer: raw\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n' +
    'Content-Length: 12\r\n\r\nhello world\n',
)

async function main([seconds = '5', ...options]: string[]): Promise<void> {
  const loads = options.length > 0 ? [options] : [sixteenStreams, oneStream]
  for (const protocol of ['http1', 'h2c'] as const) {
    const upstream = await start(1, 'workload', [protocol])
    const middle = await start(0, 'proxy', [protocol, upstream.line])
    for (const load of loads) measure(protocol, middle, seconds, load)
    middle.child.kill()
    upstream.child.kill()
  }
}

interface Started {
  readonly child: ChildProcess
  /** The first line of its output. */
  readonly line: string
}

async function start(cpu: number, name: string, args: string[]): Promise<Started> {
  const node = [...process.execArgv, fileURLToPath(import.meta.url), name, ...args]
  const child = spawn('taskset', ['-c', String(cpu), process.execPath, ...node], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, line: line.toString().trim() }
}

function measure(protocol: Protocol, middle: Started, seconds: string, options: string[]): void {
  const pid = middle.child.pid ?? 0
  load(middle.line, warmUpSeconds, options)
  const before = cpuMicroseconds(pid)
  const answered = load(middle.line, seconds, options)
  const perRequest = (cpuMicroseconds(pid) - before) / answered
  console.log(
    `HTTP/2 ${options.join(' ')} in, ${protocol} out: ${perRequest.toFixed(1)} us CPU per request,` +
      ` ${Math.round(answered / Number(seconds))} requests/s, ${residentMiB(pid)} MiB resident`,
  )
}

/** Returns how many requests were answered; all of them have to be. */
function load(port: string, seconds: string, options: string[]): number {
  const fields = headers.flatMap((header) => ['-H', header])
  const url = `http://127.0.0.1:${port}/v1/payments/12345?expand=all`
  const command = ['-c', '1', 'h2load', '-D', seconds, ...options, ...fields, url]
  const output = execFileSync('taskset', command, { encoding: 'utf8' })
  const [, done = '0', failed = ''] =
    /(\d+) succeeded, (\d+) failed/.exec(output.slice(output.indexOf('requests:'))) ?? []
  if (failed !== '0') throw new Error(output)
  return Number(done)
}

function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond
}

function residentMiB(pid: number): string {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1])
  return ((pages * 4_096) / 2 ** 20).toFixed(0)
}

async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  console.log((server.address() as AddressInfo).port)
}

/** Answers every head; requests of the bench have no body, and those of HTTP/1.1 arrive whole. */
async function workload([protocol = '']: string[]): Promise<void> {
  await listen(
    createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => socket.destroy())
      if (protocol === 'http1') {
        socket.on('data', () => void socket.write(http1Reply))
      } else {
        const connection: Http2Connection = Http2Connection.server(
          responder(() => connection),
          {},
        )
        new Http2Socket({
          ...{ socket, connection, nowMs: () => performance.now(), onBug: fail },
          ...{ onRead: ignore, onWritten: ignore, onEnded: ignore, onClosed: ignore },
        })
      }
    }),
  )
}

function responder(connection: () => Http2Connection): ServerEvents<unknown> {
  return {
    onRequest(stream) {
      connection().respond(stream, 200, replyFields, false)
      connection().sendData(stream, hello, true)
    },
    ...{ onRefusedRequest: ignore, onData: ignore, onEnd: ignore, onTrailers: ignore },
    ...{ onDrained: ignore, onReset: ignore, onClosed: ignore, onGoaway: ignore },
    ...{ onSettings: ignore, onPong: ignore, onViolation: ignore, onFinished: ignore },
    onError: ignore,
  }
}

function ignore(): void {
  // Of no interest here.
}

function fail(error: unknown): void {
  console.error(error)
}

async function proxy([protocol = '', port = '']: string[]): Promise<void> {
  const deadlines = new Deadlines(systemClock)
  const upstreamOptions = {
    connect: () => connect(Number(port), '127.0.0.1'),
    ...{ deadlines, connectTimeoutMs: 2_000, responseTimeoutMs: 5_000, onBug: fail },
  }
  const server = new EverythingAllowed(
    protocol === 'http1' ? new Http1Upstream(upstreamOptions) : new Http2Upstream(upstreamOptions),
  )
  const options = { deadlines, limits: {}, headerTimeoutMs: 10_000, idleTimeoutMs: 60_000 }
  await listen(
    createServer({ noDelay: true }, (socket) => {
      new Http2Downstream(socket, server, { ...options, onBug: fail })
    }),
  )
}

const identity = [
  ...['x-postern-product', 'payments', 'x-postern-principal', 'spiffe://corp.example/checkout'],
  ...['x-postern-credential', 'x509-svid', 'x-forwarded-for', '127.0.0.1'],
  ...['x-forwarded-proto', 'https'],
]

class EverythingAllowed implements RequestServer, ExchangeOwner {
  readonly #upstream: Upstream
  readonly #rules = HeaderRules.inbound('x-api-key')
  readonly #options = { rules: this.#rules, maxBodyBytes: 1 << 30 }

  constructor(upstream: Upstream) {
    this.#upstream = upstream
  }

  serve(request: IncomingRequest, sink: ReplySink): RequestSink {
    const scanned = this.#rules.scanRequest(request.fields, request.connectionOptions)
    const fields = scanned.kept
    fields.push(...identity)
    return Exchange.open(
      {
        method: request.method,
        path: request.path,
        authority: request.authority,
        fields,
        length: request.length,
        wantsTrailers: scanned.wantsTrailers,
      },
      this.#upstream,
      sink,
      this,
      this.#options,
    )
  }

  refuse(): void {
    throw new Error('refused')
  }

  replyToFailure(): number {
    throw new Error('the workload failed')
  }

  replyToLargeBody(): number {
    throw new Error('there is no body')
  }

  exchangeEnded(): void {
    // Nothing to record.
  }
}

const [role = 'main', ...rest] = process.argv.slice(2)
const roles: Record<string, (args: string[]) => void | Promise<void>> = { proxy, workload }
await (roles[role] ?? (() => main(process.argv.slice(2))))(rest)
