import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { BinaryReader } from '@bufbuild/protobuf/wire'

/** A span as it came over the wire. */
export interface ReceivedSpan {
  readonly name: string
  /** `SpanKind` of OTLP: 1 internal, 2 server, 3 client. */
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  /** '' for a root. */
  readonly parentSpanId: string
  readonly traceState: string
  readonly attributes: Readonly<Record<string, unknown>>
}

/** Receives OTLP over HTTP with protobuf, as a collector does. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = []
  /** Every request body as it came. */
  readonly bodies: Buffer[] = []
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response))
  }

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver()
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve))
    return receiver
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request)
    const isSpans =
      request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf'
    if (isSpans) {
      this.bodies.push(body)
      this.spans.push(...readRequest(body))
    }
    response.writeHead(isSpans ? 200 : 404, { 'content-type': 'application/x-protobuf' }).end()
  }
}

/** A message as its fields: by number, each value in order. Messages within are bytes. */
class Message {
  readonly #fields = new Map<number, unknown[]>()

  constructor(bytes: Uint8Array) {
    const reader = new BinaryReader(bytes)
    while (reader.pos < reader.len) {
      const [number, wireType] = reader.tag()
      const values = this.#fields.get(number) ?? []
      this.#fields.set(number, values)
      values.push(readValue(reader, wireType))
    }
  }

  bytes(number: number): Buffer {
    return Buffer.from((this.#fields.get(number)?.[0] as Uint8Array | undefined) ?? [])
  }

  text(number: number): string {
    return this.bytes(number).toString('utf8')
  }

  hex(number: number): string {
    return this.bytes(number).toString('hex')
  }

  value(number: number): unknown {
    return this.#fields.get(number)?.[0]
  }

  has(number: number): boolean {
    return this.#fields.has(number)
  }

  messages(number: number): Message[] {
    return (this.#fields.get(number) ?? []).map((bytes) => new Message(bytes as Uint8Array))
  }
}

const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

function readValue(reader: BinaryReader, type: number): unknown {
  switch (type) {
    case wireType.varint:
      return reader.uint64()
    case wireType.fixed64:
      return reader.fixed64()
    case wireType.bytes:
      return reader.bytes()
    case wireType.fixed32:
      return reader.fixed32()
    default:
      throw new Error(`wire type ${type}`)
  }
}

/** ExportTraceServiceRequest of opentelemetry-proto 1.x. */
function readRequest(body: Buffer): ReceivedSpan[] {
  return new Message(body)
    .messages(1)
    .flatMap((resourceSpans) => resourceSpans.messages(2))
    .flatMap((scopeSpans) => scopeSpans.messages(2))
    .map(readSpan)
}

function readSpan(span: Message): ReceivedSpan {
  return {
    traceId: span.hex(1),
    spanId: span.hex(2),
    traceState: span.text(3),
    parentSpanId: span.hex(4),
    name: span.text(5),
    kind: Number(span.value(6)),
    attributes: Object.fromEntries(
      span.messages(9).map((pair) => [pair.text(1), readAny(pair.messages(2)[0])]),
    ),
  }
}

function readAny(value: Message | undefined): unknown {
  if (value?.has(1) === true) return value.text(1)
  if (value?.has(2) === true) return Boolean(Number(value.value(2)))
  return value?.has(3) === true ? Number(value.value(3)) : undefined
}
