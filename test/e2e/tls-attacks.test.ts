import assert from 'node:assert/strict'
import { type AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { TestCa } from '../support/test-ca.ts'
import { Mesh } from './support/mesh.ts'
import {
  certificateMessage,
  clientHello,
  isServerHelloDone,
  RawConnection,
} from './support/raw-tls.ts'
import {
  contentType,
  extensionType,
  madeUpTicket,
  RawTls13,
  type SessionTicket,
} from './support/raw-tls13.ts'
import { handshakeMessage, tlsRecord, uint } from './support/tls-bytes.ts'
import { underAttack } from './support/under-attack.ts'

const request = (path: string) => Buffer.from(`GET ${path} HTTP/1.1\r\nhost: api.example\r\n\r\n`)
const isWholeReply = (text: string) => text.includes('}')

/** Alerts as they may come, well-formed and not (RFC 8446 6). */
const alerts: readonly { readonly name: string; readonly contents: readonly Buffer[] }[] = [
  { name: 'a fatal one', contents: [Buffer.from([2, 40])] },
  { name: 'a warning', contents: [Buffer.from([1, 90])] },
  { name: 'close_notify', contents: [Buffer.from([1, 0])] },
  { name: 'one of a level that there is not', contents: [Buffer.from([7, 40])] },
  { name: 'one that nobody knows', contents: [Buffer.from([2, 255])] },
  { name: 'half of one', contents: [Buffer.from([2])] },
  { name: 'one and a half', contents: [Buffer.from([1, 90, 1])] },
  { name: 'an empty one', contents: [Buffer.alloc(0)] },
  { name: 'a thousand warnings', contents: Array<Buffer>(1_000).fill(Buffer.from([1, 90])) },
]

/** A connection that has come as far as that, and how it sends an alert from there. */
interface Stage {
  readonly connection: RawConnection
  readonly alert: (content: Buffer) => Buffer
}

const plainAlert = (content: Buffer) => tlsRecord(contentType.alert, content)

const stages: readonly {
  readonly name: string
  readonly reach: (port: number) => Promise<Stage>
}[] = [
  {
    name: 'instead of a hello',
    reach: async (port) => ({ connection: await RawConnection.open(port), alert: plainAlert }),
  },
  {
    name: 'between two records of the hello',
    reach: async (port) => {
      const { connection, hello } = await opened13(port)
      connection.write(tlsRecord(contentType.handshake, hello.subarray(5, 60)))
      return { connection, alert: plainAlert }
    },
  },
  {
    name: 'after the hello of TLS 1.3',
    reach: async (port) => {
      const { connection, hello } = await opened13(port)
      connection.write(hello)
      return { connection, alert: plainAlert }
    },
  },
  {
    name: 'after the server has spoken in TLS 1.3',
    reach: async (port) => {
      const client = await spokenTo13(port)
      const alert = (content: Buffer) => client.seal(contentType.alert, content)
      return { connection: client.connection, alert }
    },
  },
  {
    name: 'between our certificate and our Finished in TLS 1.3',
    reach: async (port) => {
      const client = await spokenTo13(port)
      client.send(contentType.handshake, handshakeMessage(11, uint(1, 0), uint(3, 0)))
      const alert = (content: Buffer) => client.seal(contentType.alert, content)
      return { connection: client.connection, alert }
    },
  },
  {
    name: 'after the server has spoken in TLS 1.2',
    reach: async (port) => ({ connection: await spokenTo12(port), alert: plainAlert }),
  },
  {
    name: 'after our certificate in TLS 1.2',
    reach: async (port) => {
      const connection = await spokenTo12(port)
      connection.write(certificateMessage())
      return { connection, alert: plainAlert }
    },
  },
]

async function opened13(port: number) {
  const client = await RawTls13.open(port)
  return { connection: client.connection, hello: client.hello() }
}

async function spokenTo13(port: number): Promise<RawTls13> {
  const client = await RawTls13.open(port)
  client.connection.write(client.hello())
  await client.serverFlight()
  return client
}

async function spokenTo12(port: number): Promise<RawConnection> {
  const connection = await RawConnection.open(port)
  connection.write(clientHello())
  await connection.has(isServerHelloDone)
  return connection
}

describe('attacks on the TLS of the one port', function () {
  this.timeout(180_000)
  const attacked = underAttack({
    inbound: { limits: { handshakeTimeout: '2s' } },
    env: { LOG_LEVEL: 'debug' },
  })
  let mesh: Mesh
  let port: number

  before(() => {
    mesh = attacked.mesh
    port = mesh.postern.port
  })

  /** How many handshakes went so. */
  async function handshakes(...results: readonly string[]): Promise<number> {
    let sum = 0
    for (const result of results) {
      sum += await mesh.postern.metric('postern_handshakes_total', { result })
    }
    return sum
  }

  const notDone = () => handshakes('failed', 'timeout', 'silent')
  const done = () => handshakes('anonymous', 'certificate', 'resumed')

  /** Paths that were decided on, in order. */
  const decidedPaths = () =>
    mesh.postern.audit.map((line) => (line['request'] as { readonly path: string }).path)

  describe('alerts in the middle of a handshake', () => {
    for (const { name, reach } of stages) {
      it(`end it, and it alone, ${name}`, async () => {
        const [failedBefore, doneBefore] = [await notDone(), await done()]
        await Promise.all(
          alerts.map(async ({ contents }) => {
            const { connection, alert } = await reach(port)
            connection.write(Buffer.concat(contents.map(alert)))
            await connection.ended()
          }),
        )
        await mesh.postern.until('all counted', async () => {
          return (await notDone()) === failedBefore + alerts.length
        })
        assert.equal(await done(), doneBefore)
      })
    }

    it('are named in the log, where they say something', async () => {
      const client = await spokenTo13(port)
      const { length } = mesh.postern.logs
      client.send(contentType.alert, Buffer.from([2, 48]))
      await client.connection.ended()
      const { result, reason } = await mesh.postern.logged('handshake failed', length)
      assert.deepEqual({ result, reason }, { result: 'failed', reason: 'tlsv1_alert_unknown_ca' })
    })
  })

  describe('a client hello', () => {
    const hellos = [
      { name: 'TLS 1.2', hello: () => Promise.resolve(clientHello()) },
      { name: 'TLS 1.3', hello: async () => (await opened13(port)).hello },
    ]
    for (const { name, hello } of hellos) {
      it(`of ${name} that ends after any of its bytes is no handshake`, async () => {
        const bytes = await hello()
        const [failedBefore, doneBefore] = [await notDone(), await done()]
        for (let at = 0; at < bytes.length; at += 20) {
          const lengths = Array.from({ length: Math.min(20, bytes.length - at) }, (_, i) => at + i)
          await Promise.all(
            lengths.map(async (length) => {
              const connection = await RawConnection.open(port)
              connection.socket.end(bytes.subarray(0, length))
              assert.ok((await connection.ended()).length <= 7, 'nothing but an alert')
            }),
          )
        }
        const cut = bytes.length
        await mesh.postern.until('all counted', async () => {
          return (await notDone()) >= failedBefore + cut
        })
        assert.equal(await done(), doneBefore)
      })

      it(`of ${name} in two pieces, wherever it is cut, is answered`, async () => {
        const bytes = await hello()
        for (let at = 1; at < bytes.length; at += 7) {
          const connection = await RawConnection.open(port)
          connection.write(bytes.subarray(0, at))
          await new Promise((resolve) => setImmediate(resolve))
          connection.write(bytes.subarray(at))
          // A record of the handshake, with a server hello.
          await connection.has((received) => received.length > 5)
          assert.deepEqual([connection.received[0], connection.received[5]], [22, 2])
          connection.socket.destroy()
        }
      })
    }
  })

  describe('early data', () => {
    let lax: Server

    before(async () => {
      lax = await startLaxServer()
    })

    after(() => void lax.close())

    /** A ticket that this server has given out for the whole handshake before. */
    async function ticketOf(from: number): Promise<SessionTicket> {
      const client = await RawTls13.connect(from)
      client.send(contentType.applicationData, request('/for-a-ticket'))
      await client.receivesText(isWholeReply)
      client.close()
      assert.notEqual(client.tickets.length, 0)
      for (const { extensions } of client.tickets) {
        assert.ok(!extensions.includes(extensionType.earlyData), 'invited')
      }
      return client.tickets[0]!
    }

    const tickets = [
      { name: 'a ticket of our own', ticket: () => ticketOf(port) },
      { name: 'a made-up ticket', ticket: () => Promise.resolve(madeUpTicket()) },
    ]
    for (const [index, { name, ticket: getTicket }] of tickets.entries()) {
      it(`with ${name} is never read, and resumes nothing: what follows the handshake is`, async () => {
        const ticket = await getTicket()
        const [early, late] = [`/early-${index}`, `/late-${index}`]
        const client = await RawTls13.open(port)
        client.connection.write(client.hello(ticket))
        client.connection.write(client.earlyData(ticket, request(early)))
        await client.serverFlight()
        client.finish()
        client.send(contentType.applicationData, request(late))
        assert.match(await client.receivesText(isWholeReply), /credential_missing/)
        client.close()
        for (const type of Object.values(extensionType)) {
          assert.ok(!client.serverExtensions.includes(type), `extension ${type}`)
        }
        await mesh.postern.until('audited', () => decidedPaths().includes(late))
        assert.ok(!decidedPaths().includes(early))
        assert.equal(await handshakes('resumed'), 0)
      })
    }

    it('without end, ends the connection', async () => {
      const ticket = madeUpTicket()
      const client = await RawTls13.open(port)
      client.connection.write(client.hello(ticket))
      const record = client.earlyData(ticket, Buffer.alloc(16_000))
      for (let i = 0; i < 100; i++) client.connection.write(record)
      const received = await client.connection.ended()
      assert.ok(received.length < 16_000)
    })

    it('would be noticed, because the same client resumes where it may', async () => {
      const laxPort = (lax.address() as AddressInfo).port
      const ticket = await ticketOf(laxPort)
      const client = await RawTls13.open(laxPort)
      client.connection.write(client.hello(ticket))
      await client.serverFlight()
      client.close()
      assert.ok(client.serverExtensions.includes(extensionType.preSharedKey))
    })
  })

  describe('after the handshake', () => {
    it('twenty thousand requests for new keys, whose answers are read, are served, and others meanwhile', async () => {
      const client = await RawTls13.connect(port)
      client.send(contentType.applicationData, request('/keys-before'))
      await client.receivesText(isWholeReply)
      for (let i = 0; i < 20_000; i += 100) {
        const updates = Array.from({ length: 100 }, () => client.keyUpdate())
        await written(client.connection, Buffer.concat(updates))
        if (i % 5_000 === 0) await attacked.goodCalls()
      }
      client.send(contentType.applicationData, request('/keys-after'))
      assert.match(await client.receivesText(isWholeReply), /credential_missing/)
      client.close()
    })

    it('requests for new keys, whose answers are not read, end the connection', async () => {
      const client = await RawTls13.connect(port)
      client.send(contentType.applicationData, request('/unread'))
      await client.receivesText(isWholeReply)
      const { socket } = client.connection
      socket.pause()
      const isLogged = () =>
        mesh.postern.logs.some(({ msg }) => msg.startsWith('connection ended: what TLS answers'))
      // The kernels of both ends take some ten megabytes of answers before any has to wait.
      const ended = mesh.postern.until('the end of the connection', isLogged, 120_000)
      const flood = new AbortController()
      const flooding = (async () => {
        while (!flood.signal.aborted && !socket.destroyed) {
          const updates = Array.from({ length: 500 }, () => client.keyUpdate())
          await written(client.connection, Buffer.concat(updates))
        }
      })()
      try {
        await ended
      } finally {
        flood.abort()
        socket.destroy()
        await flooding
      }
    }).timeout(150_000)

    it('requests for new keys keep no idle connection open', async () => {
      await using impatient = await Mesh.start({
        inbound: { limits: { idleTimeout: '1s', headerTimeout: '1s' } },
      })
      const client = await RawTls13.connect(impatient.postern.port)
      const drip = setInterval(() => client.connection.write(client.keyUpdate()), 100)
      await client.connection.ended()
      clearInterval(drip)
    })

    const contents: readonly {
      readonly name: string
      readonly type: number
      readonly content: Buffer
    }[] = [
      { name: 'a warning', type: contentType.alert, content: Buffer.from([1, 90]) },
      { name: 'a record of nothing', type: contentType.applicationData, content: Buffer.alloc(0) },
      {
        name: 'a second client hello',
        type: contentType.handshake,
        content: clientHello().subarray(5),
      },
      {
        name: 'a ticket',
        type: contentType.handshake,
        content: handshakeMessage(4, Buffer.alloc(20)),
      },
      {
        name: 'a second Finished',
        type: contentType.handshake,
        content: handshakeMessage(20, Buffer.alloc(32)),
      },
      {
        name: 'half a request for new keys',
        type: contentType.handshake,
        content: Buffer.from([24, 0, 0]),
      },
      {
        name: 'a request for new keys that says neither yes nor no',
        type: contentType.handshake,
        content: handshakeMessage(24, uint(1, 2)),
      },
      { name: 'a record of a type that there is not', type: 99, content: Buffer.alloc(9) },
    ]
    for (const { name, type, content } of contents) {
      it(`${name}, a thousand times, ends the connection and reaches nobody`, async () => {
        const seen = mesh.workload.seen.length
        const client = await RawTls13.connect(port)
        for (let i = 0; i < 1_000; i++) client.send(type, content)
        client.send(contentType.applicationData, request('/behind'))
        await client.connection.ended()
        assert.equal(mesh.workload.seen.length, seen)
        assert.ok(!decidedPaths().includes('/behind'))
      })
    }
  })
})

/** Resolves when the bytes have left, or the connection is over. */
function written({ socket }: RawConnection, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    socket.write(bytes, () => resolve())
  })
}

/** Resumes, which the sidecar must not, and answers like it. */
async function startLaxServer(): Promise<Server> {
  const leaf = await (await TestCa.root('lax')).leaf({ dnsNames: ['lax.example'] })
  const server = createServer(
    { cert: leaf.pem, key: leaf.keyPem, requestCert: true, rejectUnauthorized: false },
    (socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => socket.end('{}'))
    },
  )
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
