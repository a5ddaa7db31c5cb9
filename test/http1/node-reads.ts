import http from 'node:http'
import { Duplex } from 'node:stream'
import type { Fields } from '../../src/core/fields.ts'

/** A message as Node's own parser told it. */
export interface NodeMessage {
  /** Method and target, or status and reason. */
  readonly start: readonly [string, string]
  readonly fields: Fields
  readonly body: string
  readonly trailers: Fields
}

/** All that Node's parser made of some bytes that were followed by the end of the connection. */
export interface NodeTranscript {
  readonly messages: NodeMessage[]
  /** `refused`: with the parser's code; `incomplete`: the end came inside a message. */
  readonly outcome: 'clean' | 'incomplete' | 'refused'
  readonly code: string
}

/** A connection in memory: everything is there to read at once, what is written is dropped. */
class MemoryConnection extends Duplex {
  constructor(bytes: Buffer) {
    super({ allowHalfOpen: true })
    this.push(bytes)
    this.push(null)
  }

  override _read(): void {
    // Everything was pushed at once.
  }

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done()
  }

  setTimeout(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

/** Reads requests as `http.createServer` does. */
export async function nodeReadsRequests(bytes: Buffer): Promise<NodeTranscript> {
  const messages: NodeMessage[] = []
  let begun = 0
  const server = http.createServer({ insecureHTTPParser: false })
  // Without it Node gives up requests whose caller has ended its side, as these have.
  Object.assign(server, { httpAllowHalfOpen: true })
  const collect = (request: http.IncomingMessage, reply: http.ServerResponse): void => {
    begun++
    collected(request, [request.method ?? '', request.url ?? ''], (message) => {
      messages.push(message)
      reply.end()
    })
  }
  server.on('request', collect)
  server.on('checkContinue', collect)
  server.on('checkExpectation', collect)
  return new Promise((resolve) => {
    const connection = new MemoryConnection(bytes)
    let outcome: Outcome = { outcome: 'clean', code: '' }
    server.on('clientError', (error: NodeJS.ErrnoException) => {
      outcome = outcomeOf(error)
      // Requests that were whole before it are still on their way through their streams.
      setImmediate(() => connection.destroy())
    })
    // Node has parsed all of it now; what is not whole will not become so.
    connection.on('end', () => setImmediate(() => connection.destroy()))
    connection.on('close', () => {
      setImmediate(() => {
        if (outcome.outcome === 'clean' && begun > messages.length) outcome = cut
        resolve({ messages, ...outcome })
      })
    })
    server.emit('connection', connection)
  })
}

/** Reads the reply to one request with `method`, as `http.request` does. */
export async function nodeReadsReply(method: string, bytes: Buffer): Promise<NodeTranscript> {
  const messages: NodeMessage[] = []
  return new Promise((resolve) => {
    const request = http.request({
      method,
      createConnection: () => new MemoryConnection(bytes),
      insecureHTTPParser: false,
    })
    const fail = (error: NodeJS.ErrnoException) => resolve({ messages, ...outcomeOf(error) })
    request.on('error', fail)
    request.on('upgrade', (reply) => {
      const start = [String(reply.statusCode), reply.statusMessage ?? ''] as const
      messages.push({ start, fields: reply.rawHeaders, body: '', trailers: [] })
      resolve({ messages, outcome: 'clean', code: '' })
    })
    request.on('response', (reply) => {
      reply.on('error', fail)
      collected(reply, [String(reply.statusCode), reply.statusMessage ?? ''], (message) => {
        messages.push(message)
      })
      reply.on('close', () => {
        if (reply.complete) resolve({ messages, outcome: 'clean', code: '' })
      })
    })
    request.end()
  })
}

function collected(
  message: http.IncomingMessage,
  start: readonly [string, string],
  done: (message: NodeMessage) => void,
): void {
  let body = ''
  message.setEncoding('latin1')
  message.on('data', (data: string) => (body += data))
  message.on('end', () =>
    done({ start, fields: message.rawHeaders, body, trailers: message.rawTrailers }),
  )
}

type Outcome = Pick<NodeTranscript, 'outcome' | 'code'>

const cut: Outcome = { outcome: 'incomplete', code: '' }

function outcomeOf(error: NodeJS.ErrnoException): Outcome {
  const code = error.code ?? 'UNKNOWN'
  const isCut = code === 'HPE_INVALID_EOF_STATE' || code === 'ECONNRESET'
  return { outcome: isCut ? 'incomplete' : 'refused', code }
}
