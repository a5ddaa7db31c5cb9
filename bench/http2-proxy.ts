/**
 * What one HTTP/2 request through the proxy's ends costs: `node --import tsx bench/http2-proxy.ts [seconds] [h2load options]`.
 * The proxy runs alone on CPU 0; h2load (Debian's nghttp2-client) and the workload share CPU 1. Prints the proxy's CPU time
 * (user and system, from /proc) per answered request, for a workload of HTTP/1.1 and one of HTTP/2. Linux only.
 */
import { execFileSync } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { systemClock } from '../src/core/clock.ts'
import { Http2Connection } from '../src/http2/connection.ts'
import type { ServerEvents } from '../src/http2/events.ts'
import { Deadlines } from '../src/proxy/deadlines.ts'
import { Http1Upstream } from '../src/proxy/http1-upstream.ts'
import { Http2Downstream } from '../src/proxy/http2-downstream.ts'
import { Http2Socket } from '../src/proxy/http2-socket.ts'
import { Http2Upstream } from '../src/proxy/http2-upstream.ts'
import { cores } from './neighbours/pinned-process.ts'
import { EverythingAllowed } from './proxy-ends/everything-allowed.ts'
import { listen, play, startRole, type StartedRole } from './proxy-ends/roles.ts'

type Protocol = 'http1' | 'h2c'

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
    const upstream = await startRole(import.meta.url, cores.others, ['workload', protocol])
    const middle = await startRole(import.meta.url, cores.measured, [
      ...['proxy', protocol, upstream.line],
    ])
    for (const load of loads) measure(protocol, middle, seconds, load)
    await middle.process.stop()
    await upstream.process.stop()
  }
}

function measure(
  protocol: Protocol,
  middle: StartedRole,
  seconds: string,
  options: string[],
): void {
  load(middle.line, warmUpSeconds, options)
  const before = middle.process.cpuMicroseconds()
  const answered = load(middle.line, seconds, options)
  const perRequest = (middle.process.cpuMicroseconds() - before) / answered
  console.log(
    `HTTP/2 ${options.join(' ')} in, ${protocol} out: ${perRequest.toFixed(1)} us CPU per request,` +
      ` ${Math.round(answered / Number(seconds))} requests/s, ${middle.process.residentMiB().toFixed(0)} MiB resident`,
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

await play(main, { proxy, workload })
