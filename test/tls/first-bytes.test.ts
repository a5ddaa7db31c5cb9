import assert from 'node:assert/strict'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { detectFirstBytes, type FirstBytes } from '../../src/tls/first-bytes.ts'

/** One buffer a byte. */
function bytesOf(text: string): Buffer[] {
  return Array.from(Buffer.from(text), (byte) => Buffer.of(byte))
}

const cases: { name: string; pieces: Buffer[]; kind: FirstBytes }[] = [
  { name: 'a TLS record', pieces: [Buffer.from([0x16, 3, 1, 0, 5])], kind: 'tls' },
  { name: 'a request', pieces: [Buffer.from('GET / HTTP/1.1\r\n')], kind: 'http/1.1' },
  {
    name: 'a method that begins like the preface',
    pieces: [Buffer.from('PRINT / ')],
    kind: 'http/1.1',
  },
  { name: 'POST, byte by byte', pieces: bytesOf('POST'), kind: 'http/1.1' },
  { name: 'the preface', pieces: [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')], kind: 'h2' },
  {
    name: 'the preface, byte by byte',
    pieces: bytesOf('PRI * HTTP/2.0'),
    kind: 'h2',
  },
  {
    name: 'an alert record, which begins nothing',
    pieces: [Buffer.from([0x15, 3, 1])],
    kind: 'http/1.1',
  },
]

describe('detectFirstBytes', () => {
  for (const { name, pieces, kind } of cases) {
    it(`takes ${name} for ${kind} and gives every byte back`, async () => {
      const { seen, given } = await detect(pieces)
      assert.equal(seen, kind)
      assert.deepEqual(given, Buffer.concat(pieces))
    })
  }
})

/** Sends the pieces one after the other and reads what the socket still holds after the detection. */
async function detect(pieces: readonly Buffer[]): Promise<{ seen: FirstBytes; given: Buffer }> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const accepted = await new Promise<Socket>((resolve) => server.once('connection', resolve))
  try {
    const known = new Promise<FirstBytes>((resolve) => detectFirstBytes(accepted, resolve))
    for (const piece of pieces) await new Promise((resolve) => client.write(piece, resolve))
    const seen = await known
    const rest: Buffer[] = []
    accepted.on('data', (chunk: Buffer) => rest.push(chunk))
    accepted.resume()
    client.end()
    await new Promise((resolve) => accepted.once('end', resolve))
    return { seen, given: Buffer.concat(rest) }
  } finally {
    client.destroy()
    accepted.destroy()
    server.close()
  }
}
