import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { FakeClock } from '../support/fake-clock.ts'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import type { ReplySink, UpstreamFailure } from '../../src/proxy/ends.ts'
import { Http1WorkloadConnection } from '../../src/proxy/http1-workload-connection.ts'
import { atTurnEnd } from '../../src/proxy/turn-end.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

describe('the end of a turn', () => {
  it('comes once for all that waits for it, in order, also for what is added meanwhile', async () => {
    const order: number[] = []
    atTurnEnd(() => {
      order.push(1)
      atTurnEnd(() => order.push(3))
    })
    atTurnEnd(() => order.push(2))
    assert.deepEqual(order, [])
    await new Promise(setImmediate)
    assert.deepEqual(order, [1, 2, 3])
  })
})

describe('a request that has not left yet', () => {
  let socket: Socket
  let failures: UpstreamFailure[]
  let connection: Http1WorkloadConnection

  beforeEach(() => {
    socket = new Socket()
    failures = []
    const onBug = (error: unknown) => assert.fail(String(error))
    const deadlines = new Deadlines(new FakeClock())
    const options = { deadlines, connectTimeoutMs: 1_000, responseTimeoutMs: 1_000, onBug }
    const events = { onIdle: () => undefined, onGone: () => undefined }
    connection = new Http1WorkloadConnection(() => socket, options, events)
    connection.begin(request, replyTo(failures))
    connection.requestEnd([])
    connection.requestFlush()
  })

  it('is not answered by what the workload said before: it goes out again', () => {
    socket.emit('data', Buffer.from(ok('for nobody')))
    assert.deepEqual(
      failures.map(({ reason, retry }) => ({ reason, retry })),
      [{ reason: 'upstream_reset', retry: 'always' }],
    )
    assert.equal(socket.destroyed, true)
  })

  it('goes out again when the workload has closed meanwhile', () => {
    socket.emit('end')
    assert.deepEqual(
      failures.map(({ retry }) => retry),
      ['always'],
    )
  })
})

describe('a reply that is faster than TLS is to tell that the request has left', () => {
  let socket: Socket
  let sent: (() => void) | undefined
  let idle: number

  beforeEach(async () => {
    socket = new Socket()
    socket._write = (_chunk, _encoding, onSent) => (sent = onSent)
    idle = 0
    const onBug = (error: unknown) => assert.fail(String(error))
    const deadlines = new Deadlines(new FakeClock())
    const options = { deadlines, connectTimeoutMs: 1_000, responseTimeoutMs: 1_000, onBug }
    const events = { onIdle: () => idle++, onGone: () => undefined }
    const connection = new Http1WorkloadConnection(() => socket, options, events)
    connection.begin(request, anyReply)
    connection.requestEnd([])
    connection.requestFlush()
    await new Promise(setImmediate)
    assert.ok(sent)
    socket.emit('data', Buffer.from(ok('fast')))
    assert.deepEqual({ idle, isCut: socket.destroyed }, { idle: 0, isCut: false })
  })

  it('leaves its connection for the next request', async () => {
    sent?.()
    await new Promise(setImmediate)
    assert.deepEqual({ idle, isCut: socket.destroyed }, { idle: 1, isCut: false })
  })

  it('ends it where the peer does not take the request', async () => {
    await new Promise(setImmediate)
    assert.deepEqual({ idle, isCut: socket.destroyed }, { idle: 0, isCut: true })
  })

  it('ends it where more comes meanwhile', async () => {
    sent?.()
    socket.emit('data', Buffer.from(ok('for nobody')))
    await new Promise(setImmediate)
    assert.deepEqual({ idle, isCut: socket.destroyed }, { idle: 0, isCut: true })
  })
})

describe('a reply that is whole', () => {
  const f = useProxy()

  it('arrives when what follows it in the same bytes is no request', async () => {
    await f.start({ denies: () => true })
    const caller = await f.caller()
    caller.write(`${get('/1')}${get('/2')}GET\u0000 /3 HTTP/1.1\r\n\r\n`)
    await caller.ended()
    assert.equal(caller.text.match(/denied/g)?.length, 2)
    assert.match(caller.text, /HTTP\/1\.1 400 /)
  })

  it('arrives when its connection is cut in the same turn', async () => {
    await f.start({
      denies: () => {
        queueMicrotask(() => f.proxy.downstreams.forEach((downstream) => downstream.destroy()))
        return true
      },
    })
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.ended()
    assert.match(caller.text, /denied/)
  })
})

const request = {
  method: 'POST',
  path: '/',
  authority: 'a',
  fields: [],
  length: 'none',
  wantsTrailers: false,
} as const

const nothing = () => undefined

const anyReply: ReplySink = {
  replyInformational: nothing,
  replyHead: nothing,
  replyData: nothing,
  replyEnd: nothing,
  replyFailed: ({ detail }) => assert.fail(detail),
  requestTaken: nothing,
  replyFlush: nothing,
}

function replyTo(failures: UpstreamFailure[]): ReplySink {
  const unexpected = () => assert.fail('there is no reply')
  return {
    replyInformational: unexpected,
    replyHead: unexpected,
    replyData: unexpected,
    replyEnd: unexpected,
    replyFailed: (failure) => failures.push(failure),
    requestTaken: unexpected,
    replyFlush: unexpected,
  }
}
