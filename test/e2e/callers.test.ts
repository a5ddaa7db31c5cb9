import assert from 'node:assert/strict'
import { readExplanation, readMigration, readStatus } from '../../src/bin/admin-answers.ts'
import { Workload } from '../support/workload.ts'
import { httpVersions } from './support/caller.ts'
import { allowed, denied, expiredCaller, keys, products } from './support/caller-cases.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { assertProblem } from './support/problem.ts'

describe('the three kinds of callers on one port', () => {
  let mesh: Mesh
  let own: Workload

  before(async () => {
    own = await Workload.start()
    mesh = await Mesh.start({
      keys,
      products: {
        ...products,
        ported: { callers: [{ spiffeId: 'spiffe://corp.example/ported' }], upstream: own.address },
      },
    })
  })

  after(async () => {
    await mesh.close()
    await own.close()
  })

  for (const version of httpVersions) {
    describe(`over ${version}`, () => {
      for (const one of allowed) {
        it(`serves ${one.name}`, async () => {
          const caller = await one.caller(mesh)
          const reply = await caller.call(one.request, version)
          assert.equal(reply.status, 200, reply.text)
          const seen = reply.json.headers ?? {}
          assert.equal(seen['x-postern-product'], one.product)
          assert.equal(seen['x-postern-principal'], one.principal)
          assert.equal(seen['x-postern-credential'], one.credential)
          assert.equal(seen['x-api-key'] ?? seen['authorization'], undefined)
          const audit = await mesh.postern.audited(seen['x-request-id'])
          assert.equal(audit.decision.reason, one.reason)
          assert.equal(audit.protocol, version)
        })
      }

      for (const one of denied) {
        it(`denies ${one.name}`, async () => {
          const caller = await one.caller(mesh)
          const before = mesh.workload.seen.length
          const reply = await caller.call(one.request, version)
          assertProblem(reply, one.status, one.reason)
          assert.equal(mesh.workload.seen.length, before)
          const audit = await mesh.postern.audited(reply.json.decision_id)
          assert.equal(audit.decision.outcome, 'deny')
          assert.equal(audit.decision.reason, one.reason)
        })
      }

      it('denies more requests than the limit of a principal, and says when to come again', async () => {
        const spiffeId = `spiffe://corp.example/limited/${version === 'h2' ? 'two' : 'one'}`
        const caller = await mesh.svidCaller(spiffeId)
        const connection = await caller.open(version)
        assert.equal((await connection.call()).status, 200)
        assert.equal((await connection.call()).status, 200)
        const reply = await connection.call()
        assertProblem(reply, 429, 'rate_limited')
        const seconds = Number(reply.headers['retry-after'])
        assert.ok(seconds > 1_700 && seconds <= 1_800, String(reply.headers['retry-after']))
        connection.close()
        const other = await mesh.svidCaller(`${spiffeId}-other`)
        assert.equal((await other.call({}, version)).status, 200)
      })

      it('never takes an API key in the place of a bad certificate, and ends the connection', async () => {
        const bad = await expiredCaller(mesh)
        const headers = { 'x-api-key': mesh.key('reports') }
        const connection = await bad.with({ headers }).open(version)
        assertProblem(await connection.call(), 403, 'certificate_expired')
        await connection.ended
        connection.close()
      })

      it('keeps the connection of a caller whose certificate is good, whatever it is denied', async () => {
        const caller = await mesh.svidCaller('spiffe://corp.example/ruled')
        const connection = await caller.open(version)
        assert.equal((await connection.call({ path: '/no' })).status, 403)
        assert.equal((await connection.call({ path: '/v1/yes' })).status, 200)
        connection.close()
      })

      it('removes what a caller says about itself', async () => {
        const caller = await mesh.svidCaller(checkoutId)
        const reply = await caller.call(
          {
            headers: {
              'x-postern-product': 'admin',
              x_postern_principal: 'root',
              'x-forwarded-for': '10.0.0.1',
              'x-forwarded-client-cert': 'By=me',
              'x-other': 'kept',
            },
          },
          version,
        )
        const seen = reply.json.headers ?? {}
        assert.equal(seen['x-postern-product'], 'checkout')
        assert.equal(seen['x_postern_principal'], undefined)
        assert.equal(seen['x-forwarded-for'], '127.0.0.1')
        assert.equal(seen['x-forwarded-client-cert'], undefined)
        assert.equal(seen['x-other'], 'kept')
      })
    })
  }

  it('marks a key of a product that warns', async () => {
    const reply = await mesh.keyCaller('legacy').call()
    const audit = await mesh.postern.audited(reply.json.headers?.['x-request-id'])
    assert.equal(audit.decision['key_warned'], true)
    const unmarked = await mesh.keyCaller('reports').call()
    const other = await mesh.postern.audited(unmarked.json.headers?.['x-request-id'])
    assert.equal(other.decision['key_warned'], undefined)
  })

  it('answers gRPC in its own words', async () => {
    const grpc = {
      method: 'POST',
      path: '/pay.Pay/Do',
      headers: { 'content-type': 'application/grpc' },
    }
    const missing = await mesh.anonymous().call(grpc, 'h2')
    assert.equal(missing.status, 200)
    assert.equal(missing.headers['content-type'], 'application/grpc')
    assert.equal(missing.headers['grpc-status'], '16')
    assert.match(String(missing.headers['grpc-message']), /^credential_missing: /)
    const stranger = await mesh.svidCaller('spiffe://corp.example/stranger')
    const unmapped = await stranger.call(grpc, 'h2')
    assert.equal(unmapped.headers['grpc-status'], '7')
    assert.match(String(unmapped.headers['grpc-message']), /^product_unmapped: /)
  })

  it("gives a product's requests to its own port of the workload, and no others", async () => {
    const ported = await mesh.svidCaller('spiffe://corp.example/ported')
    assert.equal((await ported.call({ path: '/ported' })).status, 200)
    const checkout = await mesh.svidCaller(checkoutId)
    assert.equal((await checkout.call({ path: '/checkout' })).status, 200)
    assert.deepEqual(pathsOf(own), ['/ported'])
    assert.ok(pathsOf(mesh.workload).includes('/checkout'))
    assert.ok(!pathsOf(mesh.workload).includes('/ported'))
  })

  describe('afterwards', () => {
    it('explains them all, whoever called, in answers that the command line reads', async () => {
      const lines = await mesh.postern.admin<{ decisions: { id: string; reason: string }[] }>(
        '/decisions?limit=512',
      )
      const reasons = new Set(lines.decisions.map(({ reason }) => reason))
      for (const { reason } of [...allowed, ...denied]) assert.ok(reasons.has(reason), reason)
      for (const { id } of lines.decisions) {
        readExplanation(await mesh.postern.admin<object>(`/decisions/${id}`))
      }
      readMigration(await mesh.postern.admin<object>('/migration'))
      readStatus(await mesh.postern.admin<object>('/status'))
    })
  })
})

function pathsOf(workload: Workload): string[] {
  return workload.seen.map((seen) => seen.url)
}
