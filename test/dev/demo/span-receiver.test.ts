import assert from 'node:assert/strict'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { SpanReceiver } from '../../../src/dev/demo/span-receiver.ts'
import { Recorder } from '../../../src/telemetry/recorder.ts'
import { FakeSink } from '../../telemetry/support/fakes.ts'
import { outcomeOf, recordOf } from '../../telemetry/support/records.ts'

describe('SpanReceiver', () => {
  let receiver: SpanReceiver

  beforeEach(async () => {
    receiver = await SpanReceiver.start()
  })

  afterEach(() => receiver.close())

  function post(body: Uint8Array): Promise<Response> {
    return fetch(`${receiver.url}/v1/traces`, { method: 'POST', body: Buffer.from(body) })
  }

  it('understands what our own exporter sends', async () => {
    const recorder = await Recorder.start({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
      clock: systemClock,
      logger: silentLogger,
      audit: { sink: new FakeSink() },
      serviceVersion: '1.2.3',
    })
    const record = recordOf()
    const trace = recorder.begin(undefined, undefined)
    recorder.decided(trace, record)
    recorder.finished(trace, record, outcomeOf())
    await recorder.close()

    const authorize = receiver.spans.find(({ name }) => name === 'authorize')
    const request = receiver.spans.find(({ name }) => name === 'GET')
    assert.equal(request?.kind, 'SERVER')
    assert.equal(authorize?.parentSpanId, request.spanId)
    assert.equal(authorize.traceId, trace.traceId)
    assert.equal(authorize.attributes.get('postern.decision_id'), record.id)
    assert.equal(authorize.attributes.get('postern.epoch'), '7')
  })

  it('refuses what it cannot read and what is too long, and takes the next', async () => {
    assert.equal((await post(Buffer.from('not protobuf'))).status, 400)
    assert.equal((await post(Buffer.alloc(5 * 1024 * 1024))).status, 413)
    assert.equal((await post(Buffer.alloc(0))).status, 200)
    assert.equal(receiver.spans.length, 0)
  })
})
