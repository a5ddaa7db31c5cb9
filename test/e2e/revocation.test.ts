import assert from 'node:assert/strict'
import type { StatusView } from '../../src/admin/views/status-view.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { type RevocationListSpec, toPem } from '../support/revocation-list-writer.ts'
import type { TestCa, TestLeaf } from '../support/test-ca.ts'
import { type Caller, type CallerConnection, httpVersions, identityOf } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { assertRefused } from './trust/support/assert-refused.ts'

const partnerCId = 'spiffe://partner-c.example/shop'
const products = {
  checkout: { callers: [{ spiffeId: 'spiffe://corp.example/checkout/**' }] },
  settlement: { callers: [{ authority: 'partner-b' }] },
  shop: { callers: [{ trustDomain: 'partner-c.example' }] },
  reports: { apiKeys: 'accept' },
}

/** A connection of each HTTP version on which a request was allowed. */
async function openLive(caller: Caller): Promise<CallerConnection[]> {
  const live = await Promise.all(httpVersions.map((version) => caller.open(version)))
  await assertServed(live)
  return live
}

async function assertServed(live: readonly CallerConnection[]): Promise<void> {
  for (const connection of live) assert.equal((await connection.call()).status, 200)
}

const ended = (live: readonly CallerConnection[]) => Promise.all(live.map((one) => one.ended))

function listOf(
  ca: TestCa,
  revoked: readonly Certificate[] = [],
  options: Partial<RevocationListSpec> = {},
): string {
  return toPem(ca.revocationList(revoked, options))
}

function reloadsOf(mesh: Mesh, result: string): Promise<number> {
  return mesh.postern.metric('postern_config_reloads_total', { file: 'crl', result })
}

/** Writes lists and waits until they are taken, or refused. */
async function write(
  mesh: Mesh,
  files: Readonly<Record<string, string>>,
  result = 'accepted',
): Promise<void> {
  const before = await reloadsOf(mesh, result)
  await mesh.postern.write(files)
  await mesh.postern.until(`lists ${result}`, async () => (await reloadsOf(mesh, result)) > before)
}

/** Audit lines of connections that a change of trust ended, after the first `lines`. */
async function endedSince(mesh: Mesh, lines: number): Promise<string[]> {
  // The log is written in order: what comes after has its line after them.
  const { json } = await mesh.keyCaller('key').call()
  await mesh.postern.audited(json.headers?.['x-request-id'])
  return mesh.postern.audit
    .slice(lines)
    .filter(({ error }) => error === 'trust_changed')
    .map(({ protocol, decision, previous_reason: before }) =>
      [protocol, decision.reason, before].join(' '),
    )
    .sort()
}

describe('revocation lists', () => {
  let mesh: Mesh
  let leaf: TestLeaf
  let revoked: Caller
  let others: CallerConnection[]

  before(async () => {
    mesh = await Mesh.start({
      products,
      keys: { key: { product: 'reports' } },
      authorities: {
        'partner-b': { crl: ['crl/b.crl', 'crl/middle.crl'] },
        'partner-c': { crl: ['crl/c.crl'] },
      },
    })
    leaf = await mesh.partnerB.leaf({ subject: '/O=Partner B/CN=stolen' })
    revoked = mesh.caller(identityOf(leaf))
    others = (
      await Promise.all([
        openLive(await mesh.partnerBCaller()),
        openLive(await mesh.svidCaller(checkoutId)),
        openLive(mesh.keyCaller('key')),
      ])
    ).flat()
  })

  after(async () => {
    for (const one of others) one.close()
    await mesh.close()
  })

  it('may be missing at the start: that is told, with its place, and callers are served', async () => {
    const { error } = await mesh.postern.logged(
      'revocation lists not taken, the last good ones serve',
    )
    assert.match(
      String(error),
      /products\.yaml:\d+:\d+: authorities\.partner-b\.crl\[0\]: crl\/b\.crl: /,
    )
    assert.equal(await reloadsOf(mesh, 'refused'), 1)
    const { files } = await mesh.postern.admin<StatusView>('/status')
    const shown = files.find(({ name }) => name === 'revocation lists')
    assert.equal(shown?.result, 'refused')
    assert.equal(shown.error?.split('\n').length, 3)
    assert.equal((await revoked.call()).status, 200)
    const next = await mesh.postern.metric('postern_crl_next_update_seconds')
    assert.equal(next, 0)
  })

  it('end the connections of whom they revoke, each with its record, and no others', async () => {
    await write(mesh, { 'crl/b.crl': listOf(mesh.partnerB) })
    const live = await openLive(revoked)
    const lines = mesh.postern.audit.length

    await write(mesh, { 'crl/b.crl': listOf(mesh.partnerB, [leaf.certificate]) })
    await ended(live)

    assert.deepEqual(await endedSince(mesh, lines), [
      'h2 certificate_revoked authority',
      'http/1.1 certificate_revoked authority',
    ])
    await assertServed(others)
    await assertRefused(revoked, 'certificate_revoked')
  })

  it('revoke on when the file is broken or lags behind, which is told', async () => {
    const older = { thisUpdateMs: Date.now() - 86_400_000 }
    for (const file of ['hello', listOf(mesh.partnerB, [], older)]) {
      const seen = mesh.postern.logs.length
      await write(mesh, { 'crl/b.crl': file }, 'refused')
      await mesh.postern.logged('revocation lists not taken, the last good ones serve', seen)
      await assertRefused(revoked, 'certificate_revoked')
      await assertServed(others)
    }
  })

  it('serve again whom a newer list does not revoke any more', async () => {
    const thisUpdateMs = Math.floor(Date.now() / 1_000) * 1_000
    await write(mesh, { 'crl/b.crl': listOf(mesh.partnerB, [], { thisUpdateMs }) })
    assert.equal((await revoked.call()).status, 200)
    await assertServed(others)
  })

  it('end the callers below an intermediate that is revoked, or whose own list names them', async () => {
    const middle = await mesh.partnerB.intermediate()
    const [one, two] = [await middle.leaf(), await middle.leaf()]
    const first = await openLive(mesh.caller(identityOf(one)))
    const second = await openLive(mesh.caller(identityOf(two)))

    await write(mesh, { 'crl/middle.crl': listOf(middle, [one.certificate]) })
    await ended(first)
    await assertServed(second)
    const thisUpdateMs = Math.floor(Date.now() / 1_000) * 1_000
    const revokes = listOf(mesh.partnerB, [middle.certificate], { thisUpdateMs })
    await write(mesh, { 'crl/b.crl': revokes })
    await ended(second)
    await assertServed(others)
    await assertRefused(mesh.caller(identityOf(two)), 'certificate_revoked')
  })

  it('revoke SVIDs of the trust domain that the authority speaks for', async () => {
    const svid = await mesh.partnerC.leaf({ spiffeId: partnerCId })
    const live = await openLive(mesh.caller(identityOf(svid)))
    await write(mesh, { 'crl/c.crl': listOf(mesh.partnerC, [svid.certificate]) })
    await ended(live)
    await assertServed(others)
    await assertRefused(mesh.caller(identityOf(svid)), 'certificate_revoked')
  })
})

describe('revocation lists with crlRequired', () => {
  let mesh: Mesh
  let caller: Caller

  before(async () => {
    mesh = await Mesh.start({
      products,
      keys: { key: { product: 'reports' } },
      authorities: { 'partner-b': { crl: ['b.crl'], crlRequired: true } },
    })
    caller = await mesh.partnerBCaller()
  })

  after(() => mesh.close())

  it('are waited for: until there is one, callers of the authority are refused and others served', async () => {
    await assertRefused(caller, 'revocation_unknown')
    assert.equal((await mesh.keyCaller('key').call()).status, 200)
    await write(mesh, { 'b.crl': listOf(mesh.partnerB) })
    assert.equal((await caller.call()).status, 200)
  })

  it('end open connections when they end themselves, and serve again when they are renewed', async () => {
    const other = await openLive(await mesh.svidCaller(checkoutId))
    const live = await openLiveOnList()
    const lines = mesh.postern.audit.length
    await ended(live)

    assert.deepEqual(await endedSince(mesh, lines), [
      'h2 revocation_unknown authority',
      'http/1.1 revocation_unknown authority',
    ])
    await assertRefused(caller, 'revocation_unknown')
    await assertServed(other)
    const stale = await mesh.postern.logged('revocation list is not current')
    assert.equal(stale['authority'], 'partner-b')
    const thisUpdateMs = Math.floor(Date.now() / 1_000) * 1_000
    await write(mesh, { 'b.crl': listOf(mesh.partnerB, [], { thisUpdateMs }) })
    assert.equal((await caller.call()).status, 200)
    for (const one of other) one.close()
  })

  /** Connections that were opened on a list which ends soon; on a slow machine not quite so soon. */
  async function openLiveOnList(): Promise<CallerConnection[]> {
    for (let seconds = 3; ; seconds *= 2) {
      const thisUpdateMs = Math.floor(Date.now() / 1_000) * 1_000
      const dates = { thisUpdateMs, nextUpdateMs: thisUpdateMs + seconds * 1_000 }
      await write(mesh, { 'b.crl': listOf(mesh.partnerB, [], dates) })
      const live = await openLive(caller).catch(() => undefined)
      if (live !== undefined) return live
      assert.ok(seconds < 60, 'the list ends before anybody can connect')
    }
  }
})
