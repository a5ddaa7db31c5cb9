/**
 * What one HTTP/1.1 request through both ends costs: `npx tsx bench/http1-proxy.ts [seconds] [connections]`. The proxy runs alone
 * on CPU 0; load and workload are raw sockets on CPU 1, so that they stay cheaper than what is measured. Prints the proxy's CPU
 * time (user and system, from /proc) per answered request. Linux only.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../src/core/clock.ts'
import { Deadlines } from '../src/proxy/deadlines.ts'
import { Exchange, type ExchangeOwner } from '../src/proxy/exchange.ts'
import type { IncomingRequest, ReplySink, RequestServer, RequestSink } from '../src/proxy/ends.ts'
import { HeaderRules } from '../src/proxy/header-rules.ts'
import { Http1Downstream } from '../src/proxy/http1-downstream.ts'
import { Http1Upstream } from '../src/proxy/http1-upstream.ts'

const ticksPerSecond = 100
const warmUpMs = 2_000

const fewHeaders = ['Host: api.example', 'User-Agent: bench/1.0', 'Accept: */*']
const tenHeaders = [
  ...fewHeaders,
  'Accept-Encoding: gzip, deflate, br',
  'X-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'Content-Type: application/json',
  'X-Api-Key: pst_k8f3a2c91_0123456789abcdefghijklmnopqrstuvwxyz0123456789abc',
  'Cookie: theme=dark; session=0123456789abcdef',
  'Connection: keep-alive',
]
const reply = Buffer.from(
  'HTTP/1.1 200 OK\r\nServer: raw\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n' +
    'Content-Length: 12\r\n\r\nhello world\n',
)

async function main(args: string[]): Promise<void> {
  const [seconds = '5', connections = '32'] = args
  const upstream = await start(1, 'workload', [])
  const middle = await start(0, 'proxy', [upstream.line])
  for (const headers of ['few', 'ten']) {
    await measure(headers, middle, Number(seconds), connections)
  }
  middle.child.kill()
  upstream.child.kill()
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

/** The best of several windows, because everything else on the machine only ever adds. */
async function measure(
  headers: string,
  middle: Started,
  seconds: number,
  connections: string,
): Promise<void> {
  const pid = middle.child.pid ?? 0
  const generator = await start(1, 'load', [middle.line, connections, headers])
  await sleep(warmUpMs)
  let best = Infinity
  let answered = 0
  for (let window = 0; window < seconds; window++) {
    const before = { cpu: cpuMicroseconds(pid), answered: await answeredBy(generator) }
    await sleep(1_000)
    const after = { cpu: cpuMicroseconds(pid), answered: await answeredBy(generator) }
    const count = after.answered - before.answered
    best = Math.min(best, (after.cpu - before.cpu) / count)
    answered += count
  }
  console.log(
    `${headers.padEnd(4)} headers: ${best.toFixed(1)} us CPU per request at best,` +
      ` ${Math.round(answered / seconds)} requests/s, ${residentMiB(pid)} MiB resident`,
  )
  generator.child.kill()
}

async function answeredBy(generator: Started): Promise<number> {
  const { child } = generator
  if (child.stdout === null) throw new Error('no output')
  child.kill('SIGUSR2')
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return Number(line.toString().trim())
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

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms))
}

async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  console.log((server.address() as AddressInfo).port)
}

/** Answers every head; requests of the bench have no body and arrive whole. */
async function workload(): Promise<void> {
  await listen(
    createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => socket.destroy())
      socket.on('data', () => void socket.write(reply))
    }),
  )
}

function load([port = '', connections = '', headers = '']: string[]): void {
  const lines = headers === 'ten' ? tenHeaders : fewHeaders
  const request = Buffer.from(
    ['GET /v1/payments/12345?expand=all HTTP/1.1', ...lines, '', ''].join('\r\n'),
  )
  let answered = 0
  process.on('SIGUSR2', () => console.log(answered))
  for (let i = 0; i < Number(connections); i++) {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    socket.write(request)
    socket.on('data', () => {
      answered++
      socket.write(request)
    })
  }
  console.log('ready')
}

async function proxy([port = '']: string[]): Promise<void> {
  const deadlines = new Deadlines(systemClock)
  const onBug = (error: unknown) => console.error(error)
  const server = new EverythingAllowed(
    new Http1Upstream({
      connect: () => connect(Number(port), '127.0.0.1'),
      deadlines,
      connectTimeoutMs: 2_000,
      responseTimeoutMs: 5_000,
      onBug,
    }),
  )
  const options = { deadlines, limits: {}, headerTimeoutMs: 10_000, idleTimeoutMs: 60_000, onBug }
  await listen(
    createServer({ noDelay: true }, (socket: Socket) => {
      new Http1Downstream(socket, server, options)
    }),
  )
}

const identity = [
  'x-postern-product',
  'payments',
  'x-postern-principal',
  'spiffe://corp.example/checkout',
  'x-postern-credential',
  'x509-svid',
  'x-forwarded-for',
  '127.0.0.1',
  'x-forwarded-proto',
  'https',
]

class EverythingAllowed implements RequestServer, ExchangeOwner {
  readonly #upstream: Http1Upstream
  readonly #rules = HeaderRules.inbound('x-api-key')
  readonly #options = { rules: this.#rules, maxBodyBytes: 1 << 30 }

  constructor(upstream: Http1Upstream) {
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
const roles: Record<string, (args: string[]) => void | Promise<void>> = { proxy, workload, load }
await (roles[role] ?? (() => main(process.argv.slice(2))))(rest)
