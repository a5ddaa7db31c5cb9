import assert from 'node:assert/strict'
import { join } from 'node:path'
import { runTool, startServer } from '../proxy/support/http2-tools.ts'
import { SpiffePeer } from '../support/spiffe-peer.ts'
import { requireTool } from '../support/tools.ts'
import { checkoutId, Mesh, sidecarId } from './support/mesh.ts'

/** The cases of grpc-go's interop client that need no credentials of their own. */
const cases = [
  ...['empty_unary', 'large_unary', 'client_streaming', 'server_streaming', 'ping_pong'],
  ...['empty_stream', 'timeout_on_sleeping_server', 'cancel_after_begin'],
  ...['cancel_after_first_response', 'status_code_and_message', 'special_status_message'],
  ...['custom_metadata', 'unimplemented_method', 'unimplemented_service'],
  ...['rpc_soak', 'channel_soak'],
]

describe('grpc-go interop through the sidecar', () => {
  let client: string
  let server: Awaited<ReturnType<typeof startServer>> | undefined
  let mesh: Mesh | undefined
  let spiffePeer: string

  before(async function () {
    spiffePeer = requireTool(this, 'spiffe-peer')
    client = requireTool(this, 'grpc-interop-client')
    const serverCommand = requireTool(this, 'grpc-interop-server')
    server = await startServer(serverCommand, (port) => ['-port', String(port)])
    mesh = await Mesh.start({
      inbound: { upstream: `127.0.0.1:${server.port}`, plaintext: 'allow' },
      keys: { reports: { product: 'reports' } },
    })
    await mesh.agent.listen({ socketPath: socketPath(), spiffeId: checkoutId })
  })

  after(async () => {
    await mesh?.close()
    await server?.stop()
  })

  const socketPath = () => join(mesh!.directory, 'checkout.sock')

  /** Runs a case; what the client says is in the error. */
  async function passes(name: string, port: number, ...more: string[]): Promise<void> {
    const { exitCode, stderr } = await runTool(client, [
      ...['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name],
      ...more,
    ])
    assert.equal(exitCode, 0, stderr)
  }

  describe('by an API key', () => {
    for (const name of cases) {
      it(name, async () => {
        const metadata = `x-api-key:${mesh!.key('reports')}`
        await passes(name, mesh!.postern.port, '-additional_metadata', metadata)
      })
    }
  })

  describe('over mTLS with an SVID, by go-spiffe', () => {
    for (const name of cases) {
      it(name, async () => {
        const address = `127.0.0.1:${mesh!.postern.port}`
        const args = ['interop', '--expect', sidecarId, '--address', address, '--case', name]
        const { answer, errors } = await SpiffePeer.run(spiffePeer, socketPath(), ...args)
        assert.deepEqual(answer, { passed: name }, errors)
      })
    }
  })

  it('without a credential is UNAUTHENTICATED', async () => {
    await assert.rejects(passes('empty_unary', mesh!.postern.port), /Unauthenticated/)
  })
})
