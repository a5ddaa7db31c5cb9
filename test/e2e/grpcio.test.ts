import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { EchoWorkload } from '../proxy/support/http2-grpc-echo.ts'
import { requireTool } from '../support/tools.ts'
import type { CallerIdentity } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { runProgram } from './support/programs.ts'

const script = fileURLToPath(new URL('support/grpcio-caller.py', import.meta.url))

/** What grpcio looks for in the certificate of a server: it cannot be told to look for a SPIFFE ID. */
const sidecarName = 'sidecar.corp.example'

/** The answers of the script, by the name of the call. */
type Answers = Readonly<Record<string, unknown>>

interface Credential {
  readonly identity?: CallerIdentity
  readonly apiKey?: string
}

describe('grpcio, on the gRPC of C++, through the sidecar', () => {
  let python: string
  let workload: EchoWorkload | undefined
  let mesh: Mesh

  before(async function () {
    this.timeout(180_000)
    python = requireTool(this, 'python-grpcio')
    workload = await EchoWorkload.start()
    mesh = await Mesh.start({
      inbound: { upstream: `127.0.0.1:${workload.port}` },
      dnsNames: [sidecarName],
      keys: { reports: { product: 'reports' } },
    })
  })

  after(async () => {
    if (workload === undefined) return
    await mesh.close()
    workload.close()
  })

  /** Makes these calls on one channel that verifies the sidecar. */
  async function make(calls: readonly string[], credential: Credential): Promise<Answers> {
    const { identity, apiKey } = credential
    const input = {
      port: mesh.postern.port,
      bundle: mesh.agent.bundlePem('corp.example'),
      name: sidecarName,
      calls,
      apiKey,
      ...(identity && {
        identity: { certificate: identity.certificatePem, key: identity.privateKeyPem },
      }),
    }
    const { code, stdout, stderr } = await runProgram(python, [script], {
      input: JSON.stringify(input),
      timeoutMs: 60_000,
    })
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Answers
  }

  const expected = {
    unary: { reply: 'one', list: ['a, b'], raw: [true], trailer: 'after' },
    large: { bytes: 8 << 20, equal: true },
    server_stream: 'xyz'.repeat(100),
    client_stream: String((199 * 200) / 2),
    ping_pong: Array.from({ length: 20 }, (_, number) => number),
    fails: { code: 'FAILED_PRECONDITION', details: 'não · %25' },
    breaks: { code: 'DATA_LOSS', details: 'lost', got: ['1', '2'] },
    many: 100,
  }

  const callers = [
    {
      name: 'over mTLS with an SVID',
      product: 'checkout',
      by: 'x509-svid',
      credential: async (): Promise<Credential> => ({ identity: await mesh.mint(checkoutId) }),
    },
    {
      name: 'by an API key',
      product: 'reports',
      by: 'api-key',
      credential: (): Credential => ({ apiKey: mesh.key('reports') }),
    },
  ]

  for (const { name, product, by, credential } of callers) {
    describe(name, () => {
      it('is served in all four kinds of calls, with metadata, trailers and errors', async () => {
        const answers = await make(Object.keys(expected), await credential())
        assert.deepEqual(answers, expected)
        const calls = Object.keys(expected).length - 1 + expected.many
        const records = () =>
          mesh.postern.audit.filter((line) => line.decision['product'] === product)
        await mesh.postern.until('audited', () => records().length >= calls)
        for (const { decision, protocol } of records()) {
          const { outcome, credential: kind } = decision
          assert.deepEqual([protocol, outcome, kind], ['h2', 'allow', by])
        }
      }).timeout(90_000)

      it('has its cancellation and its deadline reach the workload', async () => {
        workload!.cancelled = 0
        const { cancelled, deadline } = await make(['cancelled', 'deadline'], await credential())
        const { code, first } = cancelled as { readonly code: string; readonly first: string }
        assert.deepEqual({ code, first }, { code: 'CANCELLED', first: 'first' })
        assert.equal((deadline as { readonly code: string }).code, 'DEADLINE_EXCEEDED')
        await mesh.postern.until('both cancelled', () => workload!.cancelled === 2)
      }).timeout(90_000)
    })
  }

  it('is told why it is refused, in the words of gRPC', async () => {
    const code = async (credential: Credential) => {
      const { unary_status: answer } = await make(['unary_status'], credential)
      return (answer as { readonly code: string }).code
    }
    assert.equal(await code({}), 'UNAUTHENTICATED')
    assert.equal(await code({ apiKey: 'pst_none' }), 'UNAUTHENTICATED')
    const unmapped = await mesh.mint('spiffe://corp.example/nobody')
    assert.equal(
      await code({ identity: unmapped, apiKey: mesh.key('reports') }),
      'PERMISSION_DENIED',
    )
    assert.equal(await code({ identity: await mesh.mint(checkoutId) }), 'OK')
  }).timeout(90_000)
})
