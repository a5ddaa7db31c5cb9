import type { RequestHead } from '../../src/http1/head.ts'
import type { Http1Limits } from '../../src/http1/limits.ts'

/** Parts of the head, and of what follows it. */
export type Expected = Partial<RequestHead> & {
  readonly body?: string
  readonly trailers?: string[]
}

/** A request that is read; texts are for `bytesOf`. */
export interface AcceptedRequest {
  readonly name: string
  readonly text: string
  readonly is: Expected
}

const none = { kind: 'none' }
const chunked = { kind: 'chunked' }
export const length = (bytes: number) => ({ kind: 'length', bytes })
const expected = (is: Record<string, unknown>) => is as Expected

/** A GET with these fields beside Host. */
export const get = (fields: string) => `GET / HTTP/1.1\nHost: a\n${fields}\n`
/** A POST with a chunked body as written. */
export const post = (body: string) =>
  `POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n${body}`
/** A request with this Host. */
const to = (host: string) => `GET / HTTP/1.1\nHost:${host}\n\n`

export const acceptedRequests: AcceptedRequest[] = [
  {
    name: 'a GET without a body',
    text: 'GET /a?b=c HTTP/1.1\nHost: api.example\n\n',
    is: expected({
      method: 'GET',
      target: '/a?b=c',
      path: '/a?b=c',
      authority: 'api.example',
      scheme: undefined,
      minorVersion: 1,
      fields: ['Host', 'api.example'],
      framing: none,
      persistent: true,
      connectionOptions: [],
      expectsContinue: false,
      upgrade: undefined,
      body: '',
      trailers: [],
    }),
  },
  {
    name: 'a body of a given length',
    text: 'POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello',
    is: expected({ framing: length(5), body: 'hello' }),
  },
  {
    name: 'a body of length zero',
    text: 'POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n',
    is: expected({ framing: length(0), body: '' }),
  },
  {
    name: 'a body on GET, framed',
    text: 'GET / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi',
    is: expected({ method: 'GET', framing: length(2), body: 'hi' }),
  },
  {
    name: 'a chunked body on DELETE',
    text: 'DELETE / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n',
    is: expected({ method: 'DELETE', framing: chunked, body: 'abc' }),
  },
  {
    name: 'a POST without framing as one without a body',
    text: 'POST / HTTP/1.1\nHost: a\n\n',
    is: expected({ framing: none, body: '' }),
  },
  {
    name: 'leading zeros in Content-Length',
    text: 'POST / HTTP/1.1\nHost: a\nContent-Length: 0002\n\nhi',
    is: expected({ framing: length(2), body: 'hi' }),
  },
  {
    name: 'chunked in any case',
    text: 'POST / HTTP/1.1\nHost: a\nTransfer-Encoding: ChUnKeD\n\n0\n\n',
    is: expected({ framing: chunked }),
  },
  { name: 'several chunks', text: post('3\nabc\n2\nde\n0\n\n'), is: { body: 'abcde' } },
  {
    name: 'an upper-case chunk size',
    text: post('A\n0123456789\n0\n\n'),
    is: { body: '0123456789' },
  },
  {
    name: 'a lower-case chunk size',
    text: post('a\n0123456789\n0\n\n'),
    is: { body: '0123456789' },
  },
  { name: 'leading zeros in a chunk size', text: post('0003\nabc\n0\n\n'), is: { body: 'abc' } },
  { name: 'a long last chunk', text: post('0000000000000000\n\n'), is: { body: '' } },
  { name: 'line ends in chunk data', text: post('4\n\n\n\n0\n\n'), is: { body: '\r\n\r\n' } },
  { name: 'a chunk extension, dropped', text: post('3;a=b\nabc\n0;c\n\n'), is: { body: 'abc' } },
  {
    name: 'a quoted chunk extension, dropped',
    text: post('3;a="b; \\"c"\nabc\n0\n\n'),
    is: { body: 'abc' },
  },
  {
    name: 'trailers',
    text: post('0\nX-Checksum: abc \nGrpc-Status:0\n\n'),
    is: { trailers: ['X-Checksum', 'abc', 'Grpc-Status', '0'] },
  },
  {
    name: 'white space around a value',
    text: get('X: \t b c \t \nY:\nZ:  \n'),
    is: { fields: ['Host', 'a', 'X', 'b c', 'Y', '', 'Z', ''] },
  },
  {
    name: 'bytes above ASCII in a value as Latin-1',
    text: get('X: \xe9\xff\x80\n'),
    is: { fields: ['Host', 'a', 'X', '\xe9\xff\x80'] },
  },
  {
    name: 'a tab inside a value',
    text: get('X: a\tb\n'),
    is: { fields: ['Host', 'a', 'X', 'a\tb'] },
  },
  {
    name: 'every character of a token in a name',
    text: get("!#$%&'*+-.^_`|~09azAZ: x\n"),
    is: { fields: ['Host', 'a', "!#$%&'*+-.^_`|~09azAZ", 'x'] },
  },
  {
    name: 'colons in a value',
    text: get('X: a:b: c\n'),
    is: { fields: ['Host', 'a', 'X', 'a:b: c'] },
  },
  {
    name: 'fields in order, with their spelling and repetition',
    text: get('b: 1\nA: 2\nB: 3\n'),
    is: { fields: ['Host', 'a', 'b', '1', 'A', '2', 'B', '3'] },
  },
  {
    name: 'a method of its own',
    text: 'M-SEARCH / HTTP/1.1\nHost: a\n\n',
    is: { method: 'M-SEARCH' },
  },
  {
    name: 'a method in lower case as it is',
    text: 'get / HTTP/1.1\nHost: a\n\n',
    is: { method: 'get' },
  },
  {
    name: 'all visible ASCII but # in a target',
    text: 'GET /!"$%&\'()*+,-./:;<=>?@[\\]^_`{|}~ HTTP/1.1\nHost: a\n\n',
    is: { path: '/!"$%&\'()*+,-./:;<=>?@[\\]^_`{|}~' },
  },
  {
    name: 'a path that begins with two slashes',
    text: 'GET //b/c HTTP/1.1\nHost: a\n\n',
    is: { path: '//b/c', authority: 'a' },
  },
  {
    name: 'asterisk-form',
    text: 'OPTIONS * HTTP/1.1\nHost: a\n\n',
    is: { target: '*', path: '*' },
  },
  {
    name: 'absolute-form',
    text: 'GET http://api.example/x?y HTTP/1.1\nHost: api.example\n\n',
    is: {
      target: 'http://api.example/x?y',
      path: '/x?y',
      authority: 'api.example',
      scheme: 'http',
    },
  },
  {
    name: 'absolute-form with https, in any case',
    text: 'GET HTTPS://API.example/x HTTP/1.1\nHost: api.EXAMPLE\n\n',
    is: { path: '/x', authority: 'api.EXAMPLE', scheme: 'https' },
  },
  {
    name: 'absolute-form without a path',
    text: 'GET http://a HTTP/1.1\nHost: a\n\n',
    is: { path: '/' },
  },
  {
    name: 'absolute-form with a query and no path',
    text: 'GET http://a?b=c/d HTTP/1.1\nHost: a\n\n',
    is: { path: '/?b=c/d' },
  },
  {
    name: 'absolute-form with OPTIONS and no path as asterisk-form',
    text: 'OPTIONS http://a HTTP/1.1\nHost: a\n\n',
    is: { path: '*' },
  },
  {
    name: 'absolute-form with OPTIONS and a path',
    text: 'OPTIONS http://a/ HTTP/1.1\nHost: a\n\n',
    is: { path: '/' },
  },
  {
    name: 'absolute-form with the default port left out in Host',
    text: 'GET http://a:80/ HTTP/1.1\nHost: a\n\n',
    is: { authority: 'a' },
  },
  {
    name: 'absolute-form with the default port only in Host',
    text: 'GET https://a/ HTTP/1.1\nHost: a:443\n\n',
    is: { authority: 'a:443' },
  },
  {
    name: 'a Host with a port',
    text: to(' api.example:8443'),
    is: { authority: 'api.example:8443' },
  },
  {
    name: 'a Host that is an IPv4 address',
    text: to(' 127.0.0.1:80'),
    is: { authority: '127.0.0.1:80' },
  },
  { name: 'a Host that is an IPv6 address', text: to(' [::1]:80'), is: { authority: '[::1]:80' } },
  { name: 'a Host without white space before it', text: to('a'), is: { authority: 'a' } },
  {
    name: 'HTTP/1.0 without Host',
    text: 'GET / HTTP/1.0\n\n',
    is: { minorVersion: 0, authority: '', persistent: false },
  },
  {
    name: 'HTTP/1.0 with an empty Host',
    text: 'GET / HTTP/1.0\nHost:\n\n',
    is: { authority: '' },
  },
  {
    name: 'HTTP/1.0 with absolute-form and without Host',
    text: 'GET http://a:81/ HTTP/1.0\n\n',
    is: { authority: 'a:81' },
  },
  {
    name: 'HTTP/1.0 that asks to stay',
    text: 'GET / HTTP/1.0\nHost: a\nConnection: Keep-Alive\n\n',
    is: { persistent: true, connectionOptions: ['keep-alive'] },
  },
  {
    name: 'HTTP/1.0 with a body',
    text: 'POST / HTTP/1.0\nContent-Length: 2\n\nhi',
    is: { body: 'hi' },
  },
  {
    name: 'HTTP/1.1 that asks to close',
    text: get('Connection: close\n'),
    is: { persistent: false, connectionOptions: ['close'] },
  },
  {
    name: 'close beside keep-alive',
    text: get('Connection: keep-alive\nConnection: CLOSE\n'),
    is: { persistent: false, connectionOptions: ['keep-alive', 'close'] },
  },
  {
    name: 'a list of connection options with empty elements',
    text: get('Connection: , X-A ,,\tte,\n'),
    is: { persistent: true, connectionOptions: ['x-a', 'te'] },
  },
  {
    name: 'an empty Connection',
    text: get('Connection:\n'),
    is: { connectionOptions: [], persistent: true },
  },
  {
    name: 'an upgrade',
    text: get('Connection: Upgrade\nUpgrade: TLS/1.0\n'),
    is: { upgrade: 'TLS/1.0', connectionOptions: ['upgrade'] },
  },
  {
    name: 'an Upgrade that Connection does not list as none',
    text: get('Upgrade: websocket\n'),
    is: { upgrade: undefined },
  },
  {
    name: 'an upgrade of HTTP/1.0 as none',
    text: 'GET / HTTP/1.0\nConnection: upgrade\nUpgrade: websocket\n\n',
    is: { upgrade: undefined },
  },
  {
    name: 'Expect: 100-continue before a body',
    text: 'POST / HTTP/1.1\nHost: a\nExpect: 100-Continue\nContent-Length: 1\n\nx',
    is: { expectsContinue: true, body: 'x' },
  },
  {
    name: 'Expect: 100-continue before a chunked body',
    text: 'POST / HTTP/1.1\nHost: a\nExpect: 100-continue\nTransfer-Encoding: chunked\n\n0\n\n',
    is: { expectsContinue: true },
  },
  {
    name: 'Expect: 100-continue without a body as nothing to wait for',
    text: get('Expect: 100-continue\n'),
    is: { expectsContinue: false },
  },
  {
    name: 'Expect: 100-continue of HTTP/1.0 as nothing to wait for',
    text: 'POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 1\n\nx',
    is: { expectsContinue: false },
  },
  {
    name: 'up to four empty lines before a request',
    text: `\n\n\n\n${get('')}`,
    is: { path: '/' },
  },
]

/** Name, the bytes, the code, and its status unless that is 400. */
export type RefusedRequest = readonly [name: string, text: string, code: string, status?: number]

export const refusedRequests: RefusedRequest[] = [
  // The request line.
  ['HTTP/0.9', 'GET /\n', 'request_line_malformed'],
  ['HTTP/0.9 with a space', 'GET / \n', 'request_line_malformed'],
  ['a request line that is one word', 'GET\n', 'request_line_malformed'],
  ['two spaces before the target', 'GET  / HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['two spaces before the version', 'GET /  HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a space in the target', 'GET /a b HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a space after the version', 'GET / HTTP/1.1 \nHost: a\n\n', 'request_line_malformed'],
  ['a space before the method', ' GET / HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a tab in place of a space', 'GET\t/ HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a method that is no token', 'G(T / HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a byte above ASCII in the method', 'G\xc9T / HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['an empty method', ' / HTTP/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a version in lower case', 'GET / http/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a version of another protocol', 'GET / HTTPS/1.1\nHost: a\n\n', 'request_line_malformed'],
  ['a version with two digits', 'GET / HTTP/1.10\nHost: a\n\n', 'request_line_malformed'],
  ['a version with a leading zero', 'GET / HTTP/01.1\nHost: a\n\n', 'request_line_malformed'],
  ['a version without a minor one', 'GET / HTTP/1\nHost: a\n\n', 'request_line_malformed'],
  ['a bare CR in the request line', 'GET /␍ HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a bare CR for the line end', 'GET / HTTP/1.1␍Host: a\n\n', 'request_line_malformed'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03␊', 'line_ending_malformed'],
  ['more than four empty lines', `\n\n\n\n\n${get('')}`, 'request_line_malformed'],
  ['a bare LF before the request', `␊${get('')}`, 'line_ending_malformed'],
  ['a CR before the request', `␍${get('')}`, 'request_line_malformed'],
  ['HTTP/1.2', 'GET / HTTP/1.2\nHost: a\n\n', 'version_unsupported', 505],
  ['HTTP/2.0 in a request line', 'GET / HTTP/2.0\nHost: a\n\n', 'version_unsupported', 505],
  ['HTTP/0.9 by name', 'GET / HTTP/0.9\nHost: a\n\n', 'version_unsupported', 505],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\n\nSM\n\n', 'version_unsupported', 505],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\nHost: a:443\n\n', 'method_not_allowed', 405],
  ['TRACE', 'TRACE / HTTP/1.1\nHost: a\n\n', 'method_not_allowed', 405],
  [
    'TRACE with a body',
    'TRACE / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello',
    'method_not_allowed',
    405,
  ],
  [
    'TRACE with a chunked body',
    'TRACE / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n',
    'method_not_allowed',
    405,
  ],
  [
    'CONNECT with a body',
    'CONNECT a:443 HTTP/1.1\nHost: a:443\nContent-Length: 5\n\nhello',
    'method_not_allowed',
    405,
  ],
  ['connect in lower case', 'connect a:443 HTTP/1.1\nHost: a:443\n\n', 'method_not_allowed', 405],
  ['Trace in mixed case', 'Trace / HTTP/1.1\nHost: a\n\n', 'method_not_allowed', 405],
  // The target.
  ['a fragment', 'GET /#a HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a fragment in absolute-form', 'GET http://a/#b HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a byte above ASCII in the target', 'GET /\xe9 HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a control character in the target', 'GET /\x01 HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['DEL in the target', 'GET /\x7f HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['NUL in the target', 'GET /␀ HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a tab in the target', 'GET /\t HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a relative target', 'GET a HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a target that is only a query', 'GET ?a HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['authority-form', 'GET a:80 HTTP/1.1\nHost: a:80\n\n', 'target_malformed'],
  ['asterisk-form with GET', 'GET * HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  [
    'asterisk-form with options in lower case',
    'options * HTTP/1.1\nHost: a\n\n',
    'target_malformed',
  ],
  ['more than an asterisk', 'OPTIONS *a HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['absolute-form of another scheme', 'GET ftp://a/ HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['absolute-form with one slash', 'GET http:/a/ HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['absolute-form without an authority', 'GET http:/// HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['userinfo in absolute-form', 'GET http://u@a/ HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  ['a backslash in the authority', 'GET http://a\\b/ HTTP/1.1\nHost: a\n\n', 'target_malformed'],
  [
    'an open bracket in the authority',
    'GET http://[::1/ HTTP/1.1\nHost: a\n\n',
    'target_malformed',
  ],
  // Host.
  ['HTTP/1.1 without Host', 'GET / HTTP/1.1\n\n', 'host_missing'],
  ['HTTP/1.1 with absolute-form and without Host', 'GET http://a/ HTTP/1.1\n\n', 'host_missing'],
  ['an empty Host', to(''), 'host_malformed'],
  ['a blank Host', to(' \t '), 'host_malformed'],
  ['two Hosts', get('Host: b\n'), 'host_ambiguous'],
  ['one Host twice', get('Host: a\n'), 'host_ambiguous'],
  ['two Hosts in different case', get('hOST: b\n'), 'host_ambiguous'],
  ['an empty Host beside another', get('Host:\n'), 'host_ambiguous'],
  ['two empty Hosts', `${to('').slice(0, -1)}Host:\n\n`, 'host_ambiguous'],
  ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\nHost: a\nHost: b\n\n', 'host_ambiguous'],
  ['two Hosts in one field', to(' a, b'), 'host_ambiguous'],
  ['two Hosts in one field without white space', to(' a,b'), 'host_ambiguous'],
  ['a space in Host', to(' a b'), 'host_malformed'],
  ['a tab in Host', to(' a\tb'), 'host_malformed'],
  ['userinfo in Host', to(' u@a'), 'host_malformed'],
  ['userinfo with a password in Host', to(' u:p@a'), 'host_malformed'],
  ['a path in Host', to(' a/b'), 'host_malformed'],
  ['a query in Host', to(' a?b'), 'host_malformed'],
  ['a fragment in Host', to(' a#b'), 'host_malformed'],
  ['a backslash in Host', to(' a\\b'), 'host_malformed'],
  ['a URL in Host', to(' http://a'), 'host_malformed'],
  ['a byte above ASCII in Host', to(' \xe9'), 'host_malformed'],
  ['a port that is no number', to(' a:b'), 'host_malformed'],
  ['a port above 65535', to(' a:65536'), 'host_malformed'],
  ['an empty port', to(' a:'), 'host_malformed'],
  ['a port and no host', to(' :80'), 'host_malformed'],
  ['two ports', to(' a:80:80'), 'host_malformed'],
  ['an IPv6 address without brackets', to(' ::1'), 'host_malformed'],
  [
    'a Host that differs from absolute-form',
    'GET http://a/ HTTP/1.1\nHost: b\n\n',
    'host_mismatch',
  ],
  [
    'a port that differs from absolute-form',
    'GET http://a:1/ HTTP/1.1\nHost: a:2\n\n',
    'host_mismatch',
  ],
  [
    'the default port of the other scheme',
    'GET http://a:443/ HTTP/1.1\nHost: a\n\n',
    'host_mismatch',
  ],
  [
    'an empty Host and absolute-form in HTTP/1.0',
    'GET http://a/ HTTP/1.0\nHost:\n\n',
    'host_mismatch',
  ],
  ['a Host that differs in HTTP/1.0', 'GET http://a/ HTTP/1.0\nHost: b\n\n', 'host_mismatch'],
  // Fields.
  ['a space before the colon', get('X : b\n'), 'field_malformed'],
  ['a tab before the colon', get('X\t: b\n'), 'field_malformed'],
  ['a field without a colon', get('X\n'), 'field_malformed'],
  ['a field without a name', get(': b\n'), 'field_malformed'],
  ['a name with a space', get('X Y: b\n'), 'field_malformed'],
  ['a name with a slash', get('X/Y: b\n'), 'field_malformed'],
  ['a name with brackets', get('X[0]: b\n'), 'field_malformed'],
  ['a name with a quote', get('"X": b\n'), 'field_malformed'],
  ['a name with a byte above ASCII', get('X\xe9: b\n'), 'field_malformed'],
  ['a name with NUL', get('X␀: b\n'), 'field_malformed'],
  ['a name with a bare CR', get('X␍: b\n'), 'field_malformed'],
  ['NUL in a value', get('X: a␀b\n'), 'field_malformed'],
  ['a bare CR in a value', get('X: a␍b\n'), 'field_malformed'],
  ['a bare CR before the line end', get('X: a␍\n'), 'field_malformed'],
  ['a control character in a value', get('X: a\x01\n'), 'field_malformed'],
  ['a vertical tab in a value', get('X: a\x0bb\n'), 'field_malformed'],
  ['a form feed around a value', get('X: \x0cb\n'), 'field_malformed'],
  ['ESC in a value', get('X: \x1b[0m\n'), 'field_malformed'],
  ['DEL in a value', get('X: a\x7f\n'), 'field_malformed'],
  ['a folded field', get('X: a\n b\n'), 'field_folded'],
  ['a field folded with a tab', get('X: a\n\tb\n'), 'field_folded'],
  ['a folded first field', 'GET / HTTP/1.1\n Host: a\n\n', 'field_folded'],
  ['a line of white space for the empty line', 'GET / HTTP/1.1\nHost: a\n \n\n', 'field_folded'],
  ['a bare LF after the request line', 'GET / HTTP/1.1␊Host: a\n\n', 'line_ending_malformed'],
  ['a bare LF after a field', 'GET / HTTP/1.1\nHost: a␊X: b\n\n', 'line_ending_malformed'],
  ['a bare LF for the empty line', 'GET / HTTP/1.1\nHost: a\n␊', 'line_ending_malformed'],
  ['bare LFs only', 'GET / HTTP/1.1␊Host: a␊␊', 'line_ending_malformed'],
  ['a bare CR for the empty line', 'GET / HTTP/1.1\nHost: a\n␍X: b\n\n', 'field_malformed'],
  // Content-Length and Transfer-Encoding.
  [
    'Content-Length before chunked',
    get('Content-Length: 5\nTransfer-Encoding: chunked\n'),
    'framing_ambiguous',
  ],
  [
    'Content-Length after chunked',
    get('Transfer-Encoding: chunked\nContent-Length: 5\n'),
    'framing_ambiguous',
  ],
  [
    'Content-Length 0 beside chunked',
    get('Content-Length: 0\nTransfer-Encoding: chunked\n'),
    'framing_ambiguous',
  ],
  [
    'an empty Content-Length beside chunked',
    get('Content-Length:\nTransfer-Encoding: chunked\n'),
    'framing_ambiguous',
  ],
  [
    'Content-Length beside another coding',
    get('Content-Length: 5\nTransfer-Encoding: gzip\n'),
    'framing_ambiguous',
  ],
  [
    'Content-Length beside an empty Transfer-Encoding',
    get('Content-Length: 5\nTransfer-Encoding:\n'),
    'framing_ambiguous',
  ],
  ['two different lengths', get('Content-Length: 5\nContent-Length: 6\n'), 'framing_ambiguous'],
  ['one length twice', get('Content-Length: 5\ncontent-length: 5\n'), 'framing_ambiguous'],
  ['two lengths in one field', get('Content-Length: 5, 5\n'), 'framing_ambiguous'],
  ['a trailing comma in Content-Length', get('Content-Length: 5,\n'), 'framing_ambiguous'],
  ['an empty Content-Length', get('Content-Length:\n'), 'content_length_malformed'],
  ['a sign in Content-Length', get('Content-Length: +5\n'), 'content_length_malformed'],
  ['a negative Content-Length', get('Content-Length: -5\n'), 'content_length_malformed'],
  ['a hexadecimal Content-Length', get('Content-Length: 0x5\n'), 'content_length_malformed'],
  ['a fraction in Content-Length', get('Content-Length: 5.0\n'), 'content_length_malformed'],
  ['an exponent in Content-Length', get('Content-Length: 1e3\n'), 'content_length_malformed'],
  ['a separator in Content-Length', get('Content-Length: 1_0\n'), 'content_length_malformed'],
  ['white space in Content-Length', get('Content-Length: 1 0\n'), 'content_length_malformed'],
  ['letters after Content-Length', get('Content-Length: 5a\n'), 'content_length_malformed'],
  ['a quoted Content-Length', get('Content-Length: "5"\n'), 'content_length_malformed'],
  [
    'digits of another script in Content-Length',
    get('Content-Length: \xb2\n'),
    'content_length_malformed',
  ],
  [
    'a Content-Length above 2^53-1',
    get('Content-Length: 9007199254740992\n'),
    'content_length_malformed',
  ],
  [
    'a Content-Length above 2^64',
    get('Content-Length: 18446744073709551621\n'),
    'content_length_malformed',
  ],
  [
    'a Content-Length of 17 zeros',
    get('Content-Length: 00000000000000000\n'),
    'content_length_malformed',
  ],
  ['gzip, chunked', get('Transfer-Encoding: gzip, chunked\n'), 'transfer_encoding_unsupported'],
  ['chunked, gzip', get('Transfer-Encoding: chunked, gzip\n'), 'transfer_encoding_unsupported'],
  [
    'chunked twice',
    get('Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n'),
    'transfer_encoding_unsupported',
  ],
  [
    'chunked twice in one field',
    get('Transfer-Encoding: chunked, chunked\n'),
    'transfer_encoding_unsupported',
  ],
  [
    'chunked and identity',
    get('Transfer-Encoding: chunked\nTransfer-Encoding: identity\n'),
    'transfer_encoding_unsupported',
  ],
  ['identity', get('Transfer-Encoding: identity\n'), 'transfer_encoding_unsupported'],
  ['xchunked', get('Transfer-Encoding: xchunked\n'), 'transfer_encoding_unsupported'],
  ['chunkedx', get('Transfer-Encoding: chunkedx\n'), 'transfer_encoding_unsupported'],
  [
    'chunked with a parameter',
    get('Transfer-Encoding: chunked;a=b\n'),
    'transfer_encoding_unsupported',
  ],
  ['quoted chunked', get('Transfer-Encoding: "chunked"\n'), 'transfer_encoding_unsupported'],
  ['chunked before a comma', get('Transfer-Encoding: chunked,\n'), 'transfer_encoding_unsupported'],
  ['chunked after a comma', get('Transfer-Encoding: ,chunked\n'), 'transfer_encoding_unsupported'],
  ['chunked after a vertical tab', get('Transfer-Encoding: \x0bchunked\n'), 'field_malformed'],
  [
    'chunked that only looks so in another alphabet',
    get('Transfer-Encoding: chun\xe9ed\n'),
    'transfer_encoding_unsupported',
  ],
  ['an empty Transfer-Encoding', get('Transfer-Encoding:\n'), 'transfer_encoding_unsupported'],
  [
    'chunked in HTTP/1.0',
    'POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n',
    'framing_ambiguous',
  ],
  [
    'Transfer-Encoding with a space before the colon',
    get('Transfer-Encoding : chunked\n'),
    'field_malformed',
  ],
  // Connection and Expect.
  ['a connection option that is no token', get('Connection: a b\n'), 'connection_malformed'],
  ['a quoted connection option', get('Connection: "close"\n'), 'connection_malformed'],
  [
    'more than 32 connection options',
    get(`Connection: ${'a,'.repeat(33)}\n`),
    'connection_malformed',
  ],
  ['an unknown expectation', get('Expect: tea\n'), 'expectation_unsupported', 417],
  [
    '100-continue beside another expectation',
    get('Expect: 100-continue, tea\n'),
    'expectation_unsupported',
    417,
  ],
  ['an empty Expect', get('Expect:\n'), 'expectation_unsupported', 417],
  // Chunks.
  ['an empty chunk size', post('\n'), 'chunk_malformed'],
  ['a chunk size with a sign', post('+3\nabc\n0\n\n'), 'chunk_malformed'],
  ['a negative chunk size', post('-3\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size with 0x', post('0x3\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size after a space', post(' 3\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size before a space', post('3 \nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size before a tab', post('3\t\nabc\n0\n\n'), 'chunk_malformed'],
  ['a space before a chunk extension', post('3 ;a\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size that is no hexadecimal digit', post('g\nabc\n0\n\n'), 'chunk_malformed'],
  ['a separator in a chunk size', post('1_0\nabc\n0\n\n'), 'chunk_malformed'],
  ['a letter after @ in a chunk size', post('`\nabc\n0\n\n'), 'chunk_malformed'],
  ['NUL in a chunk size', post('3␀\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size of 17 digits', post('00000000000000003\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk size above 2^53-1', post('20000000000000\n'), 'chunk_malformed'],
  [
    'a chunk size that would wrap at 64 bits',
    post('10000000000000003\nabc\n0\n\n'),
    'chunk_malformed',
  ],
  [
    'a chunk size that would wrap at 32 bits',
    post('fffffffffffffff3\nabc\n0\n\n'),
    'chunk_malformed',
  ],
  ['a bare LF after a chunk size', post('3␊abc\n0\n\n'), 'chunk_malformed'],
  ['a bare CR after a chunk size', post('3␍abc\n0\n\n'), 'chunk_malformed'],
  ['another byte for the LF after a chunk size', post('3␍Xabc\n0\n\n'), 'chunk_malformed'],
  ['another byte for the CR after chunk data', post('3\nabc ␊0\n\n'), 'chunk_malformed'],
  ['another byte for the LF after chunk data', post('3\nabc␍ 0\n\n'), 'chunk_malformed'],
  ['a bare LF after chunk data', post('3\nabc␊0\n\n'), 'chunk_malformed'],
  ['a bare CR after chunk data', post('3\nabc␍0\n\n'), 'chunk_malformed'],
  ['chunk data longer than its size', post('3\nabcd\n0\n\n'), 'chunk_malformed'],
  ['chunk data shorter than its size', post('3\nab\n0\n\n'), 'chunk_malformed'],
  ['a chunk that follows without a line end', post('3\nabc3\nabc\n0\n\n'), 'chunk_malformed'],
  ['a bare LF after the last chunk', post('0␊\n'), 'chunk_malformed'],
  ['a bare LF at the very end', post('0\n␊'), 'line_ending_malformed'],
  ['a chunk extension without a name', post('3;\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk extension with a control character', post('3;a=\x01\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk extension with a bare LF', post('3;a␊b\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk extension with a bare CR', post('3;a␍b\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk extension with an open quote', post('3;a="b\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk extension with white space', post('3;a = b\nabc\n0\n\n'), 'chunk_malformed'],
  ['a chunk extension without a value after =', post('3;a=\nabc\n0\n\n'), 'chunk_malformed'],
  ['a long chunk extension', post(`3;${'a'.repeat(256)}\nabc\n0\n\n`), 'chunk_head_too_large', 413],
  [
    'many chunk extensions',
    post(`1;${'a'.repeat(200)}\nb\n`.repeat(21)),
    'chunk_head_too_large',
    413,
  ],
  // Trailers.
  ...[
    'Content-Length: 0',
    'Transfer-Encoding: chunked',
    'Host: b',
    'Authorization: Basic YTpi',
    'Connection: close',
    'Cookie: a=b',
    'Set-Cookie: a=b',
    'Content-Type: text/plain',
    'Content-Encoding: gzip',
    'Trailer: X',
    'TE: trailers',
    'Upgrade: websocket',
    'Expect: 100-continue',
    'Proxy-Authorization: a',
    'Cache-Control: no-store',
    'hOsT: b',
  ].map((line): RefusedRequest => [
    `the trailer ${line}`,
    post(`0\n${line}\n\n`),
    'trailer_forbidden',
  ]),
  ['a trailer with a space before the colon', post('0\nX : b\n\n'), 'field_malformed'],
  ['a bad trailer before a good one', post('0\nX : b\nY: c\n\n'), 'field_malformed'],
  ['a forbidden trailer before a good one', post('0\nHost: b\nY: c\n\n'), 'trailer_forbidden'],
  ['a trailer without a colon', post('0\nX\n\n'), 'field_malformed'],
  ['a folded trailer', post('0\nX: a\n b\n\n'), 'field_folded'],
  ['a bare LF after a trailer', post('0\nX: a␊\n'), 'line_ending_malformed'],
  ['a control character in a trailer', post('0\nX: \x01\n\n'), 'field_malformed'],
]

/** What a bound lets pass, and one more than that. */
export interface BoundOfRequests {
  readonly name: string
  readonly limits: Partial<Http1Limits>
  readonly within: string
  readonly above: string
  readonly code: string
  readonly status: number
}

const lineOf = (bytes: number) =>
  `GET /${'a'.repeat(bytes - 'GET / HTTP/1.1\n\n'.length)} HTTP/1.1\n`

export const boundsOfRequests: BoundOfRequests[] = [
  {
    name: 'the request line',
    limits: { maxStartLineBytes: 100 },
    within: `${lineOf(100)}Host: a\n\n`,
    above: `${lineOf(101)}Host: a\n\n`,
    code: 'request_line_too_long',
    status: 414,
  },
  {
    name: 'the request line by default',
    limits: {},
    within: `${lineOf(8_192)}Host: a\n\n`,
    above: `${lineOf(8_193)}Host: a\n\n`,
    code: 'request_line_too_long',
    status: 414,
  },
  {
    name: 'a request line that never ends',
    limits: {},
    within: lineOf(8_192).slice(0, -1),
    above: lineOf(20_000).slice(0, -1),
    code: 'request_line_too_long',
    status: 414,
  },
  {
    name: 'the head',
    limits: {},
    within: get(`X: ${'a'.repeat(16_384 - 32)}\n`),
    above: get(`X: ${'a'.repeat(16_384 - 31)}\n`),
    code: 'head_too_large',
    status: 431,
  },
  {
    name: 'a field that never ends',
    limits: {},
    within: get(`X: ${'a'.repeat(10_000)}`).slice(0, -1),
    above: get(`X: ${'a'.repeat(20_000)}`).slice(0, -1),
    code: 'head_too_large',
    status: 431,
  },
  {
    name: 'the number of fields',
    limits: {},
    within: get('X: b\n'.repeat(127)),
    above: get('X: b\n'.repeat(128)),
    code: 'too_many_fields',
    status: 431,
  },
  {
    name: 'the bytes of trailers',
    limits: {},
    within: post(`0\nX: ${'a'.repeat(4_096 - 7)}\n\n`),
    above: post(`0\nX: ${'a'.repeat(4_096 - 6)}\n\n`),
    code: 'trailers_too_large',
    status: 431,
  },
  {
    name: 'the number of trailers',
    limits: {},
    within: post(`0\n${'X: b\n'.repeat(128)}\n`),
    above: post(`0\n${'X: b\n'.repeat(129)}\n`),
    code: 'too_many_fields',
    status: 431,
  },
  {
    name: 'the head of a chunk',
    limits: {},
    within: post(`1;${'a'.repeat(254)}\nb\n0\n\n`),
    above: post(`1;${'a'.repeat(255)}\nb\n0\n\n`),
    code: 'chunk_head_too_large',
    status: 413,
  },
  {
    name: 'the chunk extensions of a message',
    limits: { maxChunkExtensionBytes: 100 },
    within: post(`${`1;${'a'.repeat(9)}\nb\n`.repeat(10)}0\n\n`),
    above: post(`${`1;${'a'.repeat(9)}\nb\n`.repeat(10)}0;a\n\n`),
    code: 'chunk_head_too_large',
    status: 413,
  },
  {
    name: 'empty lines before a request',
    limits: { maxLeadingEmptyLines: 1 },
    within: `\n${get('')}`,
    above: `\n\n${get('')}`,
    code: 'request_line_malformed',
    status: 400,
  },
]
