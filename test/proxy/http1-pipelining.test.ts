import assert from 'node:assert/strict'
import { settle } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

const post = 'POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'

describe('pipelined requests', () => {
  const f = useProxy()

  it('are answered in order, one at a time, also when the first is slow', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/1') + post + get('/3'))
    const workload = await f.workload.connection(0)
    await workload.take('GET /1 ')
    await settle()
    assert.equal(f.proxy.requests.length, 1)
    workload.write(ok('one'))
    await caller.take('one')
    await workload.take('\r\n\r\nabc')
    workload.write(ok('two'))
    await caller.take('two')
    await workload.take('GET /3 ')
    workload.write(ok('three'))
    await caller.take('three')
    assert.equal(f.workload.connections.length, 1)
  })

  it('are cut apart wherever the bytes were cut', async () => {
    await f.start()
    f.workload.answerAlways((request) => ok(request.slice(4, 7)))
    const caller = await f.caller()
    const bytes = get('/1a') + get('/2b') + get('/3c')
    for (let i = 0; i < bytes.length; i++) {
      caller.write(bytes.slice(i, i + 1))
      if (i % 16 === 0) await settle()
    }
    await caller.has(/\/1a.*\/2b.*\/3c/s)
  })

  it('are answered in order when some are answered without the workload', async () => {
    await f.start({ denies: (request) => request.path.startsWith('/no') })
    const caller = await f.caller()
    caller.write(get('/no1') + get('/1') + get('/no2') + get('/no3') + get('/2') + get('/no4'))
    const workload = await f.workload.connection(0)
    await workload.take('GET /1 ')
    workload.write(ok('one'))
    await workload.take('GET /2 ')
    workload.write(ok('two'))
    await caller.has(/denied.*one.*denied.*denied.*two.*denied$/s)
  })

  it('are answered in order when one is denied with its body still to come', async () => {
    await f.start({ denies: (request) => request.method === 'POST' })
    const caller = await f.caller()
    caller.write(`${get('/1')}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\nGET /x HTTP`)
    const workload = await f.workload.connection(0)
    await workload.take('GET /1 ')
    workload.write(ok('one'))
    await caller.has(/one.*denied$/s)
    caller.write(`/1.1\r\n\r\n${get('/2')}`)
    await workload.has('GET /2 ')
    workload.write(ok('two'))
    await caller.has(/one.*denied.*two$/s)
    assert.doesNotMatch(workload.text, /\/x/)
  })

  it('are answered up to one that is refused, after which the connection ends', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(`${get('/1')}GET /2 HTTP/1.1\r\n\r\n${get('/3')}`)
    const workload = await f.workload.connection(0)
    await workload.take('GET /1 ')
    await settle()
    assert.equal(caller.text, '')
    workload.write(ok('one'))
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 200.*one.*HTTP\/1\.1 400.*host_missing$/s)
    assert.equal(f.proxy.requests.length, 1)
    assert.equal(f.proxy.refusals[0]?.code, 'host_missing')
  })

  it('are answered up to one whose body is malformed', async () => {
    await f.start()
    const caller = await f.caller()
    const bad = 'POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n'
    caller.write(get('/1') + bad + get('/3'))
    const workload = await f.workload.connection(0)
    await workload.take('GET /1 ')
    workload.write(ok('one'))
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 200.*one.*HTTP\/1\.1 400.*chunk_malformed$/s)
    await workload.ended()
    assert.doesNotMatch(workload.text, /0\r\n\r\n|GET/)
    assert.equal((await f.proxy.outcome(1)).error, 'downstream_aborted')
  })

  it('are not answered twice when the body of one is malformed after its reply', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('1\r\nx\r\n')
    workload.write(ok('early'))
    await caller.has('early')
    caller.write(`zz\r\n${get('/2')}`)
    await caller.ended()
    assert.match(caller.text, /^HTTP\/1\.1 200 OK\r\ncontent-length: 5\r\n\r\nearly$/)
    assert.equal(f.proxy.requests.length, 1)
  })

  it('are cut off in the middle of a reply when the body of its request is malformed', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('1\r\nx\r\n')
    workload.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n')
    await caller.has('2\r\nab\r\n')
    caller.write('zz\r\n')
    await caller.ended()
    assert.match(caller.text, /2\r\nab\r\n$/)
    await workload.ended()
  })

  it('wait while the caller does not take the replies it has', async () => {
    const reply = ok('x'.repeat(60_000))
    await f.start()
    f.workload.answerAlways(reply)
    const caller = await f.caller()
    caller.socket.pause()
    caller.write(get('/').repeat(1_000))
    // The kernel takes some megabytes; of the 60 that were asked for most were never fetched.
    await settled(() => f.proxy.requests.length)
    const fetched = f.proxy.requests.length
    assert.ok(fetched < 500, `${fetched} replies fetched`)
    assert.ok(f.proxy.sockets[0]!.writableLength < 300_000)
    caller.socket.resume()
    await caller.hasBytes(1_000 * reply.length)
    assert.equal(f.proxy.requests.length, 1_000)
  })

  it('wait for a caller that does not take its denials either', async () => {
    await f.start({ denies: () => true })
    const caller = await f.caller()
    caller.socket.pause()
    let replies = 0
    while (!f.proxy.sockets[0]?.isPaused()) {
      caller.write(get('/').repeat(1_000))
      replies += 1_000
      await settle()
    }
    assert.ok(f.proxy.sockets[0].writableLength < 300_000)
    caller.socket.resume()
    await settled(() => caller.receivedBytes)
    assert.equal(caller.text.split('denied').length - 1, replies)
  })
})

/** Waits until `count` stands still. */
async function settled(count: () => number): Promise<void> {
  for (let before = -1; before !== count();) {
    before = count()
    await settle()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
