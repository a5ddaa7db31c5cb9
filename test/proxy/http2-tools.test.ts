import assert from 'node:assert/strict'
import { discardedRequest, type RequestSink } from '../../src/proxy/ends.ts'
import { runH2spec } from '../http2/support/h2spec.ts'
import { requireTool } from '../support/tools.ts'
import { eventually } from './support/eventually.ts'
import { AnyProxy } from './support/http2-any-proxy.ts'
import { answer } from './support/http2-local-answer.ts'
import { bodyOf } from './support/http2-message.ts'
import { PlannedWorkload } from './support/http2-planned-workload.ts'
import { runTool, startServer } from './support/http2-tools.ts'

describe('the end of HTTP/2 callers', () => {
  let proxy: AnyProxy

  before(async () => {
    proxy = await AnyProxy.start({ downstream: 'h2', upstream: 'h2c', upstreamPort: 1 })
  })

  after(() => proxy.close())

  const answers = [
    { name: 'at once', answersLate: false },
    { name: 'after the request', answersLate: true },
  ]

  for (const { name, answersLate } of answers) {
    it(`stands every case of h2spec, strict ones included, when it answers ${name}`, async function () {
      const command = requireTool(this, 'h2spec')
      proxy.answerLocally = (_request, reply): RequestSink => {
        const now = () => void answer(reply, 200, 'hello world')
        if (answersLate) return { ...discardedRequest, requestEnd: now }
        now()
        return discardedRequest
      }
      const result = await runH2spec(command, proxy.port)
      assert.equal(result.failed, 0, result.report)
      assert.equal(result.skipped, 0, result.report)
      assert.ok(result.passed >= 146, result.report)
      assert.deepEqual(proxy.bugs, [])
      await eventually(() => proxy.downstreamStreams === 0)
    })
  }
})

for (const upstream of ['http1', 'h2c'] as const) {
  describe(`curl and nghttp through HTTP/2 in and ${upstream} out`, () => {
    let workload: PlannedWorkload
    let proxy: AnyProxy
    const upload = bodyOf([300_000])
    const download = [200_000, 1]

    before(async () => {
      workload = await PlannedWorkload.start(upstream)
      proxy = await AnyProxy.start({
        ...{ downstream: 'h2', upstream, upstreamPort: workload.port, maxBodyBytes: 1_000_000 },
      })
    })

    beforeEach(() => {
      workload.plan = {
        ...{ status: 200, fields: [['x-from', 'workload']], pieces: download, hasLength: true },
        ...{ trailers: [], hints: [], isEarly: false },
      }
    })

    after(async () => {
      await proxy.close()
      await workload.close()
    })

    afterEach(() => assert.deepEqual(proxy.bugs, []))

    it('curl posts and gets the reply', async function () {
      const command = requireTool(this, 'curl')
      const { exitCode, stdout, stderr } = await runTool(
        command,
        ['-sS', '--http2-prior-knowledge', '--data-binary', '@-', `${proxy.origin}/up?load`],
        upload,
      )
      assert.equal(exitCode, 0, stderr)
      assert.ok(stdout.equals(bodyOf(download)))
      const arrived = await workload.next()
      assert.equal(arrived.method, 'POST')
      assert.equal(arrived.url, '/up?load')
      assert.ok(arrived.body.equals(upload))
    })

    it('curl is answered early in the middle of an upload', async function () {
      const command = requireTool(this, 'curl')
      const { exitCode, stdout, stderr } = await runTool(
        command,
        ['-sS', '--http2-prior-knowledge', '--data-binary', '@-', `${proxy.origin}/`],
        bodyOf([5_000_000]),
      )
      assert.equal(exitCode, 0, stderr)
      assert.equal(stdout.toString(), 'too large')
    })

    it('curl is answered by the last reply of a connection', async function () {
      const command = requireTool(this, 'curl')
      proxy.answerLocally = (_request, reply) => {
        answer(reply, 403, 'no', { closeAfter: true })
        return discardedRequest
      }
      const { exitCode, stdout, stderr } = await runTool(
        command,
        ['-sS', '--http2-prior-knowledge', '--data-binary', '@-', `${proxy.origin}/`],
        Buffer.from('body'),
      )
      proxy.answerLocally = () => undefined
      assert.equal(exitCode, 0, stderr)
      assert.equal(stdout.toString(), 'no')
    })

    it('nghttp multiplexes', async function () {
      const command = requireTool(this, 'nghttp')
      const { exitCode, stdout } = await runTool(command, ['-m', '20', `${proxy.origin}/many`])
      assert.equal(exitCode, 0)
      assert.equal(stdout.length, 20 * bodyOf(download).length)
      for (let i = 0; i < 20; i++) assert.equal((await workload.next()).url, '/many')
    })
  })
}

/** The cases of grpc-go's interop client that need no credentials. */
const interopCases = [
  ...['empty_unary', 'large_unary', 'client_streaming', 'server_streaming', 'ping_pong'],
  ...['empty_stream', 'timeout_on_sleeping_server', 'cancel_after_begin'],
  ...['cancel_after_first_response', 'status_code_and_message', 'special_status_message'],
  ...['custom_metadata', 'unimplemented_method', 'unimplemented_service'],
  ...['rpc_soak', 'channel_soak'],
]

describe('grpc-go interop through the proxy', () => {
  let client: string
  let server: Awaited<ReturnType<typeof startServer>> | undefined
  let proxy: AnyProxy | undefined

  before(async function () {
    client = requireTool(this, 'grpc-interop-client')
    const serverCommand = requireTool(this, 'grpc-interop-server')
    server = await startServer(serverCommand, (port) => ['-port', String(port)])
    proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: server.port },
    })
  })

  after(async () => {
    await proxy?.close()
    await server?.stop()
  })

  for (const name of interopCases) {
    it(name, async () => {
      const { exitCode, stderr } = await runTool(client, [
        ...['-server_host', '127.0.0.1', '-server_port', String(proxy!.port)],
        ...['-test_case', name],
      ])
      assert.equal(exitCode, 0, stderr)
      assert.deepEqual(proxy!.bugs, [])
      await eventually(() => proxy!.open === 0)
    })
  }
})
