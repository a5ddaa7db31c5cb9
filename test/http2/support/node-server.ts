import { once } from 'node:events'
import http2 from 'node:http2'
import type { Http2Server } from 'node:http2'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'

/** A request as Node's HTTP/2 server told it, in the shape of our own head. */
export interface NodeRequest {
  readonly method: string
  readonly scheme: string
  readonly authority: string
  readonly path: string
  readonly fields: readonly string[]
}

/** What Node passes; its types leave the raw fields out. */
type StreamArguments = [
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  raw: readonly string[],
]

/** Node's HTTP/2 server, fed with raw bytes. */
export class NodeServer {
  readonly #server: Http2Server
  #requests = new Map<number, NodeRequest>()

  private constructor() {
    this.#server = http2.createServer()
    this.#server.on('stream', (...[stream, , , raw]: StreamArguments) => {
      if (stream.id !== undefined) this.#requests.set(stream.id, requestOf(raw))
      stream.on('error', () => undefined)
      stream.resume()
    })
    this.#server.on('sessionError', () => undefined)
  }

  static async start(): Promise<NodeServer> {
    const server = new NodeServer()
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  /** Everything that the server makes of these bytes, followed by the end of the connection. */
  async feed(bytes: Buffer): Promise<ReadonlyMap<number, NodeRequest>> {
    this.#requests = new Map()
    const socket = connect((this.#server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.resume()
    const session = once(this.#server, 'session') as Promise<[http2.ServerHttp2Session]>
    socket.end(bytes)
    const [opened] = await session
    await silence(opened)
    opened.destroy()
    socket.destroy()
    return this.#requests
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

/** Some errors leave a session of Node 20 open and deaf: it is through when it reads nothing for a few turns. */
async function silence(session: http2.ServerHttp2Session): Promise<void> {
  let read = -1
  for (let quiet = 0; quiet < 10 && !session.destroyed; quiet++) {
    if (session.socket.bytesRead !== read) quiet = 0
    read = session.socket.bytesRead
    await setImmediate()
  }
}

function requestOf(raw: readonly string[]): NodeRequest {
  const pseudo = new Map<string, string>()
  const fields: string[] = []
  let host = ''
  let cookieAt = -1
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    if (name.startsWith(':')) pseudo.set(name, value)
    else if (name === 'host') host = value
    else if (name === 'cookie' && cookieAt >= 0)
      fields[cookieAt] = `${fields[cookieAt] ?? ''}; ${value}`
    else {
      if (name === 'cookie') cookieAt = fields.length + 1
      fields.push(name, value)
    }
  }
  return {
    method: pseudo.get(':method') ?? '',
    scheme: pseudo.get(':scheme') ?? '',
    authority: pseudo.get(':authority') ?? host,
    path: pseudo.get(':path') ?? '',
    fields,
  }
}
