import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ReceivedSpan, readSpans } from './otlp-spans.ts'

const largestExport = 4 * 1024 * 1024
const mostSpans = 10_000

/** A collector as small as can be: OTLP over HTTP with protobuf on a port of the loopback interface, spans kept in memory. */
export class SpanReceiver {
  readonly #server: Server
  readonly #spans: ReceivedSpan[] = []

  private constructor() {
    this.#server = createServer((request, reply) => {
      this.#take(request).then(
        (status) => reply.writeHead(status, { 'content-length': 0 }).end(),
        () => reply.destroy(),
      )
    })
  }

  /** Resolves when it listens; the caller closes it. */
  static async start(): Promise<SpanReceiver> {
    const receiver = new SpanReceiver()
    await new Promise<void>((resolve, reject) => {
      receiver.#server.once('error', reject)
      receiver.#server.listen(0, '127.0.0.1', resolve)
    })
    return receiver
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What has come so far, in the order in which it came. */
  get spans(): readonly ReceivedSpan[] {
    return this.#spans
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #take(request: IncomingMessage): Promise<number> {
    const body = await readBody(request)
    if (body === undefined) return 413
    try {
      this.#spans.push(...readSpans(body))
    } catch {
      return 400
    }
    this.#spans.splice(0, this.#spans.length - mostSpans)
    return 200
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= largestExport) chunks.push(chunk)
  }
  return size <= largestExport ? Buffer.concat(chunks) : undefined
}
