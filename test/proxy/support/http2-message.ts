import fc from 'fast-check'
import type { Arbitrary } from 'fast-check'

/** `name, value` pairs in order. */
export type Pairs = readonly (readonly [string, string])[]

/** What a caller sends. */
export interface RequestPlan {
  readonly method: string
  readonly path: string
  readonly fields: Pairs
  /** Bytes of each piece; empty: no body. */
  readonly pieces: readonly number[]
  readonly hasLength: boolean
  /** Only with a body whose length is not told. */
  readonly trailers: Pairs
}

/** What the workload answers. */
export interface ReplyPlan {
  readonly status: number
  readonly fields: Pairs
  readonly pieces: readonly number[]
  readonly hasLength: boolean
  readonly trailers: Pairs
  /** Link fields of 103 replies before the final one. */
  readonly hints: readonly string[]
  /** Before the request's body was read. */
  readonly isEarly: boolean
}

/** A body: the same bytes for the same pieces, different at each offset. */
export function bodyOf(pieces: readonly number[]): Buffer {
  const body = Buffer.allocUnsafe(pieces.reduce((sum, piece) => sum + piece, 0))
  for (let i = 0; i < body.length; i++) body[i] = (i * 31 + (i >>> 8) * 7) & 0xff
  return body
}

/** Cuts the body into its pieces again. */
export function piecesOf(pieces: readonly number[]): Buffer[] {
  const body = bodyOf(pieces)
  let at = 0
  return pieces.map((length) => body.subarray(at, (at += length)))
}

export function lengthOfPieces(pieces: readonly number[]): number {
  return pieces.reduce((sum, piece) => sum + piece, 0)
}

/** Bytes above ASCII too, which HTTP passes on as they are (RFC 9110 5.5). */
const value = fc
  .stringMatching(/^[!-~\x80-\xff]([\t -~\x80-\xff]{0,30}[!-~\x80-\xff])?$/)
  .map((text) => text.replaceAll('"', "'"))

const name = fc.oneof(
  fc.constantFrom('accept', 'x-trace', 'cache-control', 'user-agent', 'authorization'),
  fc.stringMatching(/^x-[a-z][a-z0-9-]{0,12}$/).filter((text) => !text.startsWith('x-forwarded')),
)

/** A name may come several times, except where Node's server keeps only the first. */
const fields: Arbitrary<Pairs> = fc
  .array(fc.tuple(name, value), { maxLength: 8 })
  .map((pairs) => pairs.filter(([key], i) => isFirst(pairs, i) || key.startsWith('x-')))

function isFirst(pairs: Pairs, i: number): boolean {
  return pairs.findIndex(([key]) => key === pairs[i]?.[0]) === i
}

const trailers: Arbitrary<Pairs> = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: fc.array(fc.tuple(fc.constantFrom('x-sum', 'grpc-status', 'x-end'), value), {
      minLength: 1,
      maxLength: 3,
    }),
  },
)

const pieces = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  { weight: 3, arbitrary: fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 6 }) },
  {
    weight: 1,
    arbitrary: fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 5 }),
  },
)

const path = fc
  .stringMatching(/^([a-zA-Z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2}){0,40}(\?[a-z0-9=&%/?-]{0,20})?$/)
  .map((text) => `/${text}`)

export const requestPlan: Arbitrary<RequestPlan> = fc
  .record({
    method: fc.constantFrom(
      ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'],
    ),
    path,
    fields,
    pieces,
    hasLength: fc.boolean(),
    trailers,
  })
  .map((plan) => ({
    ...plan,
    trailers: plan.hasLength || plan.pieces.length === 0 ? [] : plan.trailers,
  }))

export const replyPlan: Arbitrary<ReplyPlan> = fc
  .record({
    status: fc.constantFrom(200, 200, 200, 201, 204, 206, 304, 404, 500),
    fields,
    pieces,
    hasLength: fc.boolean(),
    trailers,
    hints: fc.array(fc.constantFrom('</a.css>; rel=preload', '</b.js>; rel=preload'), {
      maxLength: 2,
    }),
    isEarly: fc.boolean(),
  })
  .map((plan) => {
    const isBodiless = plan.status === 204 || plan.status === 304
    const kept = isBodiless ? [] : plan.pieces
    return {
      ...plan,
      pieces: kept,
      hasLength: plan.hasLength && plan.status !== 204,
      trailers: plan.hasLength || kept.length === 0 ? [] : plan.trailers,
    }
  })

/** The values of each name, names in order, for comparing what two parsers made of a message. */
export function sorted(raw: readonly string[], keep: (name: string) => boolean): Pairs {
  const pairs: [string, string][] = []
  for (let i = 0; i < raw.length; i += 2) {
    const key = (raw[i] ?? '').toLowerCase()
    if (keep(key)) pairs.push([key, raw[i + 1] ?? ''])
  }
  return inOrder(pairs)
}

/** Sorted by name; values of one name stay in their order. */
export function inOrder(pairs: Pairs): Pairs {
  return pairs
    .map((pair, i) => ({ pair, i }))
    .sort((a, b) => compare(a.pair[0], b.pair[0]) || a.i - b.i)
    .map(({ pair }) => pair)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
