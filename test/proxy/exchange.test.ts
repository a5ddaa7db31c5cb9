import assert from 'node:assert/strict'
import type { Fields } from '../../src/core/fields.ts'
import {
  discardedRequest,
  type OutgoingRequest,
  type ReplyHead,
  type ReplySink,
  type RequestSink,
  type Upstream,
  type UpstreamFailure,
} from '../../src/proxy/ends.ts'
import { Exchange, type ExchangeOutcome, type ExchangeOwner } from '../../src/proxy/exchange.ts'
import { HeaderRules } from '../../src/proxy/header-rules.ts'

/** Writes down what it is told. */
class Caller implements ReplySink {
  readonly told: string[] = []
  takenBytes = 0

  replyInformational(status: number, fields: Fields): void {
    this.told.push(`${status} ${fields.join()}`)
  }
  replyHead(head: ReplyHead): void {
    this.told.push(`head ${head.status} ${head.fields.join()}`)
  }
  replyData(chunk: Buffer): void {
    this.told.push(`data ${chunk.toString()}`)
  }
  replyEnd(trailers: Fields): void {
    this.told.push(`end ${trailers.join()}`)
  }
  replyFailed(failure: UpstreamFailure): void {
    this.told.push(`failed ${failure.reason}`)
  }
  requestTaken(bytes: number): void {
    this.takenBytes += bytes
  }
  replyFlush(): void {
    this.told.push('flush')
  }
}

/** One request to the workload, written down, and the way back. */
class Sent implements RequestSink {
  readonly told: string[] = []
  readonly request: OutgoingRequest
  readonly reply: ReplySink
  readonly isFresh: boolean

  constructor(request: OutgoingRequest, reply: ReplySink, isFresh: boolean) {
    this.request = request
    this.reply = reply
    this.isFresh = isFresh
  }

  requestData(chunk: Buffer): void {
    this.told.push(`data ${chunk.toString()}`)
  }
  requestEnd(trailers: Fields): void {
    this.told.push(`end ${trailers.join()}`)
  }
  requestAborted(): void {
    this.told.push('aborted')
  }
  replyTaken(bytes: number): void {
    this.told.push(`taken ${bytes}`)
  }
  requestFlush(): void {
    this.told.push('flush')
  }
}

class Workload implements Upstream {
  readonly sent: Sent[] = []

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    const sent = new Sent(request, reply, fresh)
    this.sent.push(sent)
    return sent
  }
  close(): void {
    // Nothing is open.
  }
}

class Owner implements ExchangeOwner {
  readonly outcomes: ExchangeOutcome[] = []

  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number {
    reply.replyHead(headOf(502))
    reply.replyEnd([failure.reason, ''])
    return 502
  }
  replyToLargeBody(reply: ReplySink): number {
    reply.replyHead(headOf(413))
    reply.replyEnd([])
    return 413
  }
  exchangeEnded(outcome: ExchangeOutcome): void {
    this.outcomes.push(outcome)
  }
}

const stale: UpstreamFailure = { reason: 'upstream_reset', detail: '', retry: 'if-idempotent' }
const lost: UpstreamFailure = { reason: 'upstream_reset', detail: '', retry: 'never' }

describe('Exchange', () => {
  const rules = HeaderRules.inbound('x-api-key')
  let caller: Caller
  let workload: Workload
  let owner: Owner

  beforeEach(() => {
    caller = new Caller()
    workload = new Workload()
    owner = new Owner()
  })

  function open(
    request: Partial<OutgoingRequest> = {},
    parts: { target?: Upstream; owner?: ExchangeOwner } = {},
  ): RequestSink {
    return Exchange.open(
      {
        method: 'GET',
        path: '/',
        authority: 'a',
        fields: [],
        length: 'none',
        wantsTrailers: false,
        ...request,
      },
      parts.target ?? workload,
      caller,
      parts.owner ?? owner,
      { rules, maxBodyBytes: 5 },
    )
  }

  it('hands everything on, counted and by the header rules', () => {
    const exchange = open({ method: 'POST', length: 'unknown' })
    exchange.requestData(Buffer.from('abc'))
    exchange.requestFlush()
    exchange.requestEnd(['x-sum', '1', 'x-postern-product', 'p'])
    const { reply, told } = workload.sent[0]!
    reply.requestTaken(3)
    reply.replyInformational(103, ['link', 'l', 'upgrade', 'u', 'x-hop', 'h'], ['x-hop'])
    reply.replyHead({ ...headOf(200), fields: ['a', 'b', 'Upgrade', 'u'] })
    reply.replyData(Buffer.from('hello'))
    reply.replyFlush()
    exchange.replyTaken(5)
    reply.replyEnd(['t', 'u'])
    assert.deepEqual(told, ['data abc', 'flush', 'end x-sum,1', 'taken 5'])
    assert.deepEqual(caller.told, ['103 link,l', 'head 200 a,b', 'data hello', 'flush', 'end t,u'])
    assert.equal(caller.takenBytes, 3)
    assert.deepEqual(owner.outcomes, [{ status: 200, requestBytes: 3, replyBytes: 5 }])
  })

  it('tells its outcome before the end of the reply, which may begin the next request', () => {
    open()
    caller.replyEnd = () => assert.equal(owner.outcomes.length, 1)
    workload.sent[0]!.reply.replyHead(headOf(200))
    workload.sent[0]!.reply.replyEnd([])
    assert.equal(owner.outcomes.length, 1)
  })

  it('listens to no side once it is over', () => {
    const exchange = open({ length: 'unknown' })
    const { reply, told } = workload.sent[0]!
    reply.replyHead(headOf(200))
    reply.replyEnd([])
    const [saidToCaller, saidToWorkload] = [caller.told.length, told.length]
    exchange.requestEnd([])
    exchange.requestFlush()
    exchange.requestAborted()
    exchange.replyTaken(9)
    reply.replyInformational(103, [])
    reply.replyHead(headOf(200))
    reply.replyData(Buffer.from('x'))
    reply.replyEnd([])
    reply.replyFlush()
    reply.requestTaken(9)
    reply.replyFailed(lost)
    assert.equal(caller.told.length, saidToCaller)
    assert.equal(told.length, saidToWorkload)
    assert.equal(caller.takenBytes, 0)
    assert.equal(owner.outcomes.length, 1)
  })

  it('throws away what a caller still sends, and says that it may send more', () => {
    const exchange = open({ length: 'unknown' })
    workload.sent[0]!.reply.replyHead(headOf(200))
    workload.sent[0]!.reply.replyEnd([])
    exchange.requestData(Buffer.alloc(100))
    assert.equal(caller.takenBytes, 100)
    assert.deepEqual(workload.sent[0]!.told, [])
  })

  it('ends the request at the workload when the caller goes', () => {
    open().requestAborted()
    assert.deepEqual(workload.sent[0]!.told, ['aborted'])
    assert.deepEqual(caller.told, [])
    assert.deepEqual(owner.outcomes, [
      { status: 499, requestBytes: 0, replyBytes: 0, error: 'downstream_aborted' },
    ])
  })

  it('answers a failure in the place of the workload, and cuts a reply that has begun', () => {
    open({ method: 'POST' })
    workload.sent[0]!.reply.replyFailed(stale)
    assert.deepEqual(caller.told, ['head 502 ', 'end upstream_reset,'])
    caller.told.length = 0
    open().requestEnd([])
    workload.sent[1]!.reply.replyHead(headOf(200))
    workload.sent[1]!.reply.replyFailed(stale)
    assert.deepEqual(caller.told, ['head 200 ', 'failed upstream_reset'])
    assert.deepEqual(
      owner.outcomes.map(({ status, error }) => [status, error]),
      [
        [502, 'upstream_reset'],
        [200, 'upstream_reset'],
      ],
    )
    assert.equal(workload.sent.length, 2)
  })

  it('sends a request once more, whole, when it was lost with a reused connection', () => {
    const exchange = open()
    exchange.requestEnd([])
    workload.sent[0]!.reply.replyFailed(stale)
    assert.deepEqual(
      workload.sent.map((sent) => sent.isFresh),
      [false, true],
    )
    assert.deepEqual(workload.sent[1]!.told, ['end ', 'flush'])
    workload.sent[1]!.reply.replyHead(headOf(200))
    workload.sent[1]!.reply.replyEnd([])
    assert.deepEqual(caller.told, ['head 200 ', 'end '])
    assert.equal(owner.outcomes.length, 1)
  })

  it('listens no more to the connection that lost a request', () => {
    const exchange = open()
    exchange.requestEnd([])
    workload.sent[0]!.reply.replyFailed(stale)
    exchange.requestAborted()
    assert.ok(!workload.sent[0]!.told.includes('aborted'))
    assert.ok(workload.sent[1]!.told.includes('aborted'))
  })

  const unrepeated = [
    { name: 'a POST', request: { method: 'POST' } },
    { name: 'a request with a body', request: { method: 'PUT', length: 1 } },
    { name: 'a request that may have a body', request: { method: 'PUT', length: 'unknown' } },
    { name: 'what may have been seen', failure: lost },
    { name: 'a request that is not whole', isWhole: false },
  ] as const
  for (const row of unrepeated) {
    it(`does not send ${row.name} once more`, () => {
      const exchange = open('request' in row ? row.request : {})
      if (!('isWhole' in row)) exchange.requestEnd([])
      workload.sent[0]!.reply.replyFailed('failure' in row ? row.failure : stale)
      assert.equal(workload.sent.length, 1)
      assert.equal(owner.outcomes[0]?.status, 502)
    })
  }

  it('never sends a request more than twice', () => {
    open().requestEnd([])
    workload.sent[0]!.reply.replyFailed(stale)
    workload.sent[1]!.reply.replyFailed(stale)
    assert.equal(workload.sent.length, 2)
    assert.equal(owner.outcomes[0]?.status, 502)
  })

  it('refuses a body above the limit, known or not', () => {
    open({ length: 6 })
    assert.equal(workload.sent.length, 0)
    const exchange = open({ length: 'unknown' })
    exchange.requestData(Buffer.from('abcde'))
    exchange.requestData(Buffer.from('f'))
    assert.deepEqual(workload.sent[0]!.told, ['data abcde', 'aborted'])
    assert.deepEqual(
      owner.outcomes.map(({ status, error }) => [status, error]),
      [
        [413, 'body_too_large'],
        [413, 'body_too_large'],
      ],
    )
  })

  it('takes a failure, or a reply, that comes before the request is open', () => {
    const hasty: Upstream = {
      open: (_, reply) => {
        reply.replyFailed(lost)
        return discardedRequest
      },
      close: () => undefined,
    }
    const exchange = open({}, { target: hasty })
    exchange.requestEnd([])
    assert.deepEqual(caller.told, ['head 502 ', 'end upstream_reset,'])
    assert.equal(owner.outcomes.length, 1)
  })

  describe('with a bug in what it works with', () => {
    const bug = new Error('a bug')
    const throwing = (): never => {
      throw bug
    }

    it('cuts the caller off when the request cannot be opened', () => {
      const broken: Upstream = { open: throwing, close: () => undefined }
      assert.throws(() => open({}, { target: broken }), bug)
      assert.deepEqual(caller.told, ['failed upstream_reset'])
      assert.equal(owner.outcomes[0]?.error, 'internal_error')
    })

    it('cuts the caller off when a failure cannot be answered', () => {
      owner.replyToFailure = throwing
      open()
      assert.throws(() => workload.sent[0]!.reply.replyFailed(lost), bug)
      assert.deepEqual(caller.told, ['failed upstream_reset'])
      assert.equal(owner.outcomes.length, 1)
    })

    it('ends the reply although its outcome cannot be told', () => {
      owner.exchangeEnded = throwing
      open()
      workload.sent[0]!.reply.replyHead(headOf(200))
      assert.throws(() => workload.sent[0]!.reply.replyEnd([]), bug)
      assert.deepEqual(caller.told, ['head 200 ', 'end '])
    })

    it('ends the request although its outcome cannot be told', () => {
      owner.exchangeEnded = throwing
      const exchange = open()
      assert.throws(() => exchange.requestAborted(), bug)
      assert.deepEqual(workload.sent[0]!.told, ['aborted'])
    })
  })
})

function headOf(status: number): ReplyHead {
  return { status, reason: '', fields: [], length: 'unknown', connectionOptions: [] }
}
