import assert from 'node:assert/strict'
import { mkdir, readlink, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { TestCa } from '../support/test-ca.ts'
import type { Workload } from '../support/workload.ts'
import { type Caller, httpVersions, identityOf } from './support/caller.ts'
import { checkoutId, Mesh, threeCallers } from './support/mesh.ts'

const partnerAId = 'spiffe://partner-a.example/shop'

/** All but partner-a's product, or with checkout under another name. */
function productsWith(checkout: string, ...without: readonly string[]): Record<string, unknown> {
  const { checkout: own, ...rest } = threeCallers
  const kept = Object.entries(rest).filter(([name]) => !without.includes(name))
  return { [checkout]: own, ...Object.fromEntries(kept) }
}

describe('files that change while the sidecar runs', () => {
  let mesh: Mesh
  let checkout: Caller

  before(async () => {
    mesh = await Mesh.start({ keys: { one: { product: 'reports' }, two: { product: 'reports' } } })
    checkout = await mesh.svidCaller(checkoutId)
  })

  after(() => mesh.close())

  afterEach('everything is as at the start', async () => {
    await mesh.postern.write(mesh.files())
    mesh.postern.signal('SIGHUP')
    await productOf(checkout, 'checkout')
    // Whatever read the files of the test before has said so by then.
    await change(() => mesh.postern.signal('SIGHUP'), 'unchanged')
  })

  const reloads = (result: string, file = 'products') =>
    mesh.postern.metric('postern_config_reloads_total', { file, result })
  const epoch = () => mesh.postern.metric('postern_epoch')
  const text = (products: object) => stringify(mesh.products(products as Record<string, unknown>))

  /** Changes something and waits until the reload of it is counted. */
  async function change(
    act: () => unknown,
    result: 'accepted' | 'refused' | 'unchanged',
    file = 'products',
  ): Promise<void> {
    const before = await reloads(result, file)
    await act()
    await mesh.postern.until(
      `${file} ${result}`,
      async () => (await reloads(result, file)) > before,
    )
  }

  /** Resolves when the workload is told of this product. */
  async function productOf(caller: Caller, product: string): Promise<void> {
    await mesh.postern.until(`the caller's product is ${product}`, async () => {
      const { status, json } = await caller.call()
      return status === 200 && json.headers?.['x-postern-product'] === product
    })
  }

  /** Resolves when the audit log holds everything until now: it is written in order, and a moment late. */
  async function allAudited(caller: Pick<Caller, 'call'>): Promise<void> {
    const { json } = await caller.call()
    await mesh.postern.audited(json.headers?.['x-request-id'])
  }

  /** Audit lines of connections that a change of trust ended, after the first `lines`. */
  function endedSince(lines: number) {
    return mesh.postern.audit.slice(lines).filter(({ error }) => error === 'trust_changed')
  }

  describe('products.yaml', () => {
    it('is taken when it is written in place', async () => {
      const before = await epoch()
      await change(
        () => mesh.postern.writeInPlace({ 'products.yaml': text(productsWith('in-place')) }),
        'accepted',
      )
      assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'in-place')
      assert.equal(await epoch(), before + 1)
    })

    it('is taken when another file is put in its place', async () => {
      await change(async () => {
        await mesh.postern.write({ 'products.new': text(productsWith('atomic')) })
        await rename(mesh.postern.path('products.new'), mesh.postern.path('products.yaml'))
      }, 'accepted')
      assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'atomic')
    })

    it('is taken the last time of many in a row', async () => {
      for (let i = 0; i < 40; i++) {
        await mesh.postern.writeInPlace({ 'products.yaml': text(productsWith(`row-${i}`)) })
        // Spread, so that some arrive while the one before is read.
        await new Promise((resolve) => setTimeout(resolve, (i * 7) % 30))
      }
      await productOf(checkout, 'row-39')
    })

    it('changes nothing while it is bad, and is taken when it is mended', async () => {
      const before = await epoch()
      const logged = mesh.postern.logs.length
      const bad = text(productsWith('bad')).replace('callers:', 'caller:')
      await change(() => mesh.postern.write({ 'products.yaml': bad }), 'refused')
      const line = await mesh.postern.logged('file not taken, the last good one serves', logged)
      assert.equal(line.level, 'error')
      assert.match(String(line['error']), /\/products.yaml:4:5: products.bad.caller: /)
      assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'checkout')
      assert.equal(await epoch(), before)
      assert.equal((await mesh.postern.ready()).status, 200)
      await change(
        () => mesh.postern.write({ 'products.yaml': text(productsWith('mended')) }),
        'accepted',
      )
      assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'mended')
    })

    for (const [name, part] of [
      ['nothing', () => ''],
      ['half of it', (whole: string) => whole.slice(0, whole.indexOf('reports:') + 4)],
    ] as const) {
      it(`is not taken while ${name} is written`, async () => {
        const whole = text(productsWith('whole'))
        await change(() => mesh.postern.writeInPlace({ 'products.yaml': part(whole) }), 'refused')
        assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'checkout')
        await change(() => mesh.postern.writeInPlace({ 'products.yaml': whole }), 'accepted')
        assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'whole')
      })
    }

    it('changes nothing while it is away', async () => {
      await change(() => rm(mesh.postern.path('products.yaml')), 'refused')
      assert.equal((await checkout.call()).json.headers?.['x-postern-product'], 'checkout')
    })
  })

  it('take no new epoch when nothing in them is new', async () => {
    const before = await epoch()
    await change(() => mesh.postern.signal('SIGHUP'), 'unchanged')
    await mesh.postern.write(mesh.files())
    const now = new Date()
    await utimes(mesh.postern.path('products.yaml'), now, now)
    await change(() => mesh.postern.signal('SIGHUP'), 'unchanged', 'api-keys')
    const updates = () =>
      mesh.postern.metric('postern_identity_updates_total', { result: 'accepted' })
    const accepted = await updates()
    await mesh.agent.renewNow()
    await mesh.postern.until('the new SVID is in service', async () => (await updates()) > accepted)
    assert.equal(await epoch(), before)
  })

  it('are read at SIGHUP, and twice in a row too', async () => {
    await change(async () => {
      await mesh.postern.write({ 'products.yaml': text(productsWith('hung-up')) })
      mesh.postern.signal('SIGHUP')
      mesh.postern.signal('SIGHUP')
    }, 'accepted')
    await productOf(checkout, 'hung-up')
  })

  it('let a key in and out', async () => {
    const two = mesh.keyCaller('two')
    assert.equal((await two.call()).status, 200)
    const without = { version: 1, keys: mesh.keyEntries('two') }
    await change(() => mesh.postern.write({ 'api-keys.yaml': without }), 'accepted', 'api-keys')
    assert.equal((await two.call()).json.reason, 'api_key_unknown')
    assert.equal((await mesh.keyCaller('one').call()).status, 200)
    const all = { version: 1, keys: mesh.keyEntries() }
    await change(() => mesh.postern.write({ 'api-keys.yaml': all }), 'accepted', 'api-keys')
    assert.equal((await two.call()).status, 200)
  })

  it('change nothing for keys while the file of keys is bad, and say nothing of its digests', async () => {
    const digest = mesh.keys['one']!.sha256
    const bad = `version: 1\nkeys:\n  - { id: a, sha256: "${digest}0", product: b, consumer: c }\n`
    const logged = mesh.postern.logs.length
    await change(() => mesh.postern.write({ 'api-keys.yaml': bad }), 'refused', 'api-keys')
    const line = await mesh.postern.logged('file not taken, the last good one serves', logged)
    assert.match(String(line['error']), /\/api-keys.yaml:3:\d+: keys\[0\].sha256: /)
    assert.ok(!JSON.stringify(line).includes(digest))
    assert.equal((await mesh.keyCaller('one').call()).status, 200)
  })

  it('rotate the CA of an authority, old and new side by side in between', async () => {
    const next = await TestCa.root('partner-b-next')
    const old = await mesh.partnerBCaller()
    const fresh = mesh.caller(identityOf(await next.leaf({ subject: '/CN=batch' })))
    const rotate = (pem: string) =>
      change(() => mesh.postern.write({ 'ca/partner-b.pem': pem }), 'accepted')
    const before = await epoch()
    assert.equal((await fresh.call()).json.reason, 'issuer_unknown')
    await rotate(mesh.partnerB.pem + next.pem)
    assert.equal((await old.call()).status, 200)
    assert.equal((await fresh.call()).status, 200)
    await rotate(next.pem)
    assert.equal((await old.call()).json.reason, 'issuer_unknown')
    assert.equal((await fresh.call()).json.headers?.['x-postern-product'], 'settlement')
    assert.equal(await epoch(), before + 2)
  })

  it('change nothing while the PEM file of an authority is bad', async () => {
    const logged = mesh.postern.logs.length
    await change(() => mesh.postern.write({ 'ca/partner-b.pem': 'no PEM\n' }), 'refused')
    const line = await mesh.postern.logged('file not taken, the last good one serves', logged)
    assert.match(
      String(line['error']),
      /\/products.yaml:\d+:\d+: authorities.partner-b.certificates: /,
    )
    assert.equal((await (await mesh.partnerBCaller()).call()).status, 200)
  })

  for (const version of httpVersions) {
    it(`end the connections of callers that lose their product, and no others (${version})`, async () => {
      const partner = await (await mesh.svidCaller(partnerAId)).open(version)
      const keyed = await mesh.keyCaller('one').open(version)
      const own = await checkout.open(version)
      for (const one of [partner, keyed, own]) assert.equal((await one.call()).status, 200)
      await allAudited(own)
      const result = { result: 'ended' }
      const ended = await mesh.postern.metric('postern_connections_reevaluated_total', result)
      const lines = mesh.postern.audit.length
      await change(
        () =>
          mesh.postern.write({
            'products.yaml': text(productsWith('checkout', 'payments', 'reports')),
          }),
        'accepted',
      )
      await Promise.all([partner.ended, keyed.ended])
      assert.equal((await own.call()).status, 200)
      assert.equal(own.isEnded, false)
      const now = await mesh.postern.metric('postern_connections_reevaluated_total', result)
      assert.equal(now, ended + 2)
      const reasons = () => endedSince(lines).map(({ decision }) => decision.reason)
      await mesh.postern.until('both ends are recorded', () => reasons().length === 2)
      assert.deepEqual(reasons(), ['product_unmapped', 'product_unmapped'])
      own.close()
    })

    it(`let a running request finish before its connection ends (${version})`, async () => {
      const partner = await (await mesh.svidCaller(partnerAId)).open(version)
      const seen = mesh.workload.seen.length
      const held = holdAnswers(mesh.workload)
      const reply = partner.call({ path: '/slow' })
      await mesh.postern.until('it runs', () => mesh.workload.seen.length > seen)
      await change(
        () => mesh.postern.write({ 'products.yaml': text(productsWith('checkout', 'payments')) }),
        'accepted',
      )
      held.release()
      assert.equal((await reply).status, 200)
      await partner.ended
      partner.close()
    })
  }

  it('end the connections of a trust domain that is no longer federated', async () => {
    const partner = await (await mesh.svidCaller(partnerAId)).open()
    assert.equal((await partner.call()).status, 200)
    await mesh.agent.defederate('corp.example', 'partner-a.example')
    try {
      await partner.ended
      const again = await (await mesh.svidCaller(partnerAId)).call()
      assert.equal(again.json.reason, 'trust_domain_unknown')
    } finally {
      await mesh.agent.federate('corp.example', 'partner-a.example')
    }
    await productOf(await mesh.svidCaller(partnerAId), 'payments')
  })
})

describe('files in a volume of Kubernetes', () => {
  it('are taken at each swap of ..data', async () => {
    const mesh = await Mesh.prepare({
      config: { products: 'volume/products.yaml', apiKeys: 'volume/api-keys.yaml' },
      keys: { one: { product: 'reports' } },
    })
    await using _ = mesh
    const volume = join(mesh.directory, 'volume')
    const next = await TestCa.root('partner-b-next')
    const partner = async (ca: TestCa) =>
      mesh.caller(identityOf(await ca.leaf({ subject: '/CN=batch' })))
    await swapVolume(volume, 1, volumeFiles(mesh, 'checkout', mesh.partnerB))
    const postern = await mesh.startPostern()
    const checkout = await mesh.svidCaller(checkoutId)
    assert.equal((await (await partner(mesh.partnerB)).call()).status, 200)
    for (const [generation, name] of ['second', 'third'].entries()) {
      await swapVolume(volume, generation + 2, volumeFiles(mesh, name, next))
      await postern.until(name, async () => {
        const { json } = await checkout.call()
        return json.headers?.['x-postern-product'] === name
      })
      assert.equal((await (await partner(next)).call()).status, 200)
      assert.equal((await (await partner(mesh.partnerB)).call()).json.reason, 'issuer_unknown')
    }
  })
})

function volumeFiles(mesh: Mesh, checkout: string, partnerB: TestCa): Record<string, string> {
  const authorities = { 'partner-b': { certificates: 'partner-b.pem' } }
  return {
    'products.yaml': stringify({ version: 1, products: productsWith(checkout), authorities }),
    'api-keys.yaml': stringify({ version: 1, keys: mesh.keyEntries() }),
    'partner-b.pem': partnerB.pem,
  }
}

/** As the kubelet does it: a new directory, a symlink renamed onto `..data`, and the old directory removed. */
async function swapVolume(
  volume: string,
  generation: number,
  files: Record<string, string>,
): Promise<void> {
  const name = `..2026_11_21_${generation}`
  await mkdir(join(volume, name), { recursive: true })
  for (const [file, text] of Object.entries(files)) await writeFile(join(volume, name, file), text)
  const old = await readlink(join(volume, '..data')).catch(() => undefined)
  await symlink(name, join(volume, '..data_tmp'))
  await rename(join(volume, '..data_tmp'), join(volume, '..data'))
  if (old === undefined) {
    for (const file of Object.keys(files)) await symlink(join('..data', file), join(volume, file))
  } else {
    await rm(join(volume, old), { recursive: true })
  }
}

/** Answers of the workload wait until they are released. */
function holdAnswers(workload: Workload): { release(): void } {
  const waiting: (() => void)[] = []
  workload.answerWith((_seen, response) => waiting.push(() => response.end('{}')))
  return {
    release: () => {
      workload.answerWithEcho()
      for (const answer of waiting) answer()
    },
  }
}
