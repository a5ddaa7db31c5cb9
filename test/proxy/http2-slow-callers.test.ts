import assert from 'node:assert/strict'
import { h2 } from '../../src/http2/errors.ts'
import { data, END, get, headers, ping, post, setting } from '../http2/support/raw-frames.ts'
import { settle } from './support/eventually.ts'
import { useHttp2 } from './support/http2-fixture.ts'
import type { RawPeer } from './support/http2-raw-peer.ts'

const ok = [':status', '200']
const times = { bodyTimeoutMs: 4_000, idleTimeoutMs: 8_000, responseTimeoutMs: 60_000 }
const cancelled = `RST_STREAM 1 code=${h2.CANCEL}`

describe('a caller of HTTP/2 that holds a stream and does nothing with it', () => {
  const fixture = useHttp2()

  /** Lets time pass in small steps, and the caller show that it lives. */
  async function pass(caller: RawPeer, ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) {
      caller.send(ping())
      await settle()
      fixture.clock.advance(500)
    }
    await settle()
  }

  it('gets 408 when its body stops, and its other streams go on', async () => {
    await fixture.start(times)
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'x'), headers(3, get(), END))
    const workload = await fixture.upstream()
    await workload.has('DATA 1 1')
    await pass(caller, 3_000)
    caller.send(data(1, 'y'))
    await pass(caller, 3_500)
    assert.equal(fixture.proxy.refusals.length, 0)

    await pass(caller, 2_500)
    await caller.has('HEADERS 1 408')
    assert.equal(fixture.proxy.refusals[0]?.code, 'body_too_slow')
    assert.equal(fixture.proxy.outcomes[0]?.error, 'downstream_aborted')
    await workload.has(cancelled)
    workload.send(headers(3, ok, END))
    await caller.has('HEADERS 3 200 end')
    await pass(caller, 1_000)
    await caller.has(`RST_STREAM 1 code=${h2.NO_ERROR}`)
  })

  it('may be silent within a stream of gRPC', async () => {
    await fixture.start(times)
    const caller = await fixture.caller()
    caller.send(headers(1, post('content-type', 'application/grpc')), data(1, 'x'))
    const workload = await fixture.upstream()
    await workload.has('DATA 1 1')
    await pass(caller, 12_000)
    assert.deepEqual(fixture.proxy.refusals, [])
    workload.send(headers(1, ok, END))
    await caller.has('HEADERS 1 200 end')
  })

  it('may be silent within its body once it is answered', async () => {
    await fixture.start(times)
    const caller = await fixture.caller()
    caller.send(headers(1, post()), data(1, 'x'))
    const workload = await fixture.upstream()
    await workload.has('DATA 1 1')
    workload.send(headers(1, ok))
    await caller.has('HEADERS 1 200')
    await pass(caller, 12_000)
    caller.send(data(1, 'y', END))
    await workload.has('DATA 1 1 end')
    workload.send(data(1, 'z', END))
    await caller.has('DATA 1 1 end')
  })

  it('is not blamed for a body that the workload does not take', async () => {
    await fixture.start(times)
    const caller = await fixture.caller()
    caller.send(headers(1, post()))
    const workload = await fixture.upstream(0, setting.INITIAL_WINDOW_SIZE, 0)
    await workload.has('HEADERS 1 POST /')
    await settle()
    // Our window, whole.
    for (let i = 0; i < 8; i++) caller.send(data(1, Buffer.alloc(16_384)))
    await pass(caller, 12_000)
    assert.deepEqual(fixture.proxy.refusals, [])
    assert.equal(fixture.proxy.open, 1)
  })

  it('loses a stream whose reply it does not take, and keeps the others', async () => {
    await fixture.start(times)
    const caller = await fixture.caller(setting.INITIAL_WINDOW_SIZE, 2)
    caller.send(headers(1, get(), END))
    const workload = await fixture.upstream()
    await workload.has('HEADERS 1 GET / end')
    workload.send(headers(1, ok), data(1, 'four'))
    await caller.has('DATA 1 2')
    await pass(caller, 7_500)
    assert.equal(caller.count(cancelled), 0)

    await pass(caller, 3_500)
    await caller.has(cancelled)
    await workload.has(cancelled)
    assert.equal(fixture.proxy.outcomes[0]?.error, 'downstream_aborted')
    caller.send(headers(3, get(), END))
    await workload.has('HEADERS 3 GET / end')
    workload.send(headers(3, ok, END))
    await caller.has('HEADERS 3 200 end')
  })
})
