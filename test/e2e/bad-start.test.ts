import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { type EndedProcess, type Files, PosternProcess } from '../support/postern-process.ts'

const sidecar = {
  identity: { workloadApi: 'unix:///nonexistent/agent.sock' },
  inbound: { listen: '127.0.0.1:0', upstream: '127.0.0.1:9' },
  health: { listen: '127.0.0.1:0' },
  admin: { listen: '127.0.0.1:0' },
}
const products = { version: 1, products: {} }

/** Files that cannot be used, and what must be said of them. */
interface BadFiles {
  readonly name: string
  readonly files: Files
  /** After the directory. */
  readonly error: RegExp
}

const badFiles: readonly BadFiles[] = [
  {
    name: 'a configuration whose aliases explode',
    files: { 'postern.yaml': explodingYaml(), 'products.yaml': products },
    error: /^postern: ERR_CONFIG_INVALID: .*\/postern.yaml:3:10: /,
  },
  {
    name: 'a product map whose aliases explode',
    files: { 'postern.yaml': sidecar, 'products.yaml': explodingYaml() },
    error: /^postern: ERR_CONFIG_INVALID: .*\/products.yaml:3:10: /,
  },
  {
    name: 'a product map that is nested without end',
    files: { 'postern.yaml': sidecar, 'products.yaml': '['.repeat(1_000_000) },
    error: /^postern: ERR_CONFIG_INVALID: .*\/products.yaml:1:\d+: /,
  },
  {
    name: 'a product map that is a directory',
    files: { 'postern.yaml': sidecar, 'products.yaml/inside': '' },
    error: /^postern: ERR_FILE_UNREADABLE: cannot read .*\/products.yaml: it is a directory/,
  },
  {
    name: 'no product map',
    files: { 'postern.yaml': sidecar },
    error: /^postern: ERR_FILE_UNREADABLE: cannot read .*\/products.yaml: ENOENT/,
  },
  {
    name: 'a key that there is no setting for',
    files: { 'postern.yaml': 'inbound:\n  lisen: 127.0.0.1:0\n', 'products.yaml': products },
    error: /^postern: ERR_CONFIG_INVALID: .*\/postern.yaml:2:3: inbound.lisen: /,
  },
  {
    name: 'several keys that there is no setting for, all at once',
    files: {
      'postern.yaml': sidecar,
      'products.yaml': 'version: 1\nproducts:\n  a:\n    caller: []\n  b:\n    upstrem: x\n',
    },
    error: /products.yaml:4:5: products.a.caller: .*\n.*products.yaml:6:5: products.b.upstrem: /,
  },
  {
    name: 'an authority without its file',
    files: {
      'postern.yaml': sidecar,
      'products.yaml': 'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: ca/b.pem }\n',
    },
    error:
      /^postern: ERR_CONFIG_INVALID: .*\/products.yaml:4:22: authorities.b.certificates: .*ENOENT/,
  },
]

describe('postern run with what it cannot use', () => {
  for (const { name, files, error } of badFiles) {
    it(`refuses ${name}`, async () => {
      const ended = await PosternProcess.runToEnd(['run'], { files })
      assertRefused(ended, 64, error)
    })
  }

  it('never shows a key that was written in the place of its digest', async () => {
    const secret = 'pst_k_00000000_verysecret'
    const ended = await PosternProcess.runToEnd(['run'], {
      files: {
        'postern.yaml': { ...sidecar, apiKeys: 'api-keys.yaml' },
        'products.yaml': products,
        'api-keys.yaml': `version: 1\nkeys:\n  - { id: a, sha256: "${secret}", product: a, consumer: b }\n`,
      },
    })
    assertRefused(
      ended,
      64,
      /^postern: ERR_CONFIG_INVALID: .*\/api-keys.yaml:3:22: keys\[0\].sha256: /,
    )
    assert.ok(!ended.stderr.includes(secret))
  })

  it('names a configuration that was asked for and is not there', async () => {
    const args = ['run', '--config', 'other.yaml']
    const ended = await PosternProcess.runToEnd(args, { files: { 'products.yaml': products } })
    assertRefused(ended, 64, /^postern: ERR_FILE_UNREADABLE: cannot read .*\/other.yaml: ENOENT/)
  })

  it('refuses a flag that it does not know', async () => {
    const ended = await PosternProcess.runToEnd(['run', '--nope'], { files: {} })
    assertRefused(ended, 64, /^error: unknown option '--nope'/)
  })

  it('refuses a variable of the environment that it cannot read', async () => {
    const ended = await PosternProcess.runToEnd(['run'], {
      files: { 'postern.yaml': sidecar, 'products.yaml': products },
      env: { POSTERN_INBOUND_LISTEN: 'everywhere' },
    })
    assertRefused(
      ended,
      64,
      /^postern: ERR_CONFIG_INVALID: POSTERN_INBOUND_LISTEN: inbound.listen: /,
    )
  })

  describe('on a machine where another has the port', () => {
    let other: Server
    let taken: string

    before(async () => {
      other = createServer()
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
      taken = `127.0.0.1:${(other.address() as AddressInfo).port}`
    })

    after(() => other.close())

    for (const listener of ['inbound', 'health'] as const) {
      it(`fails for the port of ${listener}`, async () => {
        const own = { ...sidecar[listener], listen: taken }
        const ended = await PosternProcess.runToEnd(['run'], {
          files: { 'postern.yaml': { ...sidecar, [listener]: own }, 'products.yaml': products },
        })
        assertRefused(ended, 1, /^postern: ERR_LISTEN_FAILED: cannot listen on .*EADDRINUSE/)
        assert.ok(ended.stderr.includes(taken))
      })
    }

    it('fails for the port of an outbound listener', async () => {
      const outbound = [{ listen: taken, upstream: 'a.example:443', expect: 'corp.example' }]
      const ended = await PosternProcess.runToEnd(['run'], {
        files: { 'postern.yaml': { ...sidecar, outbound }, 'products.yaml': products },
      })
      assertRefused(ended, 1, /^postern: ERR_LISTEN_FAILED: cannot listen on .*EADDRINUSE/)
      assert.ok(ended.stderr.includes(taken))
    })
  })

  it('fails when the audit log cannot be opened', async () => {
    const config = { ...sidecar, audit: { file: '/nonexistent/audit.log' } }
    const ended = await PosternProcess.runToEnd(['run'], {
      files: { 'postern.yaml': config, 'products.yaml': products },
    })
    assertRefused(ended, 1, /^postern: ERR_AUDIT_UNAVAILABLE: /)
  })

  it('starts from a product map and the environment alone', async () => {
    await using postern = await PosternProcess.start({
      files: { 'products.yaml': products },
      args: ['run'],
      env: {
        SPIFFE_ENDPOINT_SOCKET: 'unix:///nonexistent/agent.sock',
        POSTERN_INBOUND_LISTEN: '127.0.0.1:0',
        POSTERN_HEALTH_LISTEN: '127.0.0.1:0',
        POSTERN_ADMIN_LISTEN: '127.0.0.1:0',
      },
      until: 'listening',
    })
    assert.deepEqual(await postern.ready(), { status: 503, missing: ['identity'] })
  })
})

function assertRefused(ended: EndedProcess, code: number, error: RegExp): void {
  assert.match(ended.stderr, error)
  assert.equal(ended.code, code)
  assert.equal(ended.stdout, '')
  assert.ok(ended.stderr.length < 2_000)
  assert.ok(ended.durationMs < 20_000, `took ${ended.durationMs} ms`)
}

/** A dozen lines that would stand for 9^12 texts. */
function explodingYaml(): string {
  const level = (i: number) =>
    `a${i}: &a${i} [${Array(9)
      .fill(`*a${i - 1}`)
      .join(',')}]\n`
  const rest = Array.from({ length: 11 }, (_, i) => level(i + 1))
  return `a0: &a0 [x,x,x,x,x,x,x,x,x]\n${rest.join('')}`
}
