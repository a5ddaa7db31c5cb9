/**
 * What one HTTP/1.1 request through both ends costs: `npx tsx bench/http1-proxy.ts [seconds] [connections]`. The proxy runs alone
 * on CPU 0; load and workload are raw sockets on CPU 1, so that they stay cheaper than what is measured. Prints the proxy's CPU
 * time (user and system, from /proc) per answered request. Linux only.
 */
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../src/core/clock.ts'
import { Deadlines } from '../src/proxy/deadlines.ts'
import { Http1Downstream } from '../src/proxy/http1-downstream.ts'
import { Http1Upstream } from '../src/proxy/http1-upstream.ts'
import { cores } from './neighbours/pinned-process.ts'
import { EverythingAllowed } from './proxy-ends/everything-allowed.ts'
import { listen, play, startRole, type StartedRole } from './proxy-ends/roles.ts'

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
  const upstream = await startRole(import.meta.url, cores.others, ['workload'])
  const middle = await startRole(import.meta.url, cores.measured, ['proxy', upstream.line])
  for (const headers of ['few', 'ten']) {
    await measure(headers, middle, Number(seconds), connections)
  }
  await middle.process.stop()
  await upstream.process.stop()
}

/** The best of several windows, because everything else on the machine only ever adds. */
async function measure(
  headers: string,
  middle: StartedRole,
  seconds: number,
  connections: string,
): Promise<void> {
  const load = ['load', middle.line, connections, headers]
  const generator = await startRole(import.meta.url, cores.others, load)
  const counts = async () => ({
    cpu: middle.process.cpuMicroseconds(),
    answered: Number(await generator.process.ask('SIGUSR2')),
  })
  await sleep(warmUpMs)
  let best = Infinity
  let answered = 0
  for (let window = 0; window < seconds; window++) {
    const before = await counts()
    await sleep(1_000)
    const after = await counts()
    const count = after.answered - before.answered
    best = Math.min(best, (after.cpu - before.cpu) / count)
    answered += count
  }
  console.log(
    `${headers.padEnd(4)} headers: ${best.toFixed(1)} us CPU per request at best,` +
      ` ${Math.round(answered / seconds)} requests/s, ${middle.process.residentMiB().toFixed(0)} MiB resident`,
  )
  await generator.process.stop()
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
      connect: (onread) => connect({ port: Number(port), host: '127.0.0.1', onread }),
      deadlines,
      connectTimeoutMs: 2_000,
      responseTimeoutMs: 5_000,
      onBug,
    }),
  )
  const options = { deadlines, limits: {}, headerTimeoutMs: 10_000, idleTimeoutMs: 60_000, onBug }
  await listen(
    createServer({ noDelay: true }, (socket) => {
      new Http1Downstream(socket, server, options)
    }),
  )
}

await play(main, { proxy, workload, load })
