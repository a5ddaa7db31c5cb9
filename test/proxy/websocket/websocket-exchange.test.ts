import assert from 'node:assert/strict'
import type { Fields } from '../../../src/core/fields.ts'
import { h2 } from '../../../src/http2/errors.ts'
import { Deadlines } from '../../../src/proxy/deadlines.ts'
import type {
  OutgoingRequest,
  ReplyHead,
  ReplySink,
  RequestSink,
  UpstreamFailure,
} from '../../../src/proxy/ends.ts'
import type { ExchangeOutcome } from '../../../src/proxy/exchange.ts'
import { HeaderRules } from '../../../src/proxy/header-rules.ts'
import { WebSocketExchange } from '../../../src/proxy/websocket/websocket-exchange.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const idleTimeoutMs = 60_000

/** Both ends and the owner of one exchange, each writing down what it is told. */
class Bench {
  readonly caller: string[] = []
  readonly workload: string[] = []
  readonly outcomes: ExchangeOutcome[] = []
  readonly bugs: unknown[] = []
  readonly clock = new FakeClock()
  readonly exchange: WebSocketExchange
  sent: OutgoingRequest | undefined
  opened = 0
  /** Nothing flushes the end when the exchange is over. */
  isEndFlushed = true

  constructor(options: { isOpenedByAny2xx?: boolean; fields?: Fields } = {}) {
    const reply: ReplySink = {
      replyInformational: (status) => void this.caller.push(`${status}`),
      replyHead: ({ status, fields }) => void this.caller.push(`${status} ${fields.join()}`),
      replyData: (chunk) => void this.caller.push(`data ${chunk.toString()}`),
      replyEnd: () => void this.caller.push('end'),
      replyFailed: ({ resetCode }) => void this.caller.push(`failed ${resetCode ?? '-'}`),
      requestTaken: (bytes) => void this.caller.push(`taken ${bytes}`),
      replyFlush: () => undefined,
    }
    const upstream: RequestSink = {
      requestData: (chunk) => void this.workload.push(`data ${chunk.toString()}`),
      requestEnd: () => {
        this.workload.push('end')
        this.isEndFlushed = false
      },
      requestAborted: () => void this.workload.push('aborted'),
      replyTaken: (bytes) => void this.workload.push(`taken ${bytes}`),
      requestFlush: () => {
        this.isEndFlushed = true
      },
    }
    this.exchange = WebSocketExchange.open(
      {
        method: 'GET',
        path: '/',
        authority: 'a',
        fields: options.fields ?? [],
        length: 'none',
        wantsTrailers: false,
      },
      {
        openWebSocket: (request) => {
          this.sent = request
          return upstream
        },
      },
      reply,
      {
        replyToFailure: (failure, sink) => {
          sink.replyHead(head(502, ['reason', failure.reason]))
          sink.replyEnd([])
          return 502
        },
        webSocketOpened: () => {
          this.opened++
        },
        exchangeEnded: (outcome) => void this.outcomes.push(outcome),
      },
      {
        rules: HeaderRules.inbound('x-api-key'),
        deadlines: new Deadlines(this.clock),
        idleTimeoutMs,
        isOpenedByAny2xx: options.isOpenedByAny2xx ?? false,
        onBug: (error) => void this.bugs.push(error),
      },
    )
  }

  static opened(): Bench {
    const bench = new Bench()
    bench.exchange.replyHead(head(101))
    bench.caller.length = 0
    return bench
  }

  get outcome(): [number, number, number, string | undefined] {
    assert.equal(this.outcomes.length, 1)
    const { status, requestBytes, replyBytes, error } = this.outcomes[0]!
    return [status, requestBytes, replyBytes, error]
  }
}

function head(status: number, fields: Fields = []): ReplyHead {
  return { status, reason: '', fields, length: 'unknown', connectionOptions: [] }
}

const lost: UpstreamFailure = { reason: 'upstream_reset', detail: '', retry: 'never' }

describe('WebSocketExchange', () => {
  it('hands on no field of the handshake, in any spelling, in either direction', () => {
    const bench = new Bench({
      fields: [
        ...['Sec-WebSocket-Key', 'k', 'sec_websocket_key', 'k', 'Sec-WebSocket-Version', '13'],
        ...['sec-websocket-accept', 'x', 'Sec-WebSocket-Protocol', 'a', 'cookie', 'b'],
      ],
    })
    assert.deepEqual(bench.sent?.fields, ['Sec-WebSocket-Protocol', 'a', 'cookie', 'b'])
    bench.exchange.replyHead(
      head(101, [
        'Sec-WebSocket-Accept',
        'x',
        'Upgrade',
        'websocket',
        'Sec-WebSocket-Protocol',
        'a',
      ]),
    )
    assert.deepEqual(bench.caller, ['101 Sec-WebSocket-Protocol,a'])
  })

  it('keeps what comes early until the workload has accepted, and then sends it first', () => {
    const bench = new Bench()
    bench.exchange.requestData(Buffer.from('one'))
    bench.exchange.requestData(Buffer.from('two'))
    bench.exchange.requestEnd()
    assert.deepEqual(bench.workload, [])
    bench.exchange.replyHead(head(101))
    assert.deepEqual(bench.workload, ['data one', 'data two', 'end'])
    assert.equal(bench.opened, 1)
  })

  it('gives a workload that refuses nothing of what came early', () => {
    const bench = new Bench()
    bench.exchange.requestData(Buffer.from('GET /SMUGGLED'))
    bench.exchange.replyHead(head(403, ['x', 'y', 'connection', 'z']))
    bench.exchange.requestData(Buffer.from('more'))
    bench.exchange.replyData(Buffer.from('no'))
    bench.exchange.replyEnd([])
    assert.deepEqual(bench.workload, [])
    assert.deepEqual(bench.caller, ['403 x,y', 'taken 4', 'data no', 'end'])
    assert.deepEqual(bench.outcome, [403, 0, 2, undefined])
    assert.equal(bench.opened, 0)
  })

  for (const first of ['caller', 'workload'] as const) {
    it(`ends when both directions have, the ${first} first`, () => {
      const bench = Bench.opened()
      bench.exchange.requestData(Buffer.from('abc'))
      if (first === 'caller') bench.exchange.requestEnd()
      else bench.exchange.replyEnd([])
      assert.deepEqual(bench.outcomes, [])
      if (first === 'caller') {
        bench.exchange.replyData(Buffer.from('late'))
        bench.exchange.replyEnd([])
        assert.deepEqual(bench.caller, ['data late', 'end'])
      } else {
        bench.exchange.requestData(Buffer.from('late'))
        bench.exchange.requestEnd()
        assert.deepEqual(bench.workload, ['data abc', 'data late', 'end'])
      }
      assert.ok(bench.isEndFlushed)
      assert.deepEqual(bench.outcome.slice(0, 1), [101])
      assert.equal(bench.outcome[3], undefined)
      bench.exchange.requestAborted()
      bench.exchange.cut('idle')
      assert.equal(bench.outcomes.length, 1)
    })
  }

  const movements: readonly [string, (exchange: WebSocketExchange) => void][] = [
    ['the caller says something', (exchange) => exchange.requestData(Buffer.from('a'))],
    ['the workload says something', (exchange) => exchange.replyData(Buffer.from('a'))],
    ['the caller takes something', (exchange) => exchange.replyTaken(1)],
    ['the workload takes something', (exchange) => exchange.requestTaken(1)],
  ]
  for (const [name, move] of movements) {
    it(`is not idle while ${name}`, () => {
      const bench = Bench.opened()
      for (let round = 0; round < 5; round++) {
        bench.clock.advance(idleTimeoutMs - 1_000)
        move(bench.exchange)
      }
      assert.deepEqual(bench.outcomes, [])
      bench.clock.advance(idleTimeoutMs + 1_000)
      assert.equal(bench.outcome[3], 'idle')
      assert.equal(bench.workload.at(-1), 'aborted')
      assert.equal(bench.caller.at(-1), `failed ${h2.CANCEL}`)
      assert.equal(bench.clock.nextTimerMs, undefined)
    })
  }

  it('is not idle before it is open: the workload has its own times', () => {
    const bench = new Bench()
    bench.clock.advance(10 * idleTimeoutMs)
    assert.deepEqual(bench.outcomes, [])
  })

  it('opens nothing by a 200 where the caller would take it for an opening', () => {
    const bench = new Bench({ isOpenedByAny2xx: true })
    bench.exchange.replyHead(head(200))
    assert.deepEqual(bench.caller, ['502 reason,upstream_malformed', 'end'])
    assert.deepEqual(bench.workload, ['aborted'])
    assert.deepEqual(bench.outcome, [502, 0, 0, 'upstream_malformed'])
    const other = new Bench({ isOpenedByAny2xx: true })
    other.exchange.replyHead(head(302))
    assert.deepEqual(other.caller, ['302 '])
  })

  it('answers a failure before the head, and cuts the caller after it', () => {
    const early = new Bench()
    early.exchange.replyFailed(lost)
    assert.deepEqual(early.caller, ['502 reason,upstream_reset', 'end'])
    assert.deepEqual(early.outcome, [502, 0, 0, 'upstream_reset'])
    const late = Bench.opened()
    late.exchange.replyFailed(lost)
    assert.deepEqual(late.caller, [`failed ${h2.CANCEL}`])
    assert.deepEqual(late.outcome, [101, 0, 0, 'upstream_reset'])
  })

  it('is cut on both sides, before it is open too', () => {
    for (const bench of [new Bench(), Bench.opened()]) {
      bench.exchange.cut('trust_changed')
      assert.deepEqual(bench.workload, ['aborted'])
      assert.deepEqual(bench.caller, [`failed ${h2.CANCEL}`])
      assert.equal(bench.outcome[3], 'trust_changed')
      bench.exchange.replyHead(head(101))
      bench.exchange.replyData(Buffer.from('late'))
      bench.exchange.replyFailed(lost)
      assert.equal(bench.caller.length, 1)
    }
  })

  it('ends the workload when its caller goes', () => {
    const asked = new Bench()
    asked.exchange.requestAborted()
    assert.deepEqual(asked.workload, ['aborted'])
    assert.deepEqual(asked.outcome, [499, 0, 0, 'downstream_aborted'])
    const open = Bench.opened()
    open.exchange.requestAborted()
    assert.deepEqual(open.workload, ['aborted'])
    assert.deepEqual(open.outcome, [101, 0, 0, 'downstream_aborted'])
  })
})
