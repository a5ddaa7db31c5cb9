import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as the workload got it. */
export interface SeenRequest {
  readonly method: string
  readonly url: string
  /** Name, value, name, value; names as sent. */
  readonly rawHeaders: readonly string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly trailers: Readonly<Record<string, string | undefined>>
  /** As `rawHeaders`. */
  readonly rawTrailers: readonly string[]
}

type Answer = (request: SeenRequest, response: ServerResponse) => void

/**
 * A workload on Node's own HTTP server, whose parser is the oracle of what really arrived. It remembers every request and
 * answers with a JSON echo unless told otherwise.
 */
export class Workload {
  readonly seen: SeenRequest[] = []
  /** Errors of its parser: a proxy that frames well causes none. */
  readonly parserErrors: Error[] = []
  readonly #server: Server
  #answer: Answer = echo

  private constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response))
    this.#server.on('clientError', (error, socket) => {
      this.parserErrors.push(error)
      socket.destroy()
    })
  }

  static async start(): Promise<Workload> {
    const workload = new Workload()
    await new Promise<void>((resolve) => workload.#server.listen(0, '127.0.0.1', resolve))
    return workload
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** The underlying server, for what this class does not offer. */
  get server(): Server {
    return this.#server
  }

  answerWith(answer: Answer): void {
    this.#answer = answer
  }

  /** As at the start. */
  answerWithEcho(): void {
    this.#answer = echo
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    const seen: SeenRequest = {
      method: request.method ?? '',
      url: request.url ?? '',
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      body: Buffer.concat(chunks),
      trailers: request.trailers,
      rawTrailers: request.rawTrailers,
    }
    this.seen.push(seen)
    this.#answer(seen, response)
  }
}

function echo(request: SeenRequest, response: ServerResponse): void {
  const body = JSON.stringify({
    method: request.method,
    url: request.url,
    headers: request.headers,
    bodyBytes: request.body.length,
  })
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}
