import assert from 'node:assert/strict'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { Mesh } from '../e2e/support/mesh.ts'

const settings = join(import.meta.dirname, '../../deploy/openssl.cnf')

describe('deploy/openssl.cnf', () => {
  const cases = [
    { name: 'keeps tickets from callers', env: { OPENSSL_CONF: settings }, tickets: 0 },
    { name: 'is what keeps them', env: {}, tickets: 2 },
  ]
  for (const { name, env, tickets } of cases) {
    it(name, async () => {
      const mesh = await Mesh.start({ env })
      try {
        assert.equal(await ticketsFrom(mesh.postern.port), tickets)
      } finally {
        await mesh.close()
      }
    })
  }
})

/** How many a caller of TLS 1.3 gets until its request is answered. */
function ticketsFrom(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let tickets = 0
    const options = {
      port,
      host: '127.0.0.1',
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
    } as const
    const socket = connect(options, () => {
      socket.write('GET / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n\r\n')
    })
    socket.on('session', () => tickets++)
    socket.on('error', reject)
    socket.on('end', () => resolve(tickets))
    socket.resume()
  })
}
