import assert from 'node:assert/strict'
import fc from 'fast-check'
import { AnyProxy } from './support/http2-any-proxy.ts'
import {
  bodyOf,
  inOrder,
  lengthOfPieces,
  type Pairs,
  type ReplyPlan,
  replyPlan,
  type RequestPlan,
  requestPlan,
  sorted,
} from './support/http2-message.ts'
import { plannedCaller, type PlannedCaller, type Received } from './support/http2-planned-caller.ts'
import { type Arrived, PlannedWorkload } from './support/http2-planned-workload.ts'

/** Set by the protocol or by Node on the way, and not by the plans. */
const framing = new Set([
  ...['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive', 'trailer', 'te'],
  ...['date', 'link', ':method', ':path', ':authority', ':scheme', ':status'],
])
const isPlanned = (name: string) => !framing.has(name)

for (const downstream of ['http1', 'h2'] as const) {
  for (const upstream of ['http1', 'h2c'] as const) {
    describe(`${downstream} in, ${upstream} out`, () => {
      let workload: PlannedWorkload
      let proxy: AnyProxy
      let caller: PlannedCaller

      before(async () => {
        workload = await PlannedWorkload.start(upstream)
        proxy = await AnyProxy.start({ downstream, upstream, upstreamPort: workload.port })
        caller = plannedCaller(downstream, proxy.port)
      })

      after(async () => {
        await caller.close()
        await proxy.close()
        await workload.close()
      })

      it('any request that passes arrives equal, and so does its reply', async () => {
        await fc.assert(
          fc.asyncProperty(requestPlan, replyPlan, async (request, reply) => {
            workload.plan = reply
            const received = await caller.send(request, reply.isEarly)
            const arrived = await workload.next()
            sameRequest(request, arrived, reply.isEarly)
            sameReply(request, reply, received)
            assert.deepEqual(proxy.bugs, [])
            assert.deepEqual(workload.errors, [])
            assert.equal(workload.unexpected, 0)
          }),
          { numRuns: 60 },
        )
        assert.equal(proxy.open, 0)
        assert.equal(proxy.downstreamStreams, 0)
      })
    })
  }
}

function sameRequest(plan: RequestPlan, arrived: Arrived, isEarly: boolean): void {
  assert.equal(arrived.method, plan.method)
  assert.equal(arrived.url, plan.path)
  assert.equal(arrived.authority, 'api.example:81')
  assert.deepEqual(sorted(arrived.rawHeaders, isPlanned), inOrder(plan.fields))
  if (isEarly) return
  assert.ok(arrived.body.equals(bodyOf(plan.pieces)))
  assert.deepEqual(sorted(arrived.rawTrailers, isPlanned), inOrder(plan.trailers))
}

function sameReply(request: RequestPlan, plan: ReplyPlan, received: Received): void {
  const isHead = request.method === 'HEAD'
  assert.equal(received.status, plan.status)
  assert.deepEqual(sorted(received.rawHeaders, isPlanned), inOrder(plan.fields))
  assert.deepEqual(
    received.informational,
    plan.hints.map((link) => ({ status: 103, link })),
  )
  assert.ok(received.body.equals(isHead ? Buffer.alloc(0) : bodyOf(plan.pieces)))
  const trailers: Pairs = isHead ? [] : plan.trailers
  assert.deepEqual(sorted(received.rawTrailers, isPlanned), inOrder(trailers))
  if (plan.hasLength) {
    assert.deepEqual(
      sorted(received.rawHeaders, (name) => name === 'content-length'),
      [['content-length', String(lengthOfPieces(plan.pieces))]],
    )
  }
}
