import assert from 'node:assert/strict'
import { PosternProcess } from '../../support/postern-process.ts'
import { TestCa } from '../../support/test-ca.ts'
import { type RekeyingConnection, RekeyingPeer } from './support/rekeying-peer.ts'
import { callPlain, type PlainReply } from './support/two-sidecars.ts'

const shopId = 'spiffe://corp.example/shop'
const billingId = 'spiffe://corp.example/billing'

const mib = 1024 * 1024
/** What all the attacks of this file together may cost in memory. */
const allowedGrowthBytes = 48 * mib

/** Twice the 256 KiB that a peer which does not read may send. OpenSSL answers some of them together. */
const requestsThatAreRead = 20_000

const isEnded = ({ msg }: { readonly msg: string }) =>
  msg.startsWith('connection ended: what TLS answers')

describe('attacks of a peer on the TLS of our calls', function () {
  this.timeout(60_000)
  let peer: RekeyingPeer
  let postern: PosternProcess
  let baselineBytes: number

  before(async () => {
    const ca = await TestCa.root('corp')
    peer = await RekeyingPeer.start(await ca.leaf({ spiffeId: billingId }))
    const own = await ca.leaf({ spiffeId: shopId })
    postern = await PosternProcess.start({
      files: {
        'postern.yaml': {
          identity: {
            files: {
              certificate: 'own.pem',
              key: 'own-key.pem',
              bundles: { 'corp.example': 'ca.pem' },
            },
          },
          inbound: { listen: '127.0.0.1:0', limits: { upstreamResponseTimeout: 'none' } },
          outbound: [
            { listen: '127.0.0.1:0', upstream: `127.0.0.1:${peer.port}`, expect: billingId },
          ],
          health: { listen: '127.0.0.1:0' },
          admin: { listen: '127.0.0.1:0' },
        },
        'own.pem': own.pem,
        'own-key.pem': own.keyPem,
        'ca.pem': ca.pem,
        'products.yaml': { version: 1, products: {} },
      },
    })
    for (let i = 0; i < 20; i++) await answeredCall()
    baselineBytes = await postern.residentBytes()
  })

  after(async () => {
    await postern.stop()
    peer.close()
  })

  afterEach(
    'a good peer is called, memory is bounded, and nothing unexpected is logged',
    async () => {
      await answeredCall()
      const grownBytes = (await postern.residentBytes()) - baselineBytes
      assert.ok(grownBytes < allowedGrowthBytes, `grown by ${grownBytes} bytes`)
      assert.deepEqual(
        postern.logs.filter(({ level }) => level === 'error'),
        [],
      )
    },
  )

  /** A call over HTTP that waits for the peer. */
  async function openCall(): Promise<{
    connection: RekeyingConnection
    reply: Promise<PlainReply>
  }> {
    const request = peer.request()
    const reply = callPlain(postern.outboundPorts[0]!)
    return { connection: await request, reply }
  }

  /** `before`: of the answer, on a connection whose other end is read. */
  async function answeredCall(
    before: (connection: RekeyingConnection) => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const { connection, reply } = await openCall()
    connection.readAnswers()
    await before(connection)
    await connection.reply('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok')
    const { status, text } = await reply
    assert.deepEqual([status, text], [200, 'ok'])
  }

  /** Without end, and without reading one answer; until the sidecar has ended the connection. */
  async function flood(connection: RekeyingConnection): Promise<void> {
    const { length } = postern.logs
    // The kernels of both ends take some ten megabytes of answers before any has to wait.
    const ended = postern.until(
      'the end of the connection',
      () => postern.logs.slice(length).some(isEnded),
      120_000,
    )
    const stop = new AbortController()
    const flooding = (async () => {
      while (!stop.signal.aborted && !connection.socket.destroyed) {
        await connection.askForNewKeys(500)
      }
    })()
    try {
      await ended
    } finally {
      stop.abort()
      connection.socket.destroy()
      await flooding
    }
  }

  it('requests for new keys, whose answers are read, leave a call as it is', async () => {
    await answeredCall(async (connection) => {
      for (let i = 0; i < requestsThatAreRead; i += 100) await connection.askForNewKeys(100)
      await postern.until('an answer', () => connection.answers > 0)
    })
    assert.equal(postern.logs.filter(isEnded).length, 0)
  })

  it('requests for new keys, whose answers are not read, end the connection, and the call', async () => {
    const { connection, reply } = await openCall()
    await flood(connection)
    const { status, json } = await reply
    assert.deepEqual([status, json['reason']], [502, 'upstream_reset'])
  }).timeout(150_000)
})
