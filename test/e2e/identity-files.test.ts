import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { type Files, PosternProcess } from '../support/postern-process.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'
import { Workload } from '../support/workload.ts'
import { Caller, type CallerConnection, httpVersions, identityOf } from './support/caller.ts'
import { checkoutId, sidecarId } from './support/mesh.ts'

describe('an identity from files', () => {
  let corp: TestCa
  let partner: TestCa
  let workload: Workload
  let postern: PosternProcess
  let current: TestLeaf

  before(async () => {
    corp = await TestCa.root('corp')
    partner = await TestCa.root('partner')
    workload = await Workload.start()
    current = await corp.leaf({ spiffeId: sidecarId })
    postern = await PosternProcess.start({
      files: { ...configuration(workload), ...pair(current), ...bundles() },
    })
  })

  after(async () => {
    await postern.stop()
    await workload.close()
  })

  function bundles(): Files {
    return { 'corp-roots.pem': corp.pem, 'partner-roots.pem': partner.pem }
  }

  /** A caller that verifies the sidecar. */
  async function caller(ca = corp, spiffeId = checkoutId): Promise<Caller> {
    const identity = identityOf(await ca.leaf({ spiffeId }))
    return new Caller({ port: postern.port, sidecarBundle: corp.pem, sidecarId, identity })
  }

  async function open(ca?: TestCa, spiffeId?: string): Promise<CallerConnection[]> {
    const one = await caller(ca, spiffeId)
    const opened = await Promise.all(httpVersions.map((version) => one.open(version)))
    for (const connection of opened) assert.equal((await connection.call()).status, 200)
    return opened
  }

  /** The serial number of what new handshakes get. */
  async function servedSerial(): Promise<string> {
    const connection = await (await caller()).open()
    const { serialNumber } = connection.socket.getPeerCertificate()
    assert.equal((await connection.call()).status, 200)
    connection.close()
    return serialNumber
  }

  async function served(leaf: TestLeaf): Promise<void> {
    const wanted = leaf.certificate.serial.toUpperCase()
    await postern.until('it is served', async () => (await servedSerial()) === wanted)
    current = leaf
  }

  const updates = (result: string) => postern.metric('postern_identity_updates_total', { result })

  it('serves, and judges callers by the bundles of the files', async () => {
    assert.equal(await servedSerial(), current.certificate.serial.toUpperCase())
    const allowed = await (await caller(partner, 'spiffe://partner.example/shop')).call()
    assert.equal(allowed.json.headers?.['x-postern-product'], 'payments')
    const forged = await (await caller(partner, checkoutId)).call()
    assert.equal(forged.json.reason, 'issuer_unknown')
  })

  it('is renewed while live connections go on', async () => {
    const live = await open()
    const next = await corp.leaf({ spiffeId: sidecarId })
    await postern.write({ 'next.pem': next.pem, 'next-key.pem': next.keyPem })
    await rename(postern.path('next-key.pem'), postern.path('svid-key.pem'))
    await rename(postern.path('next.pem'), postern.path('svid.pem'))
    await served(next)
    for (const one of live) {
      assert.equal((await one.call()).status, 200)
      one.close()
    }
  })

  it('keeps the pair before while certificate and key do not match', async () => {
    const next = await corp.leaf({ spiffeId: sidecarId })
    const rejected = await updates('rejected')
    await postern.write({ 'svid.pem': next.pem })
    await postern.until('rejected', async () => (await updates('rejected')) > rejected)
    assert.equal(await servedSerial(), current.certificate.serial.toUpperCase())
    assert.equal((await postern.ready()).status, 200)
    await postern.write({ 'svid-key.pem': next.keyPem })
    await served(next)
  })

  for (const [name, text] of [
    ['is empty', ''],
    ['holds no key', 'no key\n'],
  ] as const) {
    it(`keeps the pair before while the file of the key ${name}`, async () => {
      const rejected = await updates('rejected')
      await postern.write({ 'svid-key.pem': text })
      await postern.until('rejected', async () => (await updates('rejected')) > rejected)
      assert.equal(await servedSerial(), current.certificate.serial.toUpperCase())
      const accepted = await updates('accepted')
      await postern.write(pair(current))
      await postern.until('accepted', async () => (await updates('accepted')) > accepted)
    })
  }

  it('follows the bundles: who they vouch for no more is ended', async () => {
    const partners = await open(partner, 'spiffe://partner.example/shop')
    const own = await open()
    await postern.write({ 'partner-roots.pem': (await TestCa.root('other')).pem })
    await Promise.all(partners.map(({ ended }) => ended))
    for (const one of own) {
      assert.equal((await one.call()).status, 200)
      one.close()
    }
    const refused = await (await caller(partner, 'spiffe://partner.example/shop')).call()
    assert.equal(refused.json.reason, 'issuer_unknown')
    await postern.write(bundles())
  })

  it('says nothing of a private key', () => {
    for (const line of current.keyPem.split('\n').filter((text) => text.length > 40)) {
      assert.ok(!postern.output.includes(line))
    }
  })
})

describe('an identity from files that are not there yet', () => {
  it('is waited for, and missed again when it has expired', async () => {
    const corp = await TestCa.root('corp')
    await using workload = await Workload.start()
    await using postern = await PosternProcess.start({
      files: {
        ...configuration(workload),
        'corp-roots.pem': corp.pem,
        'partner-roots.pem': (await TestCa.root('partner')).pem,
      },
      until: 'listening',
    })
    assert.deepEqual((await postern.ready()).missing, ['identity'])
    const notAfterMs = Math.ceil(Date.now() / 1000) * 1000 + 7_000
    await postern.write(pair(await corp.leaf({ spiffeId: sidecarId, notAfterMs })))
    await postern.until('ready', async () => (await postern.ready()).status === 200)
    await postern.until('not ready', async () => (await postern.ready()).status === 503)
    assert.ok(Date.now() > notAfterMs)
    await postern.write(pair(await corp.leaf({ spiffeId: sidecarId })))
    await postern.until('ready', async () => (await postern.ready()).status === 200)
  })
})

function pair(leaf: TestLeaf): Files {
  return { 'svid.pem': leaf.pem, 'svid-key.pem': leaf.keyPem }
}

function configuration(workload: Workload): Files {
  const trusted = { 'corp.example': 'corp-roots.pem', 'partner.example': 'partner-roots.pem' }
  return {
    'postern.yaml': {
      identity: { files: { certificate: 'svid.pem', key: 'svid-key.pem', bundles: trusted } },
      inbound: { listen: '127.0.0.1:0', upstream: workload.address },
      health: { listen: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0' },
    },
    'products.yaml': {
      version: 1,
      products: {
        checkout: { callers: [{ trustDomain: 'corp.example' }] },
        payments: { callers: [{ trustDomain: 'partner.example' }] },
      },
    },
  }
}
