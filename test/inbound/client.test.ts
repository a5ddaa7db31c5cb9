import assert from 'node:assert/strict'
import { clientOf } from '../../src/inbound/client.ts'

describe('the client of a socket', () => {
  const cases = [
    { address: '192.0.2.7', text: '192.0.2.7' },
    { address: '::ffff:192.0.2.7', text: '192.0.2.7' },
    { address: '2001:DB8:0::1', text: '2001:db8::1' },
    { address: 'fe80::1%eth0', text: 'fe80::1' },
  ]
  for (const { address, text } of cases) {
    it(`is at ${text} when the socket says ${address}, each time`, () => {
      for (const port of [1, 65_535, 1]) {
        const client = clientOf({ remoteAddress: address, remotePort: port })
        assert.equal(client.text, text)
        assert.equal(client.address?.toString(), text)
        assert.equal(client.port, port)
      }
    })
  }

  it('is unknown when the connection was gone before', () => {
    assert.deepEqual(clientOf({ remoteAddress: undefined, remotePort: undefined }), {
      address: undefined,
      text: 'unknown',
      port: 0,
    })
  })

  it('is its own among more addresses than are kept', () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 3_000; i++) {
        const address = `10.1.${i >> 8}.${i & 0xff}`
        assert.equal(clientOf({ remoteAddress: address, remotePort: 1 }).text, address)
      }
    }
  })
})
