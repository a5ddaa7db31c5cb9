import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram } from '../e2e/support/programs.ts'
import { freePort } from '../support/free-port.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import { skip } from '../support/skip.ts'
import { until as answered } from '../support/spire-process.ts'
import { TestCa } from '../support/test-ca.ts'
import { SystemdMachine } from './support/systemd-machine.ts'

const root = join(import.meta.dirname, '../..')
const patienceMs = 60_000
const unit = readFileSync(join(root, 'deploy/systemd/postern.service'), 'utf8')

describe('deploy/systemd/postern.service, started', function () {
  this.timeout(120_000)
  let directory = ''
  let machine: SystemdMachine | undefined
  const ports = { inbound: 0, health: 0, admin: 0 }

  before(async function () {
    if (!(await hasProgram('/lib/systemd/systemd', '--version'))) {
      skip(this, 'systemd is not installed')
    }
    if (/^\/(?:root|home|run)\//.test(process.execPath)) {
      skip(this, 'Node.js is in a home folder, which the unit does not see')
    }
    for (const name of ['inbound', 'health', 'admin'] as const) ports[name] = await freePort()
    directory = await temporaryDirectory()
    await writeConfiguration()
    try {
      machine = await SystemdMachine.start({
        unit: unit.replace('/usr/bin/node', process.execPath),
        configuration: directory,
        program: root,
      })
    } catch (error) {
      skip(this, `no namespaces for a systemd of our own: ${String(error).slice(0, 200)}`)
    }
  })

  after(async () => {
    await machine?.close()
    rmSync(directory, { recursive: true, force: true })
  })

  async function writeConfiguration(): Promise<void> {
    const ca = await TestCa.root('corp')
    const leaf = await ca.leaf({ spiffeId: 'spiffe://corp.example/sidecar' })
    const files = {
      'postern.yaml': `identity:
  files: { certificate: c.pem, key: k.pem, bundles: { corp.example: roots.pem } }
inbound: { listen: '127.0.0.1:${ports.inbound}' }
health: { listen: '127.0.0.1:${ports.health}' }
admin: { listen: '127.0.0.1:${ports.admin}' }
audit: { file: /var/log/postern/audit.jsonl }
state: { directory: /var/lib/postern }
`,
      'products.yaml': 'version: 1\nproducts: { a: { callers: [trustDomain: corp.example] } }\n',
      'c.pem': leaf.pem,
      'k.pem': leaf.keyPem,
      'roots.pem': ca.pem,
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  }

  async function run(line: string): Promise<string> {
    const { text, code } = (await machine?.run(line)) ?? { text: 'no machine', code: -1 }
    assert.equal(code, 0, `${line}: ${text}`)
    return text
  }

  const property = (name: string) => run(`systemctl --user show --value -p ${name} postern`)

  const until = (what: string, holds: () => Promise<boolean>) =>
    answered(
      what,
      () =>
        holds().then(
          (is) => is || undefined,
          () => undefined,
        ),
      patienceMs,
    )

  const ready = () =>
    until('it is ready', async () => {
      const reply = await fetch(`http://127.0.0.1:${ports.health}/readyz`)
      return reply.status === 200
    })

  it('starts, serves, and writes where it may', async () => {
    await run('systemctl --user start postern')
    await ready()
    assert.equal(await property('ActiveState'), 'active')
    const pid = await property('MainPID')
    const status = await run(`cat /proc/${pid}/status`)
    assert.match(status, /^Uid:\s+8443\s/m)
    assert.match(status, /^CapEff:\s+0+$/m)
    assert.match(status, /^NoNewPrivs:\s+1$/m)
    assert.match(status, /^Seccomp:\s+2$/m)
    await assert.rejects(fetch(`https://127.0.0.1:${ports.inbound}/`))
    assert.equal(await run('stat -c %U:%a /var/log/postern/audit.jsonl'), 'postern:600')
  })

  it('reads its files again, and stays the same process', async () => {
    const before = await property('MainPID')
    const files = async () => {
      const reply = await fetch(`http://127.0.0.1:${ports.admin}/status`)
      return ((await reply.json()) as { files: { time: string }[] }).files
    }
    const [{ time } = { time: '' }] = await files()
    await run('systemctl --user reload postern')
    await until('they are read', async () => (await files())[0]?.time !== time)
    assert.equal(await property('MainPID'), before)
  })

  it('is started again when it is killed', async () => {
    const before = await property('MainPID')
    await run('systemctl --user kill -s KILL postern')
    await until('there is another', async () => {
      const now = await property('MainPID')
      return now !== before && now !== '0'
    })
    await ready()
    assert.equal(await property('NRestarts'), '1')
  })

  it('ends in order', async () => {
    await run('systemctl --user stop postern')
    assert.deepEqual(
      [await property('Result'), await property('ExecMainStatus'), await property('ActiveState')],
      ['success', '0', 'inactive'],
    )
  })

  it('is not started again with a file that is bad', async () => {
    await run(`echo 'unknown: 1' >> /etc/postern/postern.yaml`)
    await run('systemctl --user start postern || true')
    await until('it has failed', async () => (await property('ActiveState')) === 'failed')
    assert.equal(await property('ExecMainStatus'), '64')
    assert.equal(await property('NRestarts'), '0')
  })
})
