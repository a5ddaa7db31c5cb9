import assert from 'node:assert/strict'
import { type EndedProcess, PosternProcess } from '../support/postern-process.ts'
import { Mesh } from './support/mesh.ts'

describe('a sidecar without an admin port', () => {
  let mesh: Mesh

  before(async () => {
    mesh = await Mesh.start({
      keys: { acme: { product: 'reports' } },
      config: { admin: { listen: 'none' } },
    })
  })

  after(() => mesh.close())

  function postern(...args: readonly string[]): Promise<EndedProcess> {
    const env = { POSTERN_HEALTH_LISTEN: `127.0.0.1:${mesh.postern.healthPort}` }
    return PosternProcess.runToEnd(args, { files: mesh.files(), env })
  }

  it('serves callers, and is ready and live', async () => {
    assert.equal((await mesh.keyCaller('acme').call()).status, 200)
    assert.deepEqual(await mesh.postern.ready(), { status: 200, missing: [] })
    assert.equal(await mesh.postern.live(), 200)
    assert.equal(await mesh.postern.metric('postern_workload_api_connected'), 1)
  })

  it('listens on no other port than it says', async () => {
    const line = await mesh.postern.logged('listening')
    assert.equal('adminPort' in line, false)
  })

  for (const args of [['explain', 'd_1'], ['migration']]) {
    it(`cannot be asked by postern ${args.join(' ')}, which says so`, async () => {
      const { code, stderr } = await postern(...args)
      assert.equal(code, 1)
      assert.match(
        stderr,
        /^postern: ERR_ADMIN_UNAVAILABLE: postern\.yaml: admin\.listen is none: .*expected an address/,
      )
    })
  }

  it('has its readiness asked by postern check --live, which says what it did not ask', async () => {
    const { code, stdout } = await postern('check', '--live')
    assert.equal(code, 0, stdout)
    assert.match(stdout, /^√ the sidecar at 127\.0\.0\.1:\d+ is ready/m)
    assert.match(stdout, /^‼ admin\.listen is none: .*\n {4}hint: only its readiness was asked/m)
  })
})

describe('a second sidecar in the same network namespace', () => {
  let first: Mesh
  let second: Mesh

  before(async () => {
    ;[first, second] = await Promise.all([Mesh.start(), Mesh.prepare()])
  })

  after(async () => {
    await second.close()
    await first.close()
  })

  const settings: { setting: string; port: () => number; config: (listen: string) => object }[] = [
    {
      setting: 'admin.listen',
      port: () => first.postern.adminPort,
      config: (listen) => ({ admin: { listen } }),
    },
    {
      setting: 'health.listen',
      port: () => first.postern.healthPort,
      config: (listen) => ({ health: { listen } }),
    },
    {
      setting: 'inbound.listen',
      port: () => first.postern.port,
      config: (listen) => ({ inbound: { listen } }),
    },
    {
      setting: 'outbound[].listen',
      port: () => first.postern.port,
      config: (listen) => ({
        outbound: [{ listen, upstream: '127.0.0.1:1', expect: 'corp.example' }],
      }),
    },
  ]
  for (const { setting, port, config } of settings) {
    it(`is told what is taken, and that ${setting} says where else`, async () => {
      const taken = `127.0.0.1:${port()}`
      const { code, stderr } = await PosternProcess.runToEnd(['run'], {
        files: filesWith(config(taken)),
      })
      assert.equal(code, 1, stderr)
      const told = stderr.split('\n').find((line) => line.startsWith('postern: ')) ?? ''
      assert.match(told, /^postern: ERR_LISTEN_FAILED: cannot listen on /)
      assert.ok(told.includes(taken), told)
      assert.ok(told.includes('another process, perhaps another sidecar, has it'), told)
      assert.ok(told.includes(`expected a free address of this machine in ${setting}`), told)
      assert.equal(told.includes(', or none'), setting === 'admin.listen', told)
    })
  }

  it('runs beside the first with ports of its own, and with none for the operator', async () => {
    const own = { admin: { listen: 'none' } }
    await using postern = await PosternProcess.start({ files: filesWith(own) })
    assert.equal((await postern.ready()).status, 200)
    assert.equal((await first.postern.ready()).status, 200)
  })

  function filesWith(change: object) {
    const files = second.files()
    return { ...files, 'postern.yaml': { ...(files['postern.yaml'] as object), ...change } }
  }
})
