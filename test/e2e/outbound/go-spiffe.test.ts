import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { DevAgent } from '../../../src/dev/dev-agent.ts'
import { PosternProcess, temporaryDirectory } from '../../support/postern-process.ts'
import { SpiffePeer } from '../../support/spiffe-peer.ts'
import { requireTool } from '../../support/tools.ts'
import { callPlain } from './support/two-sidecars.ts'

const shopId = 'spiffe://corp.example/shop'
const billingId = 'spiffe://partner-a.example/billing'
const otherId = 'spiffe://partner-a.example/other'

/** What the server says that it saw. */
interface Seen {
  readonly protocol: string
  readonly path: string
  readonly caller: string
  readonly serial: string
  readonly headers: Readonly<Record<string, string>>
}

describe('a server on go-spiffe that the workload calls through us', function () {
  this.timeout(60_000)
  let command: string
  let directory: string
  let agent: DevAgent | undefined
  const started: { stop(): Promise<unknown> }[] = []

  before(async function () {
    directory = await temporaryDirectory()
    command = requireTool(this, 'spiffe-peer')
    agent = await DevAgent.start({
      clock: systemClock,
      logger: silentLogger,
      trustDomains: ['corp.example', 'partner-a.example'],
    })
    await agent.listen({ socketPath: socketOf('shop'), spiffeId: shopId })
    await agent.listen({ socketPath: socketOf('billing'), spiffeId: billingId })
  })

  afterEach(async () => {
    for (const process of started.splice(0)) await process.stop()
  })

  after(async () => {
    await agent?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const socketOf = (name: string) => join(directory, `${name}.sock`)

  /** A server with the identity of billing that serves only this caller, and our sidecar that expects this server. */
  async function start({ serves = shopId, expect = billingId } = {}) {
    const { peer, port } = await SpiffePeer.serve(command, socketOf('billing'), serves)
    started.push(peer)
    const postern = await PosternProcess.start({
      files: {
        'postern.yaml': {
          identity: { workloadApi: `unix://${socketOf('shop')}` },
          inbound: { listen: '127.0.0.1:0' },
          outbound: [{ listen: '127.0.0.1:0', upstream: `127.0.0.1:${port}`, expect }],
          health: { listen: '127.0.0.1:0' },
          admin: { listen: '127.0.0.1:0' },
        },
        'products.yaml': { version: 1, products: {} },
      },
    })
    started.push(postern)
    return { peer, postern, call: () => callPlain(postern.outboundPorts[0]!) }
  }

  it('sees our SVID, and we see that it is whom we expect', async () => {
    const { call, peer, postern } = await start()
    const { status, json, headers } = await call()
    assert.equal(status, 200)
    assert.equal(peer.lines.length, 2)
    const seen = json as unknown as Seen
    assert.deepEqual([seen.caller, seen.path], [shopId, '/v1/invoices'])
    assert.equal(seen.headers['X-Postern-Principal'], undefined)
    assert.equal(headers['content-type'], 'application/json')
    await postern.until('audited', () => postern.audit.length === 1)
    const [line] = postern.audit
    assert.deepEqual(
      [line?.['direction'], line?.decision.outcome, line?.decision['principal']],
      ['outbound', 'allow', billingId],
    )
  })

  it('gets no request when it is not whom we expect', async () => {
    const { call, peer } = await start({ expect: otherId })
    const { status, json } = await call()
    assert.equal(status, 502)
    assert.equal(json['reason'], 'peer_unexpected')
    assert.equal(peer.lines.length, 1, 'its port and no request')
  })

  it('refuses our SVID when we are not whom it expects, and the workload is told', async () => {
    const { call, peer, postern } = await start({ serves: otherId })
    const { status, json } = await call()
    await peer.until('its refusal', () => peer.errors.includes(`unexpected ID "${shopId}"`))
    assert.equal(status, 502)
    assert.equal(json['reason'], 'upstream_reset')
    assert.equal(peer.lines.length, 1, 'its port and no request')
    await postern.until('audited', () => postern.audit.length === 1)
    assert.equal(postern.audit[0]?.status, 502)
  })

  it('is called on through new SVIDs and new CAs on both sides, and sees the new ones', async () => {
    const { call, postern } = await start()
    const changes = () => postern.logs.filter(({ msg }) => msg === 'trust changed').length
    const first = (await call()).json as unknown as Seen
    for (const trustDomain of ['corp.example', 'partner-a.example']) {
      for (const change of ['prepareCa', 'withdrawOldCa'] as const) {
        const before = changes()
        await agent![change](trustDomain)
        await postern.until('a change of trust', () => changes() > before)
        if (change === 'prepareCa') await agent!.activateCa(trustDomain)
      }
    }
    let last = first
    await postern.until('a connection with the new SVID', async () => {
      const { status, json } = await call()
      assert.equal(status, 200)
      last = json as unknown as Seen
      return last.serial !== first.serial
    })
    assert.equal(last.caller, shopId)
  })
})
