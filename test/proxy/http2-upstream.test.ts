import assert from 'node:assert/strict'
import { createServer, type AddressInfo, Socket } from 'node:net'
import { once } from 'node:events'
import { h2 } from '../../src/http2/errors.ts'
import {
  data,
  END,
  frame,
  get,
  goaway,
  headers,
  post,
  rstStream,
  setting,
  settings,
  settingsAck,
  windowUpdate,
} from '../http2/support/raw-frames.ts'
import { eventually, settle } from './support/eventually.ts'
import { useHttp2 } from './support/http2-fixture.ts'
import type { RawPeer } from './support/http2-raw-peer.ts'

const ok = (streamId: number) => headers(streamId, [':status', '200'], END)

/** As a host that drops our SYN. */
class NeverConnecting extends Socket {
  override readonly connecting = true
}

const put = () => post().with(1, 'PUT')

describe('a workload of HTTP/2 that does not answer a request', () => {
  const fixture = useHttp2()

  const outcome = () => {
    const { status, error } = fixture.proxy.outcomes.at(-1) ?? {}
    return { status, error }
  }

  const asked = async (...frames: Buffer[]): Promise<{ caller: RawPeer; workload: RawPeer }> => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(...frames)
    const workload = await fixture.upstream()
    await eventually(() => workload.frames.some((line) => line.startsWith('HEADERS 1')))
    return { caller, workload }
  }

  const codes = [
    { name: 'NO_ERROR', code: h2.NO_ERROR, later: h2.INTERNAL_ERROR },
    { name: 'PROTOCOL_ERROR', code: h2.PROTOCOL_ERROR, later: h2.INTERNAL_ERROR },
    { name: 'INTERNAL_ERROR', code: h2.INTERNAL_ERROR, later: h2.INTERNAL_ERROR },
    { name: 'CANCEL', code: h2.CANCEL, later: h2.CANCEL },
    { name: 'ENHANCE_YOUR_CALM', code: h2.ENHANCE_YOUR_CALM, later: h2.ENHANCE_YOUR_CALM },
  ]

  for (const { name, code, later } of codes) {
    it(`and resets it with ${name}: 502 before the head, RST_STREAM ${later} after it`, async () => {
      const { caller, workload } = await asked(headers(1, get(), END), headers(3, get(), END))
      workload.send(rstStream(1, code))
      await caller.has('HEADERS 1 502')
      assert.deepEqual(outcome(), { status: 502, error: 'upstream_reset' })
      await workload.has('HEADERS 3 GET / end')
      workload.send(headers(3, [':status', '200']), data(3, 'half'))
      await caller.has('DATA 3 4')
      workload.send(rstStream(3, code))
      await caller.has(`RST_STREAM 3 code=${later}`)
      assert.equal(caller.body(3).toString(), 'half')
      assert.deepEqual(outcome(), { status: 200, error: 'upstream_reset' })
    })
  }

  it('and breaks a rule on its stream: 502, and RST_STREAM to it', async () => {
    const { caller, workload } = await asked(headers(1, get(), END), headers(3, get(), END))
    workload.send(data(1, 'no head'))
    await caller.has('HEADERS 1 502')
    assert.deepEqual(outcome(), { status: 502, error: 'upstream_malformed' })
    await workload.has(`RST_STREAM 1 code=${h2.PROTOCOL_ERROR}`)
    workload.send(ok(3))
    await caller.has('HEADERS 3 200 end')
  })

  it('and breaks a rule of the connection: 502 for all, and GOAWAY to it', async () => {
    const { caller, workload } = await asked(headers(1, get(), END), headers(3, get(), END))
    workload.send(frame(5, 4, 0, 'a promise'))
    await caller.has('HEADERS 1 502')
    await caller.has('HEADERS 3 502')
    assert.deepEqual(outcome(), { status: 502, error: 'upstream_malformed' })
    await workload.has(`GOAWAY last=0 code=${h2.PROTOCOL_ERROR}`)
    await workload.raw.ended()
    workload.raw.fin()
    await eventually(() => fixture.proxy.upstream.connections === 0)
  })

  it('and speaks HTTP/1.1: 502', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const raw = await fixture.workload.connection(0)
    raw.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    await caller.has('HEADERS 1 502')
    assert.deepEqual(outcome(), { status: 502, error: 'upstream_malformed' })
  })

  it('and closes the first connection: 502, not sent again', async () => {
    const { caller, workload } = await asked(headers(1, get(), END))
    workload.raw.destroy()
    await caller.has('HEADERS 1 502')
    assert.deepEqual(outcome(), { status: 502, error: 'upstream_reset' })
    assert.equal(fixture.workload.connections.length, 1)
  })

  it('and closes in the middle of a reply: RST_STREAM INTERNAL_ERROR', async () => {
    const { caller, workload } = await asked(headers(1, get(), END))
    workload.send(headers(1, [':status', '200']), data(1, 'half'))
    await caller.has('DATA 1 4')
    workload.raw.reset()
    await caller.has(`RST_STREAM 1 code=${h2.INTERNAL_ERROR}`)
    assert.deepEqual(outcome(), { status: 200, error: 'upstream_reset' })
  })

  it('in time: 504, RST_STREAM to it, and a connection that said nothing is left', async () => {
    const { caller, workload } = await asked(headers(1, get(), END))
    await workload.has('SETTINGS ack')
    fixture.clock.advance(5_000)
    caller.send(headers(3, get(), END))
    await workload.has('HEADERS 3 GET / end')
    fixture.clock.advance(5_500)
    await caller.has('HEADERS 1 504')
    assert.deepEqual(outcome(), { status: 504, error: 'upstream_timeout' })
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    caller.send(headers(5, get(), END))
    const second = await fixture.upstream(1)
    await second.has('HEADERS 1 GET / end')
    second.send(ok(1))
    await caller.has('HEADERS 5 200 end')
    workload.send(ok(3))
    await caller.has('HEADERS 3 200 end')
    await workload.raw.ended()
  })

  it('in time while others are answered: the connection stays', async () => {
    const { caller, workload } = await asked(headers(1, get(), END))
    await workload.has('SETTINGS ack')
    fixture.clock.advance(5_000)
    caller.send(headers(3, get(), END))
    await workload.has('HEADERS 3 GET / end')
    workload.send(ok(3))
    await caller.has('HEADERS 3 200 end')
    fixture.clock.advance(5_500)
    await caller.has('HEADERS 1 504')
    caller.send(headers(5, get(), END))
    await workload.has('HEADERS 5 GET / end')
    workload.send(ok(5))
    await caller.has('HEADERS 5 200 end')
    assert.equal(fixture.workload.connections.length, 1)
  })

  it('and takes no byte of its body: 504', async () => {
    const { caller, workload } = await asked(headers(1, get(), END))
    workload.send(settings(setting.INITIAL_WINDOW_SIZE, 10), ok(1))
    await caller.has('HEADERS 1 200 end')
    caller.send(headers(3, post()), data(3, 'x'.repeat(100)))
    await workload.has('DATA 3 10')
    fixture.clock.advance(9_000)
    workload.send(windowUpdate(3, 5))
    await workload.has('DATA 3 5')
    fixture.clock.advance(9_000)
    await settle()
    assert.equal(fixture.proxy.open, 1)
    fixture.clock.advance(2_000)
    await caller.has('HEADERS 3 504')
  })

  it('may wait as long as the caller does', async () => {
    const { caller, workload } = await asked(headers(1, post()), data(1, 'begun'))
    await workload.has('DATA 1 5')
    fixture.clock.advance(50_000)
    await settle()
    caller.send(data(1, 'done', END))
    await workload.has('DATA 1 4 end')
    workload.send(ok(1))
    await caller.has('HEADERS 1 200 end')
  })

  it('and cannot be connected to: 503', async () => {
    const gone = createServer().listen(0, '127.0.0.1')
    await once(gone, 'listening')
    const { port } = gone.address() as AddressInfo
    gone.close()
    await fixture.start({ upstreamPort: port })
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    await caller.has('HEADERS 1 503')
    assert.deepEqual(outcome(), { status: 503, error: 'upstream_unavailable' })
    assert.match(fixture.proxy.failures[0]?.detail ?? '', /ECONNREFUSED/)
    assert.equal(fixture.proxy.upstream.connections, 0)
  })

  it('and does not say its SETTINGS: 504, and the connection ends', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()))
    await fixture.workload.connection(0)
    await settle()
    fixture.clock.advance(10_500)
    await caller.has('HEADERS 1 504')
    assert.deepEqual(outcome(), { status: 504, error: 'upstream_timeout' })
    await (await fixture.workload.connection(0)).ended()
  })
})

describe('a request that the workload did not take', () => {
  const fixture = useHttp2()

  const notTaken = [
    { name: 'REFUSED_STREAM', said: rstStream(1, h2.REFUSED_STREAM), other: 0 },
    { name: 'a GOAWAY below it', said: goaway(0, h2.NO_ERROR), other: 1 },
  ]

  for (const { name, said } of notTaken) {
    it(`by ${name} is sent again, whatever its method`, async () => {
      await fixture.start()
      const caller = await fixture.caller()
      caller.send(headers(1, post(), END))
      const workload = await fixture.upstream()
      await workload.has('HEADERS 1 POST / end')
      workload.send(said)
      const second = await fixture.upstream(1)
      await second.has('HEADERS 1 POST / end')
      second.send(ok(1))
      await caller.has('HEADERS 1 200 end')
    })

    it(`by ${name} is sent again with a body that had not begun, and its trailers`, async () => {
      await fixture.start()
      const caller = await fixture.caller()
      caller.send(headers(1, put()))
      const workload = await fixture.upstream()
      await workload.has('HEADERS 1 PUT /')
      workload.send(said)
      const second = await fixture.upstream(1)
      await second.has('HEADERS 1 PUT /')
      caller.send(data(1, 'body'), headers(1, ['x-sum', '4'], END))
      await second.has('DATA 1 4')
      await second.has('HEADERS 1 trailers end')
      second.send(ok(1))
      await caller.has('HEADERS 1 200 end')
    })

    it(`by ${name} is not sent again once its body has begun: 503`, async () => {
      await fixture.start()
      const caller = await fixture.caller()
      caller.send(headers(1, put()), data(1, 'body', END))
      const workload = await fixture.upstream()
      await workload.has('DATA 1 4 end')
      workload.send(said)
      await caller.has('HEADERS 1 503')
      assert.equal(fixture.proxy.outcomes[0]?.error, 'upstream_unavailable')
      assert.equal(fixture.workload.connections.length, 1)
    })

    it(`by ${name} is sent again once and not twice`, async () => {
      await fixture.start()
      const caller = await fixture.caller()
      caller.send(headers(1, get(), END))
      for (const index of [0, 1]) {
        const workload = await fixture.upstream(index)
        await workload.has('HEADERS 1 GET / end')
        workload.send(said)
      }
      await caller.has('HEADERS 1 503')
      assert.equal(fixture.workload.connections.length, 2)
    })
  }

  it('with trailers and no body is sent again with them', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()), headers(1, ['x-sum', '0'], END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 trailers end')
    workload.send(rstStream(1, h2.REFUSED_STREAM))
    const second = await fixture.upstream(1)
    await second.has('HEADERS 1 trailers end')
    assert.equal(second.field(1, 'x-sum'), '0')
    second.send(ok(1))
    await caller.has('HEADERS 1 200 end')
  })

  it('is not sent again when 103 came before the refusal', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    workload.send(headers(1, [':status', '103']), rstStream(1, h2.REFUSED_STREAM))
    await caller.has('HEADERS 1 503')
    assert.ok(caller.frames.includes('HEADERS 1 103'))
  })

  it('goes with all that share its fate to one new connection', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    const ids = Array.from({ length: 20 }, (_, i) => 2 * i + 1)
    caller.send(...ids.map((id) => headers(id, get(), END)))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 39 GET / end')
    workload.send(goaway(1, h2.NO_ERROR), ok(1))
    const second = await fixture.upstream(1)
    await second.has('HEADERS 37 GET / end')
    second.send(...ids.slice(0, -1).map(ok))
    for (const id of ids) await caller.has(`HEADERS ${id} 200 end`)
    assert.equal(fixture.workload.connections.length, 2)
    await workload.raw.ended()
  })

  it('because its idle connection was closed is sent again when that is safe', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    workload.send(ok(1))
    await caller.has('HEADERS 1 200 end')
    caller.send(headers(3, put().with(1, 'DELETE'), END), headers(5, post(), END))
    await workload.has('HEADERS 5 POST / end')
    workload.raw.destroy()
    const second = await fixture.upstream(1)
    await second.has('HEADERS 1 DELETE / end')
    second.send(ok(1))
    await caller.has('HEADERS 3 200 end')
    await caller.has('HEADERS 5 502')
  })
})

describe('the connections to a workload of HTTP/2', () => {
  const fixture = useHttp2()

  it('are as many as its MAX_CONCURRENT_STREAMS needs', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream(0, setting.MAX_CONCURRENT_STREAMS, 2)
    await first.has('HEADERS 1 GET / end')
    await first.has('SETTINGS ack')
    caller.send(headers(3, get(), END), headers(5, get(), END))
    const second = await fixture.upstream(1)
    await second.has('HEADERS 1 GET / end')
    await first.has('HEADERS 3 GET / end')
    first.send(ok(1))
    await caller.has('HEADERS 1 200 end')
    caller.send(headers(7, get(), END))
    await first.has('HEADERS 5 GET / end')
    first.send(ok(3), ok(5))
    second.send(ok(1))
    for (const id of [3, 5, 7]) await caller.has(`HEADERS ${id} 200 end`)
    assert.equal(fixture.proxy.upstream.connections, 2)
  })

  it('are at most maxUpstreamConnections: then 503', async () => {
    await fixture.start({ maxUpstreamConnections: 1 })
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream(0, setting.MAX_CONCURRENT_STREAMS, 1)
    await first.has('SETTINGS ack')
    caller.send(headers(3, get(), END))
    await caller.has('HEADERS 3 503')
    first.send(ok(1))
    await caller.has('HEADERS 1 200 end')
    caller.send(headers(5, get(), END))
    await first.has('HEADERS 3 GET / end')
    first.send(ok(3))
    await caller.has('HEADERS 5 200 end')
  })

  it('carry at most 128 requests each, whatever the workload allows', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream()
    await first.has('SETTINGS ack')
    const other = await fixture.caller()
    const ids = Array.from({ length: 99 }, (_, i) => 2 * i + 3)
    caller.send(...ids.map((id) => headers(id, get(), END)))
    await first.has('HEADERS 199 GET / end')
    other.send(...ids.map((id) => headers(id, get(), END)))
    const second = await fixture.upstream(1)
    await second.has(`HEADERS ${2 * (199 - 128) - 1} GET / end`)
    await first.has(`HEADERS ${2 * 128 - 1} GET / end`)
  })

  it('are used again for what was refused when there can be no new one', async () => {
    await fixture.start({ maxUpstreamConnections: 1 })
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream()
    await first.has('HEADERS 1 GET / end')
    first.send(rstStream(1, h2.REFUSED_STREAM))
    await first.has('HEADERS 3 GET / end')
    first.send(ok(3))
    await caller.has('HEADERS 1 200 end')
  })

  it('of which one takes no body are left alone by new requests', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()))
    const first = await fixture.upstream(0, setting.INITIAL_WINDOW_SIZE, 1_000_000)
    await first.has('SETTINGS ack')
    for (let i = 0; i < 5; i++) caller.send(data(1, Buffer.alloc(16_384)))
    await first.has('DATA 1 16383')
    caller.send(headers(3, post()), data(3, 'passes', END))
    const second = await fixture.upstream(1)
    await second.has('DATA 1 6 end')
    second.send(ok(1))
    await caller.has('HEADERS 3 200 end')
    first.send(windowUpdate(0, 100_000))
    await first.has('DATA 1 16384')
    caller.send(data(1, 'end', END), headers(5, get(), END))
    await first.has('DATA 1 4 end')
    await first.has('HEADERS 3 GET / end')
    first.send(ok(1), ok(3))
    await caller.has('HEADERS 1 200 end')
    await caller.has('HEADERS 5 200 end')
  })

  it('end after a minute without a request, in order', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream()
    await first.has('HEADERS 1 GET / end')
    await first.has('SETTINGS ack')
    first.send(ok(1))
    await caller.has('HEADERS 1 200 end')
    fixture.clock.advance(59_000)
    await settle()
    assert.equal(first.raw.hasEnded, false)
    caller.send(headers(3, get(), END))
    await first.has('HEADERS 3 GET / end')
    fixture.clock.advance(5_000)
    first.send(ok(3))
    await caller.has('HEADERS 3 200 end')
    fixture.clock.advance(59_000)
    await settle()
    assert.equal(first.raw.hasEnded, false)
    fixture.clock.advance(1_500)
    await first.has('GOAWAY last=0 code=0')
    await first.raw.ended()
    fixture.clock.advance(2_500)
    await eventually(() => fixture.proxy.upstream.connections === 0)
  })

  it('whose last request was aborted end after a minute too', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream()
    await first.has('SETTINGS ack')
    caller.send(rstStream(1, h2.CANCEL))
    await first.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    fixture.clock.advance(61_000)
    await first.raw.ended()
  })

  it('end with the pool, busy ones after their requests', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const first = await fixture.upstream()
    await first.has('HEADERS 1 GET / end')
    fixture.proxy.upstream.close()
    await first.has('GOAWAY last=0 code=0')
    caller.send(headers(3, get(), END))
    const second = await fixture.upstream(1)
    await second.has('HEADERS 1 GET / end')
    first.send(ok(1))
    second.send(ok(1))
    await caller.has('HEADERS 1 200 end')
    await caller.has('HEADERS 3 200 end')
    await first.raw.ended()
    await second.raw.ended()
  })

  it('that are not up in time: 503', async () => {
    await fixture.start({ dial: () => new NeverConnecting(), connectTimeoutMs: 3_000 })
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    await eventually(() => fixture.proxy.open === 1)
    fixture.clock.advance(2_500)
    await settle()
    assert.equal(fixture.proxy.open, 1)
    fixture.clock.advance(1_000)
    await caller.has('HEADERS 1 503')
    assert.equal(fixture.proxy.outcomes[0]?.error, 'upstream_unavailable')
  })
})

describe('an early reply of a workload of HTTP/2', () => {
  const fixture = useHttp2()

  it('ends the rest of the request on both sides', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'begun'))
    const workload = await fixture.upstream()
    await workload.has('DATA 1 5')
    workload.send(headers(1, [':status', '413']), data(1, 'enough', END))
    await caller.has('DATA 1 6 end')
    assert.equal(caller.body(1).toString(), 'enough')
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    workload.send(rstStream(1, h2.NO_ERROR))
    caller.send(headers(3, get(), END))
    await workload.has('HEADERS 3 GET / end')
    workload.send(ok(3))
    await caller.has('HEADERS 3 200 end')
  })

  it('gives the caller no credit for the rest, even when it does not take the reply', async () => {
    await fixture.start()
    const caller = await fixture.caller(setting.INITIAL_WINDOW_SIZE, 0)
    caller.send(headers(1, post()))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 POST /')
    workload.send(headers(1, [':status', '413']), data(1, 'enough', END))
    await caller.has('HEADERS 1 413')
    for (let i = 0; i < 8; i++) caller.send(data(1, Buffer.alloc(16_384)))
    await settle()
    assert.ok(!caller.frames.some((line) => line.startsWith('WINDOW_UPDATE 1')))
  })

  it('RST_STREAM with NO_ERROR after the whole reply is no failure', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'begun'))
    const workload = await fixture.upstream()
    await workload.has('DATA 1 5')
    workload.send(headers(1, [':status', '200']), data(1, 'all', END), rstStream(1, h2.NO_ERROR))
    await caller.has('DATA 1 3 end')
    assert.equal(fixture.proxy.outcomes[0]?.error, undefined)
  })
})

describe('a request of HTTP/1.0 without a host', () => {
  const fixture = useHttp2()

  it('has one in HTTP/2, which must have it', async () => {
    await fixture.start({ downstream: 'http1' })
    const caller = await fixture.silentCaller()
    caller.raw.write('GET /old HTTP/1.0\r\n\r\n')
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET /old end')
    assert.equal(workload.field(1, ':authority'), 'localhost')
    workload.send(settings(), settingsAck(), ok(1))
  })
})
