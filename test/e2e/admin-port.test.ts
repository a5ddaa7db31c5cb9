import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import type { DecisionList } from '../../src/admin/admin-api.ts'
import type { ExplanationView } from '../../src/admin/views/explanation-view.ts'
import type { MigrationView } from '../../src/admin/views/migration-view.ts'
import type { StatusView } from '../../src/admin/views/status-view.ts'
import { PosternProcess } from '../support/postern-process.ts'
import { identityOf } from './support/caller.ts'
import { checkoutId, Mesh, sidecarId, threeCallers } from './support/mesh.ts'

const products = { ...threeCallers, reports: { apiKeys: 'accept' } }

describe('the admin port of a running sidecar', () => {
  let mesh: Mesh

  before(async () => {
    mesh = await Mesh.start({
      products,
      keys: {
        acme: { product: 'reports', consumer: 'acme' },
        idle: { product: 'reports', consumer: 'globex' },
      },
      config: { state: { directory: 'state' } },
    })
  })

  after(() => mesh.close())

  const status = () => mesh.postern.admin<StatusView>('/status')
  const explanation = (id: unknown) =>
    mesh.postern.admin<ExplanationView>(`/decisions/${String(id)}`)

  it('shows who we are, whom we trust, who called and what is open', async () => {
    await using connection = await open(await mesh.svidCaller(checkoutId))
    assert.equal((await connection.call({ path: '/x?secret=1' })).status, 200)
    assert.equal((await mesh.keyCaller('acme').call()).status, 200)
    const shown = await status()

    assert.equal(shown.ready, true)
    assert.equal(shown.identity.spiffeId, sidecarId)
    assert.equal(shown.identity.connected, true)
    assert.ok(Date.parse(shown.identity.renewalExpected!) < Date.parse(shown.identity.notAfter!))
    assert.deepEqual(
      shown.trustDomains.map(({ name, own, anchorCount }) => [name, own, anchorCount]),
      [
        ['corp.example', true, 1],
        ['partner-a.example', false, 1],
      ],
    )
    assert.deepEqual(
      shown.authorities.map(({ alias }) => alias),
      ['partner-b', 'partner-c'],
    )
    const checkout = shown.products.find(({ name }) => name === 'checkout')
    assert.deepEqual(
      checkout?.callers.map(({ principal, credential, allowed }) => [
        principal,
        credential,
        allowed,
      ]),
      [[checkoutId, 'x509-svid', 1]],
    )
    const keys = shown.keys.map(({ consumer, allowed, state }) => [consumer, allowed, state])
    assert.deepEqual(keys, [
      ['acme', 1, 'valid'],
      ['globex', 0, 'valid'],
    ])
    const own = shown.connections.filter(({ principal }) => principal === checkoutId)
    assert.deepEqual(
      own.map(({ protocol, product }) => [protocol, product]),
      [['http/1.1', 'checkout']],
    )
  })

  it('explains a forged SVID by the bundle that had to vouch for it', async () => {
    const forged = await mesh.partnerB.leaf({ spiffeId: checkoutId })
    const reply = await mesh.caller(identityOf(forged)).call({ path: '/orders' })
    assert.equal(reply.status, 403)
    const shown = await explanation(reply.json.decision_id)

    assert.equal(shown.decision.reason, 'issuer_unknown')
    assert.equal(shown.caller.claimed?.spiffeId, checkoutId)
    assert.match(shown.caller.fault ?? '', /issuer .*partner-b.* neither trusted nor was it sent/)
    assert.deepEqual(
      shown.judgedBy?.map(({ name, anchors }) => [name, anchors.length]),
      [['bundle of corp.example', 1]],
    )
    assert.equal(shown.request?.path, '/orders')
  })

  it('explains an unmapped caller by every rule, with its place in the file', async () => {
    const reply = await (await mesh.svidCaller('spiffe://corp.example/stranger')).call()
    const shown = await explanation(reply.json.decision_id)
    const rule = shown.rules.find((one) => one.rule.includes('/checkout/**'))

    assert.equal(shown.decision.reason, 'product_unmapped')
    assert.match(rule?.why ?? '', /is not below/)
    const lines = (await readFile(mesh.postern.path('products.yaml'), 'utf8')).split('\n')
    assert.match(lines[rule!.position.line - 1] ?? '', /checkout\/\*\*/)
  })

  it('is asked by postern explain, with the id of the reply', async () => {
    const forged = await mesh.partnerB.leaf({ spiffeId: checkoutId })
    const reply = await mesh.caller(identityOf(forged)).call({ path: '/orders' })
    const admin = ['--admin', `127.0.0.1:${mesh.postern.adminPort}`]
    const id = String(reply.json.decision_id)
    const { code, stdout } = await PosternProcess.runToEnd(['explain', id, ...admin], { files: {} })

    assert.equal(code, 0)
    assert.ok(stdout.startsWith(`deny issuer_unknown (403), ${id} at `))
    assert.match(stdout, /had to vouch: bundle of corp\.example/)
    const json = ['explain', id, ...admin, '-o', 'json']
    const asJson = await PosternProcess.runToEnd(json, { files: {} })
    assert.deepEqual(JSON.parse(asJson.stdout), await explanation(id))

    const none = await PosternProcess.runToEnd(['explain', 'd_none', ...admin], { files: {} })
    assert.equal(none.code, 1)
    assert.match(none.stderr, /no decision d_none is held here/)
  })

  it('is asked by postern migration', async () => {
    await mesh.keyCaller('acme').call()
    const admin = ['--admin', `127.0.0.1:${mesh.postern.adminPort}`]
    const { code, stdout } = await PosternProcess.runToEnd(['migration', ...admin], { files: {} })
    assert.equal(code, 0)
    assert.match(stdout, /reports: apiKeys accept, require any/)
    assert.match(stdout, /refuse would lock out acme/)
    assert.match(stdout, /acme .*still uses keys/)
  })

  it('reads the files again for who has the token, and tells what changed', async () => {
    const before = await status()
    await mesh.postern.write({
      'products.yaml': mesh.products({ ...products, added: { apiKeys: 'accept' } }),
    })
    const { token } = await mesh.postern.admin<{ token: string }>('/token')
    const reply = await fetch(`http://127.0.0.1:${mesh.postern.adminPort}/reload`, {
      method: 'POST',
      headers: { 'x-postern-token': token },
    })
    assert.equal(reply.status, 200)
    const { epoch } = (await reply.json()) as StatusView
    assert.equal(epoch, before.epoch + 1)
    const [latest] = (await status()).epochs
    assert.deepEqual(latest?.changes, ['product added came'])
  })

  it('shows what is wrong with a file that was refused, while the last good one serves', async () => {
    await mesh.postern.write({ 'products.yaml': 'version: 1\nproducts: { a b: {} }\n' })
    await mesh.postern.until('the file was refused', async () =>
      (await status()).files.some(({ result }) => result === 'refused'),
    )
    const refused = (await status()).files.find(({ result }) => result === 'refused')
    assert.match(refused?.error ?? '', /products\.yaml:2/)
    assert.equal((await mesh.keyCaller('acme').call()).status, 200)
    await mesh.postern.write({ 'products.yaml': mesh.products(products) })
    await mesh.postern.until('it was mended', async () =>
      (await status()).files.every(({ result }) => result !== 'refused'),
    )
  })

  it('tells no key, on no path', async () => {
    await mesh.keyCaller('acme').call({ path: '/x' })
    const paths = ['/status', '/decisions?limit=1000', '/migration', '/explain', '/']
    const texts = await Promise.all(
      paths.map(async (path) =>
        (await fetch(`http://127.0.0.1:${mesh.postern.adminPort}${path}`)).text(),
      ),
    )
    assert.ok(texts[1]?.includes(mesh.keys['acme']!.id))
    for (const { key, sha256 } of Object.values(mesh.keys)) {
      for (const text of texts) {
        assert.ok(!text.includes(key.slice(-49)))
        assert.ok(!text.includes(sha256))
        assert.ok(!text.includes('PRIVATE KEY'))
      }
    }
    assert.ok(!texts[1]?.includes('secret=1'))
  })
})

describe('the admin port at the end', () => {
  it('holds up no drain, whoever listens, and remembers who called', async () => {
    await using mesh = await Mesh.prepare({
      products,
      keys: { acme: { product: 'reports', consumer: 'acme' } },
      config: { state: { directory: 'state' }, drain: { timeout: '60s' } },
    })
    const first = await mesh.startPostern()
    assert.equal((await mesh.keyCaller('acme').call()).status, 200)
    const streams = [await listen(first.adminPort), await listen(first.adminPort)]
    // An idle connection that was not even asked on.
    const held = request({ port: first.adminPort, path: '/status', headers: { expect: '' } })
    held.on('error', () => undefined)
    held.flushHeaders()
    first.signal('SIGTERM')
    assert.equal(await first.exited, 0)
    await Promise.all(streams.map(({ ended }) => ended))

    const kept = await readFile(first.path('state/usage.json'), 'utf8')
    assert.ok(kept.includes('acme'))
    assert.ok(!kept.includes(mesh.key('acme').slice(-49)))
    const offline = await PosternProcess.runToEnd(['migration', '--offline'], {
      files: mesh.files(),
      env: { POSTERN_STATE_DIRECTORY: first.path('state'), POSTERN_ADMIN_LISTEN: 'none' },
    })
    assert.equal(offline.code, 0, offline.stderr)
    assert.match(offline.stdout, /^counted since \S+Z until \S+Z, which is less than 30 days$/m)
    assert.match(offline.stdout, /refuse would lock out acme/)
    assert.match(offline.stdout, /acme .*still uses keys/)
    const second = await mesh.startPostern()
    const { products: shown } = await second.admin<MigrationView>('/migration')
    assert.deepEqual(shown.find(({ product }) => product === 'reports')?.breaks, ['acme'])
    assert.deepEqual((await second.admin<DecisionList>('/decisions')).decisions, [])
  })
})

describe('postern migration --offline', () => {
  const files = {
    'postern.yaml': {},
    'products.yaml': { version: 1, products: { reports: { apiKeys: 'accept' } } },
  }
  const offline = (env: Readonly<Record<string, string>>) =>
    PosternProcess.runToEnd(['migration', '--offline'], { files, env })

  it('says that the configuration names no directory', async () => {
    const { code, stderr } = await offline({})
    assert.equal(code, 64)
    assert.match(stderr, /^postern: ERR_CONFIG_INVALID: postern\.yaml: state\.directory is missing/)
  })

  it('says that nothing was kept', async () => {
    const { code, stderr } = await offline({ POSTERN_STATE_DIRECTORY: '/nonexistent' })
    assert.equal(code, 64)
    assert.match(stderr, /^postern: ERR_FILE_UNREADABLE: \/nonexistent\/usage\.json: ENOENT/)
  })
})

async function open(caller: Awaited<ReturnType<Mesh['svidCaller']>>) {
  const connection = await caller.open()
  return Object.assign(connection, {
    [Symbol.asyncDispose]: async () => connection.close(),
  })
}

/** Opens a stream of decisions; resolves when it has begun. */
function listen(port: number): Promise<{ readonly ended: Promise<void> }> {
  const headers = { accept: 'text/event-stream' }
  return new Promise((resolve, reject) => {
    request({ port, path: '/decisions', headers, agent: false }, (reply) => {
      const ended = new Promise<void>((done) => reply.once('close', done))
      reply.on('error', () => undefined)
      reply.once('data', () => resolve({ ended }))
    })
      .on('error', reject)
      .end()
  })
}
