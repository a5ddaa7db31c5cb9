import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { PosternError } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/core/logger.ts'
import {
  type EndpointLimits,
  endpointServerOptions,
  HttpEndpoint,
} from '../../src/http-endpoint/http-endpoint.ts'

const host = '127.0.0.1'
const limits: EndpointLimits = {
  maxConnections: 4,
  maxHeaderBytes: 1024,
  maxHeaders: 16,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
}
const request = 'GET / HTTP/1.1\r\nhost: api.example\r\n\r\n'

describe('an HTTP endpoint', () => {
  const endpoints: HttpEndpoint[] = []
  const start = async (
    onRequest: RequestListener,
    own: Partial<EndpointLimits> = {},
    port = 0,
  ): Promise<HttpEndpoint> => {
    const server = createServer(endpointServerOptions({ ...limits, ...own }), onRequest)
    const endpoint = new HttpEndpoint(server, {
      ...{ host, port, limits: { ...limits, ...own }, logger: silentLogger, failure: 'failed' },
    })
    await endpoint.listen()
    endpoints.push(endpoint)
    return endpoint
  }

  afterEach(async () => {
    for (const endpoint of endpoints.splice(0)) await endpoint.close()
  })

  it('says which address it cannot have', async () => {
    const { address } = await start(answer)

    await assert.rejects(start(answer, {}, address.port), (error: PosternError) => {
      assert.equal(error.code, 'ERR_LISTEN_FAILED')
      assert.ok(error.message.includes(`${host}:${address.port}`), error.message)
      return true
    })
  })

  it('finishes what was asked when it drains, and takes nothing new', async () => {
    const { reply, endpoint, received } = await askAndWait()
    const { port } = endpoint.address

    const drained = endpoint.drain()
    await assert.rejects(once(connect(port, host), 'connect'), { code: 'ECONNREFUSED' })
    reply.setHeader('connection', 'close').end('finished')

    assert.match(await received, /finished/)
    await drained
  })

  it('cuts what was asked when it closes, also while it drains', async () => {
    const { endpoint, received } = await askAndWait()

    const drained = endpoint.drain()
    await endpoint.close()

    await drained
    assert.equal(await received, 'cut')
    await endpoint.close()
  })

  it('waits for a whole head no longer than for a request', async () => {
    const endpoint = await start(answer, { requestTimeoutMs: 50 })

    assert.match(await send(endpoint, request.slice(0, 20)), /^HTTP\/1\.1 408/)
  })

  it('ends a silent connection', async () => {
    const endpoint = await start(() => undefined, { idleTimeoutMs: 50 })

    assert.equal(await send(endpoint, request), '')
  })

  it('refuses a head that is too large', async () => {
    const endpoint = await start(answer)

    const large = request.replace('\r\n\r\n', `\r\na: ${'a'.repeat(2 * 1024)}\r\n\r\n`)
    assert.match(await send(endpoint, large), /^HTTP\/1\.1 431/)
  })

  it('ends a connection after so many requests', async () => {
    const endpoint = await start(answer, { requestsPerConnection: 2 })

    const socket = connect(endpoint.address.port, host)
    socket.end(request.repeat(3))
    const replies = await text(socket)
    assert.deepEqual(replies.match(/(?<=HTTP\/1\.1 )\d+/g), ['200', '200', '503'])
    assert.match(replies, /connection: close/i)
  })

  /** A request whose reply has not begun. */
  async function askAndWait() {
    const asked = new EventEmitter<{ reply: [ServerResponse] }>()
    const endpoint = await start((_request, reply) => asked.emit('reply', reply))
    const received = send(endpoint, request).then(
      (got) => got || 'cut',
      () => 'cut',
    )
    const [reply] = (await once(asked, 'reply')) as [ServerResponse]
    return { endpoint, reply, received }
  }
})

function answer(_request: unknown, reply: ServerResponse): void {
  reply.end('answered')
}

/** Everything that comes back until the server ends the connection. */
async function send(endpoint: HttpEndpoint, bytes: string): Promise<string> {
  const socket = connect(endpoint.address.port, host)
  socket.write(bytes)
  return text(socket)
}
