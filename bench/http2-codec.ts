import { Http2Connection } from '../src/http2/connection.ts'
import type { ClientEvents, ServerEvents, StreamEvents } from '../src/http2/events.ts'
import type { Http2Stream } from '../src/http2/stream.ts'

/**
 * What one request and its reply cost the codec, without sockets: `node --import tsx bench/http2-codec.ts`. The client's bytes are
 * recorded first, so that only the server's work is measured; then the same for the client's side.
 */

const rounds = 7
const turns = 20_000
const body = Buffer.from('hello world\n')

const requestFields = [
  'user-agent',
  'bench/1.0 (codec)',
  'accept',
  '*/*',
  'accept-encoding',
  'gzip, br',
  'x-request-id',
  '',
  'content-type',
  'application/json',
  'x-forwarded-for',
  '10.1.2.3',
]
const replyFields = ['content-type', 'text/plain', 'content-length', '12', 'server', 'bench']

const silent: StreamEvents<unknown> = {
  onData: () => undefined,
  onEnd: () => undefined,
  onTrailers: () => undefined,
  onDrained: () => undefined,
  onReset: () => undefined,
  onClosed: () => undefined,
  onGoaway: () => undefined,
  onSettings: () => undefined,
  onPong: () => undefined,
  onViolation: () => undefined,
  onFinished: () => undefined,
  onError: (fault) => {
    throw new Error(fault.rule)
  },
}

function newServer(): Http2Connection {
  const events: ServerEvents<unknown> = {
    ...silent,
    onRequest(stream) {
      server.respond(stream, 200, replyFields, false)
      server.sendData(stream, body, true)
    },
    onRefusedRequest: (_stream, refusal) => {
      throw new Error(refusal)
    },
  }
  const server = Http2Connection.server(events)
  return server
}

function newClient(): Http2Connection {
  const events: ClientEvents<unknown> = {
    ...silent,
    onInformational: () => undefined,
    onReply: () => undefined,
    onData: (stream: Http2Stream<unknown>, chunk) => client.consumed(stream, chunk.length),
  }
  const client = Http2Connection.client(events)
  return client
}

function request(client: Http2Connection, number: number): void {
  const fields = requestFields.with(7, (0x1000_0000_0000 + number).toString(16))
  const target = { method: 'GET', scheme: 'https', authority: 'api.example', path: '/v1/items' }
  if (client.request(target, fields, true) === 'refused') throw new Error('refused')
}

/** The chunks of both directions, `perTurn` requests each. */
function record(perTurn: number): { fromClient: Buffer[]; fromServer: Buffer[] } {
  const client = newClient()
  const server = newServer()
  const fromClient: Buffer[] = []
  const fromServer: Buffer[] = []
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < perTurn; i++) request(client, turn * perTurn + i)
    fromClient.push(Buffer.concat(client.takeOutput()))
    server.receive(fromClient[turn] ?? body, turn)
    fromServer.push(Buffer.concat(server.takeOutput()))
    client.receive(fromServer[turn] ?? body, turn)
  }
  return { fromClient, fromServer }
}

function microsecondsOfServer(fromClient: readonly Buffer[], perTurn: number): number {
  const server = newServer()
  const start = process.hrtime.bigint()
  fromClient.forEach((chunk, turn) => {
    server.receive(chunk, turn)
    server.takeOutput()
  })
  return Number(process.hrtime.bigint() - start) / 1_000 / (fromClient.length * perTurn)
}

function microsecondsOfClient(fromServer: readonly Buffer[], perTurn: number): number {
  const client = newClient()
  const start = process.hrtime.bigint()
  fromServer.forEach((chunk, turn) => {
    for (let i = 0; i < perTurn; i++) request(client, turn * perTurn + i)
    client.takeOutput()
    client.receive(chunk, turn)
  })
  return Number(process.hrtime.bigint() - start) / 1_000 / (fromServer.length * perTurn)
}

const largeBody = Buffer.alloc(1_048_576, 'x')

/** One body of 1 MiB up and the same down, `rounds` times, in chunks as a socket gives them. */
function microsecondsOfBodies(): { up: number; down: number } {
  const upload = newClient()
  const events: ServerEvents<unknown> = {
    ...silent,
    onRequest: (stream) => server.respond(stream, 200, [], false),
    onRefusedRequest: () => undefined,
    onData: (stream, chunk) => server.consumed(stream, chunk.length),
    onEnd: (stream) => server.sendData(stream, largeBody, true),
  }
  const server = Http2Connection.server(events)
  let up = 0
  let down = 0
  for (let i = 0; i < 50; i++) {
    const target = { method: 'POST', scheme: 'http', authority: 'a', path: '/' }
    const stream = upload.request(target, [], false)
    if (stream === 'refused') throw new Error('refused')
    upload.sendData(stream, largeBody, true)
    while (upload.hasOutput || server.hasOutput) {
      const sent = asSocketGives(Buffer.concat(upload.takeOutput()))
      const start = process.hrtime.bigint()
      for (const chunk of sent) server.receive(chunk, i)
      const middle = process.hrtime.bigint()
      const parts = server.takeOutput()
      const end = process.hrtime.bigint()
      up += Number(middle - start) / 1_000
      down += Number(end - middle) / 1_000
      upload.receive(Buffer.concat(parts), i)
    }
  }
  return { up: up / 50, down: down / 50 }
}

function asSocketGives(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 65_536) chunks.push(bytes.subarray(at, at + 65_536))
  return chunks
}

function report(name: string, measure: () => number): void {
  const results = Array.from({ length: rounds }, measure).sort((a, b) => a - b)
  const best = results[0] ?? NaN
  const middle = results[rounds >> 1] ?? NaN
  console.log(`${name}: ${best.toFixed(2)} us best, ${middle.toFixed(2)} us median`)
}

for (const perTurn of [1, 16]) {
  const { fromClient, fromServer } = record(perTurn)
  const bytes = (fromClient.at(-1)?.length ?? 0) / perTurn
  console.log(`${perTurn} requests a turn, ${bytes.toFixed(0)} bytes each, 10 fields, 12-byte body`)
  report('  server: parse request, encode reply', () => microsecondsOfServer(fromClient, perTurn))
  report('  client: encode request, parse reply', () => microsecondsOfClient(fromServer, perTurn))
}

const { up, down } = microsecondsOfBodies()
console.log(`a body of 1 MiB: ${up.toFixed(0)} us to take, ${down.toFixed(0)} us to send`)
