import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { assertAuditLine } from '../support/audit-schema.ts'
import { requireTool } from '../support/tools.ts'
import { root } from './support/readme.ts'

interface Alert {
  readonly alert: string
  readonly expr: string
  readonly annotations: Readonly<Record<string, string>>
}

const read = (name: string) => readFileSync(join(root, name), 'utf8')
const { groups } = parse(read('observability/alerts.yaml')) as { groups: { rules: Alert[] }[] }
const alerts = groups.flatMap(({ rules }) => rules)

describe('observability/', () => {
  let ours: Set<string>

  before(async () => {
    const text = await new Metrics().text()
    const families = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)]
    ours = new Set(
      families.flatMap(([, name = '', type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name],
      ),
    )
  })

  function assertOurs(text: string): void {
    const names = [...text.matchAll(/\bpostern_[a-z0-9_]+/g)].map(([name]) => name)
    assert.ok(names.length > 0, text)
    for (const name of names) assert.ok(ours.has(name), `${name} is no metric of ours`)
  }

  it('is told of in docs/observability.md with metrics of ours and a line of the audit log', () => {
    const text = read('docs/observability.md')
    assertOurs(text)
    const [, line = ''] = /^```json\n(.*?)^```$/ms.exec(text) ?? []
    assertAuditLine(JSON.parse(line))
  })

  it('has alerts on metrics of ours only', () => {
    assert.ok(alerts.length >= 10)
    for (const { expr } of alerts) assertOurs(expr)
  })

  it('has a dashboard on metrics of ours only, in every panel', () => {
    const { panels } = JSON.parse(read('observability/dashboard.json')) as {
      panels: { title: string; targets: { expr: string }[] }[]
    }
    assert.ok(panels.length >= 10)
    for (const { targets } of panels) for (const { expr } of targets) assertOurs(expr)
  })

  it('has a paragraph in the runbook for each alert, where its annotation points to', () => {
    const headings = [...read('docs/runbook.md').matchAll(/^## (\S+)\n\n(\S.*)$/gm)]
    assert.deepEqual(
      headings.map(([, name]) => name).sort(),
      alerts.map(({ alert }) => alert).sort(),
    )
    for (const { alert, annotations } of alerts) {
      assert.equal(annotations['runbook_url'], `docs/runbook.md#${alert.toLowerCase()}`)
    }
  })

  it('has a test in which each alert fires and one in which it stays quiet', () => {
    const { tests } = parse(read('observability/alerts.test.yaml')) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[]
    }
    const cases = tests.flatMap((test) => test.alert_rule_test)
    for (const { alert } of alerts) {
      const own = cases.filter(({ alertname }) => alertname === alert)
      assert.ok(
        own.some(({ exp_alerts: expected }) => expected.length > 0),
        `${alert} fires`,
      )
      assert.ok(
        own.some(({ exp_alerts: expected }) => expected.length === 0),
        `${alert} is quiet`,
      )
    }
  })

  it('has alerts that do what their tests say', function () {
    const promtool = requireTool(this, 'promtool')
    const file = join(root, 'observability/alerts.test.yaml')
    const { status, stdout, stderr } = spawnSync(promtool, ['test', 'rules', file], {
      encoding: 'utf8',
    })
    assert.equal(status, 0, stdout + stderr)
  })
})
