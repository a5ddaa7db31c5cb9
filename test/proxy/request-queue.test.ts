import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, connect as dial } from 'node:net'
import { h2 } from '../../src/http2/errors.ts'
import {
  data,
  END,
  get as h2Get,
  headers,
  post as h2Post,
  rstStream,
  setting,
  settings,
} from '../http2/support/raw-frames.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { freePort } from '../support/free-port.ts'
import { Workload } from '../support/workload.ts'
import { eventually, settle } from './support/eventually.ts'
import { useHttp2 } from './support/http2-fixture.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'
import type { RawSocket } from './support/raw-socket.ts'

/** Counts who waits, as the metric does. */
function counted(maxRequests: number, timeoutMs = 1_000) {
  const queue = {
    ...{ maxRequests, timeoutMs, waiting: 0 },
    onChange: (change: 1 | -1) => void (queue.waiting += change),
  }
  return queue
}

const overloaded = /^HTTP\/1\.1 503 .*upstream_overloaded$/s

describe('the line for a workload of HTTP/1.1', () => {
  const f = useProxy()

  /** Callers of which the first has the only connection to the workload and the others wait. */
  async function inLine(count: number, queue = counted(100)): Promise<RawSocket[]> {
    await f.start({ maxConnections: 1, queue })
    const callers: RawSocket[] = []
    for (let i = 0; i < count; i++) {
      const caller = await f.caller()
      callers.push(caller)
      caller.write(get(`/${i}`))
      await eventually(() => f.proxy.requests.length === i + 1)
    }
    await (await f.workload.connection(0)).take('GET /0 ')
    assert.equal(queue.waiting, count - 1)
    return callers
  }

  it('is served in order, on the connection that becomes free', async () => {
    const queue = counted(100)
    const callers = await inLine(4, queue)
    const workload = await f.workload.connection(0)
    for (const [i, caller] of callers.entries()) {
      workload.write(ok(`reply ${i}`))
      await caller.has(`reply ${i}`)
      if (i < 3) assert.match(await workload.take('\r\n\r\n'), new RegExp(`GET /${i + 1} `))
    }
    assert.equal(queue.waiting, 0)
    assert.equal(f.workload.connections.length, 1)
    callers[2]!.forget()
    callers[2]!.write(get('/again'))
    await workload.take('GET /again ')
  })

  it('is served on a new connection when the old one ends', async () => {
    const callers = await inLine(3)
    const first = await f.workload.connection(0)
    first.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok')
    await callers[0]!.has('ok')
    const second = await f.workload.connection(1)
    await second.take('GET /1 ')
    second.reset()
    await callers[1]!.has(/^HTTP\/1\.1 502 .*upstream_reset$/s)
    const third = await f.workload.connection(2)
    await third.take('GET /2 ')
    third.write(ok('third'))
    await callers[2]!.has('third')
  })

  it('has an end: who finds no place gets 503 at once, and the others are served', async () => {
    const callers = await inLine(3, counted(2))
    const late = await f.caller()
    late.write(get('/late'))
    await late.take(overloaded)
    const workload = await f.workload.connection(0)
    for (const caller of callers) {
      workload.write(ok('served'))
      await caller.has('served')
    }
    late.write(get('/late'))
    await workload.take('GET /late ')
  })

  it('moves in time: who waits longer gets 503, and the workload never hears of it', async () => {
    const clock = new FakeClock()
    const queue = counted(100, 1_000)
    await f.start({ maxConnections: 1, queue, clock, responseTimeoutMs: 100_000 })
    const callers = [await f.caller(), await f.caller(), await f.caller()]
    for (const [i, caller] of callers.entries()) {
      caller.write(get(`/${i}`))
      await eventually(() => f.proxy.requests.length === i + 1)
      clock.advance(400)
    }
    clock.advance(150)
    await settle()
    assert.deepEqual([callers[1]!.text, callers[2]!.text], ['', ''])
    clock.advance(400)
    await callers[1]!.has(overloaded)
    assert.equal(callers[2]!.text, '')
    clock.advance(500)
    await callers[2]!.has(overloaded)
    assert.deepEqual([f.proxy.outcomes.length, queue.waiting], [2, 0])

    const workload = await f.workload.connection(0)
    workload.write(ok('first'))
    await callers[0]!.has('first')
    await settle()
    assert.match(workload.text, /^GET \/0 [^]*$/)
    assert.doesNotMatch(workload.text, /GET \/[12]/)
  })

  it('forgets a caller that leaves, and the place is free again', async () => {
    const queue = counted(2)
    const callers = await inLine(3, queue)
    callers[1]!.destroy()
    await eventually(() => f.proxy.outcomes.length === 1)
    assert.equal(f.proxy.outcomes[0]?.error, 'downstream_aborted')
    assert.equal(queue.waiting, 1)
    const next = await f.caller()
    next.write(get('/3'))
    await eventually(() => f.proxy.requests.length === 4)
    const workload = await f.workload.connection(0)
    for (const [caller, path] of [
      [callers[0]!, '/2'],
      [callers[2]!, '/3'],
      [next, ''],
    ] as const) {
      workload.write(ok('served'))
      await caller.has('served')
      if (path !== '') await workload.take(`GET ${path} `)
    }
  })

  it('holds no more than a window of a body, and sends it whole', async () => {
    const [first] = await inLine(1)
    const caller = await f.caller()
    const body = Buffer.alloc(4_000_000, 'body')
    caller.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
    caller.write(body)
    await eventually(() => f.proxy.sockets[1]?.isPaused() === true)
    assert.ok(f.proxy.sockets[1]!.bytesRead < 1_000_000)
    const workload = await f.workload.connection(0)
    workload.write(ok('first'))
    await first!.has('first')
    await workload.hasBytes(body.length)
    await workload.has('\r\n\r\n')
    assert.ok(workload.bytes.subarray(-body.length).equals(body))
    workload.write(ok('second'))
    await caller.has('second')
  })

  it('gives a request that is sent once more a connection of its own', async () => {
    const queue = counted(10)
    await f.start({ maxConnections: 1, queue })
    const [first, second] = [await f.caller(), await f.caller()]
    first.write(get('/warm'))
    const stale = await f.workload.connection(0)
    await stale.take('GET /warm ')
    stale.write(ok('warm'))
    await first.take('warm')
    first.write(get('/first'))
    await stale.take('GET /first ')
    second.write(get('/second'))
    await eventually(() => queue.waiting === 1)
    stale.fin()
    const other = await f.workload.connection(1)
    await other.take('GET /second ')
    assert.equal(queue.waiting, 1)
    other.write(ok('second'))
    await second.has('second')
    // What has carried another request might end in the same way.
    const fresh = await f.workload.connection(2)
    await fresh.take('GET /first ')
    fresh.write(ok('first'))
    await first.has('first')
    await other.ended()
  })

  it('comes to an end when the workload cannot be reached', async () => {
    let isThere = true
    const port = () => (isThere ? f.workload.port : closedPort)
    const closedPort = await freePort()
    await f.start({
      maxConnections: 1,
      queue: counted(100),
      connect: () => dial(port(), '127.0.0.1'),
    })
    const callers: RawSocket[] = []
    for (let i = 0; i < 4; i++) {
      callers.push(await f.caller())
      callers[i]!.write(get(`/${i}`))
      await eventually(() => f.proxy.requests.length === i + 1)
    }
    const workload = await f.workload.connection(0)
    isThere = false
    workload.reset()
    await callers[0]!.has(/^HTTP\/1\.1 502 /)
    for (const caller of callers.slice(1)) {
      await caller.has(/^HTTP\/1\.1 503 .*upstream_unavailable$/s)
    }
    assert.equal(f.proxy.upstream.connections, 0)
  })

  it('brings a crowd through to a slow workload, no more at once than it may have', async () => {
    await using workload = await Workload.start()
    await f.start({ upstreamPort: workload.port, maxConnections: 4, queue: counted(100) })
    let [now, most] = [0, 0]
    workload.answerWith((request, response) => {
      most = Math.max(most, ++now)
      setTimeout(() => {
        now--
        response.end(`slow ${request.url}`)
      }, 5)
    })
    const callers = await Promise.all(Array.from({ length: 60 }, () => f.caller()))
    await Promise.all(
      callers.map(async (caller, i) => {
        caller.write(get(`/${i}`))
        await caller.has(`slow /${i}`)
      }),
    )
    assert.equal(most, 4)
    assert.equal(workload.seen.length, 60)
    assert.ok(f.proxy.workloadSockets.length < 60)
  })
})

describe('the line for a workload of HTTP/2', () => {
  const fixture = useHttp2()
  const one = [setting.MAX_CONCURRENT_STREAMS, 1] as const
  const answer = (id: number) => headers(id, [':status', '200'], END)
  const ask = (id: number, path: string) => {
    const [m, method, s, scheme, a, authority, p] = h2Get()
    return headers(id, [m!, method!, s!, scheme!, a!, authority!, p!, path], END)
  }

  /** A workload that takes one request at once, and a caller whose first one it has; more of them wait. */
  async function inLine(count: number, queue = counted(100)) {
    await fixture.start({ maxUpstreamConnections: 1, queue, responseTimeoutMs: 1_000_000 })
    const caller = await fixture.caller()
    caller.send(ask(1, '/1'))
    const workload = await fixture.upstream(0, ...one)
    await workload.has('SETTINGS ack')
    await workload.has('HEADERS 1 GET /1 end')
    for (let i = 1; i < count; i++) caller.send(ask(2 * i + 1, `/${2 * i + 1}`))
    await eventually(() => queue.waiting === count - 1)
    return { caller, workload }
  }

  it('is served in order, as streams end', async () => {
    const queue = counted(100)
    const { caller, workload } = await inLine(4, queue)
    for (const id of [1, 3, 5, 7]) {
      await workload.has(`HEADERS ${id} GET /${id} end`)
      assert.equal(workload.frames.filter((frame) => frame.includes(' GET ')).length, (id + 1) / 2)
      workload.send(answer(id))
      await caller.has(`HEADERS ${id} 200 end`)
    }
    assert.equal(queue.waiting, 0)
  })

  it('is served when the workload allows more', async () => {
    const { caller, workload } = await inLine(4)
    workload.send(settings(setting.MAX_CONCURRENT_STREAMS, 3))
    await workload.has('HEADERS 5 GET /5 end')
    await settle()
    assert.equal(workload.count('HEADERS 7 GET /7 end'), 0)
    workload.send(answer(3))
    await caller.has('HEADERS 3 200 end')
    await workload.has('HEADERS 7 GET /7 end')
  })

  it('is served on a new connection when the old one goes', async () => {
    const { caller, workload } = await inLine(2)
    workload.raw.reset()
    await caller.has('HEADERS 1 502')
    const second = await fixture.upstream(1, ...one)
    await second.has('HEADERS 1 GET /3 end')
    second.send(answer(1))
    await caller.has('HEADERS 3 200 end')
  })

  it('has an end, and moves in time', async () => {
    const { caller, workload } = await inLine(3, counted(2, 1_000))
    caller.send(ask(7, '/7'))
    await caller.has('HEADERS 7 503')
    await fixture.passes(250, () => caller.count('HEADERS 5 503') === 1)
    assert.equal(caller.count('HEADERS 3 503'), 1)
    assert.equal(caller.count('HEADERS 1 503'), 0)
    workload.send(answer(1))
    await caller.has('HEADERS 1 200 end')
    await settle()
    assert.equal(workload.frames.filter((frame) => frame.includes(' GET ')).length, 1)
  })

  it('forgets a request that is reset, and sends the body of the next one whole', async () => {
    const queue = counted(100)
    const { caller, workload } = await inLine(2, queue)
    caller.send(headers(5, h2Post()), data(5, 'one '), data(5, 'two'), rstStream(3, h2.CANCEL))
    await eventually(() => fixture.proxy.outcomes.length === 1)
    workload.send(answer(1))
    await workload.has('HEADERS 3 POST /')
    caller.send(data(5, ' three', END))
    await eventually(() => workload.body(3).toString() === 'one two three')
    workload.send(answer(3))
    await caller.has('HEADERS 5 200 end')
    assert.equal(queue.waiting, 0)
  })

  it('is made for new connections too, before their SETTINGS come', async () => {
    const queue = counted(100)
    await fixture.start({ maxUpstreamConnections: 3, queue })
    const caller = await fixture.caller()
    caller.send(ask(1, '/1'))
    const first = await fixture.upstream(0, ...one)
    await first.has('SETTINGS ack')
    caller.send(ask(3, '/3'), ask(5, '/5'), ask(7, '/7'), ask(9, '/9'))
    await eventually(() => queue.waiting === 2)
    const silent = [await fixture.workload.connection(1), await fixture.workload.connection(2)]
    assert.equal(silent.length, 2)
    const second = await fixture.upstream(1, ...one)
    await second.has('HEADERS 1 GET /3 end')
    second.send(answer(1))
    await second.has('HEADERS 3 GET /7 end')
  })

  it('brings a crowd through to a slow server of Node, no more at once than it allows', async () => {
    const server = createServer({ settings: { maxConcurrentStreams: 3 } })
    let [now, most, served] = [0, 0, 0]
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      most = Math.max(most, ++now)
      setTimeout(() => {
        now--
        served++
        stream.respond({ ':status': 200 })
        stream.end(`slow ${headers[':path']}`)
      }, 5)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port: upstreamPort } = server.address() as AddressInfo
    await using proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort },
      ...{ maxUpstreamConnections: 2, queue: counted(100, 60_000) },
    })
    const session = connect(`http://127.0.0.1:${proxy.port}`)
    const call = async (path: string) => {
      const stream = session.request({ ':path': path })
      let text = ''
      for await (const chunk of stream.setEncoding('utf8')) text += String(chunk)
      assert.equal(text, `slow ${path}`)
    }
    try {
      await call('/warm')
      await Promise.all(Array.from({ length: 60 }, (_, i) => call(`/${i}`)))
      assert.equal(most, 6)
      assert.equal(served, 61)
    } finally {
      session.destroy()
      server.close()
    }
  })
})
