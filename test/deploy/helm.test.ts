import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { version } from '../../src/bin/version.ts'
import { hasProgram, runProgram } from '../e2e/support/programs.ts'
import { skipMissingTool } from '../support/skip.ts'
import { chart, helmTemplate, rendered } from './support/chart.ts'
import { kustomization, type Manifest, ofKind } from './support/manifests.ts'

const read = (path: string) => readFileSync(join(chart, path), 'utf8')

describe('deploy/helm/postern', function () {
  this.timeout(180_000)

  before(async function () {
    if (!(await hasProgram('helm', 'version'))) skipMissingTool(this, 'helm')
  })

  it('passes the lint of helm', async () => {
    const { code, stdout } = await runProgram('helm', ['lint', '--strict', chart])
    assert.equal(code, 0, stdout)
    assert.doesNotMatch(stdout, /\[(WARNING|ERROR)\]/)
  })

  it('has the version of the program', () => {
    const { version: own, appVersion } = parse(read('Chart.yaml')) as Record<string, string>
    assert.deepEqual([own, appVersion], [version(), version()])
  })

  it('becomes what deploy/kustomize is, by default', async () => {
    const chosen = ['monitoring={"podMonitor":true,"prometheusRule":true}']
    const plain = ['webhook', 'spire', 'monitoring'].flatMap(kustomization)
    assert.deepEqual(
      byName(await rendered(chosen)),
      byName(plain.filter(({ kind }) => kind !== 'Namespace')),
    )
  })

  it('alerts by the rules of observability/', () => {
    assert.equal(
      read('alerts.yaml'),
      readFileSync(join(chart, '../../../observability/alerts.yaml'), 'utf8'),
    )
  })

  it('leaves out what needs others, and what is not wanted', async () => {
    const manifests = await rendered(['spire.clusterSpiffeIds=false', 'networkPolicy=false'])
    const kinds = manifests.map(({ kind }) => kind).sort()
    assert.deepEqual(kinds, [
      'Deployment',
      'MutatingWebhookConfiguration',
      'PodDisruptionBudget',
      'Service',
      'ServiceAccount',
    ])
  })

  it('follows the namespace of the release', async () => {
    const manifests = await rendered([], 'mesh')
    const text = JSON.stringify(manifests)
    assert.ok(text.includes('"postern-webhook.mesh.svc"'))
    assert.ok(text.includes('["kube-system","kube-public","kube-node-lease","mesh",'))
    assert.doesNotMatch(text, /"namespace":"postern"|"postern"[,\]]"spire-server"/)
  })

  it('takes a certificate from a Secret instead of the Workload API', async () => {
    const pem = '-----BEGIN CERTIFICATE-----\\nMII\\n-----END CERTIFICATE-----\\n'
    const manifests = await rendered([`tls={"secretName":"webhook-tls","caBundle":"${pem}"}`])
    const deployment = JSON.stringify(ofKind(manifests, 'Deployment'))
    assert.ok(deployment.includes('"--tls-certificate=/tls/tls.crt","--tls-key=/tls/tls.key"'))
    assert.ok(deployment.includes('"secretName":"webhook-tls"'))
    assert.doesNotMatch(deployment, /csi|SPIFFE_ENDPOINT_SOCKET/)
    const registration = ofKind(manifests, 'MutatingWebhookConfiguration')
    assert.equal(labelsOf(registration)['spiffe.io/webhook'], 'false')
    for (const { clientConfig } of registration['webhooks'] as unknown as Webhook[]) {
      const text = Buffer.from(clientConfig.caBundle ?? '', 'base64').toString()
      assert.equal(text, pem.replaceAll('\\n', '\n'))
    }
  })

  it('passes flags on, and names the trust domains that pods are to know', async () => {
    const manifests = await rendered([
      'flags=["--image","registry.corp.example/postern:1"]',
      'spire.federatesWith=["partner-a.example"]',
    ])
    const text = JSON.stringify(manifests)
    assert.ok(text.includes('"args":["webhook","--image","registry.corp.example/postern:1"]'))
    assert.ok(text.includes('"federatesWith":["partner-a.example"]'))
  })

  const refused = [
    {
      name: 'a policy that there is not',
      value: 'webhook.failurePolicy="Never"',
      at: /failurePolicy/,
    },
    { name: 'a timeout above 30 s', value: 'webhook.timeoutSeconds=31', at: /timeoutSeconds/ },
    { name: 'no replica', value: 'replicas=0', at: /replicas/ },
    { name: 'a misspelt name', value: 'replica=2', at: /replica/ },
    { name: 'a bundle that is no PEM', value: 'tls.caBundle="TUlJ"', at: /caBundle/ },
    { name: 'a path for a socket', value: 'spire.socket="../agent.sock"', at: /socket/ },
  ]
  for (const { name, value, at } of refused) {
    it(`refuses ${name}`, async () => {
      const { code, stderr } = await helmTemplate([value])
      assert.notEqual(code, 0)
      assert.match(stderr, /schema/)
      assert.match(stderr, at)
    })
  }
})

interface Webhook {
  readonly clientConfig: { readonly caBundle?: string }
}

function labelsOf({ metadata }: Manifest): Readonly<Record<string, unknown>> {
  return (metadata['labels'] ?? {}) as Record<string, unknown>
}

/** Without the labels that say what helm made of it. */
function byName(manifests: readonly Manifest[]): Record<string, Manifest> {
  const entries = manifests.map((manifest): [string, Manifest] => {
    const labels = Object.entries(labelsOf(manifest)).filter(
      ([label]) => !/^(helm\.sh|app\.kubernetes\.io)\//.test(label),
    )
    const metadata = { ...manifest.metadata, labels: Object.fromEntries(labels) as never }
    return [`${manifest.kind} ${manifest.metadata.name}`, { ...manifest, metadata }]
  })
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}
