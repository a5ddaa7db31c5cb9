import assert from 'node:assert/strict'
import { eventually } from '../proxy/support/eventually.ts'
import { httpVersions } from './support/caller.ts'
import { Mesh, threeCallers } from './support/mesh.ts'
import { assertProblem } from './support/problem.ts'

describe('requests above what the workload may have', () => {
  let mesh: Mesh

  before(async () => {
    mesh = await Mesh.start({
      products: threeCallers,
      keys: { reports: { product: 'reports' } },
      inbound: {
        upstreamProtocol: 'http1',
        limits: { maxUpstreamConnections: 1, maxUpstreamQueue: 1, upstreamQueueTimeout: '1m' },
      },
    })
  })

  after(() => mesh.close())

  for (const version of httpVersions) {
    it(`wait in a line of one, by ${version}, and above that are answered 503`, async () => {
      const answers: (() => void)[] = []
      mesh.workload.answerWith((_, response) => {
        answers.push(() => response.end('done'))
      })
      const call = () => mesh.keyCaller('reports').call({}, version)
      const running = call()
      await eventually(() => answers.length === 1)
      const waiting = call()
      await mesh.postern.until(
        'one request waits',
        async () => (await mesh.postern.metric('postern_upstream_waiting_requests')) === 1,
      )
      assertProblem(await call(), 503, 'upstream_overloaded')

      answers[0]?.()
      assert.equal((await running).text, 'done')
      await eventually(() => answers.length === 2)
      answers[1]?.()
      assert.equal((await waiting).text, 'done')
      assert.equal(await mesh.postern.metric('postern_upstream_waiting_requests'), 0)
    })
  }
})
