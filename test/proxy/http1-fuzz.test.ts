import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import fc from 'fast-check'
import { anyReplies, anyRequests, cut, places } from '../http1/mutations.ts'
import { readReplies } from '../http1/recorder.ts'
import { Workload } from '../support/workload.ts'
import { eventually } from './support/eventually.ts'
import { identityFields, PlainProxy } from './support/plain-proxy.ts'
import { RawSocket } from './support/raw-socket.ts'
import { RawWorkload } from './support/raw-workload.ts'

const runs = { numRuns: 300 }
const departures = fc.constantFrom('fin', 'reset')

describe('any bytes at all', () => {
  let proxy: PlainProxy

  /** Neither side keeps a connection, and nothing was thrown. */
  async function assertNothingLeft(): Promise<void> {
    await eventually(() => proxy.downstreams.size === 0)
    await eventually(() => proxy.upstream.connections === proxy.upstream.idleConnections)
    assert.deepEqual(proxy.bugs, [])
  }

  describe('from a caller', () => {
    let workload: Workload

    before(async () => {
      workload = await Workload.start()
      proxy = await PlainProxy.start({ upstreamPort: workload.port })
    })

    after(async () => {
      await proxy.close()
      await workload.close()
    })

    it('leave as many whole requests as were read, each with our identity alone', async () => {
      await fc.assert(
        fc.asyncProperty(anyRequests(), places, departures, async (bytes, at, departure) => {
          forget()
          const caller = await RawSocket.connect(proxy.port)
          for (const piece of cut(bytes, at)) caller.write(piece)
          await eventually(() => isQuiet(caller, bytes.length))
          if (departure === 'reset') caller.reset()
          else caller.fin()
          await caller.ended()
          caller.destroy()
          await assertNothingLeft()
          assertOracleAgrees()
        }),
        runs,
      )
    })

    function forget(): void {
      workload.seen.length = 0
      workload.parserErrors.length = 0
      proxy.requests.length = 0
      proxy.outcomes.length = 0
      proxy.sockets.length = 0
    }

    /** All was read that will be, and every exchange that can end has ended. */
    function isQuiet(caller: RawSocket, sent: number): boolean {
      if (caller.hasEnded || caller.isClosed) return true
      return (
        proxy.sockets[0]?.bytesRead === sent && proxy.outcomes.length >= proxy.requests.length - 1
      )
    }

    function assertOracleAgrees(): void {
      assert.ok(workload.seen.length <= proxy.requests.length)
      for (const [i, seen] of workload.seen.entries()) {
        assert.equal(seen.method, proxy.requests[i]?.method)
        assert.equal(seen.url, proxy.requests[i]?.path)
        const ours = seen.rawHeaders.filter((_, at, all) =>
          /^x[-_]postern/i.test(all[at - (at % 2)] ?? ''),
        )
        assert.deepEqual(ours, identityFields)
      }
      const isAllKnown = proxy.requests.every((request) => METHODS.includes(request.method))
      const complaints = workload.parserErrors.map((error: NodeJS.ErrnoException) => error.code)
      const isMeant = (code: string | undefined) =>
        code === 'ECONNRESET' ||
        code === 'HPE_INVALID_EOF_STATE' ||
        (code === 'HPE_INVALID_METHOD' && !isAllKnown)
      assert.deepEqual(
        complaints.filter((code) => !isMeant(code)),
        [],
      )
    }
  })

  describe('from a workload', () => {
    let workload: RawWorkload

    before(async () => {
      workload = await RawWorkload.start()
      proxy = await PlainProxy.start({ upstreamPort: workload.port })
    })

    after(async () => {
      await proxy.close()
      await workload.close()
    })

    const methods = fc.constantFrom('GET', 'HEAD', 'POST')

    it('leave one well-formed reply to each request, or a connection that is cut', async () => {
      await fc.assert(
        fc.asyncProperty(
          methods,
          anyReplies(),
          places,
          departures,
          async (method, bytes, at, departure) => {
            workload.onConnection = (connection) => {
              connection.socket.once('data', () => {
                for (const piece of cut(bytes, at)) connection.write(piece)
                if (departure === 'reset') connection.reset()
                else connection.fin()
              })
            }
            const caller = await RawSocket.connect(proxy.port)
            caller.write(`${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
            await caller.ended()
            const found = readReplies([caller.bytes], [method])
            caller.destroy()
            await assertNothingLeft()
            assert.equal(found.refused, undefined)
            assert.equal(found.rest, 0)
            assert.ok(found.messages.length <= 1)
            const isWhole = found.messages[0]?.trailers !== undefined
            assert.ok(isWhole || proxy.outcomes.at(-1)?.error !== undefined)
          },
        ),
        runs,
      )
    })
  })
})
