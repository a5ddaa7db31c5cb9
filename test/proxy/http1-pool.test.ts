import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually, settle } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { type ProxyFixture, useProxy } from './support/proxy-fixture.ts'
import type { RawSocket } from './support/raw-socket.ts'

describe('the connections to a workload', () => {
  const f = useProxy()

  it('are used again, the most recently used one first', async () => {
    await f.start()
    const callers = [await f.caller(), await f.caller(), await f.caller()]
    for (const [i, caller] of callers.entries()) {
      caller.write(get(`/${i}`))
      await (await f.workload.connection(i)).take('\r\n\r\n')
    }
    for (const i of [2, 0, 1]) {
      f.workload.connections[i]!.write(ok('done'))
      await callers[i]!.take('done')
    }
    callers[2]!.write(get('/last'))
    await f.workload.connections[1]!.has('GET /last ')
    assert.equal(f.workload.connections.length, 3)
  })

  const idleTimes = [
    { name: '4 s', field: '', aliveMs: 3_900, goneMs: 4_300 },
    { name: '4 s at most', field: 'Keep-Alive: timeout=60\r\n', aliveMs: 3_900, goneMs: 4_300 },
    {
      name: 'a second before the workload drops it',
      field: 'Keep-Alive: timeout=3, max=9\r\n',
      aliveMs: 1_900,
      goneMs: 2_300,
    },
  ]
  for (const { name, field, aliveMs, goneMs } of idleTimes) {
    it(`are dropped when idle: ${name}`, async () => {
      const clock = new FakeClock()
      await f.start({ clock })
      f.workload.answerAlways(`HTTP/1.1 200 OK\r\n${field}Content-Length: 2\r\n\r\nok`)
      await call(f)
      clock.advance(aliveMs)
      assert.equal(f.proxy.upstream.idleConnections, 1)
      clock.advance(goneMs - aliveMs)
      assert.equal(f.proxy.upstream.connections, 0)
      await f.workload.connections[0]!.ended()
    })
  }

  it('are not kept at all when the workload drops them within a second', async () => {
    await f.start()
    f.workload.answerAlways(
      'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok',
    )
    await call(f)
    assert.equal(f.proxy.upstream.connections, 0)
  })

  it('have no deadline of their own while a reply is under way', async () => {
    const clock = new FakeClock()
    await f.start({ clock, responseTimeoutMs: 1_000, idleTimeoutMs: 100_000 })
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok')
    await caller.has('ok')
    clock.advance(50_000)
    workload.write('ay')
    await caller.has('okay')
  })

  it('are ended by bytes that nobody asked for', async () => {
    await f.start()
    f.workload.answerAlways(ok('ok'))
    await call(f)
    f.workload.connections[0]!.write(ok('forged'))
    await eventually(() => f.proxy.upstream.connections === 0)
    assert.match(await call(f), /ok$/)
    assert.equal(f.workload.connections.length, 2)
  })

  const leftovers = [
    { name: 'a second reply', extra: ok('forged') },
    { name: 'a single byte', extra: '\n' },
    { name: 'the start of a reply', extra: 'HTTP/1.1 200 OK\r\n' },
  ]
  for (const { name, extra } of leftovers) {
    it(`are ended by ${name} behind a reply, which no other caller sees`, async () => {
      await f.start()
      f.workload.answerAlways((_, index) => ok('mine') + (index === 0 ? extra : ''))
      const first = await f.caller()
      const second = await f.caller()
      first.write(get('/1'))
      await first.has('mine')
      assert.equal(f.proxy.upstream.connections, 0)
      second.write(get('/2'))
      await second.has('mine')
      await settle()
      assert.equal(first.text, second.text)
      assert.doesNotMatch(first.text, /forged/)
    })
  }

  it('are not used again when the reply came before the end of the request', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write(ok('early'))
    await caller.has('early')
    caller.write('abc')
    await workload.ended()
    assert.equal(f.proxy.upstream.connections, 0)
  })

  it('are no more than the limit: above it callers get 503 at once', async () => {
    await f.start({ maxConnections: 2 })
    const callers = [await f.caller(), await f.caller(), await f.caller()]
    callers[0]!.write(get('/'))
    callers[1]!.write(get('/'))
    await f.workload.connection(1)
    callers[2]!.write(get('/'))
    await callers[2]!.take(/^HTTP\/1\.1 503 .*upstream_overloaded$/s)
    f.workload.connections[0]!.write(ok('ok'))
    await callers[0]!.has('ok')
    callers[2]!.write(get('/free'))
    await f.workload.connections[0]!.has('GET /free ')
  })

  it('close when idle, and after their exchange, once the pool is closed', async () => {
    await f.start()
    const callers = [await f.caller(), await f.caller()]
    for (const caller of callers) caller.write(get('/'))
    const [idle, busy] = [await f.workload.connection(0), await f.workload.connection(1)]
    idle.write(ok('one'))
    await eventually(() => callers.some((caller) => caller.text.includes('one')))
    f.proxy.upstream.close()
    await idle.ended()
    assert.equal(busy.hasEnded, false)
    busy.write(ok('two'))
    await eventually(() => callers.some((caller) => caller.text.includes('two')))
    assert.equal(f.proxy.upstream.connections, 0)
  })
})

describe('the retry on a new connection', () => {
  const f = useProxy()

  /** Leaves one idle connection to the workload, on which the next request goes. */
  async function reusable(): Promise<{ caller: RawSocket; stale: RawSocket }> {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/first'))
    const stale = await f.workload.connection(0)
    await stale.take('\r\n\r\n')
    stale.write(ok('first'))
    await caller.take('first')
    return { caller, stale }
  }

  const repeatable = [
    { name: 'GET', request: get('/x') },
    { name: 'HEAD', request: 'HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'OPTIONS', request: 'OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'DELETE', request: 'DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    {
      name: 'PUT with an empty body',
      request: 'PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
    },
  ]
  for (const { name, request } of repeatable) {
    it(`sends a ${name} once more when a reused connection ends before a reply`, async () => {
      const { caller, stale } = await reusable()
      caller.write(request)
      const sent = await stale.take('\r\n\r\n')
      stale.fin()
      const fresh = await f.workload.connection(1)
      assert.equal(await fresh.take('\r\n\r\n'), sent)
      fresh.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      await caller.has('HTTP/1.1 200 OK')
      assert.equal(f.workload.connections.length, 2)
      assert.deepEqual(await f.proxy.outcome(1), { status: 200, requestBytes: 0, replyBytes: 0 })
    })
  }

  it('happens after a reset too', async () => {
    const { caller, stale } = await reusable()
    caller.write(get('/x'))
    await stale.take('\r\n\r\n')
    stale.reset()
    const fresh = await f.workload.connection(1)
    await fresh.take('GET /x ')
    fresh.write(ok('again'))
    await caller.has('again')
  })

  it('never happens twice', async () => {
    const { caller, stale } = await reusable()
    caller.write(get('/x'))
    await stale.take('\r\n\r\n')
    stale.fin()
    const fresh = await f.workload.connection(1)
    await fresh.take('\r\n\r\n')
    fresh.fin()
    await caller.has(/^HTTP\/1\.1 502 .*upstream_reset$/s)
    assert.equal(f.workload.connections.length, 2)
  })

  it('takes a new connection although others are idle', async () => {
    await f.start()
    const [first, second] = [await f.caller(), await f.caller()]
    for (const caller of [first, second]) caller.write(get('/'))
    for (let i = 0; i < 2; i++) (await f.workload.connection(i)).write(ok('ok'))
    await first.take('ok')
    await second.take('ok')
    for (const connection of f.workload.connections) connection.forget()
    first.write(get('/x'))
    await eventually(() => f.workload.connections.some((connection) => connection.text !== ''))
    f.workload.connections.find((connection) => connection.text !== '')!.fin()
    await (await f.workload.connection(2)).has('GET /x ')
  })

  const unrepeatable = [
    { name: 'POST', request: 'POST /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'PATCH', request: 'PATCH /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'method of its own', request: 'PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'method in lower case', request: 'get /x HTTP/1.1\r\nHost: a\r\n\r\n' },
    {
      name: 'PUT with a body',
      request: 'PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx',
    },
    {
      name: 'PUT with a chunked body',
      request: 'PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    },
  ]
  for (const { name, request } of unrepeatable) {
    it(`does not happen for a ${name}`, async () => {
      const { caller, stale } = await reusable()
      caller.write(request)
      await stale.take(' /x ')
      stale.fin()
      await caller.has(/^HTTP\/1\.1 502 .*upstream_reset$/s)
      assert.equal(f.workload.connections.length, 1)
    })
  }

  for (const byte of ['H', 'HTTP/1.1 103 Early Hints\r\n\r\n']) {
    it(`does not happen when ${byte.length} bytes of a reply were seen`, async () => {
      const { caller, stale } = await reusable()
      caller.write(get('/x'))
      await stale.take('\r\n\r\n')
      stale.write(byte)
      await settle()
      stale.fin()
      await caller.has(/HTTP\/1\.1 502 .*upstream_reset$/s)
      assert.equal(f.workload.connections.length, 1)
    })
  }

  it('does not happen on a connection that was new', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/x'))
    ;(await f.workload.connection(0)).fin()
    await caller.has(/^HTTP\/1\.1 502 /)
    assert.equal(f.workload.connections.length, 1)
  })

  it('does not happen when the reply takes too long', async () => {
    const clock = new FakeClock()
    await f.start({ clock, responseTimeoutMs: 1_000 })
    f.workload.answerAlways((request) => (request.includes('/first') ? ok('first') : ''))
    const caller = await f.caller()
    caller.write(get('/first'))
    await caller.take('first')
    caller.write(get('/x'))
    await eventually(() => f.proxy.requests.length === 2)
    clock.advance(1_300)
    await caller.has(/^HTTP\/1\.1 504 .*upstream_timeout$/s)
    assert.equal(f.workload.connections.length, 1)
  })
})

describe('a workload that is slow', () => {
  const f = useProxy()

  it('to accept a connection gives 503', async () => {
    const clock = new FakeClock()
    // A name that is never resolved: the connection stays under way.
    await f.start({
      clock,
      connectTimeoutMs: 1_000,
      connect: () => connect({ host: 'workload.example', port: 9, lookup: () => undefined }),
    })
    const caller = await f.caller()
    caller.write(get('/'))
    await eventually(() => f.proxy.upstream.connections === 1)
    clock.advance(900)
    await settle()
    clock.advance(400)
    await caller.has(/^HTTP\/1\.1 503 .*upstream_unavailable$/s)
    assert.equal(f.proxy.upstream.connections, 0)
  })

  it('to answer gives 504, from the end of the request on', async () => {
    const clock = new FakeClock()
    await f.start({ clock, responseTimeoutMs: 1_000 })
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\na')
    clock.advance(5_000)
    caller.write('b')
    await workload.has('\r\n\r\nab')
    clock.advance(900)
    await settle()
    assert.equal(caller.text, '')
    clock.advance(400)
    await caller.has(/^HTTP\/1\.1 504 .*upstream_timeout$/s)
    await workload.ended()
    assert.equal((await f.proxy.outcome(0)).error, 'upstream_timeout')
  })

  it('is given its time anew by no informational reply', async () => {
    const clock = new FakeClock()
    await f.start({ clock, responseTimeoutMs: 1_000 })
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    clock.advance(600)
    workload.write('HTTP/1.1 102 Processing\r\n\r\n')
    await caller.has('102')
    clock.advance(700)
    await caller.has(/HTTP\/1\.1 504 .*upstream_timeout$/s)
  })

  it('to take the request gives 504', async () => {
    const clock = new FakeClock()
    await f.start({ clock, responseTimeoutMs: 1_000 })
    f.workload.onConnection = (connection) => connection.socket.pause()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 32000000\r\n\r\n')
    caller.write(Buffer.alloc(32_000_000))
    await eventually(() => f.proxy.sockets[0]?.isPaused() === true)
    await settle()
    clock.advance(1_300)
    await caller.has(/^HTTP\/1\.1 504 .*upstream_timeout$/s)
  })
})

/** One request of a caller of its own; returns its reply. */
async function call(fixture: ProxyFixture): Promise<string> {
  const caller = await fixture.caller()
  caller.write(get('/'))
  return caller.take('ok')
}
