import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'
import fc from 'fast-check'
import { h2 } from '../../src/http2/errors.ts'
import {
  block,
  continuation,
  data,
  END,
  frame,
  get,
  goaway,
  headers,
  headersInPieces,
  ping,
  post,
  preface,
  priority,
  rstStream,
  setting,
  settings,
  settingsAck,
  windowUpdate,
} from '../http2/support/raw-frames.ts'
import { Http2Downstream } from '../../src/proxy/http2-downstream.ts'
import { eventually } from './support/eventually.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { RawPeer } from './support/http2-raw-peer.ts'
import { RawSocket } from './support/raw-socket.ts'
import { RawWorkload } from './support/raw-workload.ts'

/** A workload that sends every body back. */
class Echo {
  /** Requests that are under way. */
  open = 0
  readonly #server: http.Server | http2.Http2Server
  readonly #sessions = new Set<http2.ServerHttp2Session>()

  constructor(protocol: 'http1' | 'h2c') {
    this.#server =
      protocol === 'http1'
        ? http.createServer((request, response) => this.#echo(request, response))
        : http2.createServer((request, response) => this.#echo(request, response))
    this.#server.on('session', (session: http2.ServerHttp2Session) => this.#sessions.add(session))
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    if (this.#server instanceof http.Server) this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #echo(
    request: http.IncomingMessage | http2.Http2ServerRequest,
    response: http.ServerResponse | http2.Http2ServerResponse,
  ): void {
    this.open++
    pipeline(request, response as http.ServerResponse, () => this.open--)
  }
}

/** A caller that behaves, and asks again as soon as it was answered. */
class HonestCaller {
  answered = 0
  readonly #session: http2.ClientHttp2Session
  #isDone = false

  constructor(origin: string) {
    this.#session = http2.connect(origin)
  }

  async askOn(): Promise<void> {
    while (!this.#isDone) {
      const stream = this.#session.request({ ':method': 'POST', ':path': '/honest' })
      stream.end('how are you?')
      let text = ''
      for await (const chunk of stream) text += String(chunk)
      assert.equal(text, 'how are you?')
      this.answered++
    }
  }

  async stop(asking: Promise<void>): Promise<void> {
    this.#isDone = true
    await asking
    this.#session.close()
    await once(this.#session, 'close')
  }
}

for (const upstream of ['http1', 'h2c'] as const) {
  describe(`callers of HTTP/2 that mean no good, ${upstream} out`, () => {
    let workload: Echo
    let proxy: AnyProxy

    before(async () => {
      workload = new Echo(upstream)
      proxy = await AnyProxy.start({
        ...{ downstream: 'h2', upstream, upstreamPort: await workload.listen() },
      })
    })

    after(async () => {
      await proxy.close()
      await workload.close()
    })

    afterEach(async () => {
      await eventually(() => proxy.downstreams.size === 0)
      await eventually(() => workload.open === 0)
      assert.equal(proxy.open, 0)
      assert.equal(proxy.downstreamStreams, 0)
      assert.deepEqual(proxy.bugs, [])
    })

    const header = block(get())
    const floods = [
      {
        name: 'reset each request at once',
        flood: (i: number) => [headers(2 * i + 1, post()), rstStream(2 * i + 1, h2.CANCEL)],
      },
      {
        name: 'make us reset each request',
        flood: (i: number) => [headers(2 * i + 1, post()), windowUpdate(2 * i + 1, 0)],
      },
      {
        name: 'never end a header block',
        flood: (i: number) =>
          i === 0 ? [frame(1, END, 1, header)] : [continuation(1, Buffer.alloc(0))],
      },
      { name: 'send PING without end', flood: () => [ping()] },
      {
        name: 'send SETTINGS without end',
        flood: () => [settings(setting.INITIAL_WINDOW_SIZE, 1)],
      },
      {
        name: 'send empty DATA without end',
        flood: (i: number) => [i === 0 ? headers(1, post()) : data(1, '')],
      },
      { name: 'send WINDOW_UPDATE without end', flood: () => [windowUpdate(0, 1)] },
      { name: 'send PRIORITY without end', flood: () => [priority(1, 3)] },
    ]

    for (const { name, flood } of floods) {
      it(`who ${name} are hung up on, and others are served meanwhile`, async () => {
        const honest = new HonestCaller(proxy.origin)
        const asking = honest.askOn()
        const caller = await RawPeer.caller(proxy.port)
        for (let i = 0; i < 5_000 && !caller.raw.hasEnded; i++) {
          caller.send(...flood(i))
          if (i % 100 === 99) await new Promise((resolve) => void setImmediate(resolve))
        }
        await eventually(
          () => caller.frames.some((line) => line.endsWith(`code=${h2.ENHANCE_YOUR_CALM}`)),
          () => caller.frames.slice(-5).join(),
        )
        await caller.raw.ended()
        caller.raw.destroy()
        const before = honest.answered
        await eventually(() => honest.answered > before + 5)
        await honest.stop(asking)
      })
    }

    it('who make us answer and do not read are hung up on', async () => {
      const caller = await RawPeer.caller(proxy.port)
      caller.raw.socket.pause()
      caller.send(...Array.from({ length: 1_500 }, () => ping()))
      const [downstream] = proxy.downstreams
      assert.ok(downstream instanceof Http2Downstream)
      await eventually(() => downstream.connection.isDead)
      caller.raw.destroy()
    })

    it('whatever they send, nothing breaks and nothing is left', async () => {
      await fc.assert(
        fc.asyncProperty(brokenInPieces(sayings()), async (chunks) => {
          const caller = await RawSocket.connect(proxy.port)
          for (const chunk of chunks) {
            caller.write(chunk)
            await new Promise((resolve) => void setImmediate(resolve))
          }
          caller.fin()
          await caller.closed()
          await eventually(() => proxy.downstreams.size === 0 && proxy.open === 0)
          assert.equal(proxy.downstreamStreams, 0)
          assert.deepEqual(proxy.bugs, [])
        }),
        { numRuns: 150 },
      )
    })
  })
}

describe('a workload of HTTP/2 that means no good', () => {
  it('whatever it sends, nothing breaks and nothing is left', async () => {
    const workload = await RawWorkload.start()
    await using proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: workload.port },
    })
    await fc.assert(
      fc.asyncProperty(brokenInPieces(answers()), async (chunks) => {
        workload.onConnection = (connection) => {
          connection.socket.once('data', () => {
            for (const chunk of chunks) connection.write(chunk)
            connection.fin()
          })
        }
        const caller = await RawPeer.caller(proxy.port)
        caller.send(headers(1, get(), END), headers(3, post()), data(3, 'body'))
        await eventually(() => proxy.open === 0)
        assert.deepEqual(proxy.bugs, [])
        caller.raw.destroy()
        await eventually(() => proxy.downstreams.size === 0 && proxy.upstreamSockets.size === 0)
        assert.equal(proxy.upstream.connections, 0)
      }),
      { numRuns: 150 },
    )
    await workload.close()
  })
})

const flags = fc.constantFrom(0, END)

/** What a workload may say, before it is broken. */
const answers = () =>
  fc
    .array(
      fc.oneof(
        fc
          .tuple(fc.constantFrom(1, 3), fc.constantFrom('200', '103', '304', '101'), flags)
          .map(([id, status, flag]) => headers(id, [':status', status], flag)),
        fc.constantFrom(1, 3).map((id) => headers(id, ['grpc-status', '0'], END)),
        fc
          .tuple(fc.constantFrom(1, 3), fc.uint8Array({ maxLength: 40 }), flags)
          .map(([id, bytes, flag]) => data(id, Buffer.from(bytes), flag)),
        fc
          .tuple(fc.constantFrom(1, 3), fc.nat({ max: 13 }))
          .map(([id, code]) => rstStream(id, code)),
        fc.tuple(fc.nat({ max: 4 }), fc.nat()).map(([n, by]) => windowUpdate(n, by)),
        fc.nat({ max: 3 }).map((last) => goaway(last, h2.NO_ERROR)),
        fc.nat({ max: 5 }).map((streams) => settings(setting.MAX_CONCURRENT_STREAMS, streams)),
        fc.nat({ max: 10 }).map((window) => settings(setting.INITIAL_WINDOW_SIZE, window)),
        fc.constantFrom(settingsAck(), ping(), priority(3, 1)),
      ),
      { maxLength: 12 },
    )
    .map((frames) => Buffer.concat([settings(), settingsAck(), ...frames]))

/** What a caller may say, before it is broken. */
const sayings = () =>
  fc
    .array(
      fc.oneof(
        fc.nat({ max: 8 }).map((n) => headers(2 * n + 1, get(), END)),
        fc.nat({ max: 8 }).map((n) => headers(2 * n + 1, post('content-length', '5'))),
        fc.nat({ max: 8 }).map((n) => headers(2 * n + 1, ['x-sum', '1'], END)),
        fc.nat({ max: 8 }).map((n) => headers(2 * n + 1, [':method', 'GET', ':path', '/'], END)),
        fc
          .tuple(fc.nat({ max: 8 }), fc.integer({ min: 1, max: 30 }))
          .map(([n, size]) => Buffer.concat(headersInPieces(2 * n + 1, block(get()), size, END))),
        fc
          .tuple(fc.nat({ max: 8 }), fc.uint8Array({ maxLength: 40 }), fc.constantFrom(0, END, 8))
          .map(([n, bytes, flags]) => data(2 * n + 1, Buffer.from(bytes), flags)),
        fc.nat({ max: 17 }).map((n) => rstStream(n, h2.CANCEL)),
        fc.tuple(fc.nat({ max: 17 }), fc.nat()).map(([n, by]) => windowUpdate(n, by)),
        fc.nat({ max: 70_000 }).map((window) => settings(setting.INITIAL_WINDOW_SIZE, window)),
        fc.nat({ max: 5_000 }).map((size) => settings(setting.HEADER_TABLE_SIZE, size)),
        fc.constantFrom(settingsAck(), ping(), ping('shutdown', 1), goaway(0, 0), priority(3, 1)),
        fc
          .tuple(fc.nat({ max: 12 }), fc.nat({ max: 255 }), fc.nat({ max: 17 }), fc.uint8Array())
          .map(([type, flags, id, bytes]) => frame(type, flags, id, Buffer.from(bytes))),
      ),
      { maxLength: 25 },
    )
    .map((frames) => Buffer.concat([preface(), settingsAck(), ...frames]))

type Damage = readonly [kind: 'flip' | 'cut' | 'repeat' | 'insert', at: number, bytes: Uint8Array]

const damage: fc.Arbitrary<Damage> = fc.tuple(
  fc.constantFrom('flip', 'cut', 'repeat', 'insert'),
  fc.nat(),
  fc.uint8Array({ minLength: 1, maxLength: 20 }),
)

function brokenInPieces(whole: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer[]> {
  return fc
    .tuple(whole, fc.array(damage, { maxLength: 3 }), fc.array(fc.nat(), { maxLength: 6 }))
    .map(([bytes, damages, cuts]) => inPieces(damages.reduce(broken, bytes), cuts))
}

function broken(bytes: Buffer, [kind, where, by]: Damage): Buffer {
  const at = where % bytes.length
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (kind) {
    case 'flip':
      return Buffer.concat([
        before,
        Buffer.from([(after[0] ?? 0) ^ (by[0] ?? 1)]),
        after.subarray(1),
      ])
    case 'cut':
      return Buffer.concat([before, after.subarray(by.length), Buffer.from([0])])
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, by.length), after])
    case 'insert':
      return Buffer.concat([before, by, after])
  }
}

function inPieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length]
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}
