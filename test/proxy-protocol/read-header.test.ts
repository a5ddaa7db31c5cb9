import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { ProxyHeader } from '../../src/proxy-protocol/header.ts'
import { readProxyHeader } from '../../src/proxy-protocol/read-header.ts'

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const four = Buffer.from('c0000201c000020200501f90', 'hex')
const six = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from('00501f90', 'hex'),
])

/** A header of version 2; `length` is what it says of itself. */
function version2(command: number, transport: number, rest: Buffer, length = rest.length): Buffer {
  const fixed = Buffer.from([command, transport, length >> 8, length & 0xff])
  return Buffer.concat([signature, fixed, rest])
}

function extension(type: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([type, 0, value.length]), Buffer.from(value)])
}

/** In words: `proxied 192.0.2.1 80`, `own`, `malformed` or `incomplete`. */
function said(header: ProxyHeader): string {
  if (header.kind !== 'proxied') return header.kind
  return `proxied ${header.client.address.toString()} ${header.client.port}`
}

const tcp4 = 'PROXY TCP4 192.0.2.1 192.0.2.2 80 8080\r\n'

const good: readonly { name: string; bytes: Buffer | string; says: string }[] = [
  { name: 'version 1, IPv4', bytes: tcp4, says: 'proxied 192.0.2.1 80' },
  {
    name: 'version 1, IPv6',
    bytes: 'PROXY TCP6 2001:db8::1 2001:db8::2 80 8080\r\n',
    says: 'proxied 2001:db8::1 80',
  },
  {
    name: 'version 1, the longest addresses and ports',
    bytes: `PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`,
    says: `proxied ${'ffff:'.repeat(7)}ffff 65535`,
  },
  {
    name: 'version 1, IPv4 written as IPv6',
    bytes: 'PROXY TCP6 ::ffff:192.0.2.1 ::1 80 8080\r\n',
    says: 'proxied 192.0.2.1 80',
  },
  { name: 'version 1, UNKNOWN', bytes: 'PROXY UNKNOWN\r\n', says: 'own' },
  {
    name: 'version 1, UNKNOWN with anything behind it',
    bytes: 'PROXY UNKNOWN ffff::1 who knows\r\n',
    says: 'own',
  },
  { name: 'version 2, IPv4', bytes: version2(0x21, 0x11, four), says: 'proxied 192.0.2.1 80' },
  { name: 'version 2, IPv6', bytes: version2(0x21, 0x21, six), says: 'proxied 2001:db8::1 80' },
  {
    name: 'version 2 with extensions',
    bytes: version2(
      0x21,
      0x11,
      Buffer.concat([four, extension(0x01, 'h2'), extension(0x02, 'api.example')]),
    ),
    says: 'proxied 192.0.2.1 80',
  },
  { name: 'version 2, LOCAL', bytes: version2(0x20, 0x00, Buffer.alloc(0)), says: 'own' },
  {
    name: 'version 2, LOCAL with addresses that have to be ignored',
    bytes: version2(0x20, 0x11, four),
    says: 'own',
  },
  { name: 'version 2, unspecified', bytes: version2(0x21, 0x00, Buffer.alloc(0)), says: 'own' },
  { name: 'version 2, a Unix socket', bytes: version2(0x21, 0x31, Buffer.alloc(216)), says: 'own' },
  {
    name: 'version 2, as long as is taken',
    bytes: version2(
      0x21,
      0x11,
      Buffer.concat([four, Buffer.from([4, 0x0f, 0xf1]), Buffer.alloc(4_081)]),
    ),
    says: 'proxied 192.0.2.1 80',
  },
]

const bad: readonly { name: string; bytes: Buffer | string }[] = [
  { name: 'a TLS handshake', bytes: Buffer.from('16030100', 'hex') },
  { name: 'a request', bytes: 'GET / HTTP/1.1\r\n' },
  { name: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n' },
  { name: 'version 1 in lower case', bytes: 'proxy TCP4 192.0.2.1 192.0.2.2 80 8080\r\n' },
  { name: 'version 1 with a bare LF', bytes: tcp4.replace('\r', '') },
  { name: 'version 1 with CR only', bytes: tcp4.replace('\n', '').padEnd(120, 'x') },
  { name: 'version 1 with two spaces', bytes: tcp4.replace('TCP4 ', 'TCP4  ') },
  { name: 'version 1 with a tab', bytes: tcp4.replace('TCP4 ', 'TCP4\t') },
  { name: 'version 1 with a space at its end', bytes: tcp4.replace('\r', ' \r') },
  { name: 'version 1 with a word too few', bytes: tcp4.replace(' 8080', '') },
  { name: 'version 1 with a word too many', bytes: tcp4.replace(' 8080', ' 8080 1') },
  { name: 'version 1 of UDP', bytes: tcp4.replace('TCP4', 'UDP4') },
  { name: 'version 1, IPv6 in TCP4', bytes: tcp4.replace('192.0.2.1', '::1') },
  { name: 'version 1, IPv4 in TCP6', bytes: tcp4.replace('TCP4', 'TCP6') },
  { name: 'version 1, a bad destination', bytes: tcp4.replace('192.0.2.2', '192.0.2.256') },
  { name: 'version 1, a name for an address', bytes: tcp4.replace('192.0.2.1', 'localhost') },
  { name: 'version 1, a port above 65535', bytes: tcp4.replace(' 80 ', ' 65536 ') },
  { name: 'version 1, a port with a zero in front', bytes: tcp4.replace(' 80 ', ' 080 ') },
  { name: 'version 1, a signed port', bytes: tcp4.replace(' 80 ', ' +80 ') },
  { name: 'version 1, no port', bytes: tcp4.replace(' 80 ', '  ') },
  { name: 'version 1 of 108 bytes', bytes: `PROXY UNKNOWN ${'x'.repeat(92)}\r\n` },
  { name: 'version 1 without an end', bytes: 'PROXY '.padEnd(107, 'x') },
  {
    name: 'version 2 with a wrong signature',
    bytes: Buffer.from('0d0a0d0a000d0a515549540b', 'hex'),
  },
  { name: 'version 3', bytes: version2(0x31, 0x11, four) },
  { name: 'version 1 in the form of 2', bytes: version2(0x11, 0x11, four) },
  { name: 'an unknown command', bytes: version2(0x22, 0x11, four) },
  { name: 'datagrams', bytes: version2(0x21, 0x12, four) },
  { name: 'an unknown family', bytes: version2(0x21, 0x41, four) },
  { name: 'addresses that are cut short', bytes: version2(0x21, 0x11, four.subarray(1)) },
  { name: 'IPv4 addresses for IPv6', bytes: version2(0x21, 0x21, four) },
  {
    name: 'half an extension',
    bytes: version2(0x21, 0x11, Buffer.concat([four, Buffer.from([4, 0])])),
  },
  {
    name: 'an extension that is longer than the header',
    bytes: version2(0x21, 0x11, Buffer.concat([four, Buffer.from([4, 0, 9, 1])])),
  },
  { name: 'a header of 4,097 bytes', bytes: version2(0x21, 0x11, Buffer.alloc(0), 4_097) },
  { name: 'a header of 65,535 bytes', bytes: version2(0x20, 0x00, Buffer.alloc(0), 65_535) },
]

describe('readProxyHeader', () => {
  for (const { name, bytes, says } of good) {
    it(`reads ${name}, in any number of pieces`, () => {
      const whole = Buffer.from(bytes)
      for (let length = 0; length < whole.length; length++) {
        assert.equal(said(readProxyHeader(whole.subarray(0, length))), 'incomplete', `${length}`)
      }
      const followed = readProxyHeader(Buffer.concat([whole, Buffer.from('\x16\x03\x01')]))
      assert.equal(said(followed), says)
      assert.ok('length' in followed)
      assert.equal(followed.length, whole.length)
    })
  }

  for (const { name, bytes } of bad) {
    it(`refuses ${name}`, () => {
      assert.equal(said(readProxyHeader(Buffer.from(bytes))), 'malformed')
    })
  }

  it('waits for no more bytes than its bound, and never throws', () => {
    const beginning = fc.constantFrom(Buffer.from('PROXY '), signature, Buffer.alloc(0))
    fc.assert(
      fc.property(beginning, fc.uint8Array({ maxLength: 300 }), (front, back) => {
        const header = readProxyHeader(Buffer.concat([front, back]))
        if (header.kind === 'proxied' || header.kind === 'own') {
          assert.ok(header.length <= front.length + back.length)
        }
      }),
      { numRuns: 2_000 },
    )
    const most = Buffer.concat([version2(0x21, 0x11, four, 4_096), Buffer.alloc(4_096)])
    assert.notEqual(readProxyHeader(most.subarray(0, 4_112)).kind, 'incomplete')
  })
})
