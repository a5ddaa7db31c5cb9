import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { OutboundHarness, TestMesh } from './support/outbound-harness.ts'

describe('listeners for calls of the workload', () => {
  let other: Server
  let harness: OutboundHarness

  beforeEach(async () => {
    other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  })

  afterEach(() => {
    harness.close()
    other.close()
  })

  it('are told by where their calls would go when they could not be bound', async () => {
    const { port } = other.address() as AddressInfo
    harness = OutboundHarness.unbound(await TestMesh.create(), {
      ...{ upstreamHost: 'billing.corp.example', upstreamPort: 8_443, listenPort: port },
    })
    assert.deepEqual(harness.servers.unbound, ['billing.corp.example:8443'])
    await assert.rejects(harness.servers.listen(), {
      code: 'ERR_LISTEN_FAILED',
      message: new RegExp(`^cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
    })
    assert.deepEqual(harness.servers.unbound, ['billing.corp.example:8443'])
    other.close()
    await harness.servers.listen()
    assert.deepEqual(harness.servers.unbound, [])
  })
})
