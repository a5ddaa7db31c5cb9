import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { freePort } from '../../support/free-port.ts'
import { SpireAgent } from '../../support/spire-agent.ts'
import { requireSpire } from '../../support/spire.ts'

const scripts = join(import.meta.dirname, '../../../spire')

interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

describe('spire/up', function () {
  this.timeout(180_000)

  let parent: string | undefined
  let state: string
  let environment: NodeJS.ProcessEnv
  let agentBinary: string

  before(async function () {
    const { server, agent } = requireSpire(this)
    agentBinary = agent
    parent = mkdtempSync(join(tmpdir(), 'postern-spire-up-'))
    state = join(parent, 'state')
    environment = {
      ...process.env,
      SPIRE_BIN: dirname(server),
      SPIRE_DIR: state,
      SPIRE_PORT: String(await freePort()),
      SPIRE_PARTNER_PORT: String(await freePort()),
      SPIRE_SYNC_INTERVAL: '200ms',
    }
  })

  after(() => {
    if (parent === undefined) return
    spawnSync(join(scripts, 'down'), ['--purge'], { env: environment })
    rmSync(parent, { recursive: true, force: true })
  })

  it('brings up a workload that knows the federated trust domain, and prints its socket', async () => {
    const { exitCode, stdout, stderr } = await run('up')

    const socket = join(state, 'corp.example/payments/agent.sock')
    assert.equal(exitCode, 0, stderr)
    assert.equal(stdout, `SPIFFE_ENDPOINT_SOCKET=unix://${socket}\n`)
    const fetched = await workload('corp.example/payments').waitForX509('federation', isFederated)
    assert.deepEqual(
      fetched.svids.map((svid) => svid.spiffeId),
      ['spiffe://corp.example/payments'],
    )
    assert.deepEqual([...fetched.federatedBundles.keys()], ['spiffe://partner-a.example'])
  })

  it('leaves what is up as it is', async () => {
    const before = await workload('corp.example/payments').fetchX509()

    const { exitCode, stderr } = await run('up')

    const after = await workload('corp.example/payments').fetchX509()
    assert.equal(exitCode, 0)
    assert.doesNotMatch(stderr, /started/)
    assert.deepEqual(after.svids[0]!.chain[0]!.sha256, before.svids[0]!.chain[0]!.sha256)
  })

  it('restores the federation of an entry that lost it', async () => {
    const options = ['bundle', 'delete', '-id', 'spiffe://partner-a.example', '-mode', 'dissociate']
    assert.equal((await run('server', 'corp.example', ...options)).exitCode, 0)
    await workload('corp.example/payments').waitForX509('none', (it) => !isFederated(it))

    assert.equal((await run('up')).exitCode, 0)

    await workload('corp.example/payments').waitForX509('federation', isFederated)
  })

  it('goes on with the same CA after down, also where an agent lost its identity', async () => {
    const before = await workload('partner-a.example/orders').fetchX509()
    assert.equal((await run('down')).exitCode, 0)
    await assert.rejects(workload('partner-a.example/orders').fetchX509())
    writeFileSync(join(state, 'partner-a.example/orders/data/agent-data.json'), '{}')

    const { exitCode, stderr } = await run('up')

    assert.equal(exitCode, 0, stderr)
    const after = await workload('partner-a.example/orders').waitForX509('an SVID', () => true)
    assert.equal(after.svids[0]!.bundle[0]!.sha256, before.svids[0]!.bundle[0]!.sha256)
    assert.equal(after.svids[0]!.spiffeId, 'spiffe://partner-a.example/orders')
  })

  it('removes everything with down --purge, twice', async () => {
    assert.equal((await run('down', '--purge')).exitCode, 0)
    assert.equal((await run('down', '--purge')).exitCode, 0)

    assert.ok(!existsSync(state))
  })

  it('takes no folder that holds something else', async () => {
    const other = dirname(state)
    writeFileSync(join(other, 'precious'), '')
    const environmentOfOther = { ...environment, SPIRE_DIR: other }

    assert.equal((await run('up', environmentOfOther)).exitCode, 1)
    assert.equal((await run('down', '--purge', environmentOfOther)).exitCode, 1)

    assert.ok(existsSync(join(other, 'precious')))
  })

  function workload(path: string): SpireAgent {
    const folder = join(state, path)
    return new SpireAgent({
      binary: agentBinary,
      folder,
      environment: {},
      joinToken: () => Promise.reject(new Error('spire/up starts this agent')),
    })
  }

  /** Runs a script of spire/ to its end; an object among the arguments is its environment. */
  function run(name: string, ...options: readonly (string | NodeJS.ProcessEnv)[]): Promise<Ended> {
    const words = options.filter((option) => typeof option === 'string')
    const env = options.find((option) => typeof option !== 'string') ?? environment
    const child = spawn(join(scripts, name), words, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (text) => (output.stdout += String(text)))
    child.stderr.on('data', (text) => (output.stderr += String(text)))
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (exitCode) => resolve({ exitCode, ...output }))
    })
  }
})

function isFederated(fetched: {
  readonly federatedBundles: ReadonlyMap<string, unknown>
}): boolean {
  return fetched.federatedBundles.size === 1
}
