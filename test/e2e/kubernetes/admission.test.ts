import assert from 'node:assert/strict'
import { stringify } from 'yaml'
import { covers, isMap, type JsonMap, listAt, mapAt } from '../../../src/injector/json.ts'
import { injectManifests } from '../../../src/injector/manifest/inject-manifests.ts'
import { injectPod } from '../../../src/injector/pod/inject.ts'
import { version } from '../../../src/bin/version.ts'
import { optionsWith, podWith, workload } from '../../injector/support/pods.ts'
import { skipMissingTool } from '../../support/skip.ts'
import { hasProgram } from '../support/programs.ts'
import type { ApiReply } from './support/api-server.ts'
import { AddingWebhook } from './support/adding-webhook.ts'
import { Cluster } from './support/cluster.ts'

/** What the standard asks of the workload's own container. */
const locked: JsonMap = {
  runAsNonRoot: true,
  runAsUser: 1000,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
}

describe('the webhook on a real API server', function () {
  this.timeout(120_000)
  let cluster: Cluster
  let started: Cluster | undefined

  before(async function () {
    for (const tool of ['kube-apiserver', 'etcd']) {
      if (!(await hasProgram(tool, '--version'))) skipMissingTool(this, tool)
    }
    cluster = started = await Cluster.start()
    // The API server takes a moment to look at a new configuration.
    await cluster.api.until('registered', async () => {
      const { body } = await create(podWith(), { query: '?dryRun=All' })
      return hasSidecar(body as JsonMap)
    })
  })

  after(() => started?.close())

  let created = 0

  function create(
    template: JsonMap,
    { namespace = 'guarded', query = '' }: { namespace?: string; query?: string } = {},
  ): Promise<ApiReply> {
    const metadata = { name: `pod-${++created}`, ...mapAt(template, 'metadata') }
    const pod = { apiVersion: 'v1', kind: 'Pod', ...template, metadata }
    return cluster.api.call('POST', `/api/v1/namespaces/${namespace}/pods${query}`, pod)
  }

  const options = () => {
    const { defaults, platform } = optionsWith()
    return { defaults, platform: { ...platform, version: version() }, byDefault: true }
  }

  describe('stores', () => {
    const shapes: { name: string; pod: JsonMap }[] = [
      { name: 'a plain pod', pod: podWith() },
      {
        name: 'one with init containers',
        pod: podWith({ initContainers: [{ name: 'a', image: 'a' }] }),
      },
      { name: 'one with volumes', pod: podWith({ volumes: [{ name: 'data', emptyDir: {} }] }) },
      { name: 'one that ends', pod: podWith({ restartPolicy: 'Never' }) },
      { name: 'one that ends soon', pod: podWith({ terminationGracePeriodSeconds: 1 }) },
      { name: 'one on the network of the node', pod: podWith({ hostNetwork: true }) },
      {
        name: 'one of two containers',
        pod: podWith({ containers: [workload(), { name: 'b', image: 'b' }] }),
      },
      {
        name: 'one that says everything',
        pod: podWith(
          // As the API server has it before it asks.
          { terminationGracePeriodSeconds: 30 },
          {
            'postern.dev/upstream-port': 'http',
            'postern.dev/port': '9443',
            'postern.dev/health-port': '9444',
            'postern.dev/protocol': 'tcp',
            'postern.dev/plaintext': 'allow',
            'postern.dev/keys': 'keys',
            'postern.dev/config': 'config',
            'postern.dev/agent-socket': '/run/spire/agent.sock',
            'postern.dev/cpu-limit': '1',
            'postern.dev/drain-timeout': '1m',
            'postern.dev/redirect': 'true',
          },
        ),
      },
    ]
    for (const { name, pod } of shapes) {
      it(`${name} as it was to be injected`, async () => {
        const expected = injectPod(pod, options())
        assert.ok(expected.kind === 'injected')
        const { status, body } = await create(pod)
        assert.equal(status, 201, body.message)
        const { spec, metadata } = expected.template
        assert.ok(covers(body.spec as JsonMap, spec), JSON.stringify(body.spec, null, 1))
        assert.ok(covers(body.metadata as JsonMap, mapAt({ metadata }, 'metadata')))
        assert.ok(hasSidecar(body as JsonMap))
      })
    }

    it('a pod that has the sidecar already as it came', async () => {
      const { body: first } = await create(podWith())
      const unchanged = () =>
        cluster.webhook.metric('postern_admissions_total', { outcome: 'unchanged' })
      const before = await unchanged()
      const { body } = await create({
        spec: first.spec,
        metadata: annotationsOf(first),
      } as JsonMap)
      assert.deepEqual(body.spec, first.spec)
      assert.equal(await unchanged(), before + 1)
    })
  })

  describe('asked by', () => {
    const asks = (value: string) => ({ 'postern.dev/inject': value })
    const cases: {
      name: string
      namespace: string
      annotations?: Record<string, string>
      injects: boolean
    }[] = [
      { name: 'the namespace', namespace: 'guarded', injects: true },
      {
        name: 'the namespace, refused by the pod',
        namespace: 'guarded',
        annotations: asks('false'),
        injects: false,
      },
      { name: 'nobody', namespace: 'open', injects: false },
      { name: 'the pod', namespace: 'open', annotations: asks('true'), injects: true },
      {
        name: 'a pod of the control plane',
        namespace: 'kube-system',
        annotations: asks('true'),
        injects: false,
      },
      {
        name: "a pod of the webhook's own namespace",
        namespace: 'postern',
        annotations: asks('true'),
        injects: false,
      },
    ]
    for (const { name, namespace, annotations, injects } of cases) {
      it(`${name}: ${injects ? 'injects' : 'does not'}`, async () => {
        const { status, body } = await create(podWith({}, annotations), { namespace })
        assert.equal(status, 201, body.message)
        assert.equal(hasSidecar(body as JsonMap), injects)
      })
    }
  })

  it('is asked again after another webhook has added a container, and changes nothing more', async () => {
    const namespace = 'asked-twice'
    await cluster.api.createNamespace(namespace, { 'postern.dev/inject': 'true' })
    const container = { name: 'added', image: 'added' }
    // By its name it is asked after ours.
    const other = await AddingWebhook.start(cluster.api, { name: 'z-adds', namespace, container })
    try {
      await cluster.api.until('the other is asked', async () => {
        await create(podWith(), { namespace, query: '?dryRun=All' })
        return other.calls > 0
      })
      const outcomes = () =>
        Promise.all(
          ['injected', 'unchanged'].map((outcome) =>
            cluster.webhook.metric('postern_admissions_total', { outcome }),
          ),
        )
      const [injected = 0, unchanged = 0] = await outcomes()

      const { status, body } = await create(podWith(), { namespace })

      assert.equal(status, 201, body.message)
      assert.deepEqual(await outcomes(), [injected + 1, unchanged + 1])
      const alone = injectPod(podWith(), options())
      assert.ok(alone.kind === 'injected')
      const { containers, initContainers } = body.spec as Record<string, JsonMap[]>
      assert.deepEqual(
        containers?.map(({ name }) => name),
        ['api', 'added'],
      )
      const expected = listAt(mapAt(alone.template, 'spec'), 'initContainers')
      assert.equal(initContainers?.length, expected.length)
      assert.ok(hasSidecar(body as JsonMap))
    } finally {
      await other.close()
      await cluster.api.must(
        'DELETE',
        '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/z-adds',
      )
    }
  })

  it('is admitted by a restricted namespace, where a redirection is not', async () => {
    const pod = { containers: [workload({ securityContext: locked })] }
    const plain = await create(podWith(pod), { namespace: 'restricted' })
    assert.equal(plain.status, 201, plain.body.message)
    assert.ok(hasSidecar(plain.body as JsonMap))
    const redirected = await create(podWith(pod, { 'postern.dev/redirect': 'true' }), {
      namespace: 'restricted',
    })
    assert.equal(redirected.status, 403)
    assert.match(
      redirected.body.message ?? '',
      /violates PodSecurity "restricted.*postern-redirect/,
    )
  })

  it('answers a server-side dry run, of which nothing stays', async () => {
    const pod = { ...podWith(), metadata: { name: 'dry' } }
    const { status, body } = await create(pod, { query: '?dryRun=All' })
    assert.equal(status, 201)
    assert.ok(hasSidecar(body as JsonMap))
    const { status: stored } = await cluster.api.call('GET', '/api/v1/namespaces/guarded/pods/dry')
    assert.equal(stored, 404)
  })

  it('denies what cannot be injected, with the reason', async () => {
    const { status, body } = await create(podWith({ containers: [workload({ ports: [] })] }))
    assert.equal(status, 422)
    assert.match(
      body.message ?? '',
      /"namespace\.inject\.postern\.dev" denied the request: pod guarded\/pod-\d+ cannot have the Postern sidecar: spec\.containers: no container declares a TCP port/,
    )
  })

  it('warns of a misspelt annotation', async () => {
    const { status, warnings } = await create(podWith({}, { 'postern.dev/prot': '1' }))
    assert.equal(status, 201)
    assert.match(
      warnings,
      /299 - "postern\.dev\/prot is not a known annotation, did you mean postern\.dev\/port"/,
    )
  })

  describe('takes from postern inject', () => {
    const pod = podWith({ containers: [workload({ securityContext: locked })] })
    const selector = { matchLabels: { app: 'api' } }
    const job = { template: { ...pod, spec: { ...mapAt(pod, 'spec'), restartPolicy: 'Never' } } }
    const kinds = [
      { kind: 'Pod', version: 'v1', plural: 'pods', content: pod },
      {
        kind: 'Deployment',
        version: 'apps/v1',
        plural: 'deployments',
        content: { spec: { selector, template: pod } },
      },
      {
        kind: 'StatefulSet',
        version: 'apps/v1',
        plural: 'statefulsets',
        content: { spec: { selector, serviceName: 'x', template: pod } },
      },
      {
        kind: 'DaemonSet',
        version: 'apps/v1',
        plural: 'daemonsets',
        content: { spec: { selector, template: pod } },
      },
      {
        kind: 'ReplicaSet',
        version: 'apps/v1',
        plural: 'replicasets',
        content: { spec: { selector, template: pod } },
      },
      { kind: 'Job', version: 'batch/v1', plural: 'jobs', content: { spec: job } },
      {
        kind: 'CronJob',
        version: 'batch/v1',
        plural: 'cronjobs',
        content: { spec: { schedule: '0 0 * * *', jobTemplate: { spec: job } } },
      },
    ]
    for (const { kind, version: apiVersion, plural, content } of kinds) {
      it(`a ${kind}, and has nothing to add`, async () => {
        const { metadata = {}, ...rest } = content as JsonMap
        const manifest = {
          apiVersion,
          kind,
          ...rest,
          metadata: { ...(metadata as JsonMap), name: `from-${kind.toLowerCase()}` },
        }
        const sources = [{ name: 'm.yaml', text: stringify(manifest) }]
        const [text = ''] = injectManifests(sources, { ...options(), renamesPorts: false }).texts
        const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
        const path = `${root}/namespaces/restricted/${plural}/${manifest.metadata.name}`
        const query = '?fieldManager=test&fieldValidation=Strict'
        const { status, body, warnings } = await cluster.api.call('PATCH', `${path}${query}`, text)
        assert.equal(status, 201, body.message)
        assert.equal(warnings, '')
        assert.equal(JSON.stringify(body).split('"name":"postern","image"').length, 2)
      })
    }
  })

  describe('when its certificate is of another CA', () => {
    it('serves it without a restart', async () => {
      const { pid } = cluster.webhook
      await cluster.trustAnotherCa()
      await cluster.api.until('the old one is refused', async () => {
        const { status, body } = await create(podWith())
        return status === 500 && (body.message ?? '').includes('certificate')
      })
      await cluster.renewCertificate()
      await cluster.api.until('the new one is taken', async () => {
        const { status, body } = await create(podWith())
        return status === 201 && hasSidecar(body as JsonMap)
      })
      assert.equal(cluster.webhook.pid, pid)
    })
  })

  describe('while it is down', () => {
    before(() => cluster.stopWebhook())
    after(() => cluster.startWebhook())

    it('keeps from being created what asks, and nothing else', async () => {
      const { status, body } = await create(podWith())
      assert.equal(status, 500)
      assert.match(body.message ?? '', /failed calling webhook "namespace\.inject\.postern\.dev"/)
      for (const namespace of ['open', 'kube-system', 'postern']) {
        assert.equal((await create(podWith(), { namespace })).status, 201, namespace)
      }
    })

    it('lets everything be created where the policy is Ignore', async () => {
      await cluster.register('--failure-policy', 'Ignore')
      await cluster.api.until('created', async () => {
        const { status, body } = await create(podWith())
        return status === 201 && !hasSidecar(body as JsonMap)
      })
      await cluster.register()
    })
  })

  describe('when it is back', () => {
    it('goes on', async () => {
      await cluster.api.until('injected', async () => {
        const { body } = await create(podWith())
        return hasSidecar(body as JsonMap)
      })
    })
  })
})

function hasSidecar(pod: JsonMap): boolean {
  const { initContainers } = mapAt(pod, 'spec')
  return (
    Array.isArray(initContainers) &&
    initContainers.some((one: unknown) => isMap(one) && one['name'] === 'postern')
  )
}

function annotationsOf({
  metadata = {},
}: {
  readonly metadata?: Readonly<Record<string, unknown>>
}) {
  return { annotations: metadata['annotations'], labels: metadata['labels'] }
}
