import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { BinaryReader } from '@bufbuild/protobuf/wire'

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly resource: Readonly<Record<string, string>>
}

export interface ReceivedExport {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  readonly spans: readonly ReceivedSpan[]
}

type Answer = (reply: ServerResponse) => void

/** An OTLP collector over HTTP on a real socket that decodes what it gets. */
export class Collector {
  readonly exports: ReceivedExport[] = []
  readonly #server: Server
  #waiting: (() => void)[] = []

  private constructor(answer: Answer) {
    this.#server = createServer((request, reply) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const sent = Buffer.concat(chunks)
        const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent
        const { url = '', headers } = request
        this.exports.push({ url, headers, bytes, spans: readExport(bytes) })
        for (const wake of this.#waiting.splice(0)) wake()
        answer(reply)
      })
    })
  }

  /** Default answer: 200. */
  static async start(answer: Answer = (reply) => reply.end()): Promise<Collector> {
    const collector = new Collector(answer)
    await new Promise<void>((resolve) => collector.#server.listen(0, '127.0.0.1', resolve))
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get spans(): ReceivedSpan[] {
    return this.exports.flatMap(({ spans }) => spans)
  }

  /** Resolves after the next request has come. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }
}

type Fields = Map<number, (Buffer | string)[]>

/** ExportTraceServiceRequest of opentelemetry-proto, as far as the tests look. */
function readExport(bytes: Buffer): ReceivedSpan[] {
  return messages(fieldsOf(bytes), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1).flatMap((one) => messages(one, 1)))
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => ({
        traceId: bytesOf(span, 1).toString('hex'),
        spanId: bytesOf(span, 2).toString('hex'),
        name: bytesOf(span, 5).toString(),
        attributes: attributesOf(messages(span, 9)),
        resource,
      }))
  })
}

function attributesOf(keyValues: Fields[]): Record<string, string> {
  return Object.fromEntries(
    keyValues.map((keyValue) => {
      const [value] = messages(keyValue, 2)
      // AnyValue: string_value 1, int_value 3.
      return [bytesOf(keyValue, 1).toString(), String(value?.get(1)?.[0] ?? value?.get(3)?.[0])]
    }),
  )
}

function fieldsOf(bytes: Buffer): Fields {
  const reader = new BinaryReader(bytes)
  const fields: Fields = new Map()
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag()
    const value = readValue(reader, type)
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}

function readValue(reader: BinaryReader, wireType: number): Buffer | string {
  if (wireType === 2) return Buffer.from(reader.bytes())
  if (wireType === 0) return String(reader.uint64())
  return String(wireType === 1 ? reader.fixed64() : reader.fixed32())
}

function messages(fields: Fields, field: number): Fields[] {
  return (fields.get(field) ?? []).map((value) => fieldsOf(value as Buffer))
}

function bytesOf(fields: Fields, field: number): Buffer {
  return (fields.get(field)?.[0] ?? Buffer.alloc(0)) as Buffer
}
