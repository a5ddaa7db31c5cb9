import assert from 'node:assert/strict'
import { join } from 'node:path'
import { SpiffePeer } from '../support/spiffe-peer.ts'
import { requireTool } from '../support/tools.ts'
import { checkoutId, Mesh, sidecarId } from './support/mesh.ts'

const partnerId = 'spiffe://partner-a.example/ledger'
const unmappedId = 'spiffe://corp.example/nobody'

/** What go-spiffe's caller says about a reply. */
interface Answer {
  readonly protocol: string
  readonly status: number
  /** The SPIFFE ID that the sidecar proved to it. */
  readonly server: string
  readonly body: string
}

describe('callers on go-spiffe, with identities of the embedded agent', () => {
  let command: string
  let mesh: Mesh | undefined

  before(async function () {
    this.timeout(180_000)
    command = requireTool(this, 'spiffe-peer')
    mesh = await Mesh.start()
    for (const spiffeId of [checkoutId, partnerId, unmappedId]) {
      await mesh.agent.listen({ socketPath: socketOf(spiffeId), spiffeId })
    }
  })

  after(() => mesh?.close())

  beforeEach(() => void (mesh!.workload.seen.length = 0))

  function socketOf(spiffeId: string): string {
    return join(mesh!.directory, `${new URL(spiffeId).host}${spiffeId.split('/').pop()}.sock`)
  }

  function run(spiffeId: string, expect: string, ...more: readonly string[]) {
    const url = `https://127.0.0.1:${mesh!.postern.port}/go`
    const args = ['call', '--expect', expect, '--url', url, ...more]
    return SpiffePeer.run(command, socketOf(spiffeId), ...args)
  }

  async function call(spiffeId: string, ...more: readonly string[]): Promise<Answer> {
    const { code, answer, errors } = await run(spiffeId, sidecarId, ...more)
    assert.equal(code, 0, errors)
    return answer as Answer
  }

  /** Makes a change and waits until the sidecar has it. */
  async function trustChanges(change: () => Promise<unknown>): Promise<void> {
    const changes = () => mesh!.postern.logs.filter(({ msg }) => msg === 'trust changed').length
    const before = changes()
    await change()
    await mesh!.postern.until('a change of trust', () => changes() > before)
  }

  async function assertServed(): Promise<void> {
    for (const [more, protocol] of [
      [[], 'HTTP/2.0'],
      [['--http1'], 'HTTP/1.1'],
    ] as const) {
      for (const [spiffeId, product] of [
        [checkoutId, 'checkout'],
        [partnerId, 'payments'],
      ] as const) {
        const answer = await call(spiffeId, ...more)
        assert.deepEqual(
          [answer.protocol, answer.status, answer.server],
          [protocol, 200, sidecarId],
          answer.body,
        )
        const { headers, bodyBytes } = JSON.parse(answer.body) as {
          readonly headers: Readonly<Record<string, string>>
          readonly bodyBytes: number
        }
        assert.equal(headers['x-postern-product'], product)
        assert.equal(headers['x-postern-principal'], spiffeId)
        assert.equal(bodyBytes, 100_000)
      }
    }
  }

  it('are served by SVIDs of our own and of a federated trust domain, in HTTP/1.1 and HTTP/2', async () => {
    await assertServed()
  }).timeout(180_000)

  it('are denied, in words, with an SVID that no product has', async () => {
    const { status, body } = await call(unmappedId)
    assert.equal(status, 403)
    assert.match(body, /"reason":"product_unmapped"/)
    assert.equal(mesh!.workload.seen.length, 0)
  })

  it('do not speak with a sidecar that is not whom they expect', async () => {
    const { code, errors } = await run(checkoutId, 'spiffe://corp.example/other')
    assert.equal(code, 1)
    assert.match(errors, /unexpected ID "spiffe:\/\/corp.example\/sidecar"/)
    assert.equal(mesh!.workload.seen.length, 0)
  })

  it('are served on after both CAs were rotated and the old ones withdrawn', async () => {
    const { agent } = mesh!
    for (const trustDomain of ['corp.example', 'partner-a.example']) {
      await trustChanges(() => agent.prepareCa(trustDomain))
      await agent.activateCa(trustDomain)
      await trustChanges(() => agent.withdrawOldCa(trustDomain))
    }
    await assertServed()
  }).timeout(180_000)
})
