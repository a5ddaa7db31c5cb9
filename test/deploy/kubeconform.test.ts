import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PosternProcess } from '../support/postern-process.ts'
import { requireTool } from '../support/tools.ts'
import { rendered } from './support/chart.ts'
import { kustomization, type Manifest, ofKind, parseManifests } from './support/manifests.ts'
import { Schemas } from './support/schemas.ts'

/** The first with native sidecars, the one that the other tests run, the newest whose schemas there are. */
const versions = ['1.29.0', '1.34.0', '1.37.0']
const app = textOf('examples/kubernetes/app.yaml')

describe('kubeconform', function () {
  this.timeout(180_000)
  let folder: string
  let schemas: Schemas

  before(async function () {
    folder = mkdtempSync(join(tmpdir(), 'postern-schemas-'))
    schemas = await Schemas.open(this, folder)
  })

  after(() => rmSync(folder, { recursive: true, force: true }))

  async function assertConforms(
    manifests: readonly Manifest[],
    wanted: readonly string[],
  ): Promise<void> {
    assert.ok(manifests.length > 0)
    for (const version of wanted) {
      const said = await schemas.check(manifests, version)
      assert.equal(said.length, manifests.length)
      for (const one of said) {
        assert.equal(one.status, 'statusValid', `${version}: ${one.kind} ${one.name}: ${one.msg}`)
      }
    }
  }

  for (const name of ['webhook', 'monitoring', 'spire']) {
    it(`finds nothing wrong with deploy/kustomize/${name}`, async () => {
      await assertConforms(kustomization(name), versions)
    })
  }

  for (const file of [
    'deploy/kustomize/spire/cluster-federated-trust-domain.yaml',
    'examples/kubernetes/identities.yaml',
  ]) {
    it(`finds nothing wrong with ${file}`, async () => {
      await assertConforms(parseManifests(textOf(file)), versions)
    })
  }

  const charts = [
    { name: 'as it is', values: [] },
    { name: 'with a Secret', values: ['tls.secretName="webhook-tls"'] },
    {
      name: 'with all that it can have',
      values: [
        'monitoring.podMonitor=true',
        'monitoring.prometheusRule=true',
        'spire.federatesWith=["partner-a.example"]',
        'replicas=3',
      ],
    },
  ]
  for (const { name, values } of charts) {
    it(`finds nothing wrong with the chart ${name}`, async function () {
      requireTool(this, 'helm')
      await assertConforms(await rendered(values), versions)
    })
  }

  const injections = [
    { name: 'as it is', flags: [], for: versions },
    { name: 'with keys', flags: ['--keys', 'postern-keys'], for: versions },
    { name: 'with a redirection', flags: ['--redirect'], for: versions },
    { name: 'with renamed ports', flags: ['--rename-ports'], for: versions },
    { name: 'before 1.29', flags: ['--kubernetes-version', '1.28'], for: ['1.28.0', ...versions] },
  ]
  for (const { name, flags, for: wanted } of injections) {
    it(`finds nothing wrong with what is injected ${name}`, async () => {
      await assertConforms(await injected(flags), wanted)
    })
  }

  it('knows no native sidecar before 1.28, and we write none', async () => {
    const restarts = (manifests: readonly Manifest[]) =>
      JSON.stringify(manifests).includes('"Always"')
    assert.ok(restarts(await injected([])))
    assert.ok(!restarts(await injected(['--kubernetes-version', '1.28'])))
    const [deployment] = (await schemas.check(await injected([]), '1.27.0')).filter(
      ({ kind }) => kind === 'Deployment',
    )
    assert.equal(deployment?.status, 'statusInvalid')
  })

  it('sees a field that there is not, whoever defines the kind', async () => {
    const deployment = ofKind(kustomization('webhook'), 'Deployment')
    const monitor = ofKind(kustomization('monitoring'), 'PodMonitor')
    const [identity] = kustomization('spire')
    assert.equal(identity?.kind, 'ClusterSPIFFEID')
    for (const manifest of [deployment, monitor, identity]) {
      const wrong = structuredClone(manifest) as Manifest & { spec: Record<string, unknown> }
      wrong.spec['replica'] = 2
      const [one] = await schemas.check([wrong], '1.34.0')
      assert.equal(one?.status, 'statusInvalid', manifest.kind)
      assert.match(one.msg ?? '', /replica/)
    }
  })

  it('sees a partner whose server could not prove itself', async () => {
    const text = textOf('deploy/kustomize/spire/cluster-federated-trust-domain.yaml')
    for (const wrong of [
      text.replace(/^ *endpointSPIFFEID: .*\n/m, ''),
      text.replace('https_spiffe', 'https_web'),
      text.replace('https://', 'http://'),
    ]) {
      assert.notEqual(wrong, text)
      const [one] = await schemas.check(parseManifests(wrong), '1.34.0')
      assert.equal(one?.status, 'statusInvalid', wrong)
    }
  })
})

function textOf(file: string): string {
  return readFileSync(join(import.meta.dirname, '../..', file), 'utf8')
}

async function injected(flags: readonly string[]): Promise<readonly Manifest[]> {
  // A kubelet could not reach what is redirected.
  const isProbed = !flags.includes('--redirect')
  const manifest = isProbed ? app : app.replace(/^ *readinessProbe:\n.*\n/m, '')
  const { code, stdout, stderr } = await PosternProcess.runToEnd(
    ['inject', '-f', 'app.yaml', ...flags],
    { files: { 'app.yaml': manifest } },
  )
  assert.equal(code, 0, stderr)
  return parseManifests(stdout)
}
