import assert from 'node:assert/strict'
import { parseWorkloadApiAddress } from '../../src/workload-api/address.ts'
import { runX509Stream } from '../../src/workload-api/x509-stream.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeAgent } from './support/fake-agent.ts'
import { temporaryFolder } from './support/temporary-folder.ts'

describe('runX509Stream', () => {
  const folder = temporaryFolder()

  async function run(signal: AbortSignal) {
    const agent = await FakeAgent.start(folder.path('a.sock'))
    const messages: Buffer[] = []
    const ended = runX509Stream({
      address: parseWorkloadApiAddress(`unix:${folder.path('a.sock')}`),
      clock: new FakeClock(),
      signal,
      firstMessageTimeoutMs: 1_000,
      maxMessageBytes: 1_024,
      onMessage: (message) => messages.push(message),
    })
    return { agent, messages, ended }
  }

  it('hands out each message as it came and says how the stream ended', async () => {
    const { agent, messages, ended } = await run(new AbortController().signal)
    const call = await agent.call(0)
    call.send(Buffer.from('one'))
    call.send(Buffer.from('two'))
    call.end()
    assert.equal((await ended).kind, 'lost')
    assert.deepEqual(messages.map(String), ['one', 'two'])
    await agent.close()
  })

  it('makes no call when the signal had aborted before', async () => {
    const { agent, ended } = await run(AbortSignal.abort())
    assert.deepEqual(await ended, { kind: 'closed' })
    assert.equal(agent.calls.length, 0)
    assert.equal(agent.connectionCount, 0)
    await agent.close()
  })
})
