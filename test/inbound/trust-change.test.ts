import assert from 'node:assert/strict'
import type { TLSSocket } from 'node:tls'
import { ProductMap } from '../../src/policy/product-map.ts'
import type { TrustState } from '../../src/policy/trust-state.ts'
import { bySpiffeId, InboundHarness, product } from './support/inbound-harness.ts'

const own = 'spiffe://corp.example/checkout/web'
const get = 'GET /slow HTTP/1.1\r\nhost: a\r\n\r\n'

describe('a change of trust', () => {
  let harness: InboundHarness

  beforeEach(async () => {
    harness = await InboundHarness.start()
  })

  afterEach(() => harness.close())

  it('ends an idle connection whose trust domain went away, and keeps the others', async () => {
    const gone = await open(
      await harness.partnerA.leaf({ spiffeId: 'spiffe://partner-a.example/x' }),
    )
    const kept = await open(await harness.corp.leaf({ spiffeId: own }))
    harness.changeTrust({ bundles: withoutPartner() })
    await ended(gone)
    assert.equal((await ask(kept)).status, 200)
    assert.deepEqual(harness.telemetry.judged, { kept: 1, ended: 1 })
  })

  it('ends a connection also while we hold no identity ourselves, and keeps the others', async () => {
    const gone = await open(
      await harness.partnerA.leaf({ spiffeId: 'spiffe://partner-a.example/x' }),
    )
    const kept = await open(await harness.corp.leaf({ spiffeId: own }))
    harness.setHasIdentity(false)
    harness.changeTrust({ bundles: withoutPartner() })
    await ended(gone)
    assert.equal((await ask(kept)).status, 503)
    harness.setHasIdentity(true)
    assert.equal((await ask(kept)).status, 200)
  })

  it('ends a connection that has asked for nothing yet and whose certificate proves nothing any more', async () => {
    const partner = await harness.partnerA.leaf({ spiffeId: 'spiffe://partner-a.example/x' })
    const silent = await Promise.all([partner, partner].map((leaf) => harness.connect(leaf)))
    const others = await Promise.all([
      harness.connect(await harness.corp.leaf({ spiffeId: own })),
      harness.connect(),
    ])
    await until(() => harness.server.connections === 4)
    harness.changeTrust({ bundles: withoutPartner() })
    await Promise.all(silent.map(ended))
    assert.deepEqual(harness.telemetry.judged, { kept: 2, ended: 2 })
    const reasons = harness.telemetry.decisions.map(({ decision }) => decision.reason)
    assert.deepEqual(reasons, ['trust_domain_unknown', 'trust_domain_unknown'])
    assert.deepEqual(await Promise.all(others.map(ask)), [{ status: 200 }, { status: 401 }])
  })

  it('finishes the running response and refuses the next request', async () => {
    const socket = await open(await harness.corp.leaf({ spiffeId: own }))
    let finish: () => void = () => undefined
    harness.workload.answerWith((_request, response) => {
      response.write('first half, ')
      finish = () => response.end('second half')
    })
    const reply = read(socket)
    socket.write(get)
    await until(() => harness.workload.seen.length === 2)
    harness.changeTrust({ products: ProductMap.of([], []) })
    finish()
    assert.match(await reply, /first half, [^]*second half/)
    await ended(socket)
  })

  it('records the end of a connection with the reason before and after', async () => {
    const socket = await open(await harness.corp.leaf({ spiffeId: own }))
    harness.changeTrust({ products: ProductMap.of([], []) })
    await ended(socket)
    const record = harness.telemetry.decisions.at(-1)
    assert.equal(record?.decision.reason, 'product_unmapped')
    assert.equal(record.previousReason, 'svid_id')
    assert.equal(harness.telemetry.ended.at(-1)?.outcome.error, 'trust_changed')
  })

  it('keeps a connection that only maps to another product, and says so in its next request', async () => {
    const socket = await open(await harness.corp.leaf({ spiffeId: own }))
    const moved = product('moved', { callers: [bySpiffeId('spiffe://corp.example/**')] })
    harness.changeTrust({ products: ProductMap.of([moved], []) })
    assert.equal((await ask(socket)).status, 200)
    assert.equal(harness.workload.seen.at(-1)?.headers['x-postern-product'], 'moved')
  })

  it('judges a request by the trust of its moment, however the change races it', async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const products = harness.trust.products
    const none = ProductMap.of([], [])
    for (let round = 0; round < 30; round++) {
      const calls = Array.from({ length: 8 }, () => harness.call({ leaf }).catch(() => undefined))
      await new Promise((resolve) => setImmediate(resolve))
      harness.changeTrust({ products: none })
      const { epoch } = harness.trust
      await Promise.all(calls)
      for (const { decision } of harness.telemetry.decisions.splice(0)) {
        assert.equal(decision.outcome, decision.epoch === epoch ? 'deny' : 'allow')
      }
      harness.changeTrust({ products })
    }
  })

  it("ends a connection at its caller's own notAfter", async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own, notAfterMs: Date.now() + 5_000 })
    const socket = await open(leaf)
    await ended(socket)
    assert.ok(Date.now() >= leaf.certificate.notAfterMs)
  })

  function withoutPartner(): TrustState['bundles'] {
    return new Map([...harness.trust.bundles].filter(([name]) => name !== 'partner-a.example'))
  }

  /** A connection that has had one request allowed. */
  async function open(leaf: Awaited<ReturnType<typeof harness.corp.leaf>>): Promise<TLSSocket> {
    const socket = await harness.connect(leaf)
    assert.equal((await ask(socket)).status, 200)
    return socket
  }
})

async function ask(socket: TLSSocket): Promise<{ status: number }> {
  const head = new Promise<string>((resolve) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString()))
  })
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  return { status: Number((await head).split(' ')[1]) }
}

/** Everything until the connection ends. */
async function read(socket: TLSSocket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await ended(socket)
  return text
}

function ended(socket: TLSSocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve()
    socket.resume()
    socket.once('close', () => resolve())
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
