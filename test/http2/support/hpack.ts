import { FieldList } from '../../../src/http2/field-list.ts'
import { replyManners } from '../../../src/http2/field-manners.ts'
import type { HpackDecoder } from '../../../src/http2/hpack/decoder.ts'
import { HpackEncoder } from '../../../src/http2/hpack/encoder.ts'
import { defaultLimits } from '../../../src/http2/limits.ts'

const wideLimits = { ...defaultLimits, maxHeaderListBytes: 2 ** 30, maxHeaderFields: 2 ** 30 }

/** Decodes one block to `name, value, name, value`. */
export function decodeBlock(decoder: HpackDecoder, block: Buffer): string[] {
  const list = decodeList(decoder, block)
  return list.fields.flatMap(({ name, value }) => [name, value])
}

export function decodeList(decoder: HpackDecoder, block: Buffer, limits = wideLimits): FieldList {
  const list = new FieldList(limits)
  decoder.decode(block, 0, block.length, list)
  return list
}

/** Encodes one block; a copy, because the encoder's own is overwritten. */
export function encodeBlock(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  encoder.begin()
  for (let i = 0; i < fields.length; i += 2) encoder.field(fields[i] ?? '', fields[i + 1] ?? '')
  return Buffer.from(encoder.take())
}

export function newEncoder(): HpackEncoder {
  return new HpackEncoder(replyManners)
}
