import assert from 'node:assert/strict'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually, settle } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

const times = { headerTimeoutMs: 5_000, idleTimeoutMs: 20_000, responseTimeoutMs: 60_000 }
/** A deadline is met up to this late. */
const graceMs = 300

describe('the patience with a caller', () => {
  const f = useProxy()
  let clock: FakeClock

  async function start(options: Parameters<typeof f.start>[0] = {}): Promise<void> {
    clock = new FakeClock()
    await f.start({ clock, ...times, ...options })
  }

  it('ends when nothing comes on a new connection', async () => {
    await start()
    const caller = await f.caller()
    await eventually(() => f.proxy.downstreams.size === 1)
    clock.advance(4_900)
    await settle()
    assert.equal(caller.hasEnded, false)
    clock.advance(100 + graceMs)
    await caller.ended()
    assert.equal(caller.text, '')
  })

  it('gives 408 when a head is not whole in time, however it drips', async () => {
    await start()
    const caller = await f.caller()
    for (const byte of 'GET / HTTP/1.1\r\nHost: a\r\nX: ') {
      caller.write(byte)
      await settle()
      clock.advance(170)
    }
    assert.equal(caller.hasEnded, false)
    clock.advance(400 + graceMs)
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 408 .*connection: close.*head_too_slow$/s)
    assert.equal(f.proxy.requests.length, 0)
  })

  it('counts for each head from its first byte', async () => {
    await start()
    f.workload.answerAlways(ok('ok'))
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.take('ok')
    clock.advance(15_000)
    caller.write('GET')
    await settle()
    clock.advance(4_900)
    caller.write(' / HTTP/1.1\r\nHost: a\r\n\r\n')
    await caller.take('ok')
    caller.write('GET')
    await settle()
    clock.advance(5_000 + graceMs)
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 408 /)
  })

  it('counts anew for a head that is pipelined behind a slow one', async () => {
    await start({ denies: () => true })
    const caller = await f.caller()
    caller.write('GET /1 HTT')
    await settle()
    clock.advance(4_000)
    caller.write('P/1.1\r\nHost: a\r\n\r\nGET /2 HTT')
    await caller.take('denied')
    clock.advance(4_000)
    caller.write('P/1.1\r\nHost: a\r\n\r\n')
    await caller.take('denied')
  })

  it('ends between requests, without a word', async () => {
    await start()
    f.workload.answerAlways(ok('ok'))
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.take('ok')
    clock.advance(19_900)
    await settle()
    assert.equal(caller.hasEnded, false)
    clock.advance(100 + graceMs)
    await caller.ended()
    assert.equal(caller.text, '')
  })

  it('gives 408 when a body stops coming, and tells the workload by ending its connection', async () => {
    await start()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    for (let i = 0; i < 3; i++) {
      clock.advance(19_000)
      caller.write('x')
      await workload.has(`\r\n\r\n${'x'.repeat(i + 1)}`)
    }
    clock.advance(20_000 + graceMs)
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 408 .*connection: close.*body_too_slow$/s)
    await workload.ended()
    assert.equal((await f.proxy.outcome(0)).error, 'downstream_aborted')
  })

  it('has a time of its own for a body', async () => {
    await f.start({ clock, ...times, bodyTimeoutMs: 3_000 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx')
    const workload = await f.workload.connection(0)
    await workload.has('x')
    clock.advance(2_000)
    caller.write('\r\n1\r\ny')
    await workload.has('y')
    clock.advance(2_500)
    await settle()
    assert.equal(caller.text, '')
    clock.advance(500 + graceMs)
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 408 .*connection: close.*body_too_slow$/s)
    await workload.ended()
  })

  it('cuts the connection when a body stops coming after its reply has begun', async () => {
    await start()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')
    await caller.has('abc')
    clock.advance(20_000 + graceMs)
    await caller.ended()
    assert.match(caller.text, /\r\n\r\nabc$/)
    await workload.ended()
  })

  it('does not end while the workload thinks', async () => {
    await start()
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    clock.advance(59_000)
    workload.write(ok('thought'))
    await caller.has('thought')
  })

  it('ends when a reply stops in the middle', async () => {
    await start()
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')
    await caller.has('abc')
    clock.advance(19_000)
    workload.write('d')
    await caller.has('abcd')
    clock.advance(19_000)
    workload.write('e')
    await caller.has('abcde')
    clock.advance(20_000 + graceMs)
    await caller.ended()
    await workload.ended()
  })

  it('ends when a caller takes nothing of its reply', async () => {
    await start()
    f.workload.answerAlways(ok('x'.repeat(20_000_000)))
    const caller = await f.caller()
    caller.socket.pause()
    caller.write(get('/'))
    await eventually(() => f.proxy.sockets[0]?.writableNeedDrain === true)
    await settle()
    clock.advance(20_000 + graceMs)
    assert.equal((await f.proxy.outcome(0)).error, 'downstream_aborted')
    await f.workload.connections[0]!.ended()
  })

  it('ends when a caller never ends its side of a connection that we ended', async () => {
    await start()
    f.workload.answerAlways(ok('bye'))
    const caller = await f.caller()
    caller.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await caller.ended()
    await settle()
    assert.equal(f.proxy.downstreams.size, 1)
    clock.advance(2_000 + graceMs)
    await eventually(() => f.proxy.downstreams.size === 0)
  })
})

describe('draining a connection', () => {
  const f = useProxy()

  const drain = () => {
    for (const downstream of f.proxy.downstreams) downstream.drain()
  }

  it('ends it at once when it is idle', async () => {
    await f.start()
    f.workload.answerAlways(ok('ok'))
    const fresh = await f.caller()
    const used = await f.caller()
    used.write(get('/'))
    await used.take('ok')
    drain()
    await used.ended()
    await fresh.ended()
    assert.equal(used.text + fresh.text, '')
  })

  it('answers the request that is under way, and says that it is the last', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    drain()
    workload.write(ok('last'))
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 200 OK\r\nconnection: close\r\n.*last$/s)
  })

  it('answers the request whose head is still coming', async () => {
    await f.start()
    f.workload.answerAlways(ok('last'))
    const caller = await f.caller()
    caller.write('GET / HTTP/1.1\r\n')
    await settle()
    drain()
    caller.write('Host: a\r\n\r\n')
    await caller.ended()
    assert.match(caller.text, /connection: close\r\n.*last$/s)
  })

  it('ends it after a reply that has begun, and takes no request that is pipelined behind', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/1') + get('/2'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc')
    await caller.has('abc')
    drain()
    workload.write('def')
    await caller.ended()
    assert.match(caller.text, /abcdef$/)
    assert.equal(f.proxy.requests.length, 1)
  })
})

describe('the limit on the body of a request', () => {
  const f = useProxy()

  it('gives 413 for a length above it, before the workload hears of it', async () => {
    await f.start({ maxBodyBytes: 1_000 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n')
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 413 .*connection: close.*body_too_large$/s)
    assert.equal(f.workload.connections.length, 0)
    assert.equal((await f.proxy.outcome(0)).error, 'body_too_large')
  })

  it('gives 413 for a chunked body as soon as it is above it, and ends the request', async () => {
    await f.start({ maxBodyBytes: 1_000 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    caller.write(`3e8\r\n${'x'.repeat(1_000)}\r\n`)
    const workload = await f.workload.connection(0)
    await workload.has('x'.repeat(1_000))
    caller.write('1\r\nx\r\n')
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 413 .*body_too_large$/s)
    await workload.ended()
    assert.doesNotMatch(workload.text, /0\r\n\r\n/)
  })

  it('cuts the connection when the reply has begun', async () => {
    await f.start({ maxBodyBytes: 3 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('abc')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')
    await caller.has('abc')
    caller.write('1\r\nd\r\n')
    await caller.ended()
    assert.match(caller.text, /\r\n\r\nabc$/)
    assert.equal((await f.proxy.outcome(0)).error, 'body_too_large')
    await workload.ended()
  })

  it('lets a body of exactly the limit pass', async () => {
    await f.start({ maxBodyBytes: 3 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
    const workload = await f.workload.connection(0)
    await workload.take('\r\n\r\nabc')
    workload.write(ok('ok'))
    await caller.take('ok')
    caller.write(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    )
    await workload.has('abc\r\n0\r\n\r\n')
  })

  it('lets the 413 arrive although the caller goes on sending', async () => {
    await f.start({ maxBodyBytes: 1_000 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n')
    caller.write('x'.repeat(200_000))
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 413 .*body_too_large$/s)
    assert.equal(caller.errorCode, undefined)
  })
})
