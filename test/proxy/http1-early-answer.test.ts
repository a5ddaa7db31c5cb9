import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { FakeClock } from '../support/fake-clock.ts'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import type { ReplyHead, ReplySink, UpstreamFailure } from '../../src/proxy/ends.ts'
import { Http1WorkloadConnection } from '../../src/proxy/http1-workload-connection.ts'
import { eventually } from './support/eventually.ts'
import { useProxy } from './support/proxy-fixture.ts'
import type { RawSocket } from './support/raw-socket.ts'
import { RawWorkload } from './support/raw-workload.ts'

const tooLarge = 'HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge'

describe('a workload that answers and closes while the request is still coming', () => {
  let workload: RawWorkload
  let deadlines: Deadlines
  let clock: FakeClock
  let connection: Http1WorkloadConnection
  let heard: { heads: ReplyHead[]; body: string; isWhole: boolean; failures: UpstreamFailure[] }

  beforeEach(async () => {
    workload = await RawWorkload.start()
    clock = new FakeClock()
    deadlines = new Deadlines(clock)
    heard = { heads: [], body: '', isWhole: false, failures: [] }
    connection = new Http1WorkloadConnection(
      (onread) => connect({ port: workload.port, host: '127.0.0.1', onread }),
      { deadlines, connectTimeoutMs: 1_000, responseTimeoutMs: 60_000, onBug: fail },
      { onIdle: () => undefined, onGone: () => undefined },
    )
  })

  afterEach(async () => {
    deadlines.close()
    connection.destroy()
    await workload.close()
  })

  it('is heard, though the next write fails before its answer is read', async () => {
    const at = await beginUpload()
    at.write(tooLarge)
    at.socket.resetAndDestroy()
    uploadMore()
    await eventually(
      () => heard.isWhole,
      () => JSON.stringify(heard),
    )
    assert.deepEqual([heard.heads[0]?.status, heard.body, heard.failures], [413, 'large', []])
  })

  it('is no answer when it said nothing', async () => {
    const at = await beginUpload()
    at.socket.resetAndDestroy()
    uploadMore()
    await failed()
    assert.deepEqual(
      heard.failures.map(({ reason, retry }) => [reason, retry]),
      [['upstream_reset', 'never']],
    )
  })

  it('is no answer when it said half of one', async () => {
    const at = await beginUpload()
    at.write(tooLarge.slice(0, -2))
    at.socket.resetAndDestroy()
    uploadMore()
    await eventually(
      () => heard.body === 'lar',
      () => JSON.stringify(heard),
    )
    await failed()
    assert.deepEqual([heard.isWhole, heard.failures[0]?.reason], [false, 'upstream_reset'])
  })

  async function beginUpload(): Promise<RawSocket> {
    connection.begin({ ...upload, length: 100_000_000 }, replyTo(heard))
    connection.requestFlush()
    const at = await workload.connection(0)
    await at.has('\r\n\r\n')
    return at
  }

  /** However long its last words are waited for. */
  async function failed(): Promise<void> {
    await eventually(
      () => {
        clock.advance(100)
        return heard.failures.length > 0
      },
      () => JSON.stringify(heard),
    )
  }

  function uploadMore(): void {
    connection.requestData(Buffer.alloc(1_000_000))
    connection.requestFlush()
    connection.requestData(Buffer.alloc(1_000_000))
    connection.requestFlush()
  }
})

describe('a caller that uploads to a workload that answers and closes', () => {
  const f = useProxy()

  it('gets the answer', async () => {
    await f.start()
    f.workload.onConnection = ({ socket }) => {
      socket.once('data', () => {
        socket.pause()
        socket.end(tooLarge, () => socket.destroy())
      })
    }
    for (let i = 0; i < 20; i++) {
      const caller = await f.caller()
      caller.write(`POST /${i} HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n`)
      for (let sent = 0; sent < 4_000_000; sent += 50_000) caller.write(Buffer.alloc(50_000))
      await caller.has('large')
      assert.match(caller.text, /^HTTP\/1\.1 413 /)
      caller.destroy()
    }
  })
})

const upload = {
  method: 'POST',
  path: '/',
  authority: 'a',
  fields: [],
  wantsTrailers: false,
} as const

function replyTo(heard: {
  heads: ReplyHead[]
  body: string
  isWhole: boolean
  failures: UpstreamFailure[]
}): ReplySink {
  return {
    replyInformational: () => undefined,
    replyHead: (head) => heard.heads.push(head),
    replyData: (chunk) => (heard.body += chunk.toString('latin1')),
    replyEnd: () => (heard.isWhole = true),
    replyFailed: (failure) => heard.failures.push(failure),
    requestTaken: () => undefined,
    replyFlush: () => undefined,
  }
}

function fail(error: unknown): void {
  assert.fail(String(error))
}
