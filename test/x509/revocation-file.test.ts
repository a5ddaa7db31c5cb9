import assert from 'node:assert/strict'
import { finish } from '../../src/core/steps.ts'
import { readRevocationFile } from '../../src/x509/revocation-file.ts'
import { toPem } from '../support/revocation-list-writer.ts'
import { TestCa } from '../support/test-ca.ts'

describe('a file of revocation lists', () => {
  let der: Buffer
  let pem: string

  before(async () => {
    const ca = await TestCa.root('partner-b')
    // More than one step of the decoder.
    const entries = Array.from({ length: 3_000 }, (_, i) => ({ serial: (1n << 100n) + BigInt(i) }))
    der = ca.revocationList([], { entries })
    pem = toPem(der)
  })

  const read = (text: string | Buffer) => finish(readRevocationFile(Buffer.from(text)))
  const sizes = (text: string | Buffer) => read(text).map((list) => list.size)

  const good: { name: string; text: () => string | Buffer; lists?: number }[] = [
    { name: 'DER', text: () => der },
    { name: 'PEM', text: () => pem },
    { name: 'PEM with several lists', text: () => pem + pem, lists: 2 },
    { name: 'text around it, as OpenSSL writes it', text: () => `Issuer: CN=x\n${pem}\nbye\n` },
    { name: 'line ends of Windows', text: () => pem.replaceAll('\n', '\r\n') },
    { name: 'no line ends', text: () => oneLine(pem) },
    { name: 'a byte order mark', text: () => `\uFEFF${pem}` },
    {
      name: 'much white space at the end',
      text: () => pem.replace('-----END', `${' '.repeat(2e5)}-----END`),
    },
  ]
  for (const { name, text, lists = 1 } of good) {
    it(`is read: ${name}`, () =>
      assert.deepEqual(
        sizes(text()),
        Array.from({ length: lists }, () => 3_000),
      ))
  }

  const bad: { name: string; text: () => string | Buffer; says: RegExp }[] = [
    { name: 'nothing', text: () => '', says: /neither DER nor PEM/ },
    { name: 'a web page', text: () => '<html>504</html>', says: /neither DER nor PEM/ },
    { name: 'DER that is cut off', text: () => der.subarray(0, -5), says: /cut off/ },
    { name: 'PEM that is cut off', text: () => pem.slice(0, -40), says: /block 1 does not end/ },
    {
      name: 'a second block that is none',
      text: () => `${pem}-----BEGIN X509 CRL-----\n`,
      says: /block 2/,
    },
    {
      name: 'a certificate',
      text: () => pem.replaceAll('X509 CRL', 'CERTIFICATE'),
      says: /X509 CRL/,
    },
    {
      name: 'a private key beside it',
      text: () => `${pem}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n`,
      says: /^(?!.*c2Vj).*block 2/,
    },
    {
      name: 'a character that is not base64',
      text: () => pem.replace('\nM', '\n!'),
      says: /base64/,
    },
    {
      name: 'filling in the middle',
      text: () => pem.replace(/\n(.{10})../, '\n$1=='),
      says: /base64|parse/,
    },
    {
      name: 'a character too few',
      text: () => pem.replace(/.\n-----END/, '\n-----END'),
      says: /base64/,
    },
    { name: '65 lists', text: () => pem.repeat(65), says: /more than 64/ },
    { name: '25 MiB', text: () => Buffer.alloc(25 * 1024 * 1024, 0x30), says: /24 MiB/ },
  ]
  for (const { name, text, says } of bad) {
    it(`is refused: ${name}`, () => assert.throws(() => read(text()), { message: says }))
  }
})

function oneLine(pem: string): string {
  return pem.replace(/\n(?=[A-Za-z0-9+/=])/g, '').replace(/\n(?=-----END)/, '')
}
