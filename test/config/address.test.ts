import assert from 'node:assert/strict'
import { PosternError } from '../../src/core/errors.ts'
import { formatAddress, isLocal, parseAddress } from '../../src/config/address.ts'

describe('parseAddress', () => {
  const good: Readonly<Record<string, unknown>> = {
    '127.0.0.1:8080': { kind: 'tcp', host: '127.0.0.1', port: 8080 },
    '0.0.0.0:0': { kind: 'tcp', host: '0.0.0.0', port: 0 },
    '[::1]:65535': { kind: 'tcp', host: '::1', port: 65_535 },
    '[2001:DB8::1]:443': { kind: 'tcp', host: '2001:db8::1', port: 443 },
    'Billing.Corp.example:8443': { kind: 'tcp', host: 'billing.corp.example', port: 8443 },
    'localhost:80': { kind: 'tcp', host: 'localhost', port: 80 },
    'my_service.ns:80': { kind: 'tcp', host: 'my_service.ns', port: 80 },
    'unix:/run/app.sock': { kind: 'unix', path: '/run/app.sock' },
    'unix:///run/app.sock': { kind: 'unix', path: '/run/app.sock' },
  }
  for (const [text, address] of Object.entries(good)) {
    it(`reads ${text}`, () => assert.deepEqual(parseAddress(text), address))

    it(`reads ${text} again from its one spelling`, () => {
      assert.deepEqual(parseAddress(formatAddress(parseAddress(text))), address)
    })
  }

  const bad = [
    '',
    '8080',
    ':8080',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.0.0.1:80 ',
    '127.0.0.1:http',
    '010.0.0.1:80',
    '127.1:80',
    '2130706433:80',
    '0x7f.1:80',
    '0x7f000001:80',
    '256.0.0.1:80',
    '::1:80',
    '[::1]',
    '[127.0.0.1]:80',
    '[fe80::1%eth0]:80',
    'a..b:80',
    '-a:80',
    'user@host:80',
    'http://host:80',
    'host:80/path',
    'unix:run/app.sock',
    'unix://host/app.sock',
    'unix:/run/',
    'unix:/',
    `unix:/${'x'.repeat(107)}`,
    'unix:/a\0b',
  ]
  for (const text of bad) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      assert.throws(
        () => parseAddress(text),
        (thrown) => thrown instanceof PosternError && thrown.code === 'ERR_ADDRESS_INVALID',
      )
    })
  }

  it('takes the longest path of a socket', () => {
    assert.equal(parseAddress(`unix:/${'x'.repeat(106)}`).kind, 'unix')
  })
})

describe('isLocal', () => {
  const addresses: Readonly<Record<string, boolean>> = {
    '127.0.0.1:80': true,
    '127.8.9.10:80': true,
    '[::1]:80': true,
    '[0:0:0:0:0:0:0:1]:80': true,
    '[::ffff:127.0.0.1]:80': true,
    'localhost:80': true,
    'unix:/run/app.sock': true,
    '0.0.0.0:80': false,
    '128.0.0.1:80': false,
    '10.0.0.1:80': false,
    '[::]:80': false,
    '[::2]:80': false,
    '[1::1]:80': false,
    '[::ffff:10.0.0.1]:80': false,
    '127.0.0.1.example:80': false,
    'localhost.example:80': false,
  }
  for (const [text, expected] of Object.entries(addresses)) {
    it(`${text} is ${expected ? '' : 'not '}local`, () => {
      assert.equal(isLocal(parseAddress(text)), expected)
    })
  }
})
