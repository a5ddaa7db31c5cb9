import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { ProductMap } from '../../src/policy/product-map.ts'
import { InboundHarness } from './support/inbound-harness.ts'

const own = 'spiffe://corp.example/checkout/web'

describe('protocol: tcp', () => {
  let harness: InboundHarness
  let workload: Server
  let accepted: Socket[]

  beforeEach(async () => {
    accepted = []
    workload = createServer({ allowHalfOpen: true }, (socket) => {
      accepted.push(socket)
      socket.on('error', () => socket.destroy())
    })
    await new Promise<void>((resolve) => workload.listen(0, '127.0.0.1', resolve))
    harness = await InboundHarness.start({ tcpPort: (workload.address() as AddressInfo).port })
  })

  afterEach(async () => {
    await harness.close()
    for (const socket of accepted) socket.destroy()
    await new Promise((resolve) => workload.close(resolve))
  })

  it('joins an SVID to the workload, both ways, and keeps half-close', async () => {
    workload.on('connection', (socket) => {
      const chunks: Buffer[] = []
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.on('end', () => socket.end(`got ${Buffer.concat(chunks).toString()}`))
    })
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const socket = await harness.connect(leaf, { allowHalfOpen: true } as object)
    const reply = read(socket)
    socket.end('all of it')
    assert.equal(await reply, 'got all of it')
    await until(() => harness.telemetry.ended.length === 1)
    const [ended] = harness.telemetry.ended
    assert.equal(ended?.record.decision.product, 'checkout')
    assert.equal(ended.record.protocol, 'tcp')
    const { requestBytes, replyBytes, error } = ended.outcome
    assert.deepEqual([requestBytes, replyBytes, error], [9, 13, undefined])
  })

  it('cuts a caller that it could not record, and leaves open connections alone', async () => {
    const leaf = await harness.corp.leaf({ spiffeId: own })
    const open = await harness.connect(leaf)
    await until(() => accepted.length === 1)
    harness.telemetry.canRecord = false
    const late = await harness.connect(leaf)
    await new Promise((resolve) => late.resume().once('close', resolve))
    await until(() => harness.telemetry.decisions.length === 2)
    assert.equal(harness.telemetry.decisions[1]?.decision.reason, 'audit_unavailable')
    assert.equal(accepted.length, 1)
    assert.equal(open.destroyed, false)
    open.destroy()
  })

  const denied = [
    { name: 'a caller without a certificate', leaf: undefined, reason: 'credential_missing' },
    { name: 'a forged SVID', leaf: 'forged', reason: 'issuer_unknown' },
    { name: 'an SVID of no product', leaf: 'unmapped', reason: 'product_unmapped' },
  ] as const
  for (const { name, leaf, reason } of denied) {
    it(`cuts ${name} before a byte reaches the workload`, async () => {
      const presented =
        leaf === undefined
          ? undefined
          : leaf === 'forged'
            ? await harness.partnerB.leaf({ spiffeId: own })
            : await harness.corp.leaf({ spiffeId: 'spiffe://corp.example/other' })
      const socket = await harness.connect(presented)
      socket.on('error', () => socket.destroy())
      socket.write('hello')
      assert.equal(await read(socket), '')
      assert.equal(accepted.length, 0)
      assert.equal(harness.telemetry.decisions.at(-1)?.decision.reason, reason)
    })
  }

  it('cuts a live connection at once when its caller loses the product', async () => {
    const socket = await harness.connect(await harness.corp.leaf({ spiffeId: own }))
    socket.on('error', () => socket.destroy())
    socket.write('hello')
    await until(() => accepted.length === 1)
    harness.changeTrust({ products: ProductMap.of([], []) })
    await read(socket)
    await new Promise((resolve) => accepted[0]?.once('end', resolve).resume())
    const record = harness.telemetry.decisions.at(-1)
    assert.equal(record?.decision.reason, 'product_unmapped')
    assert.equal(record.previousReason, 'svid_id')
  })

  it('keeps a live connection while we hold no identity, and cuts it when its trust ends then', async () => {
    const socket = await harness.connect(await harness.corp.leaf({ spiffeId: own }))
    socket.on('error', () => socket.destroy())
    socket.write('hello')
    await until(() => accepted.length === 1)
    harness.setHasIdentity(false)
    harness.changeTrust({ products: harness.trust.products })
    assert.deepEqual(harness.telemetry.judged, { kept: 1, ended: 0 })
    harness.changeTrust({ products: ProductMap.of([], []) })
    assert.equal(await read(socket), '')
  })
})

/** Everything until the other side ends. */
async function read(socket: TLSSocket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await new Promise((resolve) => {
    if (socket.readableEnded || socket.destroyed) resolve(undefined)
    socket.once('end', resolve)
    socket.once('close', resolve)
  })
  return text
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
