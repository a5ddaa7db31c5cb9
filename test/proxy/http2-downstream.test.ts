import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { h2 } from '../../src/http2/errors.ts'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import { discardedRequest, type RequestServer } from '../../src/proxy/ends.ts'
import { Http2Downstream } from '../../src/proxy/http2-downstream.ts'
import {
  data,
  END,
  frame,
  get,
  goaway,
  headers,
  ping,
  post,
  preface,
  rstStream,
  setting,
  settingsAck,
  windowUpdate,
} from '../http2/support/raw-frames.ts'
import { eventually, settle } from './support/eventually.ts'
import { useHttp2 } from './support/http2-fixture.ts'
import { answer } from './support/http2-local-answer.ts'

describe('the connection of a flood', () => {
  const fixture = useHttp2()

  it('is told at once, is read no more, and ends a second later', async () => {
    await fixture.start({})
    const caller = await fixture.caller()
    // More than one share: the flood is found while the rest of it waits.
    caller.send(...Array.from({ length: 1_100 }, () => ping()))
    await eventually(() => caller.frames.at(-1)?.endsWith(`code=${h2.ENHANCE_YOUR_CALM}`) === true)
    const [socket] = fixture.proxy.downstreamSockets
    for (const ms of [0, 500]) {
      fixture.clock.advance(ms)
      await settle()
      assert.equal(socket?.isPaused(), true)
      assert.equal(caller.raw.hasEnded, false)
    }
    fixture.clock.advance(800)
    await caller.raw.ended()
    await eventually(() => socket?.isPaused() === false || socket?.destroyed === true)
  })

  it('is held no longer than that by who goes on', async () => {
    await fixture.start({})
    const caller = await fixture.caller()
    caller.send(...Array.from({ length: 1_100 }, () => ping()))
    await eventually(() => caller.frames.at(-1)?.endsWith(`code=${h2.ENHANCE_YOUR_CALM}`) === true)
    caller.send(...Array.from({ length: 50_000 }, () => ping()))
    fixture.clock.advance(1_300)
    await caller.raw.ended()
    fixture.clock.advance(2_500)
    await eventually(() => fixture.proxy.downstreams.size === 0)
  })
})

describe('requests of HTTP/2 that are answered here', () => {
  const fixture = useHttp2()

  const answering = async (status: number, text: string, closeAfter = false) => {
    await fixture.start({ limits: { maxHeaderListBytes: 1_000 } })
    fixture.proxy.answerLocally = (_request, reply) => {
      answer(reply, status, text, { closeAfter })
      return discardedRequest
    }
  }

  it('get their reply, and the connection lives on', async () => {
    await answering(200, 'hello')
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END), headers(3, get(), END))
    await caller.has('DATA 3 5 end')
    assert.ok(caller.frames.includes('HEADERS 1 200'))
    assert.equal(caller.field(1, 'content-length'), '5')
    assert.equal(caller.body(1).toString(), 'hello')
    caller.send(headers(5, get(), END))
    await caller.has('DATA 5 5 end')
    assert.equal(caller.raw.hasEnded, false)
  })

  it('end the connection after the whole reply when it asks for that', async () => {
    await answering(403, 'no'.repeat(20_000), true)
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    await caller.has('GOAWAY last=1 code=0')
    await caller.raw.ended()
    assert.equal(caller.body(1).length, 40_000)
    assert.deepEqual(caller.frames.slice(-4), [
      ...['DATA 1 7232 end', `GOAWAY last=${2 ** 31 - 1} code=0`, 'PING'],
      'GOAWAY last=1 code=0',
    ])
  })

  it('of those that crossed the first GOAWAY none is dropped', async () => {
    await answering(403, 'no', true)
    const caller = await fixture.caller()
    caller.ignorePing()
    caller.send(headers(1, get(), END))
    await caller.has(`GOAWAY last=${2 ** 31 - 1} code=0`)
    caller.send(headers(3, get(), END))
    await caller.has('DATA 3 2 end')
    assert.equal(caller.raw.hasEnded, false)
    fixture.clock.advance(2_500)
    await caller.has('GOAWAY last=3 code=0')
    await caller.raw.ended()
  })

  it('to HEAD get the length and no body', async () => {
    await answering(200, 'hello')
    const caller = await fixture.caller()
    caller.send(headers(1, get().with(1, 'HEAD'), END))
    await caller.has('HEADERS 1 200 end')
    assert.equal(caller.field(1, 'content-length'), '5')
    assert.deepEqual(caller.body(1), Buffer.alloc(0))
  })

  it('are spared the rest of their body a moment after the reply has left', async () => {
    await answering(401, 'key?')
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'x'.repeat(1_000)))
    await caller.has('DATA 1 4 end')
    await settle()
    fixture.clock.advance(250)
    await settle()
    assert.equal(fixture.proxy.downstreamStreams, 1)
    fixture.clock.advance(500)
    await caller.has('RST_STREAM 1 code=0')
    assert.equal(fixture.proxy.downstreamStreams, 0)
  })

  it('may end their body themselves in that moment', async () => {
    await answering(401, 'key?')
    const caller = await fixture.caller()
    caller.send(headers(1, post()), headers(3, post()))
    await caller.has('DATA 3 4 end')
    caller.send(data(1, 'rest', END), rstStream(3, h2.CANCEL))
    await eventually(() => fixture.proxy.downstreamStreams === 0)
    fixture.clock.advance(1_000)
    await settle()
    assert.equal(caller.count('RST_STREAM 1 code=0'), 0)
    assert.equal(caller.count('RST_STREAM 3 code=0'), 0)
  })

  it('in the middle of their body end the connection after that moment', async () => {
    await answering(403, 'no', true)
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'x'))
    await caller.has('DATA 1 2 end')
    await settle()
    assert.ok(!caller.frames.some((line) => line.startsWith('GOAWAY')))
    fixture.clock.advance(750)
    await caller.has('GOAWAY last=1 code=0')
    await caller.raw.ended()
  })

  it('are not spared before the reply has left: it would be lost', async () => {
    await answering(401, 'key?')
    const caller = await fixture.caller(setting.INITIAL_WINDOW_SIZE, 2)
    caller.send(headers(1, post()), data(1, 'x'.repeat(1_000)))
    await caller.has('DATA 1 2')
    fixture.clock.advance(5_000)
    await settle()
    assert.equal(caller.count('RST_STREAM 1 code=0'), 0)
    caller.send(windowUpdate(1, 10))
    await caller.has('DATA 1 2 end')
    await settle()
    fixture.clock.advance(750)
    await caller.has('RST_STREAM 1 code=0')
    assert.equal(caller.body(1).toString(), 'key?')
  })

  it('get no credit for a body that nobody takes', async () => {
    await answering(401, 'key?')
    const caller = await fixture.caller(setting.INITIAL_WINDOW_SIZE, 0)
    caller.send(headers(1, post()))
    for (let i = 0; i < 8; i++) caller.send(data(1, Buffer.alloc(16_384)))
    await caller.has('HEADERS 1 401')
    await settle()
    assert.ok(!caller.frames.some((line) => line.startsWith('WINDOW_UPDATE 1')))
    caller.send(data(1, Buffer.alloc(1)))
    await caller.has(`RST_STREAM 1 code=${h2.FLOW_CONTROL_ERROR}`)
  })

  it('that are refused get the status, and the connection lives on', async () => {
    await answering(200, 'hello')
    const caller = await fixture.caller()
    caller.send(
      headers(1, [':method', 'POST', ':scheme', 'https', ':path', '/']),
      data(1, 'x'.repeat(100)),
    )
    await caller.has('HEADERS 1 400')
    caller.send(headers(3, get('x-large', 'x'.repeat(1_000)), END), headers(5, get(), END))
    await caller.has('DATA 5 5 end')
    assert.ok(caller.frames.includes('HEADERS 3 431'))
    assert.deepEqual(
      fixture.proxy.refusals.map(({ code, status }) => ({ code, status })),
      [
        { code: 'authority_missing', status: 400 },
        { code: 'header_list_too_large', status: 431 },
      ],
    )
    assert.ok(!caller.frames.some((line) => line.startsWith('GOAWAY')))
  })
})

describe('the time of a caller of HTTP/2', () => {
  const fixture = useHttp2()

  const started = async () => {
    await fixture.start({
      ...{ headerTimeoutMs: 5_000, idleTimeoutMs: 60_000, responseTimeoutMs: 10_000_000 },
    })
    fixture.proxy.answerLocally = (request, reply) => {
      if (request.path === '/hang') return undefined
      answer(reply, 200, 'hello')
      return discardedRequest
    }
  }

  it('ends without a preface', async () => {
    await started()
    const caller = await fixture.silentCaller()
    caller.send(preface().subarray(0, 10))
    await caller.has('SETTINGS')
    fixture.clock.advance(4_500)
    await settle()
    assert.equal(caller.raw.hasEnded, false)
    fixture.clock.advance(1_000)
    await caller.has(`GOAWAY last=0 code=${h2.SETTINGS_TIMEOUT}`)
    await caller.raw.ended()
  })

  it('ends when our SETTINGS are not acknowledged', async () => {
    await started()
    const caller = await fixture.silentCaller()
    caller.send(preface(), headers(1, get(), END))
    await caller.has('DATA 1 5 end')
    fixture.clock.advance(3_000)
    caller.send(headers(3, get(), END))
    await caller.has('DATA 3 5 end')
    fixture.clock.advance(3_000)
    await caller.has(`GOAWAY last=3 code=${h2.SETTINGS_TIMEOUT}`)
    await caller.raw.ended()
  })

  it('ends inside a header block, which bytes do not prolong', async () => {
    await started()
    const caller = await fixture.caller()
    const whole = headers(1, get('x-a', 'b'), END)
    caller.send(whole.subarray(0, 12))
    await settle()
    for (let at = 12; at < 15; at++) {
      fixture.clock.advance(1_500)
      caller.send(whole.subarray(at, at + 1))
      await settle()
    }
    assert.equal(caller.raw.hasEnded, false)
    fixture.clock.advance(1_500)
    await caller.has(`GOAWAY last=0 code=${h2.PROTOCOL_ERROR}`)
    await caller.raw.ended()
  })

  it('ends inside a header block with all that is under way', async () => {
    await started()
    const caller = await fixture.caller()
    caller.send(headers(1, get().with(7, '/hang'), END), headers(3, get(), END).subarray(0, 12))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET /hang end')
    fixture.clock.advance(5_500)
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    await caller.raw.ended()
    assert.equal(fixture.proxy.downstreams.size, 1, 'the caller has not closed its side yet')
  })

  it('does not end when every read ends inside some header block', async () => {
    await started()
    const caller = await fixture.caller()
    let rest: Buffer = Buffer.alloc(0)
    for (let i = 0; i < 8; i++) {
      const head = headers(2 * i + 1, get(), END)
      caller.send(rest, head.subarray(0, 15))
      rest = head.subarray(15)
      if (i > 0) await caller.has(`DATA ${2 * i - 1} 5 end`)
      fixture.clock.advance(3_000)
    }
    caller.send(rest)
    await caller.has('DATA 15 5 end')
    assert.equal(caller.raw.hasEnded, false)
  })

  it('ends when it is idle, in order', async () => {
    await started()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    await caller.has('DATA 1 5 end')
    fixture.clock.advance(59_000)
    caller.send(ping())
    await caller.has('PING ack')
    fixture.clock.advance(59_000)
    await settle()
    assert.equal(caller.raw.hasEnded, false)
    fixture.clock.advance(2_000)
    await caller.has('GOAWAY last=1 code=0')
    await caller.raw.ended()
  })

  it('does not end while a stream is silent and it answers PING', async () => {
    await started()
    const caller = await fixture.caller()
    caller.send(headers(1, get().with(7, '/hang'), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET /hang end')
    workload.send(headers(1, [':status', '200']))
    await caller.has('HEADERS 1 200')
    for (let i = 1; i <= 3; i++) {
      fixture.clock.advance(61_000)
      await eventually(() => caller.count('PING') === i)
      await settle()
    }
    workload.send(data(1, 'at last', END))
    await caller.has('DATA 1 7 end')
  })

  it('ends with its streams when it answers no PING', async () => {
    await started()
    const caller = await fixture.caller()
    caller.ignorePing()
    caller.send(headers(1, get().with(7, '/hang'), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET /hang end')
    fixture.clock.advance(61_000)
    await caller.has('PING')
    await settle()
    fixture.clock.advance(5_500)
    await caller.raw.ended()
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    assert.equal(fixture.proxy.outcomes[0]?.error, 'downstream_aborted')
  })
})

describe('draining a connection of HTTP/2', () => {
  const fixture = useHttp2()

  it('lets running streams finish, takes those that crossed, refuses later ones, and closes', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.ignorePing()
    caller.send(headers(1, get(), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    const [downstream] = fixture.proxy.downstreams
    downstream!.drain()
    downstream!.drain()
    await caller.has(`GOAWAY last=${2 ** 31 - 1} code=0`)
    caller.send(headers(3, get(), END))
    await workload.has('HEADERS 3 GET / end')
    caller.send(ping('shutdown', 1))
    await caller.has('GOAWAY last=3 code=0')
    caller.send(headers(5, get(), END))
    await caller.has(`RST_STREAM 5 code=${h2.REFUSED_STREAM}`)
    workload.send(headers(1, [':status', '204'], END))
    await caller.has('HEADERS 1 204 end')
    await settle()
    assert.equal(caller.raw.hasEnded, false)
    workload.send(headers(3, [':status', '200']), data(3, 'last', END))
    await caller.has('DATA 3 4 end')
    await caller.raw.ended()
    assert.equal(caller.frames.filter((line) => line.startsWith('GOAWAY')).length, 2)
  })

  it('an idle connection closes as soon as the caller has seen it', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    const [downstream] = fixture.proxy.downstreams
    downstream!.drain()
    await caller.has('GOAWAY last=0 code=0')
    await caller.raw.ended()
  })

  it('asked for twice takes no longer', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.ignorePing()
    const [downstream] = fixture.proxy.downstreams
    downstream!.drain()
    await caller.has('PING')
    fixture.clock.advance(1_500)
    downstream!.drain()
    await settle()
    fixture.clock.advance(1_000)
    await caller.has('GOAWAY last=0 code=0')
    await caller.raw.ended()
    downstream!.drain()
    fixture.clock.advance(2_500)
    await eventually(() => fixture.proxy.downstreams.size === 0)
  })

  it('a caller that goes on talking is not listened to for ever', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    const [downstream] = fixture.proxy.downstreams
    downstream!.drain()
    await caller.raw.ended()
    for (let i = 0; i < 300; i++) caller.send(Buffer.alloc(100_000))
    for (let i = 0; i < 20; i++) await settle()
    assert.ok(caller.raw.socket.writableLength > 0)
    fixture.clock.advance(2_500)
    await eventually(() => fixture.proxy.downstreams.size === 0)
  })

  it('a caller that does not close its side is cut', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    const [downstream] = fixture.proxy.downstreams
    downstream!.drain()
    await caller.raw.ended()
    await settle()
    assert.equal(fixture.proxy.downstreams.size, 1)
    caller.send(headers(1, get(), END))
    await settle()
    fixture.clock.advance(2_500)
    await eventually(() => fixture.proxy.downstreams.size === 0)
  })

  it('a caller that takes our last bytes slowly is waited for as long as it takes any', async () => {
    const deadlines = new Deadlines(fixture.clock)
    const socket = new SlowDuplex()
    const server: RequestServer = {
      serve: (_request, reply) => {
        answer(reply, 200, 'x'.repeat(60_000))
        return discardedRequest
      },
      refuse: () => undefined,
    }
    const downstream = new Http2Downstream(socket, server, {
      ...{ deadlines, limits: {}, headerTimeoutMs: 5_000, idleTimeoutMs: 60_000 },
      onBug: (error) => assert.ifError(error),
    })
    socket.push(Buffer.concat([preface(), settingsAck(), headers(1, get(), END)]))
    await settle()
    downstream.drain()
    await settle()
    socket.push(ping('shutdown', 1))
    while (socket.isHolding) {
      fixture.clock.advance(4_000)
      assert.equal(socket.destroyed, false)
      await socket.takeOne()
    }
    assert.ok(socket.writableFinished)
    fixture.clock.advance(1_500)
    assert.equal(socket.destroyed, false)
    fixture.clock.advance(1_000)
    assert.equal(socket.destroyed, true)
    deadlines.close()
  })
})

/** Takes a write when it is told to. */
class SlowDuplex extends Duplex {
  #taken: (() => void) | undefined

  constructor() {
    super({ writableHighWaterMark: 1_000 })
  }

  get isHolding(): boolean {
    return this.#taken !== undefined
  }

  async takeOne(): Promise<void> {
    const taken = this.#taken
    this.#taken = undefined
    taken?.()
    await settle()
  }

  override _write(_chunk: Buffer, _encoding: string, taken: () => void): void {
    this.#taken = taken
  }

  override _read(): void {
    // Bytes are pushed.
  }
}

describe('what a caller of HTTP/2 does to a request under way', () => {
  const fixture = useHttp2()

  it('RST_STREAM ends the request to the workload, and no other', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()), headers(3, post()), data(3, 'abc'))
    const workload = await fixture.upstream()
    await workload.has('DATA 3 3')
    caller.send(rstStream(1, h2.CANCEL), data(3, 'def', END))
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    await workload.has('DATA 3 3 end')
    workload.send(headers(3, [':status', '204'], END))
    await caller.has('HEADERS 3 204 end')
    assert.deepEqual(
      fixture.proxy.outcomes.map(({ status, error }) => ({ status, error })),
      [
        { status: 499, error: 'downstream_aborted' },
        { status: 204, error: undefined },
      ],
    )
  })

  it('RST_STREAM after the head of the reply stops the workload too', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    workload.send(headers(1, [':status', '200']), data(1, 'begun'))
    await caller.has('DATA 1 5')
    caller.send(rstStream(1, h2.NO_ERROR))
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    workload.send(data(1, 'late', END), headers(1, ['late', 'too'], END))
    await settle()
    assert.equal(workload.raw.isClosed, false)
  })

  it('GOAWAY of the caller lets its streams finish', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, get(), END), goaway(0, h2.NO_ERROR))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    workload.send(headers(1, [':status', '204'], END))
    await caller.has('HEADERS 1 204 end')
  })

  it('the end of the connection ends all its requests', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()), headers(3, get(), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 3 GET / end')
    caller.raw.reset()
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    await workload.has(`RST_STREAM 3 code=${h2.CANCEL}`)
  })

  it('a broken frame ends all its requests, with GOAWAY', async () => {
    await fixture.start()
    const caller = await fixture.caller()
    caller.send(headers(1, post()))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 POST /')
    caller.send(frame(0, 0, 0, 'data on stream 0'))
    await caller.has(`GOAWAY last=1 code=${h2.PROTOCOL_ERROR}`)
    await caller.raw.ended()
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
  })

  it('a body that is too long gets 413 and the workload RST_STREAM', async () => {
    await fixture.start({ maxBodyBytes: 1_000 })
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'x'.repeat(900)))
    const workload = await fixture.upstream()
    await workload.has('DATA 1 900')
    caller.send(data(1, 'x'.repeat(900)))
    await caller.has('HEADERS 1 413')
    await workload.has(`RST_STREAM 1 code=${h2.CANCEL}`)
    assert.equal(fixture.proxy.outcomes[0]?.error, 'body_too_large')
  })

  it('its SETTINGS may come after its requests', async () => {
    await fixture.start()
    const caller = await fixture.silentCaller()
    caller.send(preface(), headers(1, get(), END), settingsAck())
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    workload.send(headers(1, [':status', '204'], END))
    await caller.has('HEADERS 1 204 end')
  })
})
