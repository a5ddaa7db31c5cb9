import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { type Files, PosternProcess } from '../support/postern-process.ts'
import { Workload } from '../support/workload.ts'
import { Caller, type CallerIdentity, httpVersions } from './support/caller.ts'
import { checkoutId, sidecarId } from './support/mesh.ts'
import { requireStepCa, StepCa, type StepFiles } from './support/step-ca.ts'

describe('certificates of a CA that nobody here wrote (step-ca)', function () {
  this.timeout(120_000)

  let corp: StepCa | undefined
  let partner: StepCa | undefined
  let workload: Workload | undefined
  let postern: PosternProcess
  let own: StepFiles
  let rootPem: string

  before(async function () {
    requireStepCa(this)
    ;[corp, partner] = await Promise.all([StepCa.start('Corp'), StepCa.start('Partner B')])
    workload = await Workload.start()
    own = await corp.issue('sidecar', { subject: 'sidecar', names: [sidecarId] })
    rootPem = await readFile(corp.root, 'utf8')
    postern = await PosternProcess.start({ files: configuration(corp, partner, workload, own) })
  })

  after(async () => {
    await Promise.all([corp?.close(), partner?.close(), workload?.close()])
    if (workload !== undefined) await postern.stop()
  })

  it('serves with it, and takes a caller with an SVID of the same CA', async () => {
    const reply = await callerWith(await checkout()).call()

    assert.equal(reply.status, 200)
    assert.equal(reply.json.headers?.['x-postern-principal'], checkoutId)
    assert.equal(reply.json.headers['x-postern-product'], 'checkout')
  })

  it('takes a caller of another one as that of an authority, and believes no SPIFFE ID of it', async () => {
    const names = ['batch.partner-b.example']
    const batch = await partner!.identity('batch', { subject: 'batch', names })
    const forged = await partner!.identity('forged', { subject: 'forged', names: [checkoutId] })

    const allowed = await callerWith(batch).call()
    const refused = await callerWith(forged).call()

    assert.equal(allowed.json.headers?.['x-postern-product'], 'settlement')
    assert.equal(allowed.json.headers['x-postern-principal'], 'CN=batch')
    assert.deepEqual([refused.status, refused.json.reason], [403, 'issuer_unknown'])
  })

  it('follows a new key, which is written apart from its certificate, while connections live on', async () => {
    const caller = callerWith(await checkout())
    const live = await Promise.all(httpVersions.map((version) => caller.open(version)))
    const before = await servedBy(caller)

    await corp!.rekey(own)

    await postern.until('the new key is served', async () => {
      return (await servedBy(caller)).publicKey !== before.publicKey
    })
    for (const connection of live) {
      assert.equal((await connection.call()).status, 200)
      connection.close()
    }
  })

  it('follows each renewal of `step ca renew --daemon`, while connections live on', async () => {
    const caller = callerWith(await checkout())
    const live = await Promise.all(httpVersions.map((version) => caller.open(version)))
    const serials = new Set([(await servedBy(caller)).serial])

    corp!.keepRenewing(own, '1s')

    await postern.until(
      'two renewals are served',
      async () => serials.add((await servedBy(caller)).serial).size === 3,
      60_000,
    )
    for (const connection of live) {
      assert.equal((await connection.call()).status, 200)
      connection.close()
    }
    assert.equal((await postern.ready()).status, 200)
  })

  function checkout(): Promise<CallerIdentity> {
    return corp!.identity('checkout', { subject: 'checkout', names: [checkoutId] })
  }

  /** It verifies the sidecar by the root of its CA. */
  function callerWith(identity: CallerIdentity): Caller {
    return new Caller({ port: postern.port, sidecarBundle: rootPem, sidecarId, identity })
  }

  /** What a new handshake gets. */
  async function servedBy(caller: Caller): Promise<{ serial: string; publicKey: string }> {
    const connection = await caller.open()
    const { serialNumber, pubkey } = connection.socket.getPeerCertificate()
    assert.equal((await connection.call()).status, 200)
    connection.close()
    return { serial: serialNumber, publicKey: pubkey?.toString('hex') ?? '' }
  }
})

function configuration(corp: StepCa, partner: StepCa, workload: Workload, own: StepFiles): Files {
  return {
    'postern.yaml': {
      identity: { files: { ...own, bundles: { 'corp.example': corp.root } } },
      inbound: { listen: '127.0.0.1:0', upstream: workload.address },
      health: { listen: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0' },
    },
    'products.yaml': {
      version: 1,
      products: {
        checkout: { callers: [{ spiffeId: checkoutId }] },
        settlement: { callers: [{ authority: 'partner-b' }] },
      },
      authorities: { 'partner-b': { certificates: partner.root } },
    },
  }
}
