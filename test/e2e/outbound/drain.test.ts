import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { eventually } from '../../proxy/support/eventually.ts'
import { RawSocket } from '../../proxy/support/raw-socket.ts'
import { Workload } from '../../support/workload.ts'
import { callPlain, TwoSidecars } from './support/two-sidecars.ts'

describe("the way out of the workload's own calls", () => {
  it('takes no new ones, ends what is idle, finishes what runs, and ends with 0', async function () {
    this.timeout(60_000)
    await using workload = await Workload.start()
    const pair = await TwoSidecars.start({ workload: workload.address })
    const { shop, port } = pair
    try {
      const idle = await RawSocket.connect(port)
      idle.write('GET /v1/idle HTTP/1.1\r\nHost: a\r\n\r\n')
      await idle.take('/v1/idle')
      const held: ServerResponse[] = []
      workload.answerWith((_, response) => void held.push(response))
      const running = callPlain(port)
      await eventually(() => held.length === 1)

      shop.signal('SIGTERM')
      await idle.ended()
      const upstream = `127.0.0.1:${pair.billing.port}`
      await shop.until('it is told what is not there any more', async () => {
        const { missing } = await shop.ready()
        return missing.includes(`outbound ${upstream}`) && missing.includes('draining')
      })
      await assert.rejects(callPlain(port), { code: 'ECONNREFUSED' })
      assert.equal(held.length, 1)
      held[0]?.end('finished')
      const reply = await running
      assert.deepEqual([reply.status, reply.text], [200, 'finished'])
      assert.equal(reply.headers.connection, 'close')
      assert.equal(await shop.exited, 0)
      const calls = shop.audit.filter((line) => line['direction'] === 'outbound')
      assert.deepEqual(
        calls.map(({ status }) => status),
        [200, 200],
      )
    } finally {
      await pair.close()
    }
  })
})
