import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { skip } from '../support/skip.ts'
import { PosternProcess } from '../support/postern-process.ts'
import { Mesh } from './support/mesh.ts'

const loopbacks = { IPv4: '127.0.0.1', IPv6: '[::1]' } as const

/** As an injected pod has it: one listener for clusters of IPv4, of IPv6, and of both. */
describe('a sidecar on [::]', () => {
  let mesh: Mesh | undefined
  const started = () => {
    assert.ok(mesh)
    return mesh
  }

  before(async function () {
    const all = Object.values(networkInterfaces()).flat()
    if (!all.some((one) => one?.address === '::1')) skip(this, 'this machine has no IPv6')
    mesh = await Mesh.start({
      inbound: { listen: '[::]:0', addresses: { deny: ['127.0.0.0/8'] } },
      config: { health: { listen: '[::]:0' } },
      keys: { acme: { product: 'reports' } },
    })
  })

  after(() => mesh?.close())

  for (const [family, authority] of Object.entries(loopbacks)) {
    it(`answers the probes of a kubelet by ${family}`, async () => {
      for (const path of ['/readyz', '/livez', '/metrics']) {
        const url = `http://${authority}:${started().postern.healthPort}${path}`
        const { status } = await fetch(url, { headers: { connection: 'close' } })
        assert.equal(status, 200, url)
      }
    })
  }

  it('knows a caller by IPv6 by that address', async () => {
    const { json } = await started()
      .keyCaller('acme')
      .with({ tls: { host: '::1' } })
      .call()
    assert.equal(json.headers?.['x-forwarded-for'], '::1')
  })

  it('knows a caller by IPv4 by that address, in whatever form the kernel shows it', async () => {
    const { postern } = started()
    await assert.rejects(started().keyCaller('acme').call())
    const refused = () =>
      postern.audit.filter(({ decision }) => decision.reason === 'address_not_allowed')
    await postern.until('it is recorded', () => refused().length > 0)
    const { address } = refused()[0]?.['client'] as { address: string }
    assert.equal(address, '127.0.0.1')
  })

  it('is refused its port when somebody has it', async () => {
    const { port } = started().postern
    const { code, stderr } = await PosternProcess.runToEnd(['run', '--config', 'postern.yaml'], {
      files: {
        'postern.yaml': {
          identity: { workloadApi: 'unix:///nowhere/agent.sock' },
          inbound: { listen: `[::]:${port}`, upstream: '127.0.0.1:1' },
          health: { listen: '[::]:0' },
          admin: { listen: '127.0.0.1:0' },
        },
        'products.yaml': { version: 1, products: {} },
      },
    })
    assert.equal(code, 1, stderr)
    assert.match(stderr, /ERR_LISTEN_FAILED/)
  })
})
