import assert from 'node:assert/strict'
import { requireTool } from '../support/tools.ts'
import { EchoServer } from './support/echo-server.ts'
import { runH2spec } from './support/h2spec.ts'

describe('h2spec', () => {
  let server: EchoServer

  before(async () => {
    server = await EchoServer.start()
  })

  after(() => server.close())

  it('finds nothing, strict cases included', async function () {
    const command = requireTool(this, 'h2spec')
    const result = await runH2spec(command, server.port)
    assert.equal(result.failed, 0, result.report)
    assert.equal(result.skipped, 0, result.report)
    assert.ok(result.passed >= 146, result.report)
  })
})
