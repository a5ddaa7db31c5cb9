import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { parsePemCertificates } from '../../../../src/x509/pem.ts'
import { Certificate } from '../../../../src/x509/certificate.ts'
import type { Caller, CallerIdentity } from '../../support/caller.ts'
import { assertProblem } from '../../support/problem.ts'
import { assertNoHandshake, assertRefused } from './assert-refused.ts'
import { GuardedWorkload } from './guarded-workload.ts'
import { checkoutId, ownDomain, paymentsId, type TrustWorld } from './trust-world.ts'

/** Our own SVID and our own CA move: nothing is dropped that is still trusted, and nothing is kept that is not. */
export function rotationRows(world: () => TrustWorld): void {
  it('serves new handshakes with each renewed SVID, and keeps what lives', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId, ttlSeconds: world().shortTtlSeconds })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const identity = await world().mint(checkoutId)
    const live = await sidecar.openLive(identity)
    const before = await sidecar.metrics()

    const presented = new Set<string>()
    await sidecar.postern.until('three renewals', async () => {
      const leaf = await leafOfSidecar(sidecar.caller(identity))
      return presented.add(leaf.sha256).size === 4
    })

    assert.deepEqual(await live.call(), [200, 200])
    const after = await sidecar.metrics()
    assert.equal(after.epoch, before.epoch)
    assert.deepEqual(after.reevaluated, { kept: 0, ended: 0 })
    assert.ok(after.updates.accepted >= before.updates.accepted + 3)
    assert.equal(after.updates.rejected, 0)
    assert.ok(after.svidNotAfterSeconds > before.svidNotAfterSeconds)
    await sidecar.untilMissing()
  })

  it('follows its CA: both are trusted while they overlap, and who the old one vouched for is ended', async () => {
    const endpoint = await world().openEndpoint()
    await endpoint.register({ spiffeId: paymentsId })
    await using sidecar = await GuardedWorkload.start(endpoint)
    const oldCaller = await world().mint(checkoutId)
    const idle = await sidecar.openLive(oldCaller)
    const busy = await sidecar.openLive(oldCaller)
    const { epoch } = await sidecar.metrics()

    await world().prepareCa(ownDomain)
    await sidecar.untilMetrics('both were judged again, and kept', ({ reevaluated }) =>
      isDeepStrictEqual(reevaluated, { kept: 4, ended: 0 }),
    )
    assert.equal((await sidecar.caller(oldCaller).call()).status, 200)

    await world().activateCa(ownDomain)
    const newCaller = await world().mint(checkoutId)
    assert.equal((await sidecar.caller(newCaller).call()).status, 200)
    await world().taintOldCa(ownDomain)
    await sidecar.postern.until('our SVID is of the new CA', async () => {
      const leaf = await leafOfSidecar(sidecar.caller(newCaller))
      return issuerKey(leaf) === issuerKey(leafOf(newCaller))
    })
    assert.equal((await sidecar.caller(oldCaller).call()).status, 200)
    assert.deepEqual(await idle.call(), [200, 200])
    const kept = await sidecar.openLive(newCaller)
    assert.equal((await sidecar.metrics()).epoch, epoch + 1)

    const running = await sidecar.beginReplies(busy)
    await world().revokeOldCa(ownDomain)
    await idle.ended()
    assert.deepEqual(busy.isEnded, [false, false])
    assert.deepEqual(await running.finish(), ['first half, second half', 'first half, second half'])
    await busy.ended()

    assert.deepEqual(await kept.call(), [200, 200])
    const after = await sidecar.metrics()
    assert.equal(after.epoch, epoch + 2)
    assert.deepEqual(after.reevaluated, { kept: 4 + 2, ended: 4 })
    await assertRefused(sidecar.caller(oldCaller), 'issuer_unknown')
    assert.equal((await sidecar.caller(newCaller).call()).status, 200)
    await sidecar.untilMissing()
  })

  it('serves with the SVID of its hint, and with no other', async () => {
    const endpoint = await world().openEndpoint()
    const inside = { spiffeId: 'spiffe://corp.example/inside', hint: 'internal' }
    const outside = { spiffeId: 'spiffe://corp.example/outside', hint: 'external' }
    await endpoint.register(inside)
    await endpoint.register(outside)
    await using sidecar = await GuardedWorkload.start(endpoint, { hint: 'external' })
    const caller = sidecar.caller(await world().mint(checkoutId))
    assert.deepEqual((await leafOfSidecar(caller)).uriNames, [outside.spiffeId])
    const live = await caller.open('h2')
    assert.equal((await live.call()).status, 200)

    await endpoint.remove(outside.spiffeId)
    await sidecar.untilMissing('identity')
    await assertNoHandshake(caller)
    assertProblem(await live.call(), 503, 'identity_unavailable')
    assert.equal((await sidecar.metrics()).svidNotAfterSeconds, 0)

    await endpoint.register(outside)
    await sidecar.untilMissing()
    assert.deepEqual((await leafOfSidecar(caller)).uriNames, [outside.spiffeId])
    assert.equal((await live.call()).status, 200)
    live.close()
    const labels = { spiffe_id: outside.spiffeId }
    assert.ok((await sidecar.postern.metric('postern_svid_not_after_seconds', labels)) > 0)
  })
}

/** A new connection that is allowed; what the sidecar presented on it. */
async function leafOfSidecar(caller: Caller): Promise<Certificate> {
  const connection = await caller.open()
  try {
    assert.equal((await connection.call()).status, 200)
    return Certificate.parse(connection.socket.getPeerCertificate().raw)
  } finally {
    connection.close()
  }
}

function leafOf({ certificatePem }: CallerIdentity): Certificate {
  const [leaf] = parsePemCertificates(certificatePem)
  if (leaf === undefined) throw new TypeError('no certificate')
  return leaf
}

/** Names the key that signed it. */
function issuerKey(certificate: Certificate): string | undefined {
  return certificate.extensions.authorityKeyId?.toString('hex')
}
