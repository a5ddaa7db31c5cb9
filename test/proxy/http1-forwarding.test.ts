import assert from 'node:assert/strict'
import { eventually, settle } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

const ours = 'x-postern-product: plain\r\nx-postern-principal: tester\r\n'

describe('forwarding over HTTP/1.1', () => {
  const f = useProxy()

  it('sends a request on with the names and order of its fields, and the reply back', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('GET /a?b=c HTTP/1.1\r\nHost: api.example\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    assert.equal(
      workload.text,
      `GET /a?b=c HTTP/1.1\r\nhost: api.example\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\n${ours}\r\n`,
    )
    workload.write(
      'HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nhi',
    )
    await caller.has('hi')
    assert.equal(
      caller.text,
      'HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nset-cookie: b\r\ncontent-length: 2\r\n\r\nhi',
    )
    assert.deepEqual(await f.proxy.outcome(0), { status: 200, requestBytes: 0, replyBytes: 2 })
  })

  it('keeps both connections for the next request', async () => {
    await f.start()
    f.workload.answerAlways('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    const caller = await f.caller()
    for (let i = 0; i < 3; i++) {
      caller.write(get(`/${i}`))
      await caller.take('ok')
    }
    assert.equal(f.workload.connections.length, 1)
    assert.equal(f.proxy.upstream.idleConnections, 1)
  })

  it('streams a body of a given length as it comes', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc')
    const workload = await f.workload.connection(0)
    await workload.has(`${ours}content-length: 6\r\n\r\nabc`)
    caller.write('def')
    await workload.has('abcdef')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nuvw')
    await caller.has('uvw')
    workload.write('xyz')
    await caller.has('uvwxyz')
    assert.equal((await f.proxy.outcome(0)).requestBytes, 6)
  })

  it('streams chunked bodies with their trailers, both ways', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: Chunked\r\n\r\n')
    caller.write('3;x=y\r\nabc\r\n')
    const workload = await f.workload.connection(0)
    await workload.has(
      `${ours}te: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`,
    )
    caller.write('0\r\nX-Sum: 1\r\n\r\n')
    await workload.has('3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n')
    workload.write(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n',
    )
    await caller.has('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n')
    workload.write('0\r\nX-Sum: 2\r\n\r\n')
    await caller.has('2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n')
    assert.equal(f.proxy.upstream.idleConnections, 1)
  })

  it('asks the workload whether the caller shall send its body', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('Expect: 100-continue\r\n')
    assert.equal(caller.text, '')
    workload.write('HTTP/1.1 100 Continue\r\n\r\n')
    await caller.has('HTTP/1.1 100 \r\n\r\n')
    caller.write('hi')
    await workload.has('\r\n\r\nhi')
    workload.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    await caller.has('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    assert.equal(f.proxy.upstream.idleConnections, 1)
  })

  it('ends the connection after a final reply to a caller that waits to be told to send its body', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n')
    await caller.ended()
    assert.equal(caller.text, 'HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    await workload.ended()
  })

  it('passes other informational replies, any number of them', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n')
    await caller.has('HTTP/1.1 103 \r\nLink: </a>\r\n\r\n')
    workload.write('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    await caller.has(/HTTP\/1\.1 102 \r\n\r\nHTTP\/1\.1 200 OK\r\ncontent-length: 2\r\n\r\nok$/)
  })

  const bodiless = [
    {
      name: 'the reply to HEAD with its length',
      method: 'HEAD',
      reply: '200 OK\r\nContent-Length: 7\r\n\r\n',
      expected: '200 OK\r\ncontent-length: 7\r\n\r\n',
    },
    {
      name: 'the reply to HEAD without a length',
      method: 'HEAD',
      reply: '200 OK\r\nX: y\r\n\r\n',
      expected: '200 OK\r\nX: y\r\n\r\n',
    },
    {
      name: 'the reply to HEAD that would be chunked',
      method: 'HEAD',
      reply: '200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      expected: '200 OK\r\n\r\n',
    },
    {
      name: '204, even with a length',
      method: 'GET',
      reply: '204 No Content\r\nContent-Length: 0\r\n\r\n',
      expected: '204 No Content\r\n\r\n',
    },
    {
      name: '304 with the length of what was not modified',
      method: 'GET',
      reply: '304 Not Modified\r\nContent-Length: 7\r\nETag: "a"\r\n\r\n',
      expected: '304 Not Modified\r\nETag: "a"\r\ncontent-length: 7\r\n\r\n',
    },
    {
      name: 'an empty body with length zero',
      method: 'POST',
      reply: '201 Created\r\nContent-Length: 0\r\n\r\n',
      expected: '201 Created\r\ncontent-length: 0\r\n\r\n',
    },
  ]
  for (const { name, method, reply, expected } of bodiless) {
    it(`passes ${name}, and goes on with the connection`, async () => {
      await f.start()
      f.workload.answerAlways((request) =>
        request.startsWith('PUT') ? ok('next') : `HTTP/1.1 ${reply}`,
      )
      const caller = await f.caller()
      caller.write(`${method} / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\n\r\n`)
      await caller.has('next')
      assert.equal(
        caller.text,
        `HTTP/1.1 ${expected}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext`,
      )
      assert.equal(f.workload.connections.length, 1)
    })
  }

  it('chunks a reply that ends with the connection of the workload, and keeps that of the caller', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    workload.write('HTTP/1.1 200 OK\r\n\r\nabc')
    await caller.has('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n')
    workload.fin()
    await caller.has('3\r\nabc\r\n0\r\n\r\n')
    assert.equal(f.proxy.upstream.connections, 0)
    caller.write(get('/again'))
    await (await f.workload.connection(1)).has('GET /again ')
    assert.equal((await f.proxy.outcome(0)).error, undefined)
  })

  it('takes the reply of a workload that speaks HTTP/1.0, and does not use its connection again', async () => {
    await f.start()
    f.workload.answerAlways('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok')
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.take('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    await (await f.workload.connection(0)).ended()
    caller.write(get('/'))
    await caller.has('ok')
    assert.equal(f.workload.connections.length, 2)
  })

  it('keeps the connection of the caller when the workload ends its own', async () => {
    await f.start()
    f.workload.answerAlways('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok')
    const caller = await f.caller()
    caller.write(get('/'))
    assert.equal(await caller.take('ok'), 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    caller.write(get('/'))
    await caller.has('ok')
    assert.equal(caller.hasEnded, false)
    assert.equal(f.workload.connections.length, 2)
  })

  it('keeps the connection to the workload when the caller ends its own', async () => {
    await f.start()
    f.workload.answerAlways(ok('bye'))
    const caller = await f.caller()
    caller.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await caller.ended()
    assert.equal(
      caller.text,
      'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye',
    )
    assert.doesNotMatch(f.proxy.requests[0]!.fields.join(), /^$/)
    assert.equal(f.proxy.upstream.idleConnections, 1)
  })

  it('discards what follows a request after which the caller wanted to end', async () => {
    await f.start()
    f.workload.answerAlways(ok('bye'))
    const caller = await f.caller()
    caller.write(`GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${get('/2')}`)
    await caller.ended()
    assert.equal(caller.text.split('HTTP/1.1').length, 2)
    assert.equal(f.proxy.requests.length, 1)
    caller.write(get('/3'))
    caller.fin()
    await eventually(() => f.proxy.downstreams.size === 0)
  })

  describe('with a caller that speaks HTTP/1.0', () => {
    it('ends the connection after the reply', async () => {
      await f.start()
      f.workload.answerAlways(ok('old'))
      const caller = await f.caller()
      caller.write('GET / HTTP/1.0\r\n\r\n')
      await caller.ended()
      assert.equal(
        caller.text,
        'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nold',
      )
      assert.match(f.proxy.requests[0]!.authority, /^$/)
    })

    it('keeps the connection when asked to, and says so', async () => {
      await f.start()
      f.workload.answerAlways(ok('old'))
      const caller = await f.caller()
      for (let i = 0; i < 2; i++) {
        caller.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n')
        assert.equal(
          await caller.take('old'),
          'HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\n\r\nold',
        )
      }
    })

    it('ends a chunked reply with the connection, without its trailers', async () => {
      await f.start()
      f.workload.answerAlways(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
      )
      const caller = await f.caller()
      caller.write('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
      await caller.ended()
      assert.equal(caller.text, 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcde')
      assert.equal(caller.errorCode, undefined)
      assert.equal(f.proxy.upstream.idleConnections, 1)
    })

    it('sends no informational reply', async () => {
      await f.start()
      f.workload.answerAlways(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('old')}`)
      const caller = await f.caller()
      caller.write('GET / HTTP/1.0\r\n\r\n')
      await caller.ended()
      assert.match(caller.text, /^HTTP\/1\.1 200 /)
    })

    it('sends the body of a HTTP/1.0 request with its length', async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc')
      const workload = await f.workload.connection(0)
      await workload.has(`POST / HTTP/1.1\r\nhost: \r\n${ours}content-length: 3\r\n\r\nabc`)
    })
  })

  describe('with a reply before the end of the request', () => {
    it('discards the rest, and both go on with their next', async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc')
      const workload = await f.workload.connection(0)
      await workload.has('abc')
      workload.write('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno')
      await caller.take('HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno')
      await workload.ended()
      caller.write('x'.repeat(997) + get('/next'))
      const next = await f.workload.connection(1)
      await next.has('GET /next ')
      next.write(ok('next'))
      await caller.has('next')
      assert.doesNotMatch(next.text, /x{3}/)
      assert.equal((await f.proxy.outcome(0)).status, 413)
    })

    it('discards what had stopped because the workload did not read', async () => {
      await f.start()
      f.workload.onConnection = (connection) => connection.socket.pause()
      const caller = await f.caller()
      caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 32000000\r\n\r\n')
      caller.write(Buffer.alloc(32_000_000))
      const workload = await f.workload.connection(0)
      // More than fits into the buffers of the kernel: all has come to a halt.
      await eventually(() => f.proxy.sockets[0]!.isPaused())
      await settle()
      assert.equal(f.proxy.sockets[0]!.isPaused(), true)
      workload.write('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno')
      await caller.has('HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno')
      await caller.ended()
      assert.equal(f.proxy.upstream.connections, 0)
    })

    it('ends the connection when the rest is larger than what is worth reading', async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nabc')
      const workload = await f.workload.connection(0)
      await workload.has('abc')
      workload.write('HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno')
      await caller.has('no')
      assert.equal(caller.hasEnded, false)
      caller.write(Buffer.alloc(200 * 1024))
      caller.write(Buffer.alloc(100 * 1024))
      await caller.ended()
      assert.match(caller.text, /no$/)
    })

    it('discards anew for each request', async () => {
      await f.start()
      const rest = 'x'.repeat(200_000)
      const caller = await f.caller()
      for (let i = 0; i < 3; i++) {
        caller.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${rest.length + 1}\r\n\r\na`)
        const workload = await f.workload.connection(i)
        await workload.has('\r\n\r\na')
        workload.write(ok('early'))
        await caller.take('early')
        caller.write(rest)
      }
      caller.write(get('/next'))
      await (await f.workload.connection(3)).has('GET /next ')
    })

    it('streams in both directions at once', async () => {
      await f.start()
      const caller = await f.caller()
      caller.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n')
      const workload = await f.workload.connection(0)
      await workload.has('1\r\na\r\n')
      workload.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n')
      await caller.has('1\r\nA\r\n')
      caller.write('1\r\nb\r\n0\r\n\r\n')
      await workload.has('1\r\nb\r\n0\r\n\r\n')
      workload.write('1\r\nB\r\n0\r\n\r\n')
      await caller.has('1\r\nB\r\n0\r\n\r\n')
      assert.equal(f.proxy.upstream.idleConnections, 1)
    })
  })
})
