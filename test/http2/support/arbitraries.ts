import fc from 'fast-check'
import type { Arbitrary } from 'fast-check'

/** Any bytes as a Latin-1 string. */
export function latin1(maxLength: number): Arbitrary<string> {
  return fc
    .uint8Array({ maxLength })
    .map((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'))
}

/** A field value that RFC 9113 8.2.1 allows. */
function fieldValue(): Arbitrary<string> {
  return latin1(40).map((text) => text.replace(/[^\x20-\x7e\x80-\xff]/g, '.').trim())
}

/** A regular field name, some of them with an index of their own in HPACK's static table. */
function fieldName(): Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom(
      'accept',
      'user-agent',
      'x-trace',
      'etag',
      'cache-control',
      'authorization',
      'set-cookie',
    ),
    fc.stringMatching(/^x-[a-z0-9-]{1,12}$/),
  )
}

/** `name, value, name, value`. */
export function fields(maxFields = 8): Arbitrary<string[]> {
  return fc
    .array(fc.tuple(fieldName(), fieldValue()), { maxLength: maxFields })
    .map((pairs) => pairs.flat())
}

/** Ways to cut `length` bytes into pieces: positions, ascending. */
export function cuts(length: number): Arbitrary<number[]> {
  return fc
    .array(fc.nat({ max: length }), { maxLength: 20 })
    .map((positions) => positions.sort((a, b) => a - b))
}

export function cutAt(bytes: Buffer, positions: readonly number[]): Buffer[] {
  const ends = [...positions, bytes.length]
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}
