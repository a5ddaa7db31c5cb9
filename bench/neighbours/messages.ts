/**
 * Load that no load tool makes: messages over long-lived connections with a client certificate, in a process of its own:
 * `messages.ts TRANSPORT PORT CONNECTIONS SECONDS RATE CERTIFICATE KEY`. Each connection sends a message when the last came
 * back; RATE 0: at once, else so many per second over all. Prints `{ units, p50Ms, p99Ms }` as JSON.
 */
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import { clientFrame, messageBytes, serverFrameBytes } from './websocket-frames.ts'

const [transport = '', port = '', connections = '', seconds = '', rate = '', cert = '', key = ''] =
  process.argv.slice(2)

const isWebSocket = transport === 'websocket'
const message = isWebSocket ? clientFrame() : Buffer.alloc(messageBytes)
const answerBytes = isWebSocket ? serverFrameBytes : messageBytes
const pauseMs = Number(rate) === 0 ? 0 : (1_000 * Number(connections)) / Number(rate)
const options = {
  ...{ host: '127.0.0.1', port: Number(port), rejectUnauthorized: false },
  ...{ cert: readFileSync(cert), key: readFileSync(key) },
}
const upgrade =
  'GET /chat HTTP/1.1\r\nHost: api.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

const latenciesMs: number[] = []
let isOver = false

await Promise.all(Array.from({ length: Number(connections) }, open))
setTimeout(finish, Number(seconds) * 1_000)

async function open(): Promise<void> {
  const socket = connect(options)
  socket.setNoDelay(true)
  socket.on('error', fail)
  socket.on('close', () => {
    if (!isOver) fail(new Error('a connection ended early'))
  })
  if (isWebSocket) await upgraded(socket)
  else await new Promise((resolve) => socket.once('secureConnect', resolve))
  converse(socket)
}

function upgraded(socket: TLSSocket): Promise<void> {
  socket.write(upgrade)
  return new Promise((resolve) => {
    socket.once('data', (chunk: Buffer) => {
      if (!chunk.toString('latin1').startsWith('HTTP/1.1 101 ')) fail(new Error(chunk.toString()))
      resolve()
    })
  })
}

function converse(socket: TLSSocket): void {
  let received = 0
  let sentMs = performance.now()
  const send = () => {
    sentMs = performance.now()
    socket.write(message)
  }
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (received < answerBytes || isOver) return
    received -= answerBytes
    const tookMs = performance.now() - sentMs
    latenciesMs.push(tookMs)
    if (pauseMs === 0) send()
    else setTimeout(send, Math.max(0, pauseMs - tookMs))
  })
  send()
}

function finish(): void {
  isOver = true
  const sorted = Float64Array.from(latenciesMs).sort()
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN
  console.log(JSON.stringify({ units: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) }))
  process.exit(0)
}

function fail(error: unknown): void {
  if (isOver) return
  console.error(error)
  process.exit(1)
}
