import assert from 'node:assert/strict'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { bodyOf } from './support/http2-message.ts'
import { eventually } from './support/eventually.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { echoClient, type EchoClient, EchoWorkload } from './support/http2-grpc-echo.ts'

describe('gRPC through the proxy', () => {
  let workload: EchoWorkload
  let proxy: AnyProxy
  let client: EchoClient

  before(async () => {
    workload = await EchoWorkload.start()
    proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: workload.port },
    })
    client = echoClient(proxy.port)
  })

  after(async () => {
    client.close()
    await proxy.close()
    workload.close()
  })

  afterEach(async () => {
    assert.deepEqual(proxy.bugs, [])
    await eventually(() => proxy.open === 0 && proxy.downstreamStreams === 0)
  })

  const unary = (message: Buffer, metadata = new Metadata(), options: object = {}) =>
    new Promise<{ reply: Buffer; head: Metadata; trailer: Metadata }>((resolve, reject) => {
      let head = new Metadata()
      let trailer = new Metadata()
      const call = client.unary(message, metadata, options, (error, reply) => {
        // The trailer comes after the reply.
        setImmediate(() => {
          if (error === null && reply !== undefined) resolve({ reply, head, trailer })
          else reject(error!)
        })
      })
      call.on('metadata', (received: Metadata) => (head = received))
      call.on('status', (ended: { metadata: Metadata }) => (trailer = ended.metadata))
    })

  it('answers a unary call, with metadata both ways and trailers', async () => {
    const metadata = new Metadata()
    metadata.add('x-list', 'a')
    metadata.add('x-list', 'b')
    metadata.add('x-raw-bin', Buffer.from([0, 255, 10]))
    const { reply, head, trailer } = await unary(Buffer.from('hello'), metadata)
    assert.equal(reply.toString(), 'hello')
    assert.deepEqual(head.get('x-list'), ['a, b'])
    assert.deepEqual(head.get('x-raw-bin'), [Buffer.from([0, 255, 10])])
    assert.deepEqual(trailer.get('x-trailer'), ['after'])
  })

  it('passes an error with its code, details and metadata', async () => {
    const error = await new Promise<ServiceError>((resolve) =>
      client.fails(Buffer.from('x'), (failed) => resolve(failed!)),
    )
    assert.equal(error.code, status.FAILED_PRECONDITION)
    assert.equal(error.details, 'não · %25')
    assert.deepEqual(error.metadata.get('x-why'), ['because'])
    assert.equal(proxy.outcomes.at(-1)?.error, undefined)
  })

  it('carries messages of 4 MiB both ways', async () => {
    const message = bodyOf([4 * 1024 * 1024])
    const { reply } = await unary(message)
    assert.ok(reply.equals(message))
  })

  it('carries a server stream', async () => {
    const messages: number[] = []
    for await (const message of client.list(Buffer.from('abcdef'))) {
      messages.push((message as Buffer)[0] ?? 0)
    }
    assert.deepEqual(messages, [...Buffer.from('abcdef')])
  })

  it('carries a client stream', async () => {
    const sum = await new Promise<Buffer>((resolve, reject) => {
      const call = client.sum((error, reply) => (error === null ? resolve(reply!) : reject(error)))
      for (let i = 0; i < 50; i++) call.write(Buffer.alloc(10_000))
      call.end()
    })
    assert.equal(sum.toString(), '500000')
  })

  it('carries a conversation, message by message', async () => {
    const call = client.chat()
    const heard: string[] = []
    call.on('data', (message: Buffer) => {
      heard.push(message.toString())
      if (heard.length === 20) call.end()
      else call.write(Buffer.from(String(heard.length)))
    })
    call.write(Buffer.from('0'))
    await new Promise((resolve) => call.on('status', resolve))
    assert.deepEqual(
      heard,
      Array.from({ length: 20 }, (_, i) => String(i)),
    )
  })

  it('passes the status of a stream that breaks off after messages', async () => {
    const call = client.breaks(Buffer.alloc(0))
    const heard: string[] = []
    call.on('data', (message: Buffer) => heard.push(message.toString()))
    const error = await new Promise<ServiceError>((resolve) => call.on('error', resolve))
    assert.deepEqual(heard, ['1', '2'])
    assert.equal(error.code, status.DATA_LOSS)
  })

  it("ends the workload's call when the caller cancels", async () => {
    const before = workload.cancelled
    const call = client.hangs(Buffer.alloc(0))
    const failed = new Promise<ServiceError>((resolve) => call.on('error', resolve))
    workload.onHang = () => call.cancel()
    assert.equal((await failed).code, status.CANCELLED)
    await eventually(() => workload.cancelled === before + 1)
    assert.equal(proxy.outcomes.at(-1)?.error, 'downstream_aborted')
  })

  it("ends the workload's call when the caller's deadline has passed", async () => {
    const before = workload.cancelled
    workload.onHang = () => undefined
    const call = client.hangs(Buffer.alloc(0), { deadline: Date.now() + 2_000 })
    const error = await new Promise<ServiceError>((resolve) => call.on('error', resolve))
    assert.equal(error.code, status.DEADLINE_EXCEEDED)
    await eventually(() => workload.cancelled === before + 1)
  })

  it('tells the caller UNAVAILABLE when the workload goes away in the middle', async () => {
    const doomed = await EchoWorkload.start()
    await using front = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: doomed.port },
    })
    const caller = echoClient(front.port)
    const call = caller.hangs(Buffer.alloc(0))
    doomed.onHang = () => doomed.close()
    const error = await new Promise<ServiceError>((resolve) => call.on('error', resolve))
    caller.close()
    assert.equal(error.code, status.UNAVAILABLE)
    assert.equal(front.outcomes[0]?.error, 'upstream_reset')
  })

  it('carries 200 calls at once, each with its own answer', async () => {
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, i) => unary(Buffer.from(`call ${i} ${'x'.repeat(i * 50)}`))),
    )
    replies.forEach(({ reply }, i) => {
      assert.equal(reply.toString(), `call ${i} ${'x'.repeat(i * 50)}`)
    })
  })
})
