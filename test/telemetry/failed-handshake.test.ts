import assert from 'node:assert/strict'
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { FailedHandshake } from '../../src/telemetry/telemetry.ts'
import { startRecorder } from './support/recorder.ts'

function failedFrom(clientAddress: string, parts: Partial<FailedHandshake> = {}): FailedHandshake {
  return {
    result: 'failed',
    reason: 'no_shared_cipher',
    clientAddress,
    clientPort: 51_234,
    durationMs: 12,
    ...parts,
  }
}

describe('the span of a failed handshake', () => {
  it('stands alone, says why and whose it was, and lasted from accept to its end', async () => {
    const { recorder, clock, spans } = await startRecorder()
    recorder.handshakeFailed(failedFrom('192.0.2.7'))
    const [span, ...others] = await spans()
    assert.deepEqual(others, [])
    assert.equal(span?.name, 'handshake')
    assert.equal(span.kind, SpanKind.INTERNAL)
    assert.equal(span.parentSpanContext, undefined)
    assert.deepEqual(span.status, { code: SpanStatusCode.ERROR, message: 'no_shared_cipher' })
    assert.deepEqual(span.attributes, {
      'postern.handshake': 'failed',
      'postern.reason': 'no_shared_cipher',
      'postern.handshakes_left_out': 0,
      'error.type': 'no_shared_cipher',
      'client.address': '192.0.2.7',
      'client.port': 51_234,
      'network.peer.address': '192.0.2.7',
      'network.peer.port': 51_234,
    })
    assert.deepEqual(span.duration, [0, 12e6])
    assert.equal(span.endTime[0] * 1_000 + span.endTime[1] / 1e6, clock.now())
  })

  it('has no other in the same minute, beyond a few, of an address that goes on and on', async () => {
    const { recorder, spans } = await startRecorder()
    for (let i = 0; i < 1_000; i++) recorder.handshakeFailed(failedFrom('192.0.2.7'))
    assert.equal((await spans()).length, 5)
    // Everybody else still has one, which says how many had none.
    recorder.handshakeFailed(failedFrom('192.0.2.8'))
    const last = (await spans()).at(-1)
    assert.equal(last?.attributes['client.address'], '192.0.2.8')
    assert.equal(last.attributes['postern.handshakes_left_out'], 995)
  })

  it('comes again after a while', async () => {
    const { recorder, clock, spans } = await startRecorder()
    for (let i = 0; i < 100; i++) recorder.handshakeFailed(failedFrom('192.0.2.7'))
    clock.advance(10_000)
    for (let i = 0; i < 100; i++) recorder.handshakeFailed(failedFrom('192.0.2.7'))
    const all = await spans()
    assert.equal(all.length, 6)
    assert.equal(all.at(-1)?.attributes['postern.handshakes_left_out'], 95)
  })

  it('is one of at most thirty at once and one a second, from however many addresses', async () => {
    const { recorder, clock, spans } = await startRecorder()
    const flood = () => {
      for (let i = 0; i < 5_000; i++) {
        recorder.handshakeFailed(failedFrom(`198.18.${i >> 8}.${i & 255}`))
      }
    }
    flood()
    assert.equal((await spans()).length, 30)
    clock.advance(3_000)
    flood()
    assert.equal((await spans()).length, 33)
  })

  it('is not made where nothing is sampled', async () => {
    const { recorder, spans } = await startRecorder({ env: { OTEL_TRACES_SAMPLER: 'always_off' } })
    recorder.handshakeFailed(failedFrom('192.0.2.7'))
    assert.deepEqual(await spans(), [])
  })

  it('is bounded, whatever comes', async () => {
    const { recorder, spans } = await startRecorder()
    recorder.handshakeFailed(failedFrom('x'.repeat(10_000), { reason: 'y'.repeat(10_000) }))
    for (const value of Object.values((await spans())[0]?.attributes ?? {})) {
      assert.ok(String(value).length <= 256)
    }
  })
})
