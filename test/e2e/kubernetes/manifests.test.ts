import assert from 'node:assert/strict'
import { rendered } from '../../deploy/support/chart.ts'
import { kustomization, type Manifest, ofKind, pathOf } from '../../deploy/support/manifests.ts'
import { skipMissingTool } from '../../support/skip.ts'
import { hasProgram } from '../support/programs.ts'
import { ApiServer } from './support/api-server.ts'

describe('deploy/ on a real API server', function () {
  this.timeout(120_000)
  let api: ApiServer
  let started: ApiServer | undefined
  const manifests = kustomization('webhook')

  before(async function () {
    for (const tool of ['kube-apiserver', 'etcd']) {
      if (!(await hasProgram(tool, '--version'))) skipMissingTool(this, tool)
    }
    api = started = await ApiServer.start()
    const namespace = ofKind(manifests, 'Namespace')
    await api.must('PATCH', `${pathOf(namespace)}?fieldManager=test`, JSON.stringify(namespace))
  })

  after(() => started?.close())

  /** A server-side dry run: unknown fields, defaults, validation and admission are those of a cluster. */
  function dryRun(manifest: Pick<Manifest, 'kind' | 'metadata'>) {
    const query = 'dryRun=All&fieldManager=test&fieldValidation=Strict'
    return api.call('PATCH', `${pathOf(manifest)}?${query}`, JSON.stringify(manifest))
  }

  for (const manifest of manifests) {
    it(`is accepted: ${manifest.kind} ${manifest.metadata.name}`, async () => {
      const { status, warnings, body } = await dryRun(manifest)
      assert.ok(status === 200 || status === 201, `${status}: ${body.message ?? ''}`)
      assert.equal(warnings, '')
    })
  }

  const charts = [
    { name: 'as it is', values: [] },
    {
      name: 'with a Secret',
      values: ['tls.secretName="webhook-tls"', 'webhook.failurePolicy="Ignore"'],
    },
  ]
  for (const { name, values } of charts) {
    it(`is accepted: the chart ${name}`, async function () {
      if (!(await hasProgram('helm', 'version'))) skipMissingTool(this, 'helm')
      const all = await rendered(['spire.clusterSpiffeIds=false', ...values])
      for (const manifest of all) {
        const { status, body } = await dryRun(manifest)
        assert.ok(status < 300, `${manifest.kind}: ${status}: ${body.message ?? ''}`)
      }
      const { template } = ofKind(all, 'Deployment')['spec'] as { template: Manifest }
      assert.equal((await dryRun(podOf(template))).status, 201)
    })
  }

  it('has pods that its own namespace admits, which is restricted', async () => {
    const { template } = ofKind(manifests, 'Deployment')['spec'] as { template: Manifest }
    const pod = podOf(template)
    const { status, body } = await dryRun(pod)
    assert.equal(status, 201, body.message)

    const unlocked = structuredClone(pod) as typeof pod & {
      spec: { containers: { securityContext: object }[] }
    }
    for (const container of unlocked.spec.containers) container.securityContext = {}
    const refused = await dryRun(unlocked)
    assert.equal(refused.status, 403)
    assert.match(refused.body.message ?? '', /violates PodSecurity "restricted/)
  })
})

function podOf(template: Manifest): Manifest {
  return {
    ...template,
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...template.metadata, name: 'webhook', namespace: 'postern' },
  }
}
