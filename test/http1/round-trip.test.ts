import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Fields } from '../../src/core/fields.ts'
import type { Framing, ReplyHead, RequestHead } from '../../src/http1/head.ts'
import {
  chunkTail,
  formatChunkHead,
  formatLastChunk,
  formatReplyHead,
  formatRequestHead,
} from '../../src/http1/writer.ts'
import { anyReplies, anyRequests } from './mutations.ts'
import { nodeReadsRequests } from './node-reads.ts'
import { readReplies, readRequests } from './recorder.ts'

describe('What was read', () => {
  it('is read again as it was when the writer has written it', () => {
    let written = 0
    fc.assert(
      fc.property(anyRequests(), (bytes) => {
        for (const { head } of readRequests([bytes]).messages.filter(isCurrent)) {
          const again = formatRequestHead(
            head.method,
            head.path,
            unframed(head.fields),
            head.framing,
          )
          const read = readRequests([Buffer.from(again, 'latin1')]).messages[0]?.head
          assert.deepEqual(requestMeaning(read), requestMeaning(head))
          written++
        }
      }),
      { numRuns: 3_000 },
    )
    assert.ok(written > 1_000, `only ${written} were written`)
  })

  it('is read again as it was when the writer has written it: replies', () => {
    let written = 0
    const anyMethod = fc.constantFrom('GET', 'HEAD')
    fc.assert(
      fc.property(anyReplies(), anyMethod, (bytes, method) => {
        for (const { head } of readReplies([bytes], [method]).messages) {
          const read = readReplies([replyAgain(head)], [method]).messages[0]?.head
          assert.deepEqual(replyMeaning(read), replyMeaning(head))
          written++
        }
      }),
      { numRuns: 3_000 },
    )
    assert.ok(written > 500, `only ${written} were written`)
  })
})

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/)
const fieldValue = fc
  .stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,30}$/)
  .map((value) => value.replace(/^[ \t]+|[ \t]+$/g, ''))
const field = fc
  .tuple(token, fieldValue)
  .filter(([name]) => !/^(?:host|connection|expect|upgrade|te|date|trailer|range)$/i.test(name))
const fields = fc.array(field, { maxLength: 8 }).map((list) => list.flat())
const path = fc.stringMatching(/^\/[\x21\x22\x24-\x7e]{0,20}$/)
const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 5 })

describe('What the writer writes', () => {
  it('the reader reads, and so does Node', async () => {
    await fc.assert(
      fc.asyncProperty(path, fields, chunks, fields, async (target, head, parts, trailers) => {
        const sent = Buffer.concat([
          latin1(formatRequestHead('POST', target, ['Host', 'a', ...head], { kind: 'chunked' })),
          ...parts.flatMap((part) => [
            latin1(formatChunkHead(part.length)),
            part,
            latin1(chunkTail),
          ]),
          latin1(formatLastChunk(trailers)),
        ])
        const found = readRequests([sent])
        const message = found.messages[0]
        assert.equal(found.rest, 0)
        assert.deepEqual(
          [message?.head.path, unframed(message?.head.fields ?? []), message?.trailers],
          [target, ['Host', 'a', ...head], trailers],
        )
        assert.equal(message?.body, Buffer.concat(parts).toString('latin1'))
        const node = (await nodeReadsRequests(sent)).messages[0]
        assert.deepEqual(
          [node?.start, node?.fields, node?.body, node?.trailers],
          [['POST', target], message.head.fields, message.body, trailers],
        )
      }),
      { numRuns: 300 },
    )
  })

  it('is refused by the writer or read as one message, whatever a careless caller passes', () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom(
        'a\r\nX: y',
        'a\r\n\r\nGET / HTTP/1.1',
        'a\u010d\u010aX: y',
        'a\0',
        '5\r',
        '',
      ),
      token,
    )
    let written = 0
    fc.assert(
      fc.property(anything, anything, anything, anything, (method, target, name, value) => {
        const text = attempt(() =>
          formatRequestHead(method, `/${target}`, ['Host', 'a', name, value], { kind: 'none' }),
        )
        if (text === undefined) return
        written++
        const sent = latin1(text)
        assert.equal(sent.toString('latin1'), text)
        assert.equal(text.split('\r\n').length, 5)
        assert.equal(text.search(/[^\r]\n|\r[^\n]|\0/), -1)
        assert.ok(readRequests([sent]).messages.length <= 1)
      }),
      { numRuns: 5_000 },
    )
    assert.ok(written > 50, `only ${written} were written`)
  })
})

function isCurrent({ head }: { head: RequestHead }): boolean {
  return head.minorVersion === 1
}

function unframed(list: Fields): string[] {
  const kept: string[] = []
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? ''
    if (!/^(?:content-length|transfer-encoding)$/i.test(name)) kept.push(name, list[i + 1] ?? '')
  }
  return kept
}

/** A head without its framing fields, which are written anew, and without the form of its target. */
function requestMeaning(head: RequestHead | undefined): unknown {
  if (head === undefined) return undefined
  const { target: _target, scheme: _scheme, ...rest } = head
  return { ...rest, fields: unframed(head.fields) }
}

function replyAgain(head: ReplyHead): Buffer {
  return latin1(
    formatReplyHead({
      status: head.status,
      reason: head.reason,
      fields: unframed(head.fields),
      framing: framingToWrite(head),
      persistent: true,
      requestMinorVersion: 1,
    }),
  )
}

function framingToWrite({ framing, announced }: ReplyHead): Framing {
  return framing.kind === 'none' ? announced : framing
}

function replyMeaning(head: ReplyHead | undefined): unknown {
  if (head === undefined) return undefined
  const { status, reason, framing, announced } = head
  const fields = unframed(head.fields)
    .join('\n')
    .replace(/\n?connection\nclose$/, '')
  return { status, reason, framing, announced, fields: fields.split('\n') }
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** Undefined when the writer throws what it should. */
function attempt(write: () => string): string | undefined {
  try {
    return write()
  } catch (thrown) {
    assert.ok(thrown instanceof TypeError)
    return undefined
  }
}
