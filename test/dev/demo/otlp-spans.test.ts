import assert from 'node:assert/strict'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { readSpans } from '../../../src/dev/demo/otlp-spans.ts'

const { Varint, Bit64, LengthDelimited, Bit32 } = WireType

type Write = (message: BinaryWriter) => void

/** A field that is a message. */
function nested(field: number, write: Write): Write {
  return (writer) => {
    writer.tag(field, LengthDelimited).fork()
    write(writer)
    writer.join()
  }
}

function all(...writes: Write[]): Write {
  return (writer) => writes.forEach((write) => write(writer))
}

function attribute(name: string, value: Write): Write {
  return nested(9, (writer) => {
    writer.tag(1, LengthDelimited).string(name)
    nested(2, value)(writer)
  })
}

function exportOf(...spans: Write[]): Uint8Array {
  const writer = new BinaryWriter()
  nested(1, nested(2, all(...spans.map((span) => nested(2, span)))))(writer)
  return writer.finish()
}

const serverSpan: Write = (span) => {
  span.tag(1, LengthDelimited).bytes(Buffer.from('4bf92f3577b34da6a3ce929d0e0e4736', 'hex'))
  span.tag(2, LengthDelimited).bytes(Buffer.from('00f067aa0ba902b7', 'hex'))
  span.tag(5, LengthDelimited).string('GET')
  span.tag(6, Varint).int32(2)
  span.tag(7, Bit64).fixed64(1_700_000_000_000_000_000n)
  span.tag(8, Bit64).fixed64(1_700_000_000_001_500_000n)
  attribute('text', (value) => value.tag(1, LengthDelimited).string('zażółć'))(span)
  attribute('yes', (value) => value.tag(2, Varint).bool(true))(span)
  attribute('below zero', (value) => value.tag(3, Varint).int64(-7n))(span)
  attribute('list', (value) => value.tag(5, LengthDelimited).bytes(new Uint8Array()))(span)
}

describe('readSpans', () => {
  it('reads ids, name, kind, duration and attributes', () => {
    const [span] = readSpans(exportOf(serverSpan))

    assert.deepEqual(span, {
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      parentSpanId: '',
      name: 'GET',
      kind: 'SERVER',
      durationMs: 1.5,
      attributes: new Map([
        ['text', 'zażółć'],
        ['yes', 'true'],
        ['below zero', '-7'],
        ['list', '?'],
      ]),
    })
  })

  it('keeps the order of spans, and passes over fields that it does not know', () => {
    const named = (name: string): Write =>
      all(
        (span) => span.tag(5, LengthDelimited).string(name),
        (span) => span.tag(99, Bit32).fixed32(1),
      )

    const spans = readSpans(exportOf(named('first'), named('second')))

    assert.deepEqual(
      spans.map(({ name, kind }) => [name, kind]),
      [
        ['first', 'UNSPECIFIED'],
        ['second', 'UNSPECIFIED'],
      ],
    )
  })

  it('throws on bytes that are no message, and on one that is cut', () => {
    const whole = exportOf(serverSpan)

    assert.throws(() => readSpans(Buffer.from('not protobuf')))
    assert.throws(() => readSpans(whole.subarray(0, whole.length - 1)))
    assert.equal(readSpans(whole).length, 1)
  })
})
