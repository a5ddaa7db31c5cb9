import assert from 'node:assert/strict'
import type { Framing } from '../../src/http1/head.ts'
import {
  chunkTail,
  formatChunkHead,
  formatFieldLines,
  formatInformationalHead,
  formatLastChunk,
  formatReplyHead,
  formatRequestHead,
  type ReplyToWrite,
} from '../../src/http1/writer.ts'

const none: Framing = { kind: 'none' }
const chunked: Framing = { kind: 'chunked' }
const close: Framing = { kind: 'close' }
const length = (bytes: number): Framing => ({ kind: 'length', bytes })

const plainReply: ReplyToWrite = {
  status: 200,
  reason: 'OK',
  fields: ['X', 'y'],
  framing: length(0),
  persistent: true,
  requestMinorVersion: 1,
}
const replyWith = (changes: Partial<ReplyToWrite>) => formatReplyHead({ ...plainReply, ...changes })

/** Texts that would split a message or be misread, wherever they stand. */
const injections = [
  'a\r\nX: y',
  'a\nX: y',
  'a\rX: y',
  'a\0',
  'a\x01',
  'a\x7f',
  'a\u010a',
  'a\u010dX',
  'a\u2028',
  '\ud83d\ude00',
]

describe('formatRequestHead', () => {
  it('writes a request without a body', () => {
    assert.equal(
      formatRequestHead('GET', '/a?b', ['Host', 'a', 'X', ''], none),
      'GET /a?b HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n',
    )
  })

  it('writes exactly one framing', () => {
    assert.equal(
      formatRequestHead('PUT', '/', ['host', 'a'], length(12)),
      'PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n',
    )
    assert.equal(
      formatRequestHead('GET', '*', ['host', 'a'], chunked),
      'GET * HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n',
    )
  })

  it('puts lines that were written before after the fields', () => {
    const lines = formatFieldLines(['x-postern-product', 'payments'])
    assert.equal(
      formatRequestHead('GET', '/', ['host', 'a'], none, lines),
      'GET / HTTP/1.1\r\nhost: a\r\nx-postern-product: payments\r\n\r\n',
    )
  })

  it('keeps bytes above ASCII in a value', () => {
    assert.ok(
      formatRequestHead('GET', '/', ['X', '\xe9\xff\t'], none).includes('X: \xe9\xff\t\r\n'),
    )
  })

  for (const text of injections) {
    it(`throws rather than write ${JSON.stringify(text)}`, () => {
      assert.throws(() => formatRequestHead(text, '/', [], none), TypeError)
      assert.throws(() => formatRequestHead('GET', text, [], none), TypeError)
      assert.throws(() => formatRequestHead('GET', '/', [text, 'a'], none), TypeError)
      assert.throws(() => formatRequestHead('GET', '/', ['a', text], none), TypeError)
      assert.throws(() => formatFieldLines(['a', text]), TypeError)
      assert.throws(() => replyWith({ reason: text }), TypeError)
      assert.throws(() => replyWith({ fields: [text, 'a'] }), TypeError)
      assert.throws(() => replyWith({ fields: ['a', text] }), TypeError)
      assert.throws(() => formatInformationalHead(103, ['a', text]), TypeError)
      assert.throws(() => formatInformationalHead(103, [], text), TypeError)
      assert.throws(() => formatLastChunk(['a', text]), TypeError)
      assert.throws(() => formatLastChunk([text, 'a']), TypeError)
    })
  }

  for (const text of ['', 'a b', 'a ', ' a', 'a\t', '/\xe9']) {
    it(`throws for the target ${JSON.stringify(text)}`, () => {
      assert.throws(() => formatRequestHead('GET', text, [], none), TypeError)
    })
  }

  for (const name of ['', 'a b', 'a:', 'a ', '\xe9', '"a"']) {
    it(`throws for the name ${JSON.stringify(name)}`, () => {
      assert.throws(() => formatRequestHead('GET', '/', [name, 'a'], none), TypeError)
      assert.throws(() => formatRequestHead(name, '/', [], none), TypeError)
    })
  }

  for (const name of [
    'content-length',
    'Content-Length',
    'transfer-encoding',
    'TRANSFER-ENCODING',
  ]) {
    it(`throws for the field ${name}, because the framing alone decides`, () => {
      assert.throws(() => formatRequestHead('GET', '/', [name, '0'], none), TypeError)
      assert.throws(() => replyWith({ fields: [name, '0'] }), TypeError)
      assert.throws(() => formatInformationalHead(100, [name, '0']), TypeError)
      assert.throws(() => formatFieldLines([name, '0']), TypeError)
      assert.equal(formatLastChunk([name, '0']), '0\r\n\r\n')
    })
  }

  it('throws for a name without a value', () => {
    assert.throws(() => formatRequestHead('GET', '/', ['a'], none), TypeError)
  })

  it('throws for a request that ends with its connection', () => {
    assert.throws(() => formatRequestHead('GET', '/', [], close), TypeError)
  })

  for (const bytes of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    it(`throws for the length ${bytes}`, () => {
      assert.throws(() => formatRequestHead('GET', '/', [], length(bytes)), TypeError)
    })
  }
})

describe('formatReplyHead', () => {
  it('writes a reply', () => {
    assert.equal(replyWith({}), 'HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 0\r\n\r\n')
    assert.equal(
      replyWith({ framing: chunked, fields: [], reason: '' }),
      'HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n',
    )
    assert.equal(replyWith({ status: 204, framing: none }), 'HTTP/1.1 204 OK\r\nX: y\r\n\r\n')
    assert.equal(
      replyWith({ status: 304, fields: [] }),
      'HTTP/1.1 304 OK\r\ncontent-length: 0\r\n\r\n',
    )
  })

  it('says that the connection ends', () => {
    const closing = 'HTTP/1.1 200 OK\r\nconnection: close\r\n'
    const fields: string[] = []
    assert.equal(replyWith({ fields, persistent: false }), `${closing}content-length: 0\r\n\r\n`)
    assert.equal(replyWith({ fields, framing: close }), `${closing}\r\n`)
    assert.equal(
      replyWith({ fields, persistent: false, requestMinorVersion: 0 }),
      `${closing}content-length: 0\r\n\r\n`,
    )
  })

  it('tells HTTP/1.0 that the connection stays', () => {
    assert.equal(
      replyWith({ fields: [], requestMinorVersion: 0 }),
      'HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n',
    )
  })

  it('puts lines that were written before after the fields', () => {
    assert.equal(
      replyWith({ lines: formatFieldLines(['Z', 'z']) }),
      'HTTP/1.1 200 OK\r\nX: y\r\nZ: z\r\ncontent-length: 0\r\n\r\n',
    )
  })

  it('throws for chunks to HTTP/1.0', () => {
    assert.throws(() => replyWith({ framing: chunked, requestMinorVersion: 0 }), TypeError)
  })

  for (const status of [0, 99, 1_000, 200.5, NaN, -200]) {
    it(`throws for the status ${status}`, () => {
      assert.throws(() => replyWith({ status }), TypeError)
    })
  }

  for (const status of [100, 101, 199, 204]) {
    it(`throws for a body with ${status}`, () => {
      assert.doesNotThrow(() => replyWith({ status, framing: none }))
      assert.throws(() => replyWith({ status, framing: length(0) }), TypeError)
      assert.throws(() => replyWith({ status, framing: chunked }), TypeError)
      assert.throws(() => replyWith({ status, framing: close }), TypeError)
    })
  }
})

describe('formatInformationalHead', () => {
  it('writes an informational reply', () => {
    assert.equal(formatInformationalHead(100, []), 'HTTP/1.1 100 \r\n\r\n')
    assert.equal(
      formatInformationalHead(103, ['Link', '</a>'], 'Early Hints'),
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
    )
  })

  for (const status of [99, 101, 200]) {
    it(`throws for the status ${status}`, () => {
      assert.throws(() => formatInformationalHead(status, []), TypeError)
    })
  }
})

describe('chunks', () => {
  it('are written with their size, a tail and an end', () => {
    assert.equal(formatChunkHead(1), '1\r\n')
    assert.equal(formatChunkHead(65_535), 'ffff\r\n')
    assert.equal(chunkTail, '\r\n')
    assert.equal(formatLastChunk([]), '0\r\n\r\n')
    assert.equal(formatLastChunk(['Grpc-Status', '0']), '0\r\nGrpc-Status: 0\r\n\r\n')
  })

  for (const bytes of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
    it(`have no size of ${bytes}`, () => assert.throws(() => formatChunkHead(bytes), TypeError))
  }

  for (const name of [
    'Host',
    'authorization',
    'Connection',
    'trailer',
    'Set-Cookie',
    'content-length',
  ]) {
    it(`end without the trailer ${name}, and with the others`, () => {
      assert.equal(formatLastChunk(['A', '1', name, 'a', 'B', '2']), '0\r\nA: 1\r\nB: 2\r\n\r\n')
    })
  }
})
