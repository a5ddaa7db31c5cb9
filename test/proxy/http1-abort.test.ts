import assert from 'node:assert/strict'
import { settle } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

const chunkedPost = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'

describe('a caller that goes away', () => {
  const f = useProxy()

  const departures = [
    { how: 'ends its side', go: 'fin' },
    { how: 'resets the connection', go: 'reset' },
  ] as const
  for (const { how, go } of departures) {
    it(`in the middle of its request ends that at the workload (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(chunkedPost)
      const workload = await f.workload.connection(0)
      await workload.has('abc')
      caller[go]()
      await workload.ended()
      assert.doesNotMatch(workload.text, /0\r\n\r\n/)
      assert.deepEqual(await f.proxy.outcome(0), {
        status: 499,
        requestBytes: 3,
        replyBytes: 0,
        error: 'downstream_aborted',
      })
      assert.equal(f.proxy.upstream.connections, 0)
    })

    it(`while it waits for its reply ends the request at the workload (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      caller[go]()
      await workload.ended()
      assert.equal((await f.proxy.outcome(0)).status, 499)
      await caller.closed()
      assert.equal(caller.text, '')
    })

    it(`in the middle of its reply ends that at the workload (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
      await caller.has('abc')
      caller[go]()
      await workload.ended()
      assert.deepEqual(await f.proxy.outcome(0), {
        status: 200,
        requestBytes: 0,
        replyBytes: 3,
        error: 'downstream_aborted',
      })
      assert.equal(f.proxy.upstream.connections, 0)
    })

    it(`after its reply leaves the connection to the workload alone (${how})`, async () => {
      await f.start()
      f.workload.answerAlways(ok('hi'))
      const caller = await f.caller()
      caller.write(get('/'))
      await caller.has('hi')
      caller[go]()
      await caller.closed()
      assert.equal(f.proxy.upstream.idleConnections, 1)
    })

    it(`in the middle of a head costs the workload nothing (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('GET / HTTP/1.1\r\nHo')
      await settle()
      caller[go]()
      await caller.closed()
      assert.equal(caller.text, '')
      assert.equal(f.workload.connections.length, 0)
    })
  }

  it('with more requests pipelined ends the one under way, and none of the others begins', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/1') + get('/2'))
    const workload = await f.workload.connection(0)
    await workload.has('GET /1 ')
    caller.reset()
    workload.write(ok('one'))
    await f.proxy.outcome(0)
    await settle()
    assert.ok(f.proxy.requests.length <= 2)
    assert.ok(f.proxy.outcomes.every((outcome) => outcome.status === 499 || outcome.status === 200))
  })

  it('is sent off with the reply when it was already on its way', async () => {
    await f.start()
    f.workload.answerAlways(ok('x'.repeat(3_000_000)))
    const caller = await f.caller()
    caller.socket.pause()
    caller.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await f.proxy.outcome(0).catch(() => undefined)
    caller.socket.resume()
    await caller.ended()
    assert.equal(caller.receivedBytes, 3_000_000 + caller.text.indexOf('\r\n\r\n') + 4)
  })
})

describe('a workload that goes away', () => {
  const f = useProxy()

  const departures = [
    { how: 'ends its side', go: 'fin' },
    { how: 'resets the connection', go: 'reset' },
  ] as const
  for (const { how, go } of departures) {
    it(`before its reply gives 502 (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload[go]()
      await caller.has(/^HTTP\/1\.1 502 .*upstream_reset$/s)
      assert.deepEqual(await f.proxy.outcome(0), {
        status: 502,
        requestBytes: 0,
        replyBytes: 0,
        error: 'upstream_reset',
      })
      assert.equal(f.proxy.upstream.connections, 0)
      caller.write(get('/again'))
      await (await f.workload.connection(1)).has('GET /again ')
    })

    it(`in the middle of the head of its reply gives 502 (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload.write('HTTP/1.1 200 OK\r\nX: y')
      await settle()
      workload[go]()
      await caller.has(/^HTTP\/1\.1 502 /)
    })

    it(`in the middle of a reply with a length cuts it short (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
      await caller.has('abc')
      workload[go]()
      await caller.ended()
      assert.match(caller.text, /\r\n\r\nabc$/)
      assert.deepEqual(await f.proxy.outcome(0), {
        status: 200,
        requestBytes: 0,
        replyBytes: 3,
        error: 'upstream_reset',
      })
    })

    it(`in the middle of a chunked reply cuts it off without a last chunk (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
      await caller.has('abc')
      workload[go]()
      await caller.ended()
      assert.match(caller.text, /3\r\nabc\r\n$/)
    })

    it(`in the middle of a reply that HTTP/1.0 takes until the end resets it (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('GET / HTTP/1.0\r\n\r\n')
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
      await caller.has('abc')
      workload[go]()
      await caller.closed()
      assert.equal(caller.hasEnded, false)
      assert.equal(caller.errorCode, 'ECONNRESET')
    })

    it(`in the middle of a request gives 502, and the rest is discarded (${how})`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc')
      const workload = await f.workload.connection(0)
      await workload.has('abc')
      workload[go]()
      await caller.has(/^HTTP\/1\.1 502 .*upstream_reset$/s)
      caller.write(`def${get('/next')}`)
      await (await f.workload.connection(1)).has('GET /next ')
    })
  }

  it('in the middle of a reply until the end of its connection is cut off where it was reset', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\n\r\nabc')
    await caller.has('abc')
    workload.reset()
    await caller.ended()
    assert.doesNotMatch(caller.text, /0\r\n\r\n/)
    assert.equal((await f.proxy.outcome(0)).error, 'upstream_reset')
  })

  it('and cannot be connected to gives 503', async () => {
    await f.start()
    await f.workload.close()
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.take(/^HTTP\/1\.1 503 .*upstream_unavailable$/s)
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
    await caller.has(/^HTTP\/1\.1 503 .*upstream_unavailable$/s)
    assert.equal(f.proxy.upstream.connections, 0)
  })
})
