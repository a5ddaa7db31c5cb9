import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { version } from '../../src/bin/version.ts'
import { names } from '../../src/injector/pod/plan.ts'
import { defaultSettings } from '../../src/injector/pod/settings.ts'
import { webhookConfiguration } from '../../src/injector/webhook/webhook-configuration.ts'
import { hasProgram, runProgram } from '../e2e/support/programs.ts'
import { skip } from '../support/skip.ts'
import { kustomization, ofKind, parseManifests } from './support/manifests.ts'

const checkout = join(import.meta.dirname, '../..')
const kustomizations = ['webhook', 'spire', 'monitoring']

describe('deploy/kustomize', () => {
  for (const name of kustomizations) {
    it(`is built by kubectl as it is written: ${name}`, async function () {
      if (!(await hasProgram('kubectl', 'version', '--client'))) skip(this, 'no kubectl')
      const folder = join(checkout, 'deploy/kustomize', name)
      const { code, stdout, stderr } = await runProgram('kubectl', ['kustomize', folder])
      assert.equal(code, 0, stderr)
      const sorted = (manifests: readonly object[]) =>
        manifests.map((manifest) => JSON.stringify(sortKeys(manifest))).sort()
      assert.deepEqual(sorted(parseManifests(stdout)), sorted(kustomization(name)))
    })
  }

  it('registers the webhook as it prints it', () => {
    const printed = webhookConfiguration({
      namespace: 'postern',
      service: 'postern-webhook',
      caBundle: undefined,
      failurePolicy: 'Fail',
      timeoutSeconds: 5,
      excluded: ['spire-server', 'spire-system'],
      hasMatchConditions: true,
    })
    const written = ofKind(kustomization('webhook'), 'MutatingWebhookConfiguration')
    assert.deepEqual(written, parse(printed))
  })

  it('runs the version and the user that is shipped', () => {
    const { template } = ofKind(kustomization('webhook'), 'Deployment')['spec'] as {
      template: {
        spec: { containers: { image: string; securityContext: { runAsUser: number } }[] }
      }
    }
    const [container] = template.spec.containers
    assert.equal(container?.image, `postern:${version()}`)
    assert.equal(container.securityContext.runAsUser, defaultSettings.user)
  })

  it('gives the webhook the name that API servers call, and its pods alone', () => {
    const webhook = kustomization('webhook')
    const spec = ofKind(kustomization('spire'), 'ClusterSPIFFEID')['spec'] as {
      dnsNameTemplates: string[]
      podSelector: object
      namespaceSelector: object
    }
    const service = ofKind(webhook, 'Service')
    const { name, namespace } = service.metadata
    assert.deepEqual(spec.dnsNameTemplates, [`${name}.${namespace}.svc`])
    assert.deepEqual(spec.podSelector, {
      matchLabels: (service['spec'] as { selector: object }).selector,
    })
    assert.deepEqual(spec.namespaceSelector, {
      matchLabels: { 'kubernetes.io/metadata.name': namespace },
    })
  })

  it('scrapes the port that sidecars and the webhook have', () => {
    const { podMetricsEndpoints } = ofKind(kustomization('monitoring'), 'PodMonitor')['spec'] as {
      podMetricsEndpoints: { port: string }[]
    }
    assert.deepEqual(podMetricsEndpoints, [{ port: names.healthPort, path: '/metrics' }])
    const deployment = JSON.stringify(ofKind(kustomization('webhook'), 'Deployment'))
    assert.ok(deployment.includes(`"name":"${names.healthPort}","containerPort":9902`))
  })

  it('alerts by the rules of observability/', () => {
    const alerts: unknown = parse(readFileSync(join(checkout, 'observability/alerts.yaml'), 'utf8'))
    assert.deepEqual(ofKind(kustomization('monitoring'), 'PrometheusRule')['spec'], alerts)
  })
})

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, member]) => [key, sortKeys(member)]))
}
