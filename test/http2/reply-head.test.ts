import assert from 'node:assert/strict'
import { h2 } from '../../src/http2/errors.ts'
import type { StreamRule } from '../../src/http2/errors.ts'
import { data, END, headers } from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'

const target = { method: 'GET', scheme: 'https', authority: 'api.example', path: '/' }

/** A client with one request, whose reply is up to the test. */
function client(method = 'GET', isEnd = true): Bench {
  const bench = Bench.client()
  assert.notEqual(bench.connection.request({ ...target, method }, [], isEnd), 'refused')
  bench.output()
  return bench
}

describe('the head of a reply', () => {
  it('is told with status and fields, after any informational ones', () => {
    const bench = client()
    bench.receive(headers(1, [':status', '100']), headers(1, [':status', '103', 'link', '</a>']))
    bench.receive(
      headers(1, [':status', '200', 'etag', '"1"', 'set-cookie', 'a', 'set-cookie', 'b']),
    )
    bench.receive(data(1, 'hi', END))
    assert.deepEqual(bench.log, [
      ...['informational 1 100', 'informational 1 103', 'reply 1 200'],
      ...['data 1 2', 'end 1', 'closed 1'],
    ])
    assert.deepEqual(bench.events.replies.get(1)?.fields, [
      ...['etag', '"1"', 'set-cookie', 'a', 'set-cookie', 'b'],
    ])
  })

  const malformed: { name: string; frames: Buffer[]; rule: StreamRule }[] = [
    { name: 'no status', frames: [headers(1, ['a', 'b'])], rule: 'pseudo_missing' },
    { name: 'no field', frames: [headers(1, [])], rule: 'pseudo_missing' },
    {
      name: 'a status behind a field',
      frames: [headers(1, ['a', 'b', ':status', '200'])],
      rule: 'pseudo_missing',
    },
    {
      name: 'two statuses',
      frames: [headers(1, [':status', '200', ':status', '200'])],
      rule: 'pseudo_repeated',
    },
    {
      name: 'a pseudo-header of requests',
      frames: [headers(1, [':status', '200', ':path', '/'])],
      rule: 'pseudo_misplaced',
    },
    {
      name: 'a status of two digits',
      frames: [headers(1, [':status', '20'])],
      rule: 'status_invalid',
    },
    {
      name: 'a status with a sign',
      frames: [headers(1, [':status', '+200'])],
      rule: 'status_invalid',
    },
    { name: '101', frames: [headers(1, [':status', '101'])], rule: 'status_invalid' },
    {
      name: 'an informational end',
      frames: [headers(1, [':status', '103'], END)],
      rule: 'status_invalid',
    },
    {
      name: 'connection',
      frames: [headers(1, [':status', '200', 'connection', 'close'])],
      rule: 'connection_field',
    },
    {
      name: 'an upper-case name',
      frames: [headers(1, [':status', '200', 'Etag', 'x'])],
      rule: 'field_name_invalid',
    },
    {
      name: 'LF in a value',
      frames: [headers(1, [':status', '200', 'a', 'b\nc'])],
      rule: 'field_value_invalid',
    },
    {
      name: 'two lengths',
      frames: [headers(1, [':status', '200', 'content-length', '1', 'content-length', '1'])],
      rule: 'content_length_repeated',
    },
    {
      name: 'a length and no body',
      frames: [headers(1, [':status', '200', 'content-length', '1'], END)],
      rule: 'content_length_mismatch',
    },
    { name: 'DATA before it', frames: [data(1, 'x')], rule: 'data_before_head' },
    {
      name: 'DATA after an informational one only',
      frames: [headers(1, [':status', '100']), data(1, 'x')],
      rule: 'data_before_head',
    },
    {
      name: 'DATA with 204',
      frames: [headers(1, [':status', '204']), data(1, 'x')],
      rule: 'content_length_mismatch',
    },
    {
      name: 'DATA with 304',
      frames: [headers(1, [':status', '304', 'content-length', '1']), data(1, 'x')],
      rule: 'content_length_mismatch',
    },
  ]
  for (const { name, frames, rule } of malformed) {
    it(`is malformed with ${name}`, () => {
      const bench = client()
      bench.receive(...frames)
      assert.deepEqual(bench.events.violations, [rule])
      assert.equal(bench.log.at(-1), `reset 1 code=${h2.PROTOCOL_ERROR} rule`)
      assert.deepEqual(bench.frames(), [`RST_STREAM 1 code=${h2.PROTOCOL_ERROR}`])
    })
  }

  it('is reset when it is above the limits', () => {
    const bench = client()
    bench.receive(headers(1, [':status', '200', 'x-big', 'b'.repeat(16_340)]))
    assert.deepEqual(bench.events.violations, ['header_list_too_large'])
    assert.deepEqual(bench.frames(), [`RST_STREAM 1 code=${h2.ENHANCE_YOUR_CALM}`])
  })

  it('may name a length that no body has, to HEAD and with 304', () => {
    for (const [method, status] of [
      ['HEAD', '200'],
      ['GET', '304'],
    ]) {
      const bench = client(method)
      bench.receive(headers(1, [':status', status ?? '', 'content-length', '9'], END))
      assert.deepEqual(bench.log, [`reply 1 ${status} end`, 'closed 1'])
      assert.equal(bench.events.replies.get(1)?.status, Number(status))
    }
  })

  it('may come before the request is over', () => {
    const bench = client('POST', false)
    bench.receive(headers(1, [':status', '200'], END))
    assert.deepEqual(bench.log, ['reply 1 200 end'])
    const stream = bench.connection.streamCount
    assert.equal(stream, 1)
  })
})

describe('trailers', () => {
  const trailing: { name: string; frame: Buffer; rule: StreamRule; code: number }[] = [
    {
      name: 'without the end',
      frame: headers(1, ['a', 'b']),
      rule: 'trailers_without_end',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'with a pseudo-header',
      frame: headers(1, [':status', '200'], END),
      rule: 'pseudo_misplaced',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'with content-length',
      frame: headers(1, ['content-length', '2'], END),
      rule: 'trailer_forbidden',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'with Host',
      frame: headers(1, ['host', 'x'], END),
      rule: 'trailer_forbidden',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'with transfer-encoding',
      frame: headers(1, ['transfer-encoding', 'chunked'], END),
      rule: 'connection_field',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'with CR in a value',
      frame: headers(1, ['a', '\r'], END),
      rule: 'field_value_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'above the limits',
      frame: headers(1, ['a', 'b'.repeat(16_370)], END),
      rule: 'header_list_too_large',
      code: h2.ENHANCE_YOUR_CALM,
    },
  ]
  for (const { name, frame, rule, code } of trailing) {
    it(`are malformed ${name}`, () => {
      const bench = client()
      bench.receive(headers(1, [':status', '200']), data(1, 'hi'), frame)
      assert.deepEqual(bench.events.violations, [rule])
      assert.deepEqual(bench.frames(), [`RST_STREAM 1 code=${code}`])
    })
  }

  it('end a reply', () => {
    const bench = client()
    bench.receive(
      headers(1, [':status', '200']),
      data(1, 'hi'),
      headers(1, ['grpc-status', '0'], END),
    )
    assert.deepEqual(bench.log, ['reply 1 200', 'data 1 2', 'trailers 1', 'closed 1'])
    assert.deepEqual(bench.events.trailers.get(1), ['grpc-status', '0'])
  })

  it('end a request, whose length must be right', () => {
    for (const [length, last] of [
      ['2', 'trailers 1'],
      ['3', `reset 1 code=${h2.PROTOCOL_ERROR} rule`],
    ]) {
      const bench = Bench.server()
      const head = [':method', 'POST', ':scheme', 'https', ':authority', 'a', ':path', '/']
      bench.receive(headers(1, [...head, 'content-length', length ?? '']), data(1, 'hi'))
      bench.receive(headers(1, ['x-sum', '1'], END))
      assert.equal(bench.log.at(-1), last)
    }
  })
})
