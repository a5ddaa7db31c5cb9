import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import type { SpawnPostern } from '../../src/dev/demo/demo-stage.ts'
import { runDemo } from '../../src/dev/demo/run-demo.ts'
import { eventually } from '../workload-api/support/eventually.ts'
import { temporaryFolder } from '../workload-api/support/temporary-folder.ts'
import { builtPostern, DemoRun } from './support/demo-run.ts'
import { hasProgram, runProgram } from './support/programs.ts'
import { skipMissingTool } from '../support/skip.ts'

/** What must stand in the table, in this order. */
const expected = [
  ['own SVID', '200', 'checkout', 'spiffe://corp.example/client', 'svid_id'],
  [
    'SVID of a federated trust domain',
    '200',
    'payments',
    'spiffe://partner-a.example/client',
    'svid_trust_domain',
  ],
  [
    "certificate of a partner's CA",
    '200',
    'settlement',
    'O=Partner B,CN=settlement-client',
    'authority',
  ],
  ['API key', '200', 'reports', 'acme', 'api_key'],
  ['nothing', '401', '-', '-', 'credential_missing'],
  ['expired API key', '401', 'reports', '-', 'api_key_expired'],
  ["own SVID, forged by the partner's CA", '403', '-', '-', 'issuer_unknown'],
  ['SVID of a trust domain not federated', '403', '-', '-', 'trust_domain_unknown'],
  ['bad certificate with a good API key', '403', '-', '-', 'issuer_unknown'],
  ['nothing, by gRPC', 'grpc 16', '-', '-', 'credential_missing'],
  ['own SVID, of the new CA', '200', 'checkout', 'spiffe://corp.example/client', 'svid_id'],
  ['own SVID, of the CA withdrawn', '403', '-', '-', 'issuer_unknown'],
]

const endOfCommands = '/metrics\n'

describe('postern demo', function () {
  this.timeout(180_000)
  const folder = temporaryFolder()

  /** It takes a folder with a short path, for the sake of the socket in it. */
  function start(...flags: string[]): DemoRun {
    return new DemoRun(folder.path(''), ...flags)
  }

  function assertNothingIsLeft(): void {
    assert.deepEqual(readdirSync(folder.path('')), [])
    assert.equal(processesOf(folder.path('')), 0)
  }

  it('gives every caller the right answer, shows one span, and leaves nothing behind', async () => {
    const demo = start()

    assert.equal(await demo.exited, 0, demo.output)
    assert.deepEqual(rowsOf(demo.lines), expected)
    assert.match(demo.output, /^12 of 12 answers/m)
    const { above, below } = spansOf(demo.lines)
    assert.equal(above.get('http.response.status_code'), '200')
    assert.equal(below.get('postern.decision'), 'allow')
    assert.equal(below.get('postern.product'), 'payments')
    assert.equal(below.get('spiffe.id'), 'spiffe://partner-a.example/client')
    assert.match(demo.output, /^ {4}deny issuer_unknown \(403\), d_\w+ at /m)
    assert.match(demo.output, /^ {6}had to vouch: bundle of corp\.example +\S/m)
    assertNothingIsLeft()
  })

  it('stays with --keep, and the commands that it prints work', async function () {
    if (!(await hasProgram('curl', '--version'))) skipMissingTool(this, 'curl')
    if (!(await hasProgram('openssl', 'version'))) skipMissingTool(this, 'openssl')
    const demo = start('--keep')
    await demo.until(endOfCommands)
    const secrets = secretsOf(folder.path(''))
    const [page = ''] = /http:\S+(?=\/$)/m.exec(demo.output) ?? []
    assert.match(await (await fetch(page)).text(), /<title>Postern<\/title>/)

    const answers: string[] = []
    for (const command of commandsOf(demo.lines)) {
      const { code, stdout, stderr } = await runProgram('sh', ['-c', command])
      assert.equal(code, 0, `${command}\n${stderr}`)
      answers.push(stdout + stderr)
    }
    demo.signal('SIGINT')

    assert.equal(await demo.exited, 0, demo.output)
    const [own, federated, partner, customer, nobody, bad, why, handshake, metrics] = answers
    assert.equal(memberOf(own, 'product'), 'checkout')
    assert.equal(memberOf(federated, 'product'), 'payments')
    assert.equal(memberOf(partner, 'product'), 'settlement')
    assert.equal(memberOf(customer, 'product'), 'reports')
    assert.equal(memberOf(nobody, 'reason'), 'credential_missing')
    assert.equal(memberOf(bad, 'reason'), 'issuer_unknown')
    assert.match(why ?? '', /^deny issuer_unknown \(403\)$/m)
    assert.match(handshake ?? '', /^Verification: OK$/m)
    assert.match(metrics ?? '', /^postern_epoch 4$/m)
    assert.ok(secrets.length >= 12)
    for (const secret of secrets) assert.ok(!demo.output.includes(secret))
    assert.doesNotMatch(demo.output, /PRIVATE KEY|pst_k/)
    assertNothingIsLeft()
  })

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`ends everything when ${signal} comes in the middle, and does not call that a success`, async () => {
      const demo = start()
      await demo.until('Starting')
      await eventuallyRuns(folder.path(''))

      demo.signal(signal)

      assert.equal(await demo.exited, 1, demo.output)
      assert.equal(demo.lines.length, 2, demo.output)
      assertNothingIsLeft()
    })
  }

  it('leaves nothing behind either when nobody reads its output to the end', async () => {
    const demo = start('--keep')
    await demo.until('Starting')
    demo.stopReading()

    await demo.exited

    await eventually(() => processesOf(folder.path('')) === 0)
    assertNothingIsLeft()
  })

  describe('with a process that is not as it should be', () => {
    let output: string
    let children: ChildProcess[]

    /** The demo of the sources with the built program; `env` reaches the sidecar alone. */
    async function run(env: Record<string, string>, onKept?: () => void) {
      output = ''
      children = []
      const directory = folder.path('demo')
      mkdirSync(directory, { mode: 0o700 })
      const spawnPostern: SpawnPostern = (args, added) => {
        const child = spawn(process.execPath, [builtPostern, ...args], {
          env: { ...added, ...(args[0] === 'run' ? env : {}) },
          stdio: 'pipe',
        })
        children.push(child)
        return child
      }
      return runDemo(
        { keep: onKept !== undefined },
        {
          clock: systemClock,
          signal: new AbortController().signal,
          directory,
          program: [builtPostern],
          spawnPostern,
          print: (line) => {
            output += `${line}\n`
            if (output.endsWith(endOfCommands)) onKept?.()
          },
          paint: (_style, text) => text,
        },
      )
    }

    afterEach(() => {
      for (const child of children) {
        assert.ok(child.exitCode !== null || child.signalCode !== null)
      }
    })

    it('sees a bad certificate that falls back to a key', async () => {
      const outcome = await run({ POSTERN_INBOUND_UNTRUSTED_CERTIFICATE: 'ignore' })

      assert.equal(outcome, 'wrong')
      const wrong = output.split('\n').filter((line) => line.startsWith('  ✘'))
      assert.deepEqual(
        wrong.map((line) => rowsOf([line])[0]?.slice(0, 2)),
        [
          ["own SVID, forged by the partner's CA", '401'],
          ['SVID of a trust domain not federated', '401'],
          ['bad certificate with a good API key', '200'],
          ['own SVID, of the CA withdrawn', '401'],
        ],
      )
    })

    it('shows the last lines of one that does not start', async () => {
      await assert.rejects(run({ POSTERN_INBOUND_LISTEN: 'nowhere' }), (error: Error) => {
        assert.equal((error as NodeJS.ErrnoException).code, 'ERR_DEMO_FAILED')
        assert.match(error.message, /exit code 64[^]*\n {2}.*POSTERN_INBOUND_LISTEN/)
        return true
      })
    })

    it('shows the last lines of one that ends while it stays', async () => {
      // The last one that still runs: what explained a decision has ended.
      const killSidecar = () =>
        children.findLast(({ exitCode }) => exitCode === null)?.kill('SIGKILL')

      await assert.rejects(run({}, killSidecar), (error: Error) => {
        assert.equal((error as NodeJS.ErrnoException).code, 'ERR_DEMO_FAILED')
        assert.match(error.message, /^the sidecar ended \(SIGKILL\)/)
        return true
      })
    })
  })
})

/** The cells of each row of the table. */
function rowsOf(lines: readonly string[]): string[][] {
  return lines.filter((line) => /^ {2}[✔✘] /.test(line)).map((line) => line.slice(4).split(/ {2,}/))
}

/** Attributes of the request's span, and of the one below it. */
function spansOf(lines: readonly string[]) {
  const request = lines.findIndex((line) => line.startsWith('GET  SERVER'))
  const authorize = lines.findIndex((line) => line.startsWith('└─ authorize  INTERNAL'))
  assert.ok(request !== -1 && authorize > request, lines.join('\n'))
  return {
    above: attributesOf(lines.slice(request + 1, authorize)),
    below: attributesOf(lines.slice(authorize + 1)),
  }
}

function attributesOf(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line) => {
      const [, name, value] = /^(?:│| {2}) +(\S+) +(.*)$/.exec(line) ?? []
      return name === undefined || value === undefined ? [] : [[name, value] as const]
    }),
  )
}

/** What `--keep` prints to be typed. */
function commandsOf(lines: readonly string[]): string[] {
  const start = lines.findIndex((line) => line.startsWith('Still running'))
  return lines.slice(start + 1).filter((line) => line !== '' && !line.startsWith('#'))
}

/** Everything in the files of the demo that nobody else may see: keys, and the base64 lines of private keys. */
function secretsOf(temporary: string): string[] {
  const files = readdirSync(temporary, { recursive: true, encoding: 'utf8' })
  return files
    .filter((name) => /(?:-key\.pem|api-key-\w+)$/.test(name))
    .flatMap((name) => readFileSync(join(temporary, name), 'utf8').split('\n'))
    .map((line) => line.replace('x-api-key: ', ''))
    .filter((line) => line.length >= 20 && !line.startsWith('---'))
}

function memberOf(json: string | undefined, name: string): unknown {
  return (JSON.parse(json ?? '{}') as Record<string, unknown>)[name]
}

/** How many processes were started for files in this folder. */
function processesOf(temporary: string): number {
  const all = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n')
  return all.filter((args) => args.includes(temporary)).length
}

async function eventuallyRuns(temporary: string): Promise<void> {
  await eventually(() => processesOf(temporary) > 0)
}
