import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type TLSSocket } from 'node:tls'
import { TestCa } from '../support/test-ca.ts'
import { eventually } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'
import { RawSocket } from './support/raw-socket.ts'

const body = Buffer.alloc(12_000_000, 'a body that repeats after some bytes ')

describe('an HTTP/1.1 connection over TLS', () => {
  const f = useProxy()
  let server: Server
  /** The last one that was accepted. */
  let accepted: TLSSocket

  before(async () => {
    const leaf = await (await TestCa.root('corp.example')).leaf({ dnsNames: ['a'] })
    const tls = { key: leaf.keyPem, cert: leaf.pem }
    server = createServer(tls, (socket) => {
      accepted = socket
      f.proxy.attach(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  after(() => server.close())

  async function tlsCaller(): Promise<RawSocket & { readonly socket: TLSSocket }> {
    const { port } = server.address() as AddressInfo
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    return new RawSocket(socket) as RawSocket & { readonly socket: TLSSocket }
  }

  it('carries large bodies both ways, with a caller that is slow to read', async () => {
    await f.start()
    const caller = await tlsCaller()
    caller.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
    caller.write(body)
    const workload = await f.workload.connection(0)
    await workload.hasBytes(body.length)
    await eventually(() => workload.bytes.subarray(-body.length).equals(body))
    caller.socket.pause()
    workload.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
    workload.write(body)
    await eventually(() => f.proxy.workloadSockets[0]!.isPaused())
    caller.socket.resume()
    await f.proxy.outcome(0)
    await caller.hasBytes(body.length)
    await eventually(() => caller.bytes.subarray(-body.length).equals(body))
    caller.destroy()
  })

  it('lets others have their turn between a thousand requests, each in a record of its own', async () => {
    await f.start({ denies: () => true })
    const greedy = await tlsCaller()
    const other = await tlsCaller()
    for (let i = 0; i < 1_000; i++) greedy.write(get('/greedy'))
    other.write(get('/other'))
    await other.has('denied')
    const before = f.proxy.requests.findIndex(({ path }) => path === '/other')
    assert.ok(before < 100, `${before} requests were served before the other one's`)
    await eventually(() => greedy.text.split('denied').length === 1_001)
    greedy.destroy()
    other.destroy()
  })

  it('answers pipelined requests in order', async () => {
    await f.start()
    f.workload.answerAlways((request) => ok(request.slice(4, 6)))
    const caller = await tlsCaller()
    caller.write(get('/1') + get('/2') + get('/3'))
    await caller.has(/\/1.*\/2.*\/3$/s)
    caller.destroy()
  })

  it('ends the request at the workload when the caller goes', async () => {
    await f.start()
    const caller = await tlsCaller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    caller.destroy()
    await workload.ended()
    assert.equal((await f.proxy.outcome(0)).status, 499)
  })

  it('does not pretend that half a reply to HTTP/1.0 was whole', async () => {
    await f.start()
    const caller = await tlsCaller()
    caller.write('GET / HTTP/1.0\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    await caller.has('abc')
    workload.fin()
    await caller.closed()
    assert.equal((await f.proxy.outcome(0)).error, 'upstream_reset')
    // Only `end` says close_notify.
    assert.equal(accepted.writableEnded, false)
  })
})
