import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../../src/policy/api-key.ts'
import { FakeTerminal } from '../support/fake-terminal.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

const products = `version: 1
products:
  payments:
    callers:
      - trustDomain: a.example
  reports:
    callers: []
    apiKeys: accept
    requests:
      - { methods: [GET], paths: [/v1/**] }
`
const config = `identity: { workloadApi: 'unix:///nowhere/agent.sock' }
inbound: { upstream: '127.0.0.1:8080' }
products: products.yaml
apiKeys: api-keys.yaml
`

describe('the command line', () => {
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'postern-bin-'))
    await writeFile(join(directory, 'postern.yaml'), config)
    await writeFile(join(directory, 'products.yaml'), products)
  })

  after(() => rm(directory, { recursive: true }))

  const at = (name: string) => join(directory, name)

  /** Runs a command; the exit code is the one that the process would have. */
  async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const terminal = new FakeTerminal()
    // As the commands load their code: an error is of one class on both sides.
    const { createProgram } = await import('../../src/bin/program.ts')
    const { exitCodeOf } = await import('../../src/bin/exit-codes.ts')
    const code = await createProgram(terminal)
      .parseAsync(args, { from: 'user' })
      .then(() => terminal.exitCode, exitCodeOf)
    return { code, out: terminal.takeOutput(), err: terminal.takeErrors() }
  }

  async function createKey(...more: string[]): Promise<{ key: string; entry: { id: string } }> {
    const made = await run(
      ...['key', 'create', '--product', 'reports', '--consumer', 'acme', '-o', 'json'],
      ...more,
    )
    assert.equal(made.code, 0, made.err)
    return JSON.parse(made.out) as { key: string; entry: { id: string } }
  }

  it('makes a key, stores its digest alone and keeps the file from others', async () => {
    const { key, entry } = await createKey('--append', at('api-keys.yaml'))
    const text = await readFile(at('api-keys.yaml'), 'utf8')
    assert.ok(text.includes(digestOf(key)))
    assert.ok(text.includes(entry.id))
    assert.ok(!text.includes(key))
    assert.equal((await stat(at('api-keys.yaml'))).mode & 0o777, 0o600)
  })

  it('lists keys with their state, and revokes one', async () => {
    const { entry } = await createKey('--append', at('api-keys.yaml'))
    const state = async () => {
      const { out } = await run('key', 'list', '--file', at('api-keys.yaml'), '-o', 'json')
      const keys = JSON.parse(out) as { id: string; state: string }[]
      return keys.find(({ id }) => id === entry.id)?.state
    }
    assert.equal(await state(), 'valid')
    assert.equal((await run('key', 'revoke', entry.id, '--file', at('api-keys.yaml'))).code, 0)
    assert.equal(await state(), 'expired')
  })

  it('refuses a key whose entry the file would refuse, and prints no key', async () => {
    const made = await run(
      ...['key', 'create', '--product', 'reports', '--consumer', 'a\nb', '-o', 'json'],
    )
    assert.equal(made.code, 64)
    assert.equal(made.out, '')
  })

  it('revokes nothing for an id that nobody has', async () => {
    await createKey('--append', at('api-keys.yaml'))
    const before = await readFile(at('api-keys.yaml'), 'utf8')
    assert.equal((await run('key', 'revoke', 'k_none', '--file', at('api-keys.yaml'))).code, 64)
    assert.equal(await readFile(at('api-keys.yaml'), 'utf8'), before)
  })

  it('finds good files good, and warns where something is probably not meant', async () => {
    await createKey('--append', at('api-keys.yaml'))
    const { code, out } = await run(
      'check',
      '--files-only',
      '--config',
      at('postern.yaml'),
      '-o',
      'json',
    )
    assert.equal(code, 0)
    const levels = (JSON.parse(out) as { level: string }[]).map(({ level }) => level)
    assert.deepEqual([...new Set(levels)], ['ok'])
  })

  it('ends a check of bad files with code 2 and every problem with its place', async () => {
    await writeFile(at('bad.yaml'), products.replace('callers:', 'caller:').replace('GET', 'get'))
    await writeFile(at('bad-config.yaml'), config.replace('products.yaml', 'bad.yaml'))
    const { code, out } = await run('check', '--config', at('bad-config.yaml'))
    assert.equal(code, 2)
    assert.match(out, /× .*bad\.yaml:4:5: products\.payments\.caller: .*callers/)
    assert.match(out, /× .*bad\.yaml:10:\d+: products\.reports\.requests\[0\]\.methods\[0\]: /)
  })

  it('says that a sidecar which does not run is not ready', async () => {
    await writeFile(at('live.yaml'), `${config}health: { listen: '127.0.0.1:1' }\n`)
    const { code, out } = await run('check', '--live', '--files-only', '--config', at('live.yaml'))
    assert.equal(code, 2)
    assert.match(out, /× the sidecar at 127\.0\.0\.1:1 does not answer: connect ECONNREFUSED/)
  })

  it('explains a certificate by bundles from files', async () => {
    const ca = await TestCa.root('a')
    const leaf = await ca.leaf({ spiffeId: 'spiffe://a.example/x' })
    await writeFile(at('chain.pem'), leaf.pem)
    await writeFile(at('roots.pem'), ca.pem)
    const asked = ['explain', '--config', at('postern.yaml'), '--cert', at('chain.pem')]
    const allowed = await run(...asked, '--bundle', `a.example=${at('roots.pem')}`)
    assert.equal(allowed.code, 0, allowed.err)
    assert.match(allowed.out, /^allow svid_trust_domain\n/)
    assert.match(allowed.out, /products\.yaml:5:9 +payments +trustDomain: a\.example +won/)
    const stranger = await TestCa.root('b')
    await writeFile(at('roots.pem'), stranger.pem)
    const denied = await run(...asked, '--bundle', `a.example=${at('roots.pem')}`)
    assert.match(denied.out, /^deny issuer_unknown \(403\)\n/)
  })

  describe('about revocation lists', () => {
    let ca: TestCa
    let leaf: TestLeaf

    before(async () => {
      ca = await TestCa.root('partner-b')
      leaf = await ca.leaf()
      await writeFile(at('b.pem'), ca.pem)
      await writeFile(at('b-chain.pem'), leaf.pem)
      await writeFile(at('crl.yaml'), config.replace('products.yaml', 'crl-products.yaml'))
    })

    const useLists = (crlRequired: boolean) =>
      writeFile(
        at('crl-products.yaml'),
        `version: 1
products: { p: { callers: [{ authority: b }] } }
authorities:
  b: { certificates: b.pem, crl: [b.crl], crlRequired: ${crlRequired} }
`,
      )
    const check = () => run('check', '--files-only', '--config', at('crl.yaml'))
    const explain = () =>
      run(
        ...['explain', '--config', at('crl.yaml'), '--cert', at('b-chain.pem')],
        ...['--bundle', `a.example=${at('b.pem')}`],
      )

    it('finds a file that is missing or broken, by its place', async () => {
      await rm(at('b.crl'), { force: true })
      await useLists(false)
      const warned = await check()
      assert.equal(warned.code, 0)
      assert.match(warned.out, /‼ .*crl-products\.yaml:4:35: authorities\.b\.crl\[0\]: b\.crl: /)
      assert.match((await explain()).out, /^allow authority\n/)
      await useLists(true)
      await writeFile(at('b.crl'), 'hello')
      const found = await check()
      assert.equal(found.code, 2)
      assert.match(found.out, /× .*crl-products\.yaml:4:35: authorities\.b\.crl\[0\]: b\.crl: /)
      const explained = await explain()
      assert.match(explained.out, /^deny revocation_unknown \(403\)\n/)
      assert.match(explained.err, /crl\[0\]: b\.crl: .*revocation lists not taken/)
    })

    it('says what a good one holds, and whom it revokes', async () => {
      await useLists(true)
      await writeFile(at('b.crl'), ca.revocationList())
      const { code, out } = await check()
      assert.equal(code, 0, out)
      assert.match(out, /√ authority b: revocation list of CN=root,O=partner-b, 0 entries until 20/)
      assert.match((await explain()).out, /^allow authority\n/)
      await writeFile(at('b.crl'), ca.revocationList([leaf.certificate]))
      const denied = await explain()
      assert.match(denied.out, /^deny certificate_revoked \(403\)\n/)
      assert.match(
        denied.out,
        /certificate +deny +"CN=leaf" was revoked by "CN=root,O=partner-b" on /,
      )
    })
  })

  it('names the file that holds no certificate', async () => {
    const ca = await TestCa.root('a')
    const good = at('good.pem')
    const bad = at('bad.pem')
    await writeFile(good, ca.pem)
    await writeFile(bad, 'no PEM\n')
    const { createProgram } = await import('../../src/bin/program.ts')
    const config = ['--config', at('postern.yaml')]
    for (const args of [
      ['explain', ...config, '--cert', bad, '--bundle', `corp.example=${good}`],
      ['explain', ...config, '--cert', good, '--bundle', `corp.example=${bad}`],
      ['webhook', '--print-configuration', '--ca-bundle', bad],
    ]) {
      const over = createProgram(new FakeTerminal()).parseAsync(args, { from: 'user' })
      await assert.rejects(over, {
        code: 'ERR_PEM_MALFORMED',
        message: `${bad}: PEM text holds no certificate`,
      })
    }
  })

  it('says who had to vouch for a certificate, and steers no terminal by what stands in one', async () => {
    const [ca, stranger] = await Promise.all([TestCa.root('a'), TestCa.root('b')])
    const subject = '/O=\u001b[31mRed/CN=x'
    const leaf = await stranger.leaf({ spiffeId: 'spiffe://a.example/x', subject })
    await writeFile(at('chain.pem'), leaf.pem)
    await writeFile(at('roots.pem'), ca.pem)
    const asked = ['explain', '--config', at('postern.yaml'), '--cert', at('chain.pem')]
    const path = ['--path', '/\u001b[31m']
    const { out } = await run(...asked, ...path, '--bundle', `a.example=${at('roots.pem')}`)

    assert.match(out, /presented +CN=x,O=.*Red, issued by CN=root,O=b/)
    assert.match(out, /had to vouch: bundle of a\.example +CN=root,O=a/)
    assert.match(out, /fault +the issuer .* is neither trusted nor was it sent/)
    assert.ok(!out.includes('\u001b'))
  })

  it('says that no sidecar answers, where a decision id is to be explained', async () => {
    const { code, err } = await run('explain', 'd_1', '--admin', '127.0.0.1:1')
    assert.equal(code, 1)
    assert.equal(err, '')
    assert.equal((await run('explain', 'd_1', '--admin', 'unix:/x')).code, 64)
    assert.equal((await run('migration', '--admin', '127.0.0.1:1')).code, 1)
    assert.equal((await run('migration', '--days', '0')).code, 64)
  })

  it('explains a key by its id, with the request', async () => {
    const { entry } = await createKey('--append', at('api-keys.yaml'))
    const asked = ['explain', '--config', at('postern.yaml'), '--api-key-id', entry.id]
    assert.match((await run(...asked, '--path', '/v1/x')).out, /^allow api_key\n/)
    assert.match(
      (await run(...asked, '--path', '/other')).out,
      /^deny request_not_allowed \(403\)\n/,
    )
    assert.match((await run(...asked.slice(0, 3))).out, /^deny credential_missing \(401\)\n/)
  })

  it('explains whether a caller may come from an address', async () => {
    const rules = 'inbound: { addresses: { allow: [10.0.0.0/8] },'
    await writeFile(at('addresses.yaml'), config.replace('inbound: {', rules))
    const asked = ['explain', '--config', at('addresses.yaml')]
    const denied = await run(...asked, '--address', '192.0.2.1')
    assert.match(denied.out, /^deny address_not_allowed \(403\)\n/)
    assert.match(denied.out, /address +deny +allow lists no range where 192\.0\.2\.1 is/)
    const passed = await run(...asked, '--address', '10.1.1.1')
    assert.match(passed.out, /^deny credential_missing \(401\)\n/)
    assert.equal((await run(...asked, '--address', '10.1.1')).code, 64)
  })

  it('prints a JSON Schema of each file', async () => {
    for (const file of ['config', 'products', 'keys']) {
      const { code, out } = await run('schema', file)
      assert.equal(code, 0)
      assert.match((JSON.parse(out) as { $schema: string }).$schema, /json-schema\.org/)
    }
  })

  const wrong = [
    { name: 'an unknown command', args: ['fly'] },
    { name: 'an unknown flag', args: ['check', '--fast'] },
    { name: 'a missing flag', args: ['key', 'create', '--product', 'reports'] },
    { name: 'an unknown schema', args: ['schema', 'other'] },
    { name: 'a file that is not there', args: ['key', 'list', '--file', '/nowhere'] },
  ]
  for (const { name, args } of wrong) {
    it(`ends with code 64 for ${name}`, async () => assert.equal((await run(...args)).code, 64))
  }

  it('helps, everywhere, with code 0', async () => {
    for (const args of [
      [],
      ['run'],
      ['check'],
      ['explain'],
      ['key'],
      ['key', 'create'],
      ['migration'],
      ['schema'],
      ['inject'],
    ]) {
      const { code, out } = await run(...args, '--help')
      assert.equal(code, 0)
      assert.match(out, /^Usage: postern/)
    }
  })
})
