import assert from 'node:assert/strict'
import { discardedRequest, type IncomingRequest, type RequestSink } from '../../src/proxy/ends.ts'
import { END, get as h2Get, headers, ping } from '../http2/support/raw-frames.ts'
import { eventually } from './support/eventually.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { answer } from './support/http2-local-answer.ts'
import { RawPeer } from './support/http2-raw-peer.ts'
import { get } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'

/** What one packet of a greedy caller asks for. Another caller, who came after it, must not wait for all of it. */
const many = 1_000

/** How many of them may be served before the other one: those of a turn or a few, however slow the machine. */
const few = 100

/** How many requests were served in each turn of the event loop, at most. */
class TurnCounter {
  most = 0
  #served = 0

  /** One was served now. */
  count(): void {
    if (this.#served === 0) setImmediate(() => (this.#served = 0))
    this.most = Math.max(this.most, ++this.#served)
  }
}

describe('a caller that pipelines a thousand requests', () => {
  const f = useProxy()

  it('is served one refused request a turn', async () => {
    const turns = new TurnCounter()
    await f.start({
      denies: () => {
        turns.count()
        return true
      },
    })
    const greedy = await f.caller()
    greedy.write(get('/greedy').repeat(many))
    await eventually(() => greedy.text.split('denied').length === many + 1)
    assert.ok(turns.most <= 2, `${turns.most} in a turn`)
  })

  it('lets others have their turn, and gets all its replies', async () => {
    await f.start({ denies: () => true })
    const greedy = await f.caller()
    const other = await f.caller()
    greedy.write(get('/greedy').repeat(many))
    other.write(get('/other'))
    await other.has('denied')
    assertFew(f.proxy.requests)
    await eventually(() => greedy.text.split('denied').length === many + 1)
    greedy.write(get('/after'))
    await eventually(() => greedy.text.split('denied').length === many + 2)
  })

  it('is forgotten when it goes before it had all its turns', async () => {
    await f.start({ denies: () => true })
    const greedy = await f.caller()
    greedy.write(get('/greedy').repeat(many))
    await greedy.has('denied')
    greedy.reset()
    const [downstream] = f.proxy.downstreams
    downstream?.destroy()
    await eventually(() => f.proxy.downstreams.size === 0)
    const served = f.proxy.requests.length
    assert.ok(served < many)
    await turns(10)
    assert.equal(f.proxy.requests.length, served)
  })

  it('is served to the end of its share when the connection drains', async () => {
    await f.start({ denies: () => true })
    const greedy = await f.caller()
    greedy.write(get('/greedy').repeat(many))
    await greedy.has('denied')
    const [downstream] = f.proxy.downstreams
    downstream?.drain()
    await greedy.ended()
    const replies = greedy.text.split('denied').length - 1
    assert.ok(replies < many)
    assert.equal(replies, f.proxy.requests.length)
    assert.match(greedy.text, /connection: close\r\ncontent-length: 6\r\n\r\ndenied$/)
  })
})

describe('a caller that sends a thousand frames of HTTP/2', () => {
  /** More of them that move no work are a flood. */
  const most = 900
  const requests: IncomingRequest[] = []
  let counter: TurnCounter
  /** What is behind each request: nobody, where it is refused. */
  let sink: RequestSink
  let proxy: AnyProxy
  let greedy: RawPeer
  let other: RawPeer

  beforeEach(async () => {
    requests.length = 0
    counter = new TurnCounter()
    sink = discardedRequest
    proxy = await AnyProxy.start({ downstream: 'h2', upstream: 'http1', upstreamPort: 1 })
    proxy.answerLocally = (request, reply) => {
      requests.push(request)
      counter.count()
      answer(reply, 403, 'denied')
      return sink
    }
    greedy = await RawPeer.caller(proxy.port)
    other = await RawPeer.caller(proxy.port)
  })

  afterEach(async () => {
    greedy.raw.destroy()
    other.raw.destroy()
    await proxy.close()
    assert.deepEqual(proxy.bugs, [])
  })

  it('is served one refused request a turn', async () => {
    greedy.send(...requestsOf(most, asking('/greedy')))
    await greedy.has(`HEADERS ${2 * most - 1} 403`)
    assert.ok(counter.most <= 2, `${counter.most} in a turn`)
  })

  it('is served one request a turn where each is refused for its head', async () => {
    greedy.send(...requestsOf(150, asking(`/${'x'.repeat(9_000)}`)))
    other.send(headers(1, asking('/other'), END))
    await other.has('HEADERS 1 403')
    const replies = greedy.frames.filter((frame) => frame.startsWith('HEADERS')).length
    assert.ok(replies < 100, `${replies} were refused before`)
    await greedy.has('HEADERS 299 414')
  })

  it('is served eight requests a turn that somebody handles', async () => {
    sink = { ...discardedRequest }
    greedy.send(...requestsOf(most, asking('/greedy')))
    await greedy.has(`HEADERS ${2 * most - 1} 403`)
    assert.ok(counter.most > 4 && counter.most <= 16, `${counter.most} in a turn`)
  })

  it('lets others have their turn between its requests, and gets all its replies', async () => {
    greedy.send(...requestsOf(most, asking('/greedy')))
    other.send(headers(1, asking('/other'), END))
    await other.has('HEADERS 1 403')
    assertFew(requests)
    await greedy.has(`HEADERS ${2 * most - 1} 403`)
    greedy.send(ping('after all'.slice(0, 8)))
    await eventually(() => greedy.frames.some((frame) => frame.startsWith('PING')))
    assert.equal(greedy.heads.size, most)
  })

  it('lets others have their turn between its PINGs', async () => {
    greedy.send(...Array.from({ length: 900 }, () => ping('12345678')))
    other.send(headers(1, asking('/other'), END))
    await other.has('HEADERS 1 403')
    const answered = greedy.frames.filter((frame) => frame.startsWith('PING')).length
    assert.ok(answered < 900, `${answered} PINGs were answered first`)
    await eventually(() => greedy.frames.filter((frame) => frame.startsWith('PING')).length === 900)
  })

  it('is forgotten when it goes before it had all its turns', async () => {
    greedy.send(...requestsOf(most, asking('/greedy')))
    await greedy.has('HEADERS 1 403')
    greedy.raw.reset()
    for (const downstream of proxy.downstreams) downstream.destroy()
    await eventually(() => proxy.downstreams.size === 0)
    const served = requests.length
    assert.ok(served < most)
    await turns(10)
    assert.equal(requests.length, served)
  })
})

function requestsOf(count: number, fields: string[]): Buffer[] {
  return Array.from({ length: count }, (_, i) => headers(2 * i + 1, fields, END))
}

/** So many turns of the event loop are over. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

function asking(path: string): string[] {
  return h2Get().map((text) => (text === '/' ? path : text))
}

function assertFew(requests: readonly IncomingRequest[]): void {
  const before = requests.findIndex(({ path }) => path === '/other')
  assert.ok(before >= 0 && before < few, `${before} requests were served before the other one's`)
}
