import fc from 'fast-check'
import { bytesOf } from './recorder.ts'
import { acceptedReplies, refusedReplies } from './reply-table.ts'
import { acceptedRequests, refusedRequests } from './request-table.ts'

export const goodRequests = acceptedRequests.map((row) => row.text)
export const badRequests = refusedRequests.map(([, text]) => text)
export const goodReplies = acceptedReplies.map((row) => row.text)
export const badReplies = refusedReplies.map(([, text]) => text)

/** What is put into messages to break them: delimiters, controls, framing fields and whole messages. */
const fragments = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '0',
  '1',
  'a',
  'A',
  '\x80',
  '\xff',
  '#',
  '/',
  '?',
  '*',
  '"',
  '=',
  '\x0b',
  '\x7f',
  'chunked',
  'HTTP/1.0',
  '100',
  '204',
  'Host: a\r\n',
  'Content-Length: 1\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Upgrade: x\r\nConnection: upgrade\r\n',
  '0\r\n\r\n',
  '1\r\nx\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'HTTP/1.1 103 X\r\n\r\n',
]

interface Edit {
  /** Where, as a part of the length. */
  readonly at: number
  readonly removed: number
  readonly inserted: string
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  removed: fc.nat(3),
  inserted: fc.oneof(fc.constant(''), fc.constantFrom(...fragments)),
})

/** One or two requests, mutated or not. */
export function anyRequests(): fc.Arbitrary<Buffer> {
  return followed(mutated(goodRequests, badRequests), goodRequests)
}

/** One or two replies, mutated or not. */
export function anyReplies(): fc.Arbitrary<Buffer> {
  return followed(mutated(goodReplies, badReplies), goodReplies)
}

/** Where to cut, as parts of the length. */
export const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 })

/** One of the messages, whose texts are for `bytesOf`, with up to three edits; a good one in most cases. */
export function mutated(good: readonly string[], bad: readonly string[]): fc.Arbitrary<Buffer> {
  const base = fc.oneof({ arbitrary: oneOf(good), weight: 4 }, { arbitrary: oneOf(bad), weight: 1 })
  return edited(base)
}

/** With up to three edits. */
export function edited(base: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(base, fc.array(edit, { maxLength: 3 }))
    .map(([bytes, edits]) => edits.reduce(apply, bytes))
}

/** What `first` makes, and sometimes one of the messages behind it. */
function followed(first: fc.Arbitrary<Buffer>, good: readonly string[]): fc.Arbitrary<Buffer> {
  const follower = fc.option(oneOf(good), { nil: Buffer.alloc(0), freq: 3 })
  return fc.tuple(first, follower).map((messages) => Buffer.concat(messages))
}

function oneOf(texts: readonly string[]): fc.Arbitrary<Buffer> {
  const short = texts.filter((text) => text.length < 700).map((text) => bytesOf(text))
  return fc.constantFrom(...short)
}

function apply(bytes: Buffer, change: Edit): Buffer {
  const at = Math.floor(change.at * bytes.length)
  const inserted = Buffer.from(change.inserted, 'latin1')
  return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + change.removed)])
}

/** `bytes` cut at some places, in order and complete. */
export function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => Math.floor(place * bytes.length)), bytes.length]
  let from = 0
  return ends
    .sort((a, b) => a - b)
    .map((to) => {
      const piece = bytes.subarray(from, to)
      from = to
      return piece
    })
}
