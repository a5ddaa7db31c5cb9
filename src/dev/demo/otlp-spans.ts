import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/** A span as a collector receives it. */
export interface ReceivedSpan {
  /** Hex, as the ids below. */
  readonly traceId: string
  readonly spanId: string
  /** '' for a root. */
  readonly parentSpanId: string
  readonly name: string
  readonly kind: string
  readonly durationMs: number
  readonly attributes: ReadonlyMap<string, string>
}

/** Reads the spans of an `ExportTraceServiceRequest` (opentelemetry-proto 1). Throws when the bytes are no such message. */
export function readSpans(bytes: Uint8Array): ReceivedSpan[] {
  return new Message(bytes)
    .messages(1)
    .flatMap((resourceSpans) => resourceSpans.messages(2))
    .flatMap((scopeSpans) => scopeSpans.messages(2))
    .map(readSpan)
}

const kinds = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']

function readSpan(span: Message): ReceivedSpan {
  return {
    traceId: span.bytes(1).toString('hex'),
    spanId: span.bytes(2).toString('hex'),
    parentSpanId: span.bytes(4).toString('hex'),
    name: span.bytes(5).toString(),
    kind: kinds[Number(span.number(6))] ?? 'UNSPECIFIED',
    durationMs: Number(span.number(8) - span.number(7)) / 1e6,
    attributes: new Map(span.messages(9).map(readAttribute)),
  }
}

/** KeyValue with the AnyValues that spans of ours hold: text, boolean, whole number. */
function readAttribute(attribute: Message): readonly [string, string] {
  const [value] = attribute.messages(2)
  return [attribute.bytes(1).toString(), value === undefined ? '' : readValue(value)]
}

function readValue(value: Message): string {
  if (value.has(1)) return value.bytes(1).toString()
  if (value.has(2)) return String(value.number(2) === 1n)
  return value.has(3) ? String(BigInt.asIntN(64, value.number(3))) : '?'
}

/** One protobuf message: its fields by number, not yet interpreted. */
class Message {
  readonly #fields = new Map<number, (Buffer | bigint)[]>()

  constructor(bytes: Uint8Array) {
    const reader = new BinaryReader(bytes)
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag()
      const values = this.#fields.get(field) ?? []
      this.#fields.set(field, values)
      values.push(readField(reader, field, wireType))
    }
  }

  has(field: number): boolean {
    return this.#fields.has(field)
  }

  messages(field: number): Message[] {
    const values = this.#fields.get(field) ?? []
    return values.flatMap((value) => (typeof value === 'bigint' ? [] : [new Message(value)]))
  }

  /** Empty when absent. */
  bytes(field: number): Buffer {
    const value = this.#fields.get(field)?.at(-1)
    return value instanceof Buffer ? value : Buffer.alloc(0)
  }

  /** 0 when absent. */
  number(field: number): bigint {
    const value = this.#fields.get(field)?.at(-1)
    return typeof value === 'bigint' ? value : 0n
  }
}

function readField(reader: BinaryReader, field: number, wireType: WireType): Buffer | bigint {
  switch (wireType) {
    case WireType.Varint:
      return BigInt(reader.uint64())
    case WireType.Bit64:
      return BigInt(reader.fixed64())
    case WireType.LengthDelimited:
      return Buffer.from(reader.bytes())
    case WireType.Bit32:
    case WireType.StartGroup:
    case WireType.EndGroup:
      return Buffer.from(reader.skip(wireType, field))
  }
}
