import assert from 'node:assert/strict'
import { createServer as createHttp1Server, type Server as Http1Server } from 'node:http'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { frameType } from '../../src/http2/frames.ts'
import { Caller, httpVersions, identityOf, type Reply } from '../e2e/support/caller.ts'
import { frame } from '../http2/support/raw-frames.ts'
import { freePort } from '../support/free-port.ts'
import { InboundHarness } from './support/inbound-harness.ts'

const protocols = ['http1', 'h2c'] as const
type Protocol = (typeof protocols)[number]

/** A way to fail, and what each caller is told. */
interface Row {
  readonly name: string
  readonly status: number
  readonly reason: string
  readonly grpcStatus: number
  /** What it does with a connection; undefined: it does not even listen. */
  readonly behave: ((socket: Socket, protocol: Protocol) => void) | undefined
  /** Default: so long that it is never over. */
  readonly responseTimeoutMs?: number
}

const rows: readonly Row[] = [
  {
    name: 'is down',
    ...{ status: 503, reason: 'upstream_unavailable', grpcStatus: 14 },
    behave: undefined,
  },
  {
    name: 'ends every connection when it is asked',
    ...{ status: 502, reason: 'upstream_reset', grpcStatus: 14 },
    behave: (socket) => socket.once('data', () => socket.end()),
  },
  {
    name: 'resets every connection when it is asked',
    ...{ status: 502, reason: 'upstream_reset', grpcStatus: 14 },
    behave: (socket) => socket.once('data', () => socket.resetAndDestroy()),
  },
  {
    name: 'speaks something else',
    ...{ status: 502, reason: 'upstream_malformed', grpcStatus: 14 },
    behave: (socket) => socket.once('data', () => socket.write('220 mail.example ESMTP\r\n')),
  },
  {
    name: 'does not answer at all',
    ...{ status: 504, reason: 'upstream_timeout', grpcStatus: 4 },
    behave: (socket, protocol) => {
      if (protocol === 'h2c') socket.write(settings)
    },
    responseTimeoutMs: 500,
  },
  {
    name: 'answers byte by byte, without end',
    ...{ status: 504, reason: 'upstream_timeout', grpcStatus: 4 },
    behave: drip,
    responseTimeoutMs: 1_000,
  },
]

const settings = frame(frameType.SETTINGS, 0, 0)
/** The payload of it never comes whole. */
const halfReply = frame(frameType.HEADERS, 0, 1, Buffer.alloc(10_000, 0x88))

/** A head that is never whole, however often a byte of it comes. */
function drip(socket: Socket, protocol: Protocol): void {
  const bytes = {
    http1: Buffer.from(`HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(10_000)}`),
    h2c: Buffer.concat([settings, halfReply]),
  }[protocol]
  let at = protocol === 'h2c' ? settings.length : 0
  socket.write(bytes.subarray(0, at))
  const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 20)
  socket.once('close', () => clearInterval(timer))
}

for (const protocol of protocols) {
  describe(`a workload of ${protocol}`, () => {
    for (const row of rows) {
      describe(`that ${row.name}`, () => {
        let workload: FailingWorkload
        let harness: InboundHarness
        let caller: Caller

        before(async () => {
          workload = await FailingWorkload.start(protocol, row.behave)
          harness = await InboundHarness.start({
            upstreamProtocol: protocol,
            workloadPort: workload.port,
            responseTimeoutMs: row.responseTimeoutMs ?? 120_000,
          })
          const leaf = await harness.corp.leaf({ spiffeId: 'spiffe://corp.example/checkout/web' })
          caller = new Caller({ port: harness.port, identity: identityOf(leaf) })
        })

        after(async () => {
          await harness.close()
          await workload.close()
        })

        for (const version of httpVersions) {
          it(`is ${row.status} ${row.reason} by ${version}`, async () => {
            const reply = await caller.call({}, version)
            assert.deepEqual([reply.status, reply.json.reason], [row.status, row.reason])
            assert.equal(reply.headers['content-type'], 'application/problem+json')
          })
        }

        it(`is grpc-status ${row.grpcStatus} by gRPC`, async () => {
          const { status, headers } = await callGrpc(caller)
          assert.deepEqual([status, headers['grpc-status']], [200, String(row.grpcStatus)])
          assert.match(String(headers['grpc-message']), new RegExp(`^${row.reason}: `))
        })

        it('is used again when it is well, and answers each caller for itself', async () => {
          await workload.recover()
          for (const version of httpVersions) {
            const request = { path: `/${version}` }
            let reply = await caller.call(request, version)
            // The time that a workload has here may be over on a slow machine.
            while (reply.json.reason === 'upstream_timeout') {
              reply = await caller.call(request, version)
            }
            assert.deepEqual([reply.status, reply.text], [200, `answer to /${version}`])
          }
        })
      })
    }
  })
}

function callGrpc(caller: Caller): Promise<Reply> {
  const headers = { 'content-type': 'application/grpc', te: 'trailers' }
  return caller.call({ method: 'POST', path: '/pay.Pay/Do', headers, body: 'message' }, 'h2')
}

/** A workload that fails until it recovers. */
class FailingWorkload {
  readonly port: number
  readonly #well: Http1Server | Http2Server
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isWell = false

  private constructor(port: number, protocol: Protocol, behave: Row['behave']) {
    this.port = port
    this.#well =
      protocol === 'h2c'
        ? createHttp2Server((request, reply) => reply.end(`answer to ${request.url}`))
        : createHttp1Server((request, reply) => reply.end(`answer to ${request.url ?? ''}`))
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => this.#sockets.delete(socket))
      if (this.#isWell) this.#well.emit('connection', socket)
      else behave?.(socket, protocol)
    })
  }

  static async start(protocol: Protocol, behave: Row['behave']): Promise<FailingWorkload> {
    const workload = new FailingWorkload(await freePort(), protocol, behave)
    if (behave !== undefined) await workload.#listen()
    return workload
  }

  async recover(): Promise<void> {
    this.#isWell = true
    if (!this.#server.listening) await this.#listen()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.port, '127.0.0.1', resolve))
  }
}
