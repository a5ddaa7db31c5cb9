import assert from 'node:assert/strict'
import { InboundHarness } from './support/inbound-harness.ts'

const own = 'spiffe://corp.example/checkout/web'

describe('forwardClientCert', () => {
  let harness: InboundHarness

  afterEach(() => harness.close())

  function seen(): unknown {
    return harness.workload.seen.at(-1)?.headers['x-forwarded-client-cert']
  }

  it("writes the caller's certificate in Envoy's format, and not the caller's own words", async () => {
    harness = await InboundHarness.start({ forwardClientCert: true })
    const leaf = await harness.corp.leaf({ spiffeId: own, subject: '/O=Corp/CN=a "quoted" name' })
    const headers = { 'x-forwarded-client-cert': 'By=me;URI=spiffe://corp.example/root' }
    await harness.call({ leaf, headers })
    const subject = String.raw`"CN=a \\\"quoted\\\" name,O=Corp"`
    assert.equal(
      seen(),
      `By=spiffe://corp.example/sidecar;Hash=${leaf.certificate.sha256};Subject=${subject};URI=${own}`,
    )
  })

  it('names no SPIFFE ID that the certificate did not prove', async () => {
    harness = await InboundHarness.start({ forwardClientCert: true })
    const leaf = await harness.partnerB.leaf({
      subject: '/CN=batch',
      names: [{ dns: 'b.example' }],
    })
    await harness.call({ leaf })
    assert.match(String(seen()), /^By=[^;]+;Hash=[0-9a-f]{64};Subject="CN=batch"$/)
  })

  it('writes nothing unless it is asked to, nor for a caller without a certificate', async () => {
    harness = await InboundHarness.start()
    await harness.call({ leaf: await harness.corp.leaf({ spiffeId: own }) })
    assert.equal(seen(), undefined)
    await harness.close()
    harness = await InboundHarness.start({ forwardClientCert: true })
    const reply = await harness.call({ headers: { 'x-api-key': harness.keys[0]?.key ?? '' } })
    assert.equal(reply.status, 200)
    assert.equal(seen(), undefined)
  })
})
