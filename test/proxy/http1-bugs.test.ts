import assert from 'node:assert/strict'
import { eventually } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

describe('an exception that should not be possible', () => {
  const f = useProxy()
  const bug = new Error('a bug')
  const throwing = (): never => {
    throw bug
  }

  /** It was told of once, and the test knows of it. */
  async function assertReported(): Promise<void> {
    await eventually(() => f.proxy.bugs.length > 0)
    assert.deepEqual(f.proxy.bugs.splice(0), [bug])
  }

  /** Another caller is served as ever. */
  async function assertOthersServed(): Promise<void> {
    const caller = await f.caller()
    const before = f.workload.connections.length
    f.workload.answerAlways(ok('served'))
    caller.write(get('/other'))
    await caller.has('served')
    assert.ok(f.workload.connections.length <= before + 1)
  }

  it('while a request is served ends the connection of its caller', async () => {
    await f.start()
    const serve = f.proxy.serve.bind(f.proxy)
    f.proxy.serve = throwing
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.ended()
    assert.equal(caller.text, '')
    await assertReported()
    f.proxy.serve = serve
    await assertOthersServed()
  })

  it('while a request that was pipelined is served leaves the reply before it whole', async () => {
    await f.start()
    const caller = await f.caller()
    caller.write(get('/1') + get('/2'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    f.proxy.serve = throwing
    workload.write(ok('one'))
    await caller.ended()
    assert.equal(caller.text, 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none')
    await assertReported()
    assert.equal(f.proxy.upstream.idleConnections, 1)
  })

  it('while bytes are refused ends the connection', async () => {
    await f.start()
    f.proxy.refuse = throwing
    const caller = await f.caller()
    caller.write('nonsense\r\n\r\n')
    await caller.ended()
    await assertReported()
    await assertOthersServed()
  })

  it('in a request that cannot be written ends both connections', async () => {
    await f.start()
    f.proxy.addFields = ['x-bad', 'a\nb']
    const caller = await f.caller()
    caller.write(get('/'))
    await caller.ended()
    assert.equal(f.proxy.bugs.length, 1)
    assert.ok(f.proxy.bugs.splice(0)[0] instanceof TypeError)
    await eventually(() => f.proxy.upstream.connections === 0)
    assert.equal((await f.proxy.outcome(0)).error, 'internal_error')
    f.proxy.addFields = []
    await assertOthersServed()
  })

  it('while the outcome of a reply is told harms neither connection', async () => {
    await f.start()
    f.workload.answerAlways(ok('ok'))
    f.proxy.onOutcome = throwing
    const caller = await f.caller()
    caller.write(get('/1'))
    await caller.take('ok')
    await assertReported()
    f.proxy.onOutcome = () => undefined
    caller.write(get('/2'))
    await caller.take('ok')
  })

  it('while the outcome of an abort is told leaves no connection', async () => {
    await f.start()
    f.proxy.onOutcome = throwing
    const caller = await f.caller()
    caller.write(get('/1'))
    const workload = await f.workload.connection(0)
    await workload.has('\r\n\r\n')
    caller.reset()
    await workload.ended()
    await assertReported()
    assert.equal(f.proxy.upstream.connections, 0)
  })

  it('while a failure of the workload is answered ends the connection of the caller', async () => {
    await f.start()
    f.proxy.onFailure = throwing
    const caller = await f.caller()
    caller.write(get('/1'))
    ;(await f.workload.connection(0)).fin()
    await caller.ended()
    assert.equal(caller.text, '')
    await assertReported()
    f.proxy.onFailure = () => undefined
    await assertOthersServed()
  })
})
