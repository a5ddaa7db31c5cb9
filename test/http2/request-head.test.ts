import assert from 'node:assert/strict'
import { h2 } from '../../src/http2/errors.ts'
import type { StreamRule } from '../../src/http2/errors.ts'
import { requestRefusals } from '../../src/http2/request-head.ts'
import type { RequestRefusal } from '../../src/http2/request-head.ts'
import { END, block, data, get, headers, headersInPieces, post } from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'

const method = [':method', 'GET']
const scheme = [':scheme', 'https']
const authority = [':authority', 'api.example']
const path = [':path', '/']

/** A request of these fields alone, with the end. */
function server(fields: readonly string[], allowsConnectProtocol = false): Bench {
  const bench = Bench.server({ allowsConnectProtocol })
  bench.receive(headers(1, fields, END))
  return bench
}

describe('the head of a request', () => {
  it('is told with its target and its fields in order', () => {
    const bench = server([
      ...[
        ':method',
        'PUT',
        ':path',
        '/a?b=%20',
        ':scheme',
        'http',
        ':authority',
        'api.example:8443',
      ],
      ...['accept', '*/*', 'te', 'trailers', 'accept', 'text/plain', 'empty', ''],
    ])
    assert.deepEqual(bench.events.heads.get(1), {
      kind: 'request',
      method: 'PUT',
      scheme: 'http',
      authority: 'api.example:8443',
      path: '/a?b=%20',
      protocol: undefined,
      fields: ['accept', '*/*', 'te', 'trailers', 'accept', 'text/plain', 'empty', ''],
      contentLength: undefined,
      isEnd: true,
    })
    assert.deepEqual(bench.log, ['request 1 PUT /a?b=%20 end'])
  })

  it('joins cookie crumbs at the place of the first', () => {
    const bench = server(get('cookie', 'a=1', 'accept', '*/*', 'cookie', 'b=2', 'cookie', 'c=3'))
    assert.deepEqual(bench.events.heads.get(1)?.fields, [
      'cookie',
      'a=1; b=2; c=3',
      'accept',
      '*/*',
    ])
  })

  it('takes the authority from Host where there is no other, and never keeps Host', () => {
    const bench = server([...method, ...scheme, ...path, 'host', 'api.example', 'accept', '*/*'])
    assert.equal(bench.events.heads.get(1)?.authority, 'api.example')
    assert.deepEqual(bench.events.heads.get(1)?.fields, ['accept', '*/*'])
  })

  it('takes a Host that agrees with the authority', () => {
    const bench = server(get('host', 'API.example:443'))
    assert.equal(bench.events.heads.get(1)?.authority, 'api.example')
  })

  it('takes * with OPTIONS', () => {
    const bench = server([':method', 'OPTIONS', ...scheme, ...authority, ':path', '*'])
    assert.equal(bench.events.heads.get(1)?.path, '*')
  })

  it('keeps bytes above 0x7f of values', () => {
    const bench = server(get('x-name', 'Zo\u00eb\tB'))
    assert.deepEqual(bench.events.heads.get(1)?.fields, ['x-name', 'Zo\u00eb\tB'])
  })

  it('gives content-length as a number and as it came', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post('content-length', '012')))
    assert.equal(bench.events.heads.get(1)?.contentLength, 12)
    assert.deepEqual(bench.events.heads.get(1)?.fields, ['content-length', '012'])
    assert.equal(bench.stream(1).contentLength, 12)
  })

  const malformed: { name: string; fields: readonly string[]; rule: StreamRule }[] = [
    { name: 'an upper-case name', fields: get('Accept', '*/*'), rule: 'field_name_invalid' },
    { name: 'an empty name', fields: get('', 'x'), rule: 'field_name_invalid' },
    { name: 'a name with a space', fields: get('a b', 'x'), rule: 'field_name_invalid' },
    { name: 'a name with a colon', fields: get('a:b', 'x'), rule: 'field_name_invalid' },
    { name: 'a name above ASCII', fields: get('\u00e9', 'x'), rule: 'field_name_invalid' },
    { name: 'CR in a value', fields: get('a', 'x\ry'), rule: 'field_value_invalid' },
    { name: 'LF in a value', fields: get('a', 'x\ny'), rule: 'field_value_invalid' },
    { name: 'NUL in a value', fields: get('a', 'x\0y'), rule: 'field_value_invalid' },
    { name: 'DEL in a value', fields: get('a', 'x\x7fy'), rule: 'field_value_invalid' },
    { name: 'a space before a value', fields: get('a', ' x'), rule: 'field_value_invalid' },
    { name: 'a space behind a value', fields: get('a', 'x '), rule: 'field_value_invalid' },
    { name: 'a tab behind a value', fields: get('a', 'x\t'), rule: 'field_value_invalid' },
    {
      name: 'LF in a path',
      fields: [...method, ...scheme, ...authority, ':path', '/\n'],
      rule: 'field_value_invalid',
    },
    { name: 'connection', fields: get('connection', 'close'), rule: 'connection_field' },
    { name: 'keep-alive', fields: get('keep-alive', 'timeout=5'), rule: 'connection_field' },
    {
      name: 'proxy-connection',
      fields: get('proxy-connection', 'close'),
      rule: 'connection_field',
    },
    {
      name: 'transfer-encoding',
      fields: get('transfer-encoding', 'chunked'),
      rule: 'connection_field',
    },
    { name: 'upgrade', fields: get('upgrade', 'h2c'), rule: 'connection_field' },
    { name: 'te other than trailers', fields: get('te', 'gzip'), rule: 'te_invalid' },
    { name: 'te with more than trailers', fields: get('te', 'trailers, gzip'), rule: 'te_invalid' },
    {
      name: 'an unknown pseudo-header',
      fields: [...get(), ':new', 'x'].slice(0, 8).concat([':new', 'x']),
      rule: 'pseudo_unknown',
    },
    { name: ':status', fields: get(':status', '200'), rule: 'pseudo_misplaced' },
    {
      name: 'a pseudo-header behind a field',
      fields: [...method, ...scheme, ...authority, 'a', 'b', ...path],
      rule: 'pseudo_after_regular',
    },
    { name: 'two :method', fields: get(...method), rule: 'pseudo_repeated' },
    { name: 'two :scheme', fields: get(...scheme), rule: 'pseudo_repeated' },
    { name: 'two :authority', fields: get(...authority), rule: 'pseudo_repeated' },
    { name: 'two :path', fields: get(...path), rule: 'pseudo_repeated' },
    { name: 'no :method', fields: [...scheme, ...authority, ...path], rule: 'pseudo_missing' },
    { name: 'no :scheme', fields: [...method, ...authority, ...path], rule: 'pseudo_missing' },
    { name: 'no :path', fields: [...method, ...scheme, ...authority], rule: 'pseudo_missing' },
    { name: 'no field at all', fields: [], rule: 'pseudo_missing' },
    {
      name: 'a method that is no token',
      fields: [':method', 'GE T', ...scheme, ...authority, ...path],
      rule: 'method_invalid',
    },
    {
      name: 'an empty method',
      fields: [':method', '', ...scheme, ...authority, ...path],
      rule: 'method_invalid',
    },
    {
      name: 'a scheme that is not HTTP',
      fields: [...method, ':scheme', 'ftp', ...authority, ...path],
      rule: 'scheme_invalid',
    },
    {
      name: 'an empty path',
      fields: [...method, ...scheme, ...authority, ':path', ''],
      rule: 'path_invalid',
    },
    {
      name: 'a path without slash',
      fields: [...method, ...scheme, ...authority, ':path', 'a'],
      rule: 'path_invalid',
    },
    {
      name: 'a path with a space',
      fields: [...method, ...scheme, ...authority, ':path', '/a HTTP/1.1'],
      rule: 'path_invalid',
    },
    {
      name: 'a path with a fragment',
      fields: [...method, ...scheme, ...authority, ':path', '/a#b'],
      rule: 'path_invalid',
    },
    {
      name: 'a path above ASCII',
      fields: [...method, ...scheme, ...authority, ':path', '/\u00e9'],
      rule: 'path_invalid',
    },
    {
      name: '* without OPTIONS',
      fields: [...method, ...scheme, ...authority, ':path', '*'],
      rule: 'path_invalid',
    },
    {
      name: 'an absolute path',
      fields: [...method, ...scheme, ...authority, ':path', 'http://x/'],
      rule: 'path_invalid',
    },
    {
      name: 'content-length that is no number',
      fields: get('content-length', '1x'),
      rule: 'content_length_invalid',
    },
    {
      name: 'content-length with a sign',
      fields: get('content-length', '+1'),
      rule: 'content_length_invalid',
    },
    {
      name: 'an empty content-length',
      fields: get('content-length', ''),
      rule: 'content_length_invalid',
    },
    {
      name: 'content-length as a list',
      fields: get('content-length', '1, 1'),
      rule: 'content_length_invalid',
    },
    {
      name: 'two content-length',
      fields: get('content-length', '0', 'content-length', '0'),
      rule: 'content_length_repeated',
    },
    {
      name: 'content-length without a body',
      fields: get('content-length', '5'),
      rule: 'content_length_mismatch',
    },
    {
      name: ':protocol without leave',
      fields: [':method', 'CONNECT', ':protocol', 'websocket', ...scheme, ...authority, ...path],
      rule: 'protocol_unexpected',
    },
  ]

  for (const { name, fields, rule } of malformed) {
    it(`is malformed with ${name}`, () => {
      const bench = server(fields)
      assert.deepEqual(bench.log, [`violation 1 ${rule}`])
      assert.deepEqual(bench.frames(), [`RST_STREAM 1 code=${h2.PROTOCOL_ERROR}`])
      bench.receive(headers(3, get(), END))
      assert.equal(bench.log.at(-1), 'request 3 GET / end', 'the connection goes on')
    })
  }

  const refused: {
    name: string
    fields: readonly string[]
    refusal: RequestRefusal
    status: number
  }[] = [
    {
      name: 'no authority',
      fields: [...method, ...scheme, ...path],
      refusal: 'authority_missing',
      status: 400,
    },
    {
      name: 'an empty authority',
      fields: [...method, ...scheme, ':authority', '', ...path],
      refusal: 'authority_missing',
      status: 400,
    },
    {
      name: 'userinfo',
      fields: [...method, ...scheme, ':authority', 'u@api.example', ...path],
      refusal: 'authority_malformed',
      status: 400,
    },
    {
      name: 'an authority that does not parse',
      fields: [...method, ...scheme, ':authority', 'a b', ...path],
      refusal: 'authority_malformed',
      status: 400,
    },
    {
      name: 'another Host',
      fields: get('host', 'other.example'),
      refusal: 'authority_host_mismatch',
      status: 400,
    },
    {
      name: 'an empty Host',
      fields: get('host', ''),
      refusal: 'authority_host_mismatch',
      status: 400,
    },
    {
      name: 'two Hosts',
      fields: get('host', 'api.example', 'host', 'api.example'),
      refusal: 'host_repeated',
      status: 400,
    },
    {
      name: 'CONNECT',
      fields: [':method', 'CONNECT', ':authority', 'api.example:443'],
      refusal: 'method_refused',
      status: 405,
    },
    {
      name: 'TRACE',
      fields: [':method', 'Trace', ...scheme, ...authority, ...path],
      refusal: 'method_refused',
      status: 405,
    },
    {
      name: 'a path above 8 KiB',
      fields: [':method', 'GET', ...scheme, ...authority, ':path', `/${'p'.repeat(8_192)}`],
      refusal: 'path_too_long',
      status: 414,
    },
    {
      name: 'too many bytes',
      fields: get('x-big', 'b'.repeat(17_000)),
      refusal: 'header_list_too_large',
      status: 431,
    },
    {
      name: 'too many fields',
      fields: get(...Array.from({ length: 130 }, () => ['a', 'b']).flat()),
      refusal: 'header_list_too_large',
      status: 431,
    },
  ]

  for (const { name, fields, refusal, status } of refused) {
    it(`is refused with ${status} for ${name}`, () => {
      const bench = Bench.server()
      bench.receive(...headersInPieces(1, block(fields), 16_384, END))
      assert.deepEqual(bench.log, [`refused 1 ${refusal}`])
      assert.equal(requestRefusals[refusal], status)
      bench.connection.respond(bench.stream(1), requestRefusals[refusal], [], true)
      assert.deepEqual(bench.frames(), ['HEADERS 1 end'])
      assert.equal(bench.log.at(-1), 'closed 1')
    })
  }

  it('throws the body of a refused request away and gives the connection its window back', () => {
    const bench = Bench.server({
      limits: { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 },
    })
    bench.receive(headers(1, post('host', 'other.example')))
    for (let i = 0; i < 3; i++) bench.receive(data(1, 'x'.repeat(16_384)))
    bench.receive(data(1, 'x', END))
    assert.deepEqual(bench.log, ['refused 1 authority_host_mismatch'])
    assert.deepEqual(bench.frames(), ['WINDOW_UPDATE 0 +32768'])
  })

  it('may ask for a WebSocket where the owner allows it', () => {
    const connect = [
      ':method',
      'CONNECT',
      ':protocol',
      'websocket',
      ...scheme,
      ...authority,
      ':path',
      '/chat',
    ]
    const bench = server(connect, true)
    assert.equal(bench.events.heads.get(1)?.protocol, 'websocket')
    assert.equal(bench.events.heads.get(1)?.path, '/chat')
  })

  it('may not name a protocol with another method', () => {
    const bench = server(
      [...method, ':protocol', 'websocket', ...scheme, ...authority, ...path],
      true,
    )
    assert.deepEqual(bench.events.violations, ['protocol_unexpected'])
  })

  it('tells names that came never-indexed', () => {
    const bench = Bench.server()
    const client = Bench.client()
    const target = { method: 'GET', scheme: 'https', authority: 'api.example', path: '/' }
    client.connection.request(target, ['authorization', 'Bearer x', 'accept', '*/*'], true)
    bench.receive(client.output())
    assert.deepEqual(bench.stream(1).receivedNeverIndexed, ['authorization'])
  })
})
