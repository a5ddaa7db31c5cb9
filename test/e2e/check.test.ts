import assert from 'node:assert/strict'
import { type EndedProcess, PosternProcess } from '../support/postern-process.ts'
import { Mesh, sidecarId } from './support/mesh.ts'

describe('postern check', () => {
  let mesh: Mesh

  before(async () => {
    mesh = await Mesh.start({ keys: { acme: { product: 'reports' } } })
  })

  after(() => mesh.close())

  /** As on the sidecar's machine, with the ports that it has bound. */
  function check(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const ports = {
      POSTERN_HEALTH_LISTEN: `127.0.0.1:${mesh.postern.healthPort}`,
      POSTERN_ADMIN_LISTEN: `127.0.0.1:${mesh.postern.adminPort}`,
    }
    const options = { files: mesh.files(), env: { ...ports, ...env } }
    return PosternProcess.runToEnd(['check', ...args], options)
  }

  it('finds a sidecar good that runs, with what is around it', async () => {
    const { code, stdout } = await check(['--live'])
    assert.equal(code, 0, stdout)
    assert.match(
      stdout,
      /^√ the Workload API at unix:\S+: spiffe:\/\/corp\.example\/sidecar, bundles/m,
    )
    assert.match(stdout, /^√ the SVID and the clock agree/m)
    assert.ok(stdout.includes(`√ the workload takes connections at ${mesh.workload.address}`))
    assert.match(stdout, /^√ the sidecar at 127\.0\.0\.1:\d+ is ready/m)
    assert.ok(stdout.includes(`√ the identity is ${sidecarId}`))
    assert.match(stdout, /^√ \S+products\.yaml is in force/m)
  })

  it('says what is not there, with a hint, and ends with 2', async () => {
    const { code, stdout } = await check([], {
      POSTERN_IDENTITY_WORKLOAD_API: 'unix:///nowhere/agent.sock',
      POSTERN_INBOUND_UPSTREAM: '127.0.0.1:1',
    })
    assert.equal(code, 2)
    assert.match(
      stdout,
      /^× the Workload API at unix:\/\/\/nowhere\/agent\.sock: .*\n {4}hint: is the agent/m,
    )
    assert.match(stdout, /^‼ the workload takes no connection at 127\.0\.0\.1:1: .*REFUSED/m)
  })

  it('asks nobody where only the files are to be checked', async () => {
    const { code, stdout } = await check(['--files-only', '-o', 'json'], {
      POSTERN_IDENTITY_WORKLOAD_API: 'unix:///nowhere/agent.sock',
    })
    assert.equal(code, 0)
    const about = findingsOf({ stdout }).map((finding) => finding.about)
    assert.deepEqual([...new Set(about)], ['files'])
  })

  it('warns of a trust domain whose bundle the agent does not hand out', async () => {
    const foreign = { added: { callers: [{ trustDomain: 'far.example' }] } }
    const files = { ...mesh.files(), 'products.yaml': mesh.products(foreign) }
    const { stdout } = await PosternProcess.runToEnd(['check'], { files })
    assert.match(stdout, /^‼ .*products\.yaml:\d+:\d+: .*far\.example/m)
  })

  it('finds a file that the running sidecar has refused', async () => {
    await mesh.postern.write({ 'products.yaml': 'version: 7\n' })
    await mesh.postern.until('it was refused', async () => {
      const { files } = await mesh.postern.admin<{ files: { result: string }[] }>('/status')
      return files.some(({ result }) => result === 'refused')
    })
    const { code, stdout } = await check(['--live'])
    assert.equal(code, 2)
    assert.match(stdout, /^× \S+products\.yaml was refused at .*version/m)
  })
})

function findingsOf({ stdout }: Pick<EndedProcess, 'stdout'>) {
  return JSON.parse(stdout) as { readonly about: string; readonly level: string }[]
}
