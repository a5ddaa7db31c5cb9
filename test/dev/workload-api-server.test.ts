import assert from 'node:assert/strict'
import { status } from '@grpc/grpc-js'
import { WorkloadApiServer } from '../../src/dev/workload-api-server.ts'
import { eventually } from '../workload-api/support/eventually.ts'
import { temporaryFolder } from '../workload-api/support/temporary-folder.ts'
import { response } from '../workload-api/support/test-issuer.ts'
import { RawClient } from './support/raw-stream.ts'

describe('WorkloadApiServer', () => {
  const folder = temporaryFolder()
  let server: WorkloadApiServer
  let client: RawClient

  beforeEach(async () => {
    const socketPath = folder.path('a.sock')
    server = await WorkloadApiServer.start({ socketPath, state: response([]) })
    client = new RawClient(socketPath)
  })

  afterEach(async () => {
    client.close()
    await server.close()
  })

  /** A state that is told by the first byte of its 16 KiB. */
  const numbered = (n: number) => response([], {}, [Buffer.alloc(16 * 1024, n)])

  it('sends every state to a reader that keeps up', async () => {
    const stream = client.fetchSvids()
    await stream.message(0)
    for (let n = 1; n <= 50; n++) {
      server.publish(numbered(n))
      assert.equal((await stream.message(n)).crl[0]?.[0], n)
    }
  })

  it('keeps only the newest state for a reader that does not, and sends that at last', async () => {
    const stream = client.fetchSvids()
    await stream.message(0)
    stream.pause()
    for (let n = 1; n <= 200; n++) server.publish(numbered(n))
    stream.resume()
    await eventually(() => stream.messages.at(-1)?.crl[0]?.[0] === 200)
    assert.ok(stream.messages.length < 50, String(stream.messages.length))
    server.publish(numbered(201))
    await eventually(() => stream.messages.at(-1)?.crl[0]?.[0] === 201)
  })

  it('forgets a stream that its caller cancelled', async () => {
    const stream = client.fetchSvids()
    await stream.message(0)
    assert.equal(server.streamCount, 1)
    stream.cancel()
    await eventually(() => server.streamCount === 0)
  })

  it('survives states that follow the end of the identity', async () => {
    const stream = client.fetchSvids()
    await stream.message(0)
    server.publish(undefined)
    server.publish(numbered(1))
    assert.equal(await stream.ended(), status.PERMISSION_DENIED)
    assert.equal((await client.fetchSvids().message(0)).crl[0]?.[0], 1)
  })
})
