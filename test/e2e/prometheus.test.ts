import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { freePort } from '../support/free-port.ts'
import { requireTool } from '../support/tools.ts'
import { checkoutId, Mesh } from './support/mesh.ts'

const rules = fileURLToPath(new URL('../../observability/alerts.yaml', import.meta.url))
const patienceMs = 60_000

describe('the metrics of a sidecar', () => {
  let mesh: Mesh

  before(async () => {
    mesh = await Mesh.start({
      keys: { old: { product: 'reports', expires: '2020-01-01' } },
    })
    assert.equal((await (await mesh.svidCaller(checkoutId)).call()).status, 200)
  })

  after(() => mesh.close())

  it('give promtool nothing to say', async function () {
    const promtool = requireTool(this, 'promtool')
    const input = await mesh.postern.metrics()
    const checked = spawnSync(promtool, ['check', 'metrics'], { input, encoding: 'utf8' })
    assert.equal(checked.stdout + checked.stderr, '')
    assert.equal(checked.status, 0)
  })

  it('are scraped by Prometheus, in OpenMetrics, and make an alert of ours fire', async function () {
    const command = requireTool(this, 'prometheus')
    await using prometheus = await Prometheus.start(command, mesh)
    await mesh.postern.until('a scrape', () => prometheus.has('up == 1'), patienceMs)
    const call = () => mesh.keyCaller('old').call()
    assert.equal((await call()).json.reason, 'api_key_expired')
    const seen = 'postern_decisions_total{reason="api_key_expired"} >= 1'
    await mesh.postern.until('the first denial', () => prometheus.has(seen), patienceMs)
    assert.deepEqual(await prometheus.firing(), [])
    await call()
    await mesh.postern.until(
      'the alert',
      async () => (await prometheus.firing()).includes('PosternExpiredApiKeysUsed'),
      patienceMs,
    )
    const bucket = 'postern_request_duration_seconds_bucket{le="1.0",product="checkout"} >= 1'
    assert.ok(await prometheus.has(bucket))
  }).timeout(200_000)
})

class Prometheus implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #url: string

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.#url = `http://127.0.0.1:${port}`
  }

  static async start(command: string, mesh: Mesh): Promise<Prometheus> {
    const port = await freePort()
    const file = join(mesh.directory, 'prometheus.yml')
    const targets = [`127.0.0.1:${mesh.postern.healthPort}`]
    const config = {
      global: { scrape_interval: '250ms', evaluation_interval: '250ms' },
      rule_files: [rules],
      scrape_configs: [{ job_name: 'postern', static_configs: [{ targets }] }],
    }
    await writeFile(file, stringify(config))
    const child = spawn(
      command,
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(mesh.directory, 'prometheus')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    )
    return new Prometheus(child, port)
  }

  /** Whether the query has a result; false as long as it does not answer. */
  async has(query: string): Promise<boolean> {
    const reply = await this.#get(`/api/v1/query?query=${encodeURIComponent(query)}`)
    return ((reply?.data['result'] ?? []) as unknown[]).length > 0
  }

  async firing(): Promise<string[]> {
    const reply = await this.#get('/api/v1/alerts')
    const alerts = (reply?.data['alerts'] ?? []) as {
      state: string
      labels: { alertname: string }
    }[]
    return alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  async #get(path: string): Promise<{ data: Record<string, unknown> } | undefined> {
    try {
      const reply = await fetch(this.#url + path, { signal: AbortSignal.timeout(10_000) })
      return reply.ok ? ((await reply.json()) as { data: Record<string, unknown> }) : undefined
    } catch {
      return undefined
    }
  }
}
