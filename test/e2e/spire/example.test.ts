import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { freePort } from '../../support/free-port.ts'
import { requireSpire } from '../../support/spire.ts'

const checkout = join(import.meta.dirname, '../../..')

describe('examples/spire', function () {
  this.timeout(240_000)

  let parent: string | undefined
  let environment: NodeJS.ProcessEnv

  before(async function () {
    const { server } = requireSpire(this)
    parent = mkdtempSync(join(tmpdir(), 'postern-spire-example-'))
    environment = {
      ...process.env,
      SPIRE_BIN: dirname(server),
      SPIRE_DIR: join(parent, 'state'),
      SPIRE_PORT: String(await freePort()),
      SPIRE_PARTNER_PORT: String(await freePort()),
      SPIRE_SYNC_INTERVAL: '200ms',
    }
  })

  after(() => {
    if (parent === undefined) return
    run('spire/down', '--purge')
    rmSync(parent, { recursive: true, force: true })
  })

  it('says what is missing before spire/up', () => {
    const { status, stderr } = run('examples/spire/run')

    assert.equal(status, 1)
    assert.match(
      stderr,
      /no SVID for spiffe:\/\/corp\.example\/checkout; is SPIRE up \(spire\/up\)\?/,
    )
  })

  it('plays every kind of caller after spire/up, and each gets its answer', () => {
    assert.equal(run('spire/up').status, 0)

    const { status, stdout, stderr } = run('examples/spire/run')

    assert.equal(status, 0, stdout + stderr)
    assert.deepEqual(answersIn(stdout), {
      'the sidecar itself': 'spiffe://corp.example/payments',
      'SVID of our own trust domain': '200 checkout spiffe://corp.example/checkout x509-svid',
      'SVID of the federated trust domain':
        '200 orders spiffe://partner-a.example/orders x509-svid',
      "certificate of the partner's CA": '200 settlement CN=batch,O=Partner B x509',
      'API key': '200 reports acme api-key',
      nothing: '401 credential_missing',
      "our own name, forged by the partner's CA": '403 issuer_unknown',
    })
  })

  it('ends with 1 when an answer is wrong: the partner is federated no more', () => {
    const partner = ['-id', 'spiffe://partner-a.example', '-mode', 'dissociate']
    assert.equal(run('spire/server', 'corp.example', 'bundle', 'delete', ...partner).status, 0)
    environment['EXAMPLE_PATIENCE'] = '5'

    const { status, stdout } = run('examples/spire/run')

    assert.equal(status, 1)
    const answers = answersIn(stdout)
    assert.equal(answers['SVID of the federated trust domain'], '403 trust_domain_unknown')
    assert.equal(answers['SVID of our own trust domain']?.startsWith('200 '), true)
    assert.equal(stdout.match(/WRONG/g)?.length, 1)
  })

  it('refuses what it does not know', () => {
    assert.equal(run('examples/spire/run', '--kepe').status, 64)
  })

  function run(script: string, ...words: string[]) {
    const options = { env: environment, encoding: 'utf8', timeout: 120_000 } as const
    return spawnSync(join(checkout, script), words, {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }
})

/** By caller; two columns, the first of 42 characters. */
function answersIn(table: string): Record<string, string> {
  const rows = table.trimEnd().split('\n').slice(1)
  return Object.fromEntries(
    rows
      .filter((row) => !row.startsWith(' '))
      .map((row) => [row.slice(0, 42).trimEnd(), row.slice(43)]),
  )
}
