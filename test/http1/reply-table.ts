import type { ReplyHead } from '../../src/http1/head.ts'
import type { Http1Limits } from '../../src/http1/limits.ts'

/** Parts of the head, and of what follows it. */
export type ExpectedReply = Partial<ReplyHead> & {
  readonly body?: string
  readonly trailers?: string[]
}

/** A reply that is read; texts are for `bytesOf`. */
export interface AcceptedReply {
  readonly name: string
  readonly text: string
  readonly method?: string
  readonly is: ExpectedReply
}

const none = { kind: 'none' } as const
const chunked = { kind: 'chunked' } as const
const close = { kind: 'close' } as const
const length = (bytes: number) => ({ kind: 'length', bytes }) as const

/** A 200 with these fields, and what follows. */
export const ok = (fields: string, body = '') => `HTTP/1.1 200 OK\n${fields}\n${body}`
/** A 200 with a chunked body as written. */
export const chunkedReply = (body: string) => ok('Transfer-Encoding: chunked\n', body)

export const acceptedReplies: AcceptedReply[] = [
  {
    name: 'a reply with a length',
    text: ok('Content-Length: 5\nX: y\n', 'hello'),
    is: {
      status: 200,
      reason: 'OK',
      minorVersion: 1,
      fields: ['Content-Length', '5', 'X', 'y'],
      framing: length(5),
      announced: length(5),
      persistent: true,
      connectionOptions: [],
      body: 'hello',
      trailers: [],
    },
  },
  {
    name: 'a reply without a body',
    text: ok('Content-Length: 0\n'),
    is: { framing: length(0), body: '' },
  },
  {
    name: 'a chunked reply with trailers',
    text: chunkedReply('3\nabc\n0\nGrpc-Status: 0\n\n'),
    is: { framing: chunked, body: 'abc', trailers: ['Grpc-Status', '0'] },
  },
  {
    name: 'a reply that ends with the connection',
    text: ok('', 'all of this\n\n'),
    is: { framing: close, announced: none, persistent: false, body: 'all of this\r\n\r\n' },
  },
  {
    name: 'an empty reply that ends with the connection',
    text: ok(''),
    is: { framing: close, persistent: false, body: '' },
  },
  {
    name: 'the reply to HEAD, which keeps its length for whoever forwards it',
    method: 'HEAD',
    text: ok('Content-Length: 5\n'),
    is: { framing: none, announced: length(5), persistent: true, body: '' },
  },
  {
    name: 'the chunked reply to HEAD',
    method: 'HEAD',
    text: ok('Transfer-Encoding: chunked\n'),
    is: { framing: none, announced: chunked, body: '' },
  },
  {
    name: 'the reply to HEAD without a length',
    method: 'HEAD',
    text: ok(''),
    is: { framing: none, announced: none, persistent: true },
  },
  {
    name: '304 with a length',
    text: 'HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n',
    is: { framing: none, announced: length(5), persistent: true, body: '' },
  },
  {
    name: '204 with a length, which it may not have',
    text: 'HTTP/1.1 204 No Content\nContent-Length: 5\n\n',
    is: { framing: none, announced: none, persistent: true, body: '' },
  },
  {
    name: '204 that says chunked',
    text: 'HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n',
    is: { framing: none, announced: none, body: '' },
  },
  {
    name: '205 as any other',
    text: 'HTTP/1.1 205 Reset Content\nContent-Length: 0\n\n',
    is: { status: 205, framing: length(0) },
  },
  {
    name: '101 as a final reply without a body',
    text: 'HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: websocket\n\n',
    is: { status: 101, framing: none, connectionOptions: ['upgrade'], body: '' },
  },
  {
    name: '200 to CONNECT',
    method: 'CONNECT',
    text: ok('Content-Length: 5\n'),
    is: { framing: none, body: '' },
  },
  {
    name: '400 to CONNECT with its body',
    method: 'CONNECT',
    text: 'HTTP/1.1 400 Bad Request\nContent-Length: 2\n\nno',
    is: { framing: length(2), body: 'no' },
  },
  { name: 'an empty reason', text: 'HTTP/1.1 200 \nContent-Length: 0\n\n', is: { reason: '' } },
  {
    name: 'no reason and no space',
    text: 'HTTP/1.1 200\nContent-Length: 0\n\n',
    is: { reason: '' },
  },
  {
    name: 'a reason of several words with bytes above ASCII',
    text: 'HTTP/1.1 404 N\xe9 trouv\xe9\tici\nContent-Length: 0\n\n',
    is: { status: 404, reason: 'N\xe9 trouv\xe9\tici' },
  },
  { name: 'status 999', text: 'HTTP/1.1 999 X\nContent-Length: 0\n\n', is: { status: 999 } },
  {
    name: 'status 600',
    text: 'HTTP/1.1 600 X\n\nbody',
    is: { status: 600, framing: close, body: 'body' },
  },
  {
    name: 'HTTP/1.0',
    text: 'HTTP/1.0 200 OK\nContent-Length: 2\n\nhi',
    is: { minorVersion: 0, persistent: false, body: 'hi' },
  },
  {
    name: 'HTTP/1.0 that stays',
    text: 'HTTP/1.0 200 OK\nContent-Length: 2\nConnection: keep-alive\n\nhi',
    is: { minorVersion: 0, persistent: true },
  },
  {
    name: 'HTTP/1.0 that says to stay and ends with the connection',
    text: 'HTTP/1.0 200 OK\nConnection: keep-alive\n\nhi',
    is: { persistent: false, framing: close },
  },
  {
    name: 'a reply that closes',
    text: ok('Content-Length: 0\nConnection: close\n'),
    is: { persistent: false },
  },
  {
    name: 'the time that an idle connection has',
    text: ok('Content-Length: 0\nKeep-Alive: timeout=5, max=100\n'),
    is: { keepAliveTimeoutSeconds: 5 },
  },
  {
    name: 'the time of an idle connection after another parameter',
    text: ok('Content-Length: 0\nKeep-Alive: max=100,Timeout = 72\n'),
    is: { keepAliveTimeoutSeconds: 72 },
  },
  {
    name: 'a Keep-Alive without a time',
    text: ok('Content-Length: 0\nKeep-Alive: max=100, xtimeout=5\n'),
    is: { keepAliveTimeoutSeconds: undefined } as unknown as ExpectedReply,
  },
  {
    name: 'several cookies',
    text: ok('Content-Length: 0\nSet-Cookie: a\nSet-Cookie: b\n'),
    is: { fields: ['Content-Length', '0', 'Set-Cookie', 'a', 'Set-Cookie', 'b'] },
  },
  {
    name: 'two Host fields, which mean nothing here',
    text: ok('Content-Length: 0\nHost: a\nHost: b\n'),
    is: { status: 200 },
  },
]

/** Name, the bytes, the code, and the method of the request unless that is GET. */
export type RefusedReply = readonly [name: string, text: string, code: string, method?: string]

export const refusedReplies: RefusedReply[] = [
  ['a status line without a status', 'HTTP/1.1\n', 'status_line_malformed'],
  ['a status line without a status but a space', 'HTTP/1.1 \n', 'status_line_malformed'],
  ['a status of two digits', 'HTTP/1.1 20 OK\n', 'status_line_malformed'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\n', 'status_line_malformed'],
  ['a status below 100', 'HTTP/1.1 099 OK\n', 'status_line_malformed'],
  ['a status that is no number', 'HTTP/1.1 2x0 OK\n', 'status_line_malformed'],
  ['two spaces before the status', 'HTTP/1.1  200 OK\n', 'status_line_malformed'],
  ['a tab before the reason', 'HTTP/1.1 200\tOK\n', 'status_line_malformed'],
  ['a reason right after the status', 'HTTP/1.1 200OK\n', 'status_line_malformed'],
  ['a control character in the reason', 'HTTP/1.1 200 O\x01K\n', 'status_line_malformed'],
  ['NUL in the reason', 'HTTP/1.1 200 O␀K\n', 'status_line_malformed'],
  ['a bare CR in the reason', 'HTTP/1.1 200 O␍K\n', 'status_line_malformed'],
  ['a bare LF after the status line', 'HTTP/1.1 200 OK␊', 'line_ending_malformed'],
  ['an empty line before the status line', '\nHTTP/1.1 200 OK\n', 'status_line_malformed'],
  ['a space before the status line', ' HTTP/1.1 200 OK\n', 'status_line_malformed'],
  ['a version in lower case', 'http/1.1 200 OK\n', 'status_line_malformed'],
  ['a version without a space after it', 'HTTP/1.1200 OK\n', 'status_line_malformed'],
  ['a version with two digits', 'HTTP/1.10 200 OK\n', 'status_line_malformed'],
  ['a request for a reply', 'GET / HTTP/1.1\n', 'status_line_malformed'],
  ['another protocol', 'SSH-2.0-OpenSSH_9.2\n', 'status_line_malformed'],
  ['HTTP/0.9', 'hello\n', 'status_line_malformed'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\n', 'version_unsupported'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\n', 'version_unsupported'],
  [
    'Content-Length beside chunked',
    ok('Content-Length: 5\nTransfer-Encoding: chunked\n'),
    'framing_ambiguous',
  ],
  [
    'Content-Length after chunked',
    ok('Transfer-Encoding: chunked\nContent-Length: 5\n'),
    'framing_ambiguous',
  ],
  [
    'Content-Length beside chunked to HEAD',
    ok('Content-Length: 5\nTransfer-Encoding: chunked\n'),
    'framing_ambiguous',
    'HEAD',
  ],
  ['two lengths', ok('Content-Length: 5\nContent-Length: 6\n'), 'framing_ambiguous'],
  ['one length twice', ok('Content-Length: 5\nContent-Length: 5\n'), 'framing_ambiguous'],
  ['two lengths in one field', ok('Content-Length: 5, 5\n'), 'framing_ambiguous'],
  ['a malformed length', ok('Content-Length: 0x5\n'), 'content_length_malformed'],
  ['a malformed length to HEAD', ok('Content-Length: a\n'), 'content_length_malformed', 'HEAD'],
  ['another coding', ok('Transfer-Encoding: gzip\n'), 'transfer_encoding_unsupported'],
  ['gzip, chunked', ok('Transfer-Encoding: gzip, chunked\n'), 'transfer_encoding_unsupported'],
  [
    'chunked twice',
    ok('Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n'),
    'transfer_encoding_unsupported',
  ],
  [
    'chunked in HTTP/1.0',
    'HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n0\n\n',
    'framing_ambiguous',
  ],
  ['a space before the colon', ok('X : b\n'), 'field_malformed'],
  ['a field without a colon', ok('X\n'), 'field_malformed'],
  ['a field without a name', ok(': b\n'), 'field_malformed'],
  ['NUL in a value', ok('X: ␀\n'), 'field_malformed'],
  ['a bare CR in a value', ok('X: a␍b\n'), 'field_malformed'],
  ['a folded field', ok('X: a\n b\n'), 'field_folded'],
  ['a bare LF after a field', ok('X: a␊'), 'line_ending_malformed'],
  ['a malformed Connection', ok('Connection: a/b\n'), 'connection_malformed'],
  ['a malformed informational reply', 'HTTP/1.1 103 Hints\nX : y\n\n', 'field_malformed'],
  ['a malformed chunk', chunkedReply('x\n'), 'chunk_malformed'],
  ['a malformed end of chunk data', chunkedReply('1\nab\n'), 'chunk_malformed'],
  ['Content-Length as a trailer', chunkedReply('0\nContent-Length: 1\n\n'), 'trailer_forbidden'],
  ['Set-Cookie as a trailer', chunkedReply('0\nSet-Cookie: a=b\n\n'), 'trailer_forbidden'],
]

/** What a bound lets pass, and one more than that. */
export interface BoundOfReplies {
  readonly name: string
  readonly limits: Partial<Http1Limits>
  readonly within: string
  readonly above: string
  readonly code: string
}

const hints = (count: number) =>
  `${'HTTP/1.1 103 Hints\n\n'.repeat(count)}${ok('Content-Length: 0\n')}`

export const boundsOfReplies: BoundOfReplies[] = [
  {
    name: 'the status line',
    limits: { maxStartLineBytes: 30 },
    within: `HTTP/1.1 200 ${'a'.repeat(15)}\nContent-Length: 0\n\n`,
    above: `HTTP/1.1 200 ${'a'.repeat(16)}\nContent-Length: 0\n\n`,
    code: 'status_line_too_long',
  },
  {
    name: 'a status line that never ends',
    limits: {},
    within: 'HTTP/1.1 200 ',
    above: `HTTP/1.1 200 ${'a'.repeat(17_000)}`,
    code: 'status_line_too_long',
  },
  {
    name: 'the head',
    limits: { maxHeadBytes: 100 },
    within: ok(`X: ${'a'.repeat(100 - 24)}\n`),
    above: ok(`X: ${'a'.repeat(101 - 24)}\n`),
    code: 'head_too_large',
  },
  {
    name: 'the number of fields',
    limits: {},
    within: ok('X: a\n'.repeat(128)),
    above: ok('X: a\n'.repeat(129)),
    code: 'too_many_fields',
  },
  {
    name: 'informational replies',
    limits: {},
    within: hints(16),
    above: hints(17),
    code: 'too_many_informational_replies',
  },
]
