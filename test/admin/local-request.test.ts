import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { refuseForeign } from '../../src/admin/local-request.ts'

const link = {
  'sec-fetch-site': 'cross-site',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
}

describe('refuseForeign', () => {
  const taken: readonly { name: string; headers: IncomingHttpHeaders }[] = [
    { name: 'localhost', headers: { host: 'localhost:9901' } },
    { name: 'a forwarded port', headers: { host: 'localhost:54321' } },
    { name: 'an IPv4 loopback address', headers: { host: '127.0.0.1:9901' } },
    { name: 'another one', headers: { host: '127.8.8.8' } },
    { name: 'the IPv6 loopback address', headers: { host: '[::1]:9901' } },
    { name: 'a name below localhost', headers: { host: 'postern.localhost:9901' } },
    { name: 'any letter case', headers: { host: 'LOCALHOST:9901' } },
    {
      name: 'our own page',
      headers: {
        host: 'localhost:9901',
        origin: 'http://localhost:9901',
        'sec-fetch-site': 'same-origin',
      },
    },
    { name: 'the address bar', headers: { host: 'localhost:9901', 'sec-fetch-site': 'none' } },
    { name: 'a link on another page', headers: { host: 'localhost:9901', ...link } },
  ]
  for (const { name, headers } of taken) {
    it(`takes ${name}`, () => assert.equal(refuseForeign(headers), undefined))
  }

  const refused: readonly { name: string; headers: IncomingHttpHeaders; why: RegExp }[] = [
    { name: 'no Host', headers: {}, why: /Host/ },
    { name: 'a name that was rebound', headers: { host: 'evil.example:9901' }, why: /Host/ },
    {
      name: 'a name that begins like ours',
      headers: { host: 'localhost.evil.example' },
      why: /Host/,
    },
    { name: 'one that ends like ours', headers: { host: 'notlocalhost' }, why: /Host/ },
    { name: 'a name of digits', headers: { host: '127.0.0.1.evil.example' }, why: /Host/ },
    { name: 'an address that is not loopback', headers: { host: '10.0.0.7:9901' }, why: /Host/ },
    { name: 'user info in the Host', headers: { host: 'evil@localhost' }, why: /Host/ },
    {
      name: 'a page of another origin',
      headers: { host: 'localhost:9901', origin: 'http://evil.example' },
      why: /Origin/,
    },
    {
      name: 'a page of another port of this machine',
      headers: { host: 'localhost:9901', origin: 'http://localhost:3000' },
      why: /Origin/,
    },
    {
      name: 'a page without an origin',
      headers: { host: 'localhost:9901', origin: 'null' },
      why: /Origin/,
    },
    {
      name: 'an image on another page',
      headers: {
        host: 'localhost:9901',
        'sec-fetch-site': 'cross-site',
        'sec-fetch-mode': 'no-cors',
      },
      why: /another site/,
    },
    {
      name: 'a frame in a page of another port',
      headers: {
        host: 'localhost:9901',
        ...link,
        'sec-fetch-site': 'same-site',
        'sec-fetch-dest': 'iframe',
      },
      why: /another site/,
    },
  ]
  for (const { name, headers, why } of refused) {
    it(`refuses ${name}`, () => assert.match(refuseForeign(headers) ?? '', why))
  }
})
