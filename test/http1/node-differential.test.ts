import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import fc from 'fast-check'
import type { Fields } from '../../src/core/fields.ts'
import type { ReplyHead, RequestHead } from '../../src/http1/head.ts'
import { anyRequests, badReplies, mutated } from './mutations.ts'
import {
  type NodeMessage,
  nodeReadsReply,
  nodeReadsRequests,
  type NodeTranscript,
} from './node-reads.ts'
import { bytesOf, type Message, readReplies, readRequests, type Transcript } from './recorder.ts'
import { acceptedReplies, refusedReplies } from './reply-table.ts'
import { acceptedRequests, boundsOfRequests, refusedRequests } from './request-table.ts'

type Requests = Transcript<RequestHead>
type Replies = ReturnType<typeof readReplies>

/** A difference that is meant: what it is, why, and how it is known. */
interface Rule<Ours> {
  readonly name: string
  readonly explains: (ours: Ours, node: NodeTranscript, bytes: Buffer) => boolean
}

const lineEnds = Buffer.from('\r\n\r\n')

/** Where we accept, or have not refused yet, what Node refuses or reads otherwise. */
const requestRules: Rule<Requests>[] = [
  {
    name: 'any token is a method: Node has a list of those it knows',
    explains: (ours, node) => {
      const next = ours.messages[node.messages.length]
      return node.code === 'HPE_INVALID_METHOD' && next !== undefined && !isKnown(next.head.method)
    },
  },
  {
    name: 'a tab after chunked is optional white space (RFC 9110 5.6.3) and is not sent on',
    explains: (_, node, bytes) =>
      node.code === 'HPE_INVALID_TRANSFER_ENCODING' &&
      /chunked[ \t]*\t[ \t]*\r\n/i.test(text(bytes)),
  },
  {
    name: 'a line is judged when it has ended, a head when it is whole: Node refuses in the middle',
    explains: (ours, node, bytes) =>
      ours.refused === undefined &&
      node.outcome === 'refused' &&
      readRequests([bytes, lineEnds]).refused !== undefined,
  },
  {
    name: 'after a request that ends the connection the owner reads no more: Node refuses or drops what follows',
    explains: (ours) => ours.rest > 0 && ours.messages.at(-1)?.head.persistent === false,
  },
  {
    name: 'an upgrade is up to the owner, and a request follows when it does not happen: Node takes the rest for another protocol',
    explains: (ours) => ours.messages.some((message) => message.head.upgrade !== undefined),
  },
  {
    name: 'half an empty line before a request counts as a beginning',
    explains: (ours, node, bytes) =>
      ours.state === 'head' && node.outcome === 'clean' && text(bytes).endsWith('\r'),
  },
]

const replyRules: Rule<Replies>[] = [
  {
    name: 'a line is judged when it has ended, a head when it is whole: Node refuses in the middle',
    explains: (ours, node, bytes) =>
      ours.refused === undefined &&
      node.outcome === 'refused' &&
      readReplies([bytes, lineEnds], ['GET']).refused !== undefined,
  },
]

/** Where we refuse what Node accepts, by code. Anything else that we refuse, Node must refuse as well. */
const stricter = new Map([
  ['chunk_head_too_large', 'Node bounds the extensions of a message at 16 KiB, we at 4'],
  ['chunk_malformed', 'more than 16 digits, or an extension with = and no value'],
  ['connection_malformed', 'Node does not parse Connection as a list'],
  ['content_length_malformed', 'more than 16 digits, or above 2^53-1'],
  ['expectation_unsupported', 'Node leaves it to the application, which answers 417'],
  ['framing_ambiguous', 'Node reads Transfer-Encoding in HTTP/1.0'],
  ['head_too_large', 'Node does not count line ends and separators'],
  ['host_ambiguous', 'Node takes the first Host'],
  ['host_malformed', 'Node does not parse Host'],
  ['host_mismatch', 'Node does not parse absolute-form'],
  ['host_missing', 'Node answers 400 itself, which its events do not show'],
  ['line_ending_malformed', 'Node skips a bare LF before a message'],
  ['method_not_allowed', 'Node knows TRACE, and drops CONNECT without an error'],
  [
    'request_line_malformed',
    'Node skips spaces between the parts, and bare CR and empty lines before it',
  ],
  ['request_line_too_long', 'Node bounds the head only'],
  ['reply_unexpected', 'Node drops what follows a reply when it closes the connection'],
  ['status_line_malformed', 'Node takes control characters in a reason, and empty lines before it'],
  ['target_malformed', 'Node takes fragments, other schemes and * with any method'],
  ['too_many_fields', 'Node drops the fields above its limit'],
  ['trailer_forbidden', 'Node refuses framing trailers only'],
  ['trailers_too_large', 'Node bounds trailers as it bounds heads'],
  [
    'transfer_encoding_unsupported',
    'Node takes any coding in a reply, and before chunked in a request',
  ],
  ['version_unsupported', 'Node takes HTTP/0.9 and HTTP/2.0'],
])

/** CONNECT is never sent, and Node has an event of its own for the reply. */
const repliesButToConnect = acceptedReplies.filter(({ method }) => method !== 'CONNECT')
const goodReplies = repliesButToConnect.map((row) => row.text)

describe('Node and we', function () {
  this.timeout(180_000)

  describe('read the same requests', () => {
    for (const row of acceptedRequests) {
      it(row.name, async () =>
        assert.equal(await differenceOfRequests(bytesOf(row.text)), undefined),
      )
    }
    for (const [name, sent] of refusedRequests) {
      it(name, async () => assert.equal(await differenceOfRequests(bytesOf(sent)), undefined))
    }
    for (const row of boundsOfRequests.filter(({ limits }) => Object.keys(limits).length === 0)) {
      it(`${row.name}, within its bound and above`, async () => {
        assert.equal(await differenceOfRequests(bytesOf(row.within)), undefined)
        assert.equal(await differenceOfRequests(bytesOf(row.above)), undefined)
      })
    }

    it('out of mutated ones', async () => {
      const seen = { accepted: 0, refused: 0 }
      await fc.assert(
        fc.asyncProperty(anyRequests(), async (bytes) => {
          assert.equal(await differenceOfRequests(bytes), undefined)
          const ours = readRequests([bytes])
          if (ours.refused === undefined) seen.accepted += ours.messages.length
          else seen.refused++
        }),
        { numRuns: runs },
      )
      assert.ok(seen.accepted > runs / 10, `only ${seen.accepted} were accepted`)
      assert.ok(seen.refused > runs / 10, `only ${seen.refused} were refused`)
    })
  })

  describe('read the same replies', () => {
    for (const row of repliesButToConnect) {
      it(row.name, async () => {
        const difference = await differenceOfReplies(bytesOf(row.text), row.method ?? 'GET')
        assert.equal(difference, undefined)
      })
    }
    for (const [name, sent, , method = 'GET'] of refusedReplies) {
      it(name, async () => {
        assert.equal(await differenceOfReplies(bytesOf(sent), method), undefined)
      })
    }

    it('out of mutated ones', async () => {
      const seen = { accepted: 0, refused: 0 }
      const method = fc.constantFrom('GET', 'HEAD', 'POST')
      await fc.assert(
        fc.asyncProperty(mutated(goodReplies, badReplies), method, async (bytes, sent) => {
          assert.equal(await differenceOfReplies(bytes, sent), undefined)
          const ours = readReplies([bytes], [sent])
          if (ours.refused === undefined) seen.accepted += ours.messages.length
          else seen.refused++
        }),
        { numRuns: runs },
      )
      assert.ok(seen.accepted > runs / 10, `only ${seen.accepted} were accepted`)
      assert.ok(seen.refused > runs / 10, `only ${seen.refused} were refused`)
    })
  })
})

const runs = 1_000

/** What no rule explains; throws for a message that both accept and read differently, which no rule may explain. */
async function differenceOfRequests(bytes: Buffer): Promise<string | undefined> {
  const ours = readRequests([bytes])
  const node = await nodeReadsRequests(bytes)
  const start = ({ head }: Message<RequestHead>) => [head.method, head.target] as const
  const ended = ours.state === 'idle' || ours.state === 'ended'
  const found = differenceOf(ours, start, ended && ours.rest === 0, node)
  if (found === undefined) return undefined
  return requestRules.some((rule) => rule.explains(ours, node, bytes)) ? undefined : found
}

async function differenceOfReplies(bytes: Buffer, method: string): Promise<string | undefined> {
  const ours = readReplies([bytes], [method])
  const node = await nodeReadsReply(method, bytes)
  const start = ({ head }: Message<ReplyHead>) => [String(head.status), head.reason] as const
  const found = differenceOf(ours, start, ours.finished, node)
  if (found === undefined) return undefined
  return replyRules.some((rule) => rule.explains(ours, node, bytes)) ? undefined : found
}

function differenceOf<Head extends { readonly fields: Fields }>(
  ours: Transcript<Head>,
  startOf: (message: Message<Head>) => readonly [string, string],
  ended: boolean,
  node: NodeTranscript,
): string | undefined {
  const whole = ours.messages.filter((message) => message.trailers !== undefined)
  for (const [i, message] of whole.entries()) {
    const { head, body, trailers = [] } = message
    const read: NodeMessage = { start: startOf(message), fields: head.fields, body, trailers }
    const other = node.messages[i]
    if (other === undefined) return `message ${i} is accepted, Node: ${node.outcome} ${node.code}`
    assert.deepEqual(read, other, 'a message that both accept')
  }
  if (ours.refused !== undefined) return differenceOfRefusal(ours.refused, whole.length, node)
  if (ended === (node.outcome === 'clean')) return undefined
  return `ended ${ended}, Node: ${node.outcome} ${node.code}`
}

function differenceOfRefusal(
  code: string,
  whole: number,
  node: NodeTranscript,
): string | undefined {
  if (node.messages.length === whole && node.outcome === 'refused') return undefined
  return stricter.has(code) ? undefined : `refused for ${code}, Node: ${node.outcome} ${node.code}`
}

function isKnown(method: string): boolean {
  return METHODS.includes(method)
}

function text(bytes: Buffer): string {
  return bytes.toString('latin1')
}
