import fc from 'fast-check'
import type { Arbitrary } from 'fast-check'
import { fields } from './arbitraries.ts'
import { frame, ping, priority, setting, settings, windowUpdate } from './raw-frames.ts'
import { Bench } from './recorder.ts'

type Step =
  | {
      readonly kind: 'request'
      readonly fields: string[]
      readonly sizes: number[]
      readonly trailers: string[]
    }
  | { readonly kind: 'cancel'; readonly nth: number }
  | { readonly kind: 'raw'; readonly bytes: Buffer }

const request: Arbitrary<Step> = fc.record({
  kind: fc.constant('request' as const),
  fields: fields(6),
  sizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20_000 })), {
    maxLength: 3,
  }),
  trailers: fc.oneof(fc.constant<string[]>([]), fields(2)),
})

const raw: Arbitrary<Step> = fc
  .constantFrom(
    ping(),
    settings(setting.INITIAL_WINDOW_SIZE, 70_000, setting.HEADER_TABLE_SIZE, 100),
    settings(setting.HEADER_TABLE_SIZE, 4_096),
    windowUpdate(0, 1_000),
    priority(1, 3),
    frame(0xbe, 0xff, 3, 'unknown'),
  )
  .map((bytes) => ({ kind: 'raw' as const, bytes }))

const step: Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: request },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), nth: fc.nat(5) }) },
  { weight: 2, arbitrary: raw },
)

/** What a client sends in a whole session with an honest server, as bytes: requests, bodies, trailers, resets and the rest. */
export function clientBytes(): Arbitrary<Buffer> {
  return fc.array(step, { minLength: 1, maxLength: 10 }).map(record)
}

function record(steps: readonly Step[]): Buffer {
  const client = Bench.untouchedClient()
  const parts: Buffer[] = []
  client.receive(settings())
  for (const next of steps) {
    perform(client, next)
    parts.push(client.output())
    if (next.kind === 'raw') parts.push(next.bytes)
  }
  return Buffer.concat(parts)
}

function perform(client: Bench, step: Step): void {
  if (step.kind === 'request') send(client, step)
  else if (step.kind === 'cancel') {
    const stream = client.events.streams.get(2 * step.nth + 1)
    if (stream !== undefined) client.connection.reset(stream, 8)
  }
}

function send(client: Bench, { fields, sizes, trailers }: Step & { kind: 'request' }): void {
  const hasBody = sizes.length > 0 || trailers.length > 0
  const method = hasBody ? 'POST' : 'GET'
  const target = { method, scheme: 'http', authority: 'api.example', path: `/${sizes.length}` }
  const stream = client.connection.request(target, fields, !hasBody)
  if (stream === 'refused') throw new Error('refused')
  client.events.streams.set(stream.id, stream)
  if (!hasBody) return
  sizes.forEach((size, i) => client.connection.sendData(stream, Buffer.alloc(size, 65 + i)))
  client.connection.sendTrailers(stream, trailers)
}

interface Change {
  readonly kind: 'set' | 'flip' | 'cut' | 'double' | 'insert'
  readonly at: number
  readonly value: number
  readonly length: number
}

const change: Arbitrary<Change> = fc.record({
  // Mostly what leaves the framing alone, so that the bytes behind it still mean something.
  kind: fc.constantFrom('set', 'flip', 'set', 'flip', 'set', 'flip', 'cut', 'double', 'insert'),
  at: fc.integer({ min: 0, max: 2 ** 30 }),
  value: fc.integer({ min: 0, max: 255 }),
  length: fc.integer({ min: 1, max: 40 }),
})

/** The preface, SETTINGS and WINDOW_UPDATE, which are not worth changing every time. */
const greetingBytes = 64

/** The same bytes with a few of them changed, taken out, doubled or put in. */
export function mutated(bytes: Arbitrary<Buffer>): Arbitrary<Buffer> {
  return fc
    .tuple(bytes, fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([original, changes]) => changes.reduce(mutate, original))
}

function mutate(bytes: Buffer, { kind, at, value, length }: Change): Buffer {
  const first = at % 16 === 0 ? 0 : Math.min(greetingBytes, bytes.length - 1)
  const position = first + (at % Math.max(1, bytes.length - first))
  const before = bytes.subarray(0, position)
  const after = bytes.subarray(position)
  switch (kind) {
    case 'set':
      return Buffer.concat([before, Buffer.from([value]), after.subarray(1)])
    case 'flip':
      return Buffer.concat([
        before,
        Buffer.from([(after[0] ?? 0) ^ (1 << (value & 7))]),
        after.subarray(1),
      ])
    case 'cut':
      return Buffer.concat([before, after.subarray(length)])
    case 'double':
      return Buffer.concat([before, after.subarray(0, length), after])
    case 'insert':
      return Buffer.concat([before, Buffer.alloc(length, value), after])
  }
}
