import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { testKey } from '../support/certificate-writer.ts'
import {
  type CallerIdentity,
  type CallRequest,
  type HttpVersion,
  httpVersions,
  identityOf,
} from './support/caller.ts'
import { checkoutId, type Mesh, threeCallers } from './support/mesh.ts'
import { assertProblem } from './support/problem.ts'
import {
  certificateMessage,
  clientHello,
  isServerHelloDone,
  RawConnection,
} from './support/raw-tls.ts'
import { tlsRecord } from './support/tls-bytes.ts'
import { underAttack } from './support/under-attack.ts'

const partnerCId = 'spiffe://partner-c.example/ledger'
const kib = 1024

/** An alert of TLS: the certificate message does not parse. */
const decodeError = [21, 2, 50]

describe('bad input on the port', () => {
  const attacked = underAttack({
    products: { ...threeCallers, ledger: { callers: [{ trustDomain: 'partner-c.example' }] } },
    keys: { reports: { product: 'reports' } },
    inbound: {
      limits: {
        handshakeTimeout: '2s',
        headerTimeout: '2s',
        idleTimeout: '3s',
        maxHeaderBytes: '16KiB',
        maxBodyBytes: '64KiB',
      },
    },
  })
  let mesh: Mesh

  before(() => {
    mesh = attacked.mesh
  })

  describe('before the handshake is done', () => {
    const openings: readonly { name: string; bytes: Buffer }[] = [
      { name: 'a record larger than any may be', bytes: Buffer.from([22, 3, 1, 255, 255, 1, 2]) },
      { name: 'a client hello of random bytes', bytes: tlsRecord(22, randomBytes(300)) },
      { name: 'a client hello cut short by its own length', bytes: clientHello().fill(0, 40) },
      { name: 'application data first', bytes: tlsRecord(23, randomBytes(300)) },
      { name: 'HTTP without TLS', bytes: Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n') },
      { name: 'HTTP/2 without TLS', bytes: Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n') },
      { name: 'random bytes', bytes: noRecord(3_000) },
    ]
    for (const { name, bytes } of openings) {
      it(`ends a connection that begins with ${name}`, async () => {
        const failed = await handshakes('failed')
        for (let i = 0; i < 20; i++) {
          const connection = await RawConnection.open(mesh.postern.port)
          connection.write(bytes)
          const answer = await connection.ended()
          assert.ok(answer.length <= 7, answer.toString('latin1'))
        }
        await mesh.postern.until('all counted', async () => {
          return (await handshakes('failed')) >= failed + 20
        })
        assert.equal(await handshakes('failed'), failed + 20)
      })
    }

    it('ends connections that say nothing, or half a client hello, in the time of a handshake', async () => {
      const silent = await Promise.all(
        Array.from({ length: 20 }, () => RawConnection.open(mesh.postern.port)),
      )
      silent.slice(10).forEach((connection) => connection.write(clientHello().subarray(0, 30)))
      const startMs = performance.now()
      await Promise.all(silent.map((connection) => connection.ended()))
      // Without a limit of its own a handshake may take 10 s.
      assert.ok(performance.now() - startMs < 9_000)
    })
  })

  describe('in the certificate message', () => {
    const messages: readonly { name: string; ders: () => Buffer[] }[] = [
      { name: 'random bytes', ders: () => [randomBytes(500)] },
      { name: 'an empty certificate', ders: () => [Buffer.alloc(0)] },
      {
        name: 'a length without end',
        ders: () => [Buffer.from('3080', 'hex')],
      },
      { name: 'nested sequences', ders: () => [nested(8_000)] },
      {
        name: 'garbage after a certificate',
        ders: () => [leafWithTail()],
      },
    ]
    for (const { name, ders } of messages) {
      it(`refuses ${name} with an alert`, async () => {
        const certificates = ders()
        for (let i = 0; i < 5; i++) {
          assert.deepEqual(await presentRaw(certificates), decodeError)
        }
      })
    }

    it('ends a connection that presents a megabyte', async () => {
      for (let i = 0; i < 5; i++) await presentRaw([Buffer.alloc(1_000_000, 0x30)])
    })

    it('refuses a certificate with a name of a megabyte', async () => {
      const caller = mesh.caller(certificateWithName(1_000_000))
      await assert.rejects(caller.call())
    })
  })

  describe('in certificates that TLS lets through', () => {
    it('denies a certificate that is larger than any that is read', async () => {
      const reply = await mesh.caller(certificateWithName(80_000)).call()
      assertProblem(reply, 403, 'certificate_malformed')
      const small = await mesh.caller(certificateWithName(200)).call()
      assert.equal(small.json.headers?.['x-postern-product'], 'ledger')
    })

    it('denies a chain of a hundred certificates', async () => {
      const caller = mesh.caller(await deepIdentity(100))
      for (const version of httpVersions) {
        assertProblem(await caller.call({}, version), 403, 'issuer_unknown')
      }
      const shallow = await mesh.caller(await deepIdentity(3)).call()
      assert.equal(shallow.json.headers?.['x-postern-product'], 'ledger')
    })

    it('is not held up by a good certificate with a hundred others beside it', async () => {
      const leaf = await mesh.partnerC.leaf({ spiffeId: partnerCId })
      const identity = identityOf(leaf)
      const ballast = mesh.partnerB.pem.repeat(99)
      const caller = mesh.caller({ ...identity, certificatePem: identity.certificatePem + ballast })
      assert.equal((await caller.call()).json.headers?.['x-postern-product'], 'ledger')
    })
  })

  for (const version of httpVersions) {
    describe(`in requests over ${version}`, () => {
      it('answers 431 to headers above the limit', async () => {
        const headers = { 'x-large': 'a'.repeat(20 * kib) }
        assertRefused(await mesh.keyCaller('reports').call({ headers }, version), 431)
        const fits = { 'x-large': 'a'.repeat(10 * kib) }
        assert.equal((await mesh.keyCaller('reports').call({ headers: fits }, version)).status, 200)
      })

      it('answers 413 to a body above the limit, announced or not', async () => {
        for (const headers of [{ 'content-length': '100000' }, unannounced(version)]) {
          const request = { method: 'POST', headers, body: Buffer.alloc(100_000) }
          assertRefused(await mesh.keyCaller('reports').call(request, version), 413)
          const largest = { ...request, body: Buffer.alloc(64 * kib) }
          const fits = 'content-length' in headers ? withLength(largest) : largest
          assert.equal((await mesh.keyCaller('reports').call(fits, version)).status, 200)
        }
      })

      it('denies a key that is longer than any', async () => {
        const headers = { 'x-api-key': `${mesh.key('reports')}${'0'.repeat(15_000)}` }
        assertProblem(await mesh.anonymous().call({ headers }, version), 401, 'api_key_unknown')
      })

      it('ends a connection that stops in the middle of a head', async () => {
        const socket = await mesh.anonymous().connect({ ALPNProtocols: [version] })
        socket.write(version === 'h2' ? halfHead2 : 'GET / HTTP/1.1\r\nhost: api.exa')
        const startMs = performance.now()
        const answer = await endOf(socket)
        // Without a limit of its own a head may take 10 s.
        assert.ok(performance.now() - startMs < 9_000)
        if (version === 'http/1.1') assert.match(answer, /^HTTP\/1.1 408 /)
      })

      it('ends a connection that stops in the middle of a body', async () => {
        const socket = await mesh.anonymous().connect({ ALPNProtocols: [version] })
        if (version === 'h2') socket.write(halfBody2(mesh.key('reports')))
        else {
          socket.write(`POST / HTTP/1.1\r\nhost: a\r\nx-api-key: ${mesh.key('reports')}\r\n`)
          socket.write('content-length: 10\r\n\r\nhalf')
        }
        const answer = await endOf(socket)
        if (version === 'http/1.1') assert.match(answer, /^HTTP\/1.1 408 /)
      })

      it('ends a connection of random bytes', async () => {
        for (let i = 0; i < 10; i++) {
          const socket = await mesh.anonymous().connect({ ALPNProtocols: [version] })
          socket.write(randomBytes(3_000))
          await endOf(socket)
        }
      })

      it('forgets callers that go away in the middle of anything', async () => {
        const caller = await mesh.svidCaller(checkoutId)
        await Promise.all(
          Array.from({ length: 20 }, async (_, i) => {
            const connection = await caller.open(version)
            const call = connection.call({ method: 'POST', body: Buffer.alloc(60 * kib) })
            call.catch(() => undefined)
            if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
            connection.close()
          }),
        )
      })
    })
  }

  it('answers 431 to a key of a megabyte', async () => {
    const headers = { 'x-api-key': 'k'.repeat(1_000_000) }
    for (let i = 0; i < 5; i++) assertRefused(await mesh.anonymous().call({ headers }), 431)
  })

  describe('after all of it', () => {
    it('holds no connection', async () => {
      await mesh.postern.until(
        'every connection is gone',
        async () => (await mesh.postern.metric('postern_connections')) === 0,
      )
      // An aborted request is the only thing that a workload may see end too early.
      const early = ['HPE_INVALID_EOF_STATE', 'ECONNRESET']
      const others = mesh.workload.parserErrors.filter(
        (error) => !('code' in error && early.includes(String(error.code))),
      )
      assert.deepEqual(others, [])
    })
  })

  function handshakes(result: string): Promise<number> {
    return mesh.postern.metric('postern_handshakes_total', { result })
  }

  /** Type, level and description of the alert that a certificate message is answered with. */
  async function presentRaw(ders: readonly Buffer[]): Promise<number[]> {
    const connection = await RawConnection.open(mesh.postern.port)
    connection.write(clientHello())
    await connection.has(isServerHelloDone)
    const helloBytes = connection.received.length
    connection.write(certificateMessage(...ders))
    const answer = (await connection.ended()).subarray(helloBytes)
    return [answer[0] ?? -1, ...answer.subarray(5, 7)]
  }

  function leafWithTail(): Buffer {
    const der = mesh.partnerC.issue({ key: testKey(), names: [{ uri: partnerCId }] })
    return Buffer.concat([der, randomBytes(100)])
  }

  /** An SVID with a DNS name of so many characters beside its SPIFFE ID. */
  function certificateWithName(characters: number): CallerIdentity {
    const key = testKey()
    const names = [{ uri: partnerCId }, { dns: 'a'.repeat(characters) }]
    const der = mesh.partnerC.issue({ key, names })
    return {
      certificatePem: new X509Certificate(der).toString(),
      privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    }
  }

  /** An SVID at the end of a chain of so many certificates, the root not counted. */
  async function deepIdentity(certificates: number): Promise<CallerIdentity> {
    let ca = mesh.partnerC
    for (let i = 1; i < certificates; i++) ca = await ca.intermediate({ subject: `/CN=level ${i}` })
    return identityOf(await ca.leaf({ spiffeId: partnerCId }))
  }
})

/** Random bytes that do not happen to announce a record of TLS, or of SSLv2, whose rest would be waited for. */
function noRecord(length: number): Buffer {
  const bytes = randomBytes(length)
  bytes[0] = 1
  return bytes
}

/** A refusal that is no decision: the request was none. */
function assertRefused(reply: { status: number; json: object }, status: number): void {
  assert.equal(reply.status, status)
  const members = ['type', 'title', 'status', 'detail', 'reason', 'decision_id']
  assert.deepEqual(Object.keys(reply.json), members)
}

function unannounced(version: HttpVersion): Record<string, string> {
  return version === 'h2' ? {} : { 'transfer-encoding': 'chunked' }
}

function withLength(request: CallRequest): CallRequest {
  return { ...request, headers: { 'content-length': String(request.body?.length ?? 0) } }
}

/** Sequences within sequences, each length but the innermost ones true. */
function nested(levels: number): Buffer {
  let der = Buffer.alloc(0)
  for (let i = 0; i < levels && der.length < 60_000; i++) {
    const length = der.length < 128 ? [der.length] : [0x82, der.length >> 8, der.length & 255]
    der = Buffer.concat([Buffer.from([0x30, ...length]), der])
  }
  return der
}

/** With the acknowledgement of the server's SETTINGS: what is waited for then is the rest. */
const preface2 = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(4, 0, 0),
  frame(4, 1, 0),
])
/** HEADERS without END_HEADERS, and no CONTINUATION. */
const halfHead2 = Buffer.concat([preface2, frame(1, 0, 1, Buffer.from([0x82]))])

/** POST / with authority `a` and without END_STREAM: indexed fields of the static table, and two literals. */
function halfBody2(key: string): Buffer {
  const literal = (text: string) => [text.length, ...Buffer.from(text)]
  const fields = [
    0x83,
    0x84,
    0x87,
    0x41,
    ...literal('a'),
    0,
    ...literal('x-api-key'),
    ...literal(key),
  ]
  return Buffer.concat([
    preface2,
    frame(1, 4, 1, Buffer.from(fields)),
    frame(0, 0, 1, Buffer.from('half')),
  ])
}

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** What came until the other side ended the connection. */
async function endOf(socket: TLSSocket): Promise<string> {
  let received = ''
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  await new Promise((resolve) => {
    socket.once('end', resolve)
    socket.once('close', resolve)
  })
  socket.destroy()
  return received
}
