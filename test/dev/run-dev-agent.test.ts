import assert from 'node:assert/strict'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { silentLogger } from '../../src/core/logger.ts'
import { type RunDevAgentOptions, runDevAgent } from '../../src/dev/run-dev-agent.ts'
import { parseCertificates } from '../../src/x509/certificate.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually } from '../workload-api/support/eventually.ts'
import { temporaryFolder } from '../workload-api/support/temporary-folder.ts'
import { Lines } from './support/lines.ts'
import { RawClient } from './support/raw-stream.ts'

const workload = 'spiffe://corp.example/workload'

describe('runDevAgent', () => {
  const folder = temporaryFolder()
  let abort: AbortController
  let clock: FakeClock
  let lines: Lines
  let answers: string[]
  let client: RawClient
  let running: Promise<void>

  beforeEach(() => {
    abort = new AbortController()
    clock = new FakeClock()
    lines = new Lines()
    answers = []
    client = new RawClient(folder.path('a.sock'))
    running = Promise.resolve()
  })

  afterEach(async () => {
    abort.abort()
    await running
    client.close()
  })

  async function run(options: Partial<RunDevAgentOptions> = {}): Promise<void> {
    let isListening = false
    const logger = { ...silentLogger, info: () => (isListening = true) }
    const print = (text: string) => answers.push(text)
    const { signal } = abort
    running = runDevAgent(
      { socketPath: folder.path('a.sock'), ...options },
      { signal, logger, clock, commands: lines, print },
    )
    await Promise.race([running, eventually(() => isListening)])
  }

  /** What the agent answers to a line. */
  async function tell(line: string): Promise<string> {
    const before = answers.length
    lines.push(line)
    await eventually(() => answers.length > before)
    return answers.at(-1) ?? ''
  }

  it('serves one identity of corp.example by default', async () => {
    await run()
    const { svids, federatedBundles } = await client.fetchSvids().message(0)
    assert.deepEqual(
      svids.map(({ spiffeId }) => spiffeId),
      [workload],
    )
    assert.equal(federatedBundles.size, 0)
  })

  it('serves the identities and trust domains that it is asked for', async () => {
    const spiffeIds = ['spiffe://a.example/one', 'spiffe://a.example/two']
    await run({ trustDomains: ['a.example', 'b.example'], spiffeIds, svidTtlMs: 60_000 })
    const message = await client.fetchSvids().message(0)
    assert.deepEqual(
      message.svids.map(({ spiffeId }) => spiffeId),
      spiffeIds,
    )
    assert.deepEqual([...message.federatedBundles.keys()], ['spiffe://b.example'])
    const [leaf] = parseCertificates(message.svids[0]!.x509Svid)
    assert.equal(leaf?.notAfterMs, clock.now() + 60_000)
  })

  it('obeys every command and pushes what came of it', async () => {
    await run({ trustDomains: ['corp.example', 'b.example'] })
    const stream = client.fetchSvids()
    const roots = (index: number) => parseCertificates(stream.messages[index]!.svids[0]!.bundle)
    await stream.message(0)
    assert.doesNotMatch(await tell('prepare corp.example'), /^error/)
    await stream.message(1)
    assert.equal(roots(1).length, 2)
    assert.doesNotMatch(await tell('activate corp.example'), /^error/)
    await stream.message(2)
    assert.notDeepEqual(stream.messages[2]!.svids[0], stream.messages[1]!.svids[0])
    assert.match(await tell('withdraw corp.example'), / 1 old/)
    await stream.message(3)
    assert.equal(roots(3).length, 1)
    assert.doesNotMatch(await tell('defederate corp.example b.example'), /^error/)
    assert.equal((await stream.message(4)).federatedBundles.size, 0)
    assert.doesNotMatch(await tell('federate b.example corp.example'), /^error/)
    assert.equal((await stream.message(5)).federatedBundles.size, 1)
    assert.doesNotMatch(await tell(`renew ${workload}`), /^error/)
    await stream.message(6)
    assert.doesNotMatch(await tell('renew'), /^error/)
    await stream.message(7)
    assert.doesNotMatch(await tell('ttl 60'), /^error/)
    const [leaf] = parseCertificates((await stream.message(8)).svids[0]!.x509Svid)
    assert.equal(leaf?.notAfterMs, clock.now() + 60_000)
    assert.doesNotMatch(await tell(`remove ${workload}`), /^error/)
    assert.equal(await stream.ended(), 7)
    assert.doesNotMatch(await tell(`add ${workload}`), /^error/)
    await client.fetchSvids().message(0)
  })

  it('rotates with the waiting time of a propagation', async () => {
    await run()
    const stream = client.fetchSvids()
    await stream.message(0)
    lines.push('rotate corp.example')
    await stream.message(1)
    await eventually(() => clock.nextTimerMs === 1_000)
    assert.deepEqual(answers, [])
    clock.advance(1_000)
    await stream.message(2)
    await eventually(() => answers.length === 1)
  })

  it('closes and opens its sockets on command', async () => {
    await run()
    assert.doesNotMatch(await tell('stop'), /^error/)
    assert.equal(statSync(folder.path('a.sock'), { throwIfNoEntry: false }), undefined)
    assert.doesNotMatch(await tell('start'), /^error/)
    await client.fetchSvids().message(0)
  })

  it('lists its state and its commands', async () => {
    await run()
    assert.equal(await tell('show'), `corp.example\n${workload}`)
    assert.match(await tell('help'), /^rotate TRUST_DOMAIN /m)
  })

  for (const line of [
    'frobnicate',
    'constructor',
    'rotate',
    'rotate a b',
    'rotate other.example',
    'remove spiffe://corp.example/nobody',
    'ttl soon',
    'ttl 0',
  ]) {
    it(`answers ${JSON.stringify(line)} with an error and goes on`, async () => {
      await run()
      assert.match(await tell(line), /^error: /)
      assert.match(await tell('show'), /^corp.example/)
    })
  }

  it('serves on when the commands end or break', async () => {
    await run()
    lines.fail(new Error('input is gone'))
    await client.fetchSvids().message(0)
    clock.advance(1_800_000)
    await client.fetchSvids().message(0)
  })

  it('ends with its signal and leaves no socket and no timer', async () => {
    await run()
    abort.abort()
    await running
    assert.equal(statSync(folder.path('a.sock'), { throwIfNoEntry: false }), undefined)
    assert.equal(clock.nextTimerMs, undefined)
  })

  it('refuses what it cannot serve', async () => {
    const context = { signal: abort.signal, logger: silentLogger, clock, commands: lines }
    const start = (options: Partial<RunDevAgentOptions>) =>
      runDevAgent(
        { socketPath: folder.path('a.sock'), ...options },
        { ...context, print: () => undefined },
      )
    await assert.rejects(start({ trustDomains: ['Corp'] }), { code: 'ERR_TRUST_DOMAIN_INVALID' })
    await assert.rejects(start({ spiffeIds: ['spiffe://other.example/a'] }), {
      code: 'ERR_TRUST_DOMAIN_INVALID',
    })
    await assert.rejects(start({ socketPath: 'a.sock' }), { code: 'ERR_LISTEN_FAILED' })
    assert.equal(clock.nextTimerMs, undefined)
  })

  describe('with client certificates', () => {
    const read = (name: string) => readFileSync(folder.path(`pem/${name}`), 'utf8')
    const certificate = () => new X509Certificate(read('corp.example.pem'))

    it('writes certificate, key and bundle of each trust domain for their owner only', async () => {
      const trustDomains = ['corp.example', 'b.example']
      await run({ trustDomains, clientCertificates: folder.path('pem') })
      for (const name of trustDomains) {
        const leaf = new X509Certificate(read(`${name}.pem`))
        assert.equal(leaf.subjectAltName, `URI:spiffe://${name}/client`)
        assert.ok(leaf.checkPrivateKey(createPrivateKey(read(`${name}-key.pem`))))
        assert.ok(leaf.verify(new X509Certificate(read(`${name}-bundle.pem`)).publicKey))
        assert.equal(statSync(folder.path(`pem/${name}-key.pem`)).mode & 0o777, 0o600)
      }
    })

    it('writes them again when they are renewed and when a CA is rotated', async () => {
      await run({ clientCertificates: folder.path('pem'), svidTtlMs: 60_000 })
      const first = certificate().fingerprint256
      clock.advance(30_000)
      await eventually(() => certificate().fingerprint256 !== first)
      const before = read('corp.example-bundle.pem')
      await tell('prepare corp.example')
      await eventually(() => read('corp.example-bundle.pem').length > before.length)
    })
  })
})
