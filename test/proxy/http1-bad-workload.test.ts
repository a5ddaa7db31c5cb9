import assert from 'node:assert/strict'
import { bytesOf, readReplies } from '../http1/recorder.ts'
import { acceptedReplies, refusedReplies } from '../http1/reply-table.ts'
import { eventually } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

describe('a reply that breaks a rule', () => {
  const f = useProxy()

  for (const [name, text, , method = 'GET'] of refusedReplies) {
    it(`ends its connection and reaches nobody as a whole reply: ${name}`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(`${method} /1 HTTP/1.1\r\nHost: a\r\n\r\n`)
      const workload = await f.workload.connection(0)
      await workload.take('\r\n\r\n')
      workload.write(bytesOf(`${text}${ok('forged')}`))
      await workload.ended()
      const outcome = await f.proxy.outcome(0)
      assert.equal(outcome.error, 'upstream_malformed')
      assert.equal(f.proxy.upstream.connections, 0)
      if (outcome.status === 502) {
        await caller.take(/^HTTP\/1\.1 502 .*content-length: 18\r\n\r\n/s)
        caller.write(get('/2'))
        const fresh = await f.workload.connection(1)
        await fresh.has('GET /2 ')
        fresh.write(ok('mine'))
        await caller.has('mine')
      } else {
        await caller.ended()
        const found = readReplies([caller.bytes], [method])
        assert.equal(found.messages[0]?.trailers, undefined, 'a whole reply')
      }
      assert.doesNotMatch(caller.text, /forged/)
    })
  }

  it('by switching protocols without being asked gives 502', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    assert.doesNotMatch(workload.text, /upgrade/i)
    workload.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes',
    )
    await caller.has(/^HTTP\/1\.1 502 .*upstream_malformed$/s)
    await workload.ended()
  })

  it('by sending informational replies without end gives 502', async () => {
    await f.start()
    f.workload.answerAlways('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(17))
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.has(/HTTP\/1\.1 502 .*upstream_malformed$/s)
  })
})

describe('a reply that is unusual', () => {
  const f = useProxy()

  for (const { name, text, method = 'GET', is } of acceptedReplies) {
    if (is.status === 101 || method === 'CONNECT') continue
    it(`passes, and the next on the same connection is not touched: ${name}`, async () => {
      await f.start()
      const caller = await f.caller()
      caller.write(`${method} /1 HTTP/1.1\r\nHost: a\r\n\r\n${get('/2')}`)
      const workload = await f.workload.connection(0)
      await workload.take('\r\n\r\n')
      workload.write(bytesOf(text))
      if (is.framing?.kind === 'close') workload.fin()
      const nextOf = () => f.workload.connections.find((peer) => peer.text.includes('GET /2 '))
      await eventually(() => nextOf() !== undefined)
      nextOf()!.write(ok('next'))
      await caller.has('next')
      const { messages, refused } = readReplies([caller.bytes], [method, 'GET'])
      assert.equal(refused, undefined)
      if (is.status !== undefined) assert.equal(messages[0]?.head.status, is.status)
      if (is.body !== undefined) assert.equal(messages[0]?.body, is.body)
      if (is.trailers !== undefined) assert.deepEqual(messages[0]?.trailers, is.trailers)
      assert.equal(messages[1]?.body, 'next')
    })
  }
})
