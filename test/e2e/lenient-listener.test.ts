import assert from 'node:assert/strict'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { type Caller, httpVersions, type Reply, toReply } from './support/caller.ts'
import { expiredCaller } from './support/caller-cases.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { assertProblem } from './support/problem.ts'

describe('a listener that ignores untrusted certificates and takes plaintext', () => {
  let mesh: Mesh
  let expired: Caller

  before(async () => {
    mesh = await Mesh.start({
      keys: { reports: { product: 'reports' } },
      inbound: { untrustedCertificate: 'ignore', plaintext: 'allow' },
    })
    expired = await expiredCaller(mesh)
  })

  after(() => mesh.close())

  for (const version of httpVersions) {
    it(`takes the API key beside a bad certificate and records the certificate (${version})`, async () => {
      const headers = { 'x-api-key': mesh.key('reports') }
      const reply = await expired.call({ headers }, version)
      const seen = reply.json.headers ?? {}
      assert.equal(seen['x-postern-credential'], 'api-key')
      const audit = await mesh.postern.audited(seen['x-request-id'])
      assert.equal(audit.decision.reason, 'api_key')
      assert.equal(audit.decision['ignored_certificate'], 'certificate_expired')
    })

    it(`denies a bad certificate without a key as if none had been presented (${version})`, async () => {
      const connection = await expired.open(version)
      const reply = await connection.call()
      assertProblem(reply, 401, 'credential_missing')
      const audit = await mesh.postern.audited(reply.json.decision_id)
      assert.equal(audit.decision['ignored_certificate'], 'certificate_expired')
      connection.close()
    })

    it(`still maps a good certificate (${version})`, async () => {
      const reply = await (await mesh.svidCaller(checkoutId)).call({}, version)
      assert.equal(reply.json.headers?.['x-postern-product'], 'checkout')
    })
  }

  it('serves a key without TLS, and tells the workload so', async () => {
    const reply = await plaintextCall(mesh, { 'x-api-key': mesh.key('reports') })
    const seen = reply.json.headers ?? {}
    assert.equal(seen['x-postern-product'], 'reports')
    assert.equal(seen['x-forwarded-proto'], 'http')
    assertProblem(await plaintextCall(mesh, {}), 401, 'credential_missing')
  })
})

function plaintextCall(mesh: Mesh, headers: Record<string, string>): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: mesh.postern.port, headers, agent: false })
    outgoing.once('error', reject)
    outgoing.once('response', (response) => {
      text(response).then(
        (body) => resolve(toReply(response.statusCode ?? 0, response.headers, body)),
        reject,
      )
    })
    outgoing.end()
  })
}
