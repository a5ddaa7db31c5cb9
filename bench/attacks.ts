/**
 * What a flood costs somebody else: `npm run bench -- attacks` (`-- [seconds of each] [connections] [attacks]`). A caller asks one request
 * after the other over a connection of its own while another process, without a key, floods the same port of the built program, and
 * connects anew whenever it is cut. Printed are the caller's latencies beside those of a quiet time (bound: twice the 99th
 * percentile), what the attacker got rid of, and resident memory.
 *
 * The sidecar has one CPU for itself. The attacker has what caller and workload leave of the other one (SCHED_IDLE): it is to cost
 * the sidecar's time and not theirs, as one on another machine would.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { Mesh } from '../test/e2e/support/mesh.ts'
import { nextWindow, type Window, windowEnvironment } from '../test/support/window.ts'

const frame = (type: number, flags: number, stream: number, payload = Buffer.alloc(0)) => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
/** GET / of `a`, in HPACK. */
const request = Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x61])
const cancel = Buffer.from([0, 0, 0, 8])
const opening = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)])

interface Attack {
  /** What it says first. Undefined: it speaks TLS, and goes when it is secure. */
  readonly opening: Buffer | undefined
  /** The frames, or the request, number `i` of a connection. Undefined: it goes when it has said its opening. */
  readonly next: ((i: number) => Buffer) | undefined
}

const http2 = (next: Attack['next']): Attack => ({ opening, next })
const pipelined = Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')

const attacks: Readonly<Record<string, Attack>> = {
  'rapid reset': http2((i) =>
    Buffer.concat([frame(1, 5, 2 * i + 1, request), frame(3, 0, 2 * i + 1, cancel)]),
  ),
  'requests without a key': http2((i) => frame(1, 5, 2 * i + 1, request)),
  PING: http2(() => frame(6, 0, 0, Buffer.alloc(8))),
  SETTINGS: http2(() => frame(4, 0, 0)),
  CONTINUATION: http2((i) => (i === 0 ? frame(1, 1, 1, request) : frame(9, 0, 1))),
  'empty DATA': http2((i) => (i === 0 ? frame(1, 4, 1, request) : frame(0, 0, 1))),
  'pipelined HTTP/1.1': { opening: pipelined, next: () => pipelined },
  'connect and go': { opening, next: undefined },
  'TLS handshakes': { opening: undefined, next: undefined },
}

const [role = '5', ...rest] = process.argv.slice(2)
if (role === 'flood') flood(rest[0] ?? '', Number(rest[1]), Number(rest[2]))
else await main(Number(role), Number(rest[0] ?? 1), rest.slice(1))

async function main(seconds: number, connections: number, only: string[]): Promise<void> {
  await using mesh = await Mesh.start({
    config: { audit: { file: '/dev/null' } },
    env: windowEnvironment,
    inbound: { plaintext: 'allow' },
    products: { all: { apiKeys: 'accept' } },
    keys: { caller: { product: 'all' } },
  })
  mesh.workload.answerWith((_request, response) => response.end())
  const { port, pid } = mesh.postern
  execFileSync('taskset', ['-apc', '0', String(pid)])
  execFileSync('taskset', ['-apc', '1', String(process.pid)])
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  await calls(session, mesh.key('caller'), seconds)
  const quiet = await calls(session, mesh.key('caller'), seconds)
  print('nobody attacks', quiet, quiet, await nextWindow(mesh.postern))
  for (const name of only.length > 0 ? only : Object.keys(attacks)) {
    const attacker = fork(fileURLToPath(import.meta.url), [
      ...['flood', name, String(port), String(connections)],
    ])
    execFileSync('chrt', ['-a', '-i', '-p', '0', String(attacker.pid)])
    await once(attacker, 'message')
    const latencies = await calls(session, mesh.key('caller'), seconds)
    const sent = await stop(attacker)
    print(`${name} (${sent})`, latencies, quiet, await nextWindow(mesh.postern))
  }
  session.close()
}

async function calls(session: ClientHttp2Session, key: string, seconds: number): Promise<number[]> {
  const latencies: number[] = []
  const endMs = performance.now() + seconds * 1_000
  while (performance.now() < endMs) {
    const startMs = performance.now()
    const stream = session.request({ ':path': '/', 'x-api-key': key })
    const [headers] = (await once(stream, 'response')) as [{ ':status': number }]
    if (headers[':status'] !== 200) throw new Error(`answered ${headers[':status']}`)
    stream.resume()
    await once(stream, 'end')
    latencies.push(performance.now() - startMs)
  }
  return latencies.sort((a, b) => a - b)
}

async function stop(attacker: ChildProcess): Promise<string> {
  const said = once(attacker, 'message')
  attacker.send('stop')
  const [text] = (await said) as [string]
  attacker.kill()
  return text
}

function print(what: string, latencies: number[], quiet: number[], window: Window): void {
  const at = (all: number[], part: number) => all[Math.floor(all.length * part)] ?? NaN
  const p99 = at(latencies, 0.99)
  console.log(
    `${what}: p50 ${at(latencies, 0.5).toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ` +
      `${(p99 / at(quiet, 0.99)).toFixed(2)} x quiet; longest pause ${window.longestOwnPauseMs.toFixed(1)} ms, ` +
      `${Math.round(window.residentBytes / 2 ** 20)} MiB resident`,
  )
}

/** At most `atOnce` connections at once, and no faster than the other side takes it. */
function flood(name: string, port: number, atOnce: number): void {
  const attack = attacks[name]
  if (attack === undefined) throw new Error(`no attack ${name}`)
  const { opening, next } = attack
  let [connections, frames] = [0, 0]
  const begin = () => {
    connections++
    let sent = 0
    const socket =
      opening === undefined
        ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
        : connect(port, '127.0.0.1')
    const send = () => {
      if (socket.destroyed) return
      if (next === undefined) {
        socket.destroySoon()
        return
      }
      const batch = Array.from({ length: 100 }, () => next(sent++))
      frames += batch.length
      if (socket.write(Buffer.concat(batch))) setImmediate(send)
      else socket.once('drain', send)
    }
    socket.on('error', () => undefined)
    socket.once('close', begin)
    socket.resume()
    if (opening === undefined) {
      socket.once('secureConnect', () => socket.destroy())
    } else {
      socket.write(opening)
      send()
    }
  }
  process.on('message', () => process.send?.(`${frames} sent on ${connections} connections`))
  process.send?.('begun')
  for (let i = 0; i < atOnce; i++) begin()
}
