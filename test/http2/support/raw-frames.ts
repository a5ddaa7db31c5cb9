import { clientPreface, frameFlag, frameType, setting } from '../../../src/http2/frames.ts'

/** Frames written by hand, independent of the codec under test; what it must refuse can be written too. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer | number[] | string = [],
): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : Buffer.from(payload)
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, bytes])
}

export const END = frameFlag.END_STREAM
export const END_HEADERS = frameFlag.END_HEADERS

export function data(streamId: number, payload: Buffer | string, flags = 0): Buffer {
  return frame(frameType.DATA, flags, streamId, payload)
}

/** HEADERS with END_HEADERS; `flags` are added. */
export function headers(streamId: number, fields: readonly string[], flags = 0): Buffer {
  return frame(frameType.HEADERS, flags | END_HEADERS, streamId, block(fields))
}

/** One header block as HEADERS and as many CONTINUATIONs as pieces of `bytes` need. */
export function headersInPieces(
  streamId: number,
  whole: Buffer,
  bytes: number,
  flags = 0,
): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at === 0 || at < whole.length; at += bytes) {
    const piece = whole.subarray(at, at + bytes)
    const last = at + bytes >= whole.length ? END_HEADERS : 0
    frames.push(
      at === 0
        ? frame(frameType.HEADERS, flags | last, streamId, piece)
        : continuation(streamId, piece, last),
    )
  }
  return frames
}

export function settings(...entries: number[]): Buffer {
  const payload = Buffer.alloc((entries.length / 2) * 6)
  for (let i = 0; i < entries.length; i += 2) {
    payload.writeUInt16BE(entries[i] ?? 0, i * 3)
    payload.writeUInt32BE(entries[i + 1] ?? 0, i * 3 + 2)
  }
  return frame(frameType.SETTINGS, 0, 0, payload)
}

export function settingsAck(): Buffer {
  return frame(frameType.SETTINGS, frameFlag.ACK, 0)
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(frameType.WINDOW_UPDATE, 0, streamId, uint32(increment))
}

export function rstStream(streamId: number, code: number): Buffer {
  return frame(frameType.RST_STREAM, 0, streamId, uint32(code))
}

export function ping(payload = '12345678', flags = 0): Buffer {
  return frame(frameType.PING, flags, 0, payload)
}

export function goaway(lastStreamId: number, code: number): Buffer {
  return frame(frameType.GOAWAY, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code)]))
}

export function priority(streamId: number, dependency: number): Buffer {
  return frame(
    frameType.PRIORITY,
    0,
    streamId,
    Buffer.concat([uint32(dependency), Buffer.from([15])]),
  )
}

export function continuation(streamId: number, fragment: Buffer, flags = 0): Buffer {
  return frame(frameType.CONTINUATION, flags, streamId, fragment)
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** What every client begins with. */
export function preface(...entries: number[]): Buffer {
  return Buffer.concat([Buffer.from(clientPreface, 'latin1'), settings(...entries)])
}

/** A header block of literals without indexing and without Huffman: `name, value, name, value`. */
export function block(fields: readonly string[]): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i < fields.length; i += 2) parts.push(literal(0x00, fields[i], fields[i + 1]))
  return Buffer.concat(parts)
}

/** One literal with a literal name; `pattern` 0x40 indexes it, 0x10 never does. */
export function literal(pattern: number, name = '', value = ''): Buffer {
  return Buffer.concat([Buffer.from([pattern]), string(name), string(value)])
}

function string(text: string): Buffer {
  return Buffer.concat([integer(text.length, 0x7f), Buffer.from(text, 'latin1')])
}

/** RFC 7541 5.1 with the pattern bits zero. */
export function integer(value: number, prefix: number): Buffer {
  if (value < prefix) return Buffer.from([value])
  const bytes = [prefix]
  let rest = value - prefix
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  bytes.push(rest)
  return Buffer.from(bytes)
}

/** The four pseudo-header fields of a good request, then `more`. */
export function get(...more: string[]): string[] {
  return requestFields('GET', ...more)
}

export function post(...more: string[]): string[] {
  return requestFields('POST', ...more)
}

function requestFields(method: string, ...more: string[]): string[] {
  return [
    ...[':method', method, ':scheme', 'https', ':authority', 'api.example', ':path', '/'],
    ...more,
  ]
}

export interface ParsedFrame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

/** All frames of `bytes`, which must end with a frame. */
export function parseFrames(bytes: Buffer): ParsedFrame[] {
  const frames: ParsedFrame[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) throw new Error('the last frame is incomplete')
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    })
    at = end
  }
  return frames
}

/** A frame in one short line, for comparing: `RST_STREAM 1 code=8`. */
export function describeFrame({ type, flags, streamId, payload }: ParsedFrame): string {
  const name = Object.entries(frameType).find(([, value]) => value === type)?.[0] ?? String(type)
  const end = (flags & END) !== 0
  switch (type) {
    case frameType.DATA:
      return `DATA ${streamId} ${payload.length}${end ? ' end' : ''}`
    case frameType.HEADERS:
      return `HEADERS ${streamId}${end ? ' end' : ''}`
    case frameType.RST_STREAM:
      return `RST_STREAM ${streamId} code=${payload.readUInt32BE(0)}`
    case frameType.GOAWAY:
      return `GOAWAY last=${payload.readUInt32BE(0)} code=${payload.readUInt32BE(4)}`
    case frameType.WINDOW_UPDATE:
      return `WINDOW_UPDATE ${streamId} +${payload.readUInt32BE(0)}`
    case frameType.SETTINGS:
    case frameType.PING:
      return `${name}${end ? ' ack' : ''}`
    default:
      return `${name} ${streamId}`
  }
}

export { setting }
