import assert from 'node:assert/strict'
import { isMap, type Json, type JsonMap, listAt, mapAt } from '../../src/injector/json.ts'
import { ejectPod } from '../../src/injector/pod/eject.ts'
import { injectPod } from '../../src/injector/pod/inject.ts'
import {
  containerOf,
  environmentOf,
  injected,
  optionsWith,
  podWith,
  refusal,
  workload,
} from './support/pods.ts'

const old = { hasNativeSidecars: false }
const port = (containerPort: number, name?: string): JsonMap => ({
  containerPort,
  ...(name === undefined ? {} : { name }),
})

describe('injecting a pod', () => {
  it('adds a native sidecar before every other init container', () => {
    const pod = injected(podWith({ initContainers: [{ name: 'migrate' }] }))
    const names = namesOf(mapAt(pod, 'spec')['initContainers'])
    assert.deepEqual(names, ['postern', 'migrate'])
    assert.equal(containerOf(pod)['restartPolicy'], 'Always')
    assert.deepEqual(namesOf(mapAt(pod, 'spec')['containers']), ['api'])
  })

  it('adds a plain container on an older cluster, and waits there before it ends', () => {
    const pod = injected(podWith(), optionsWith({}, old))
    assert.deepEqual(namesOf(mapAt(pod, 'spec')['containers']), ['api', 'postern'])
    assert.equal(containerOf(pod)['restartPolicy'], undefined)
    assert.equal(mapAt(pod, 'spec')['initContainers'], undefined)
    assert.equal(environmentOf(containerOf(pod))['POSTERN_DRAIN_DELAY'], '5s')
  })

  it('keeps the port that it guards when somebody adds a container with another one', () => {
    const helper = { name: 'helper', image: 'helper:1', ports: [port(7070)] }
    const bare = podWith({ containers: [workload(), helper] })
    assert.match(refusal(bare).join(), /declare the ports 8080, 7070/)
    for (const platform of [{}, old]) {
      const options = optionsWith({}, platform)
      const again = injected(withContainer(injected(podWith(), options), helper), options)
      assert.equal(environmentOf(containerOf(again))['POSTERN_INBOUND_UPSTREAM'], '127.0.0.1:8080')
    }
  })

  it('believes no forged port: only one that the pod declares can stay', () => {
    const two = { containers: [workload(), { name: 'b', ports: [port(7070)] }] }
    const forgedUpstream = (upstream: string): JsonMap => {
      const forged = JSON.parse(
        JSON.stringify(injected(podWith())).replace('127.0.0.1:8080', upstream),
      ) as JsonMap
      return { ...forged, spec: { ...mapAt(forged, 'spec'), ...two } }
    }
    const kept = containerOf(injected(forgedUpstream('127.0.0.1:7070')))
    assert.equal(environmentOf(kept)['POSTERN_INBOUND_UPSTREAM'], '127.0.0.1:7070')
    for (const upstream of [
      '127.0.0.1:22',
      '127.0.0.1:80800',
      '127.0.0.1:',
      '10.0.0.1:7070',
      '127.0.0.1:7070@10.0.0.1',
      'unix:/tmp/x',
    ]) {
      assert.match(
        refusal(forgedUpstream(upstream)).join(),
        /declare the ports 8080, 7070/,
        upstream,
      )
    }
  })

  it('makes the forged sidecar of a pod with one port anew', () => {
    const forged = JSON.parse(
      JSON.stringify(injected(podWith()))
        .replace('127.0.0.1:8080', '10.0.0.1:8080')
        .replace('postern:1.2.3', 'evil:1'),
    ) as JsonMap
    assert.deepEqual(injected(forged), injected(podWith()))
  })

  it('guards no port that is not declared any more', () => {
    const pod = injected(podWith())
    const others = [
      { name: 'a', ports: [port(7070)] },
      { name: 'b', ports: [port(7071)] },
    ]
    const changed = { ...pod, spec: { ...mapAt(pod, 'spec'), containers: others } }
    assert.match(refusal(changed).join(), /declare the ports 7070, 7071/)
  })

  it('keeps the rules of the restricted Pod Security Standard', () => {
    assert.deepEqual(containerOf(injected(podWith()))['securityContext'], {
      runAsUser: 8443,
      runAsGroup: 8443,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    })
  })

  it('mounts the agent by CSI and the product map, read-only, and nothing else', () => {
    const pod = injected(podWith())
    assert.deepEqual(mapAt(pod, 'spec')['volumes'], [
      { name: 'postern-agent', csi: { driver: 'csi.spiffe.io', readOnly: true } },
      { name: 'postern-products', configMap: { name: 'postern-products' } },
    ])
    const mounts = listAt(containerOf(pod), 'volumeMounts').filter(isMap)
    assert.deepEqual(namesOf(mounts), ['postern-agent', 'postern-products'])
    assert.ok(mounts.every(({ readOnly }) => readOnly === true))
  })

  it('mounts the keys from a Secret, and a socket of the node, when asked', () => {
    const annotations = {
      'postern.dev/keys': 'shop-keys',
      'postern.dev/products': 'shop-products',
      'postern.dev/agent-socket': '/run/spire/sockets/agent.sock',
    }
    const pod = injected(podWith({}, annotations))
    assert.deepEqual(mapAt(pod, 'spec')['volumes'], [
      { name: 'postern-agent', hostPath: { path: '/run/spire/sockets', type: 'Directory' } },
      { name: 'postern-products', configMap: { name: 'shop-products' } },
      { name: 'postern-keys', secret: { secretName: 'shop-keys' } },
    ])
    const env = environmentOf(containerOf(pod))
    assert.equal(env['SPIFFE_ENDPOINT_SOCKET'], 'unix:///spiffe-workload-api/agent.sock')
    assert.equal(env['POSTERN_API_KEYS'], '/etc/postern/keys/api-keys.yaml')
  })

  it('tells the sidecar its ports, and asks for its health on its own port', () => {
    const annotations = {
      'postern.dev/port': '9443',
      'postern.dev/health-port': '9999',
      'postern.dev/protocol': 'tcp',
    }
    const container = containerOf(injected(podWith({}, annotations)))
    const env = environmentOf(container)
    assert.equal(env['POSTERN_INBOUND_LISTEN'], '[::]:9443')
    assert.equal(env['POSTERN_INBOUND_UPSTREAM'], '127.0.0.1:8080')
    assert.equal(env['POSTERN_INBOUND_PROTOCOL'], 'tcp')
    assert.equal(env['POSTERN_HEALTH_LISTEN'], '[::]:9999')
    const probes = ['startupProbe', 'livenessProbe', 'readinessProbe'].map((name) =>
      mapAt(mapAt(container, name), 'httpGet'),
    )
    assert.deepEqual(probes, [
      { path: '/readyz', port: 9999 },
      { path: '/livez', port: 9999 },
      { path: '/readyz', port: 9999 },
    ])
  })

  it('leaves to a postern.yaml what the pod does not say', () => {
    const container = containerOf(injected(podWith({}, { 'postern.dev/config': 'shop' })))
    assert.deepEqual(container['args'], ['run', '--config', '/etc/postern/config/postern.yaml'])
    const env = environmentOf(container)
    for (const name of ['PROTOCOL', 'UPSTREAM_PROTOCOL', 'PLAINTEXT']) {
      assert.equal(env[`POSTERN_INBOUND_${name}`], undefined)
    }
  })

  for (const { name, spec, annotations, expected } of [
    { name: 'covers the drain', spec: { terminationGracePeriodSeconds: 10 }, expected: 30 },
    {
      name: 'stays when it is long enough',
      spec: { terminationGracePeriodSeconds: 90 },
      expected: 90,
    },
    { name: 'stays at its default of 30 s where that does', spec: {}, expected: undefined },
    {
      name: 'follows the drain that was asked for',
      spec: {},
      annotations: { 'postern.dev/drain-timeout': '2m', 'postern.dev/drain-delay': '10s' },
      expected: 135,
    },
  ]) {
    it(`sees to it that the grace period ${name}`, () => {
      const pod = injected(podWith(spec, annotations))
      assert.equal(mapAt(pod, 'spec')['terminationGracePeriodSeconds'], expected)
    })
  }

  it('finds the port of the workload by its name, and does not count UDP', () => {
    const ports = [port(8080, 'http'), port(9090, 'admin'), { containerPort: 53, protocol: 'UDP' }]
    const named = podWith(
      { containers: [workload({ ports })] },
      { 'postern.dev/upstream-port': 'admin' },
    )
    assert.equal(
      environmentOf(containerOf(injected(named)))['POSTERN_INBOUND_UPSTREAM'],
      '127.0.0.1:9090',
    )
    const [only] = [
      podWith({ containers: [workload({ ports: [ports[0] ?? {}, ports[2] ?? {}] })] }),
    ]
    assert.equal(
      environmentOf(containerOf(injected(only)))['POSTERN_INBOUND_UPSTREAM'],
      '127.0.0.1:8080',
    )
  })

  it('is done once, however often it is done', () => {
    for (const options of [optionsWith(), optionsWith({ redirect: true, keys: 'k' }, old)]) {
      const once = injected(podWith({ volumes: [{ name: 'data' }] }), options)
      assert.equal(injected(once, options), once)
    }
  })

  it('changes nothing of a pod that an API server filled with its defaults', () => {
    const once = injected(podWith())
    const stored = structuredClone(once) as { spec: { initContainers: Record<string, unknown>[] } }
    const [sidecar] = stored.spec.initContainers
    Object.assign(sidecar ?? {}, {
      imagePullPolicy: 'IfNotPresent',
      terminationMessagePath: '/dev/x',
    })
    const mounts = sidecar?.['volumeMounts'] as unknown[]
    mounts.push({ name: 'kube-api-access', mountPath: '/var/run/secrets' })
    const template = stored as unknown as JsonMap
    assert.equal(injected(template), template)
  })

  it('mends a sidecar that was changed, and follows other settings', () => {
    const once = injected(podWith())
    const changed = JSON.parse(JSON.stringify(once).replace('postern:1.2.3', 'evil:1')) as JsonMap
    assert.deepEqual(injected(changed), once)
    const newer = optionsWith({ image: 'postern:2', keys: 'k' })
    assert.deepEqual(injected(once, newer), injected(podWith(), newer))
  })

  describe('leaves alone', () => {
    const cases = [
      { name: 'a pod that says false', annotation: 'false', byDefault: true, kind: 'skipped' },
      { name: 'a pod that does not ask where one must', byDefault: false, kind: 'skipped' },
      { name: 'no pod that asks', annotation: 'true', byDefault: false, kind: 'injected' },
    ]
    for (const { name, annotation, byDefault, kind } of cases) {
      it(name, () => {
        const annotations = annotation === undefined ? {} : { 'postern.dev/inject': annotation }
        const injection = injectPod(podWith({}, annotations), optionsWith({}, { byDefault }))
        assert.equal(injection.kind, kind)
      })
    }

    it('a pod that does not ask, whatever else is wrong with it', () => {
      const broken = podWith({ containers: [] }, { 'postern.dev/port': 'x' })
      assert.equal(injectPod(broken, optionsWith({}, { byDefault: false })).kind, 'skipped')
    })
  })

  describe('refuses', () => {
    const cases: {
      name: string
      spec?: JsonMap
      annotations?: Record<string, string>
      says: RegExp[]
    }[] = [
      {
        name: 'a pod without a port',
        spec: { containers: [workload({ ports: [] })] },
        says: [/^spec\.containers: no container declares a TCP port/],
      },
      {
        name: 'a pod with two, which it cannot choose from',
        spec: { containers: [workload({ ports: [port(8080), port(9090)] })] },
        says: [/^spec\.containers\.0: .* 8080, 9090, expected postern\.dev\/upstream-port/],
      },
      {
        name: 'the name of a port that there is not',
        annotations: { 'postern.dev/upstream-port': 'grpc' },
        says: [/no container has a TCP port named grpc/],
      },
      {
        name: 'ports that the sidecar needs, all at once',
        spec: {
          containers: [workload(), { name: 'b', ports: [port(8443), port(9902), port(9901)] }],
        },
        annotations: { 'postern.dev/upstream-port': '8080' },
        says: [
          /^spec\.containers\.1\.ports\.0\.containerPort: port 8443 is .* postern\.dev\/port$/,
          /^spec\.containers\.1\.ports\.1\.containerPort: port 9902 is .* postern\.dev\/health-port$/,
          /^spec\.containers\.1\.ports\.2\.containerPort: port 9901 is /,
        ],
      },
      {
        name: 'a port of the node that is taken',
        spec: { hostNetwork: true, containers: [workload({ ports: [port(8443)] })] },
        annotations: { 'postern.dev/upstream-port': '8080' },
        says: [/port 8443 of the node is the sidecar's/],
      },
      {
        name: 'the port of the workload for the sidecar',
        annotations: { 'postern.dev/upstream-port': '8443' },
        says: [/port 8443 cannot be the sidecar's and the workload's/],
      },
      {
        name: 'two ports of the sidecar that are one',
        annotations: { 'postern.dev/port': '9902' },
        says: [/needs three ports of its own/],
      },
      {
        name: 'a container and a volume that have our names',
        spec: {
          containers: [workload({ name: 'postern' })],
          volumes: [{ name: 'postern-agent', emptyDir: {} }],
        },
        says: [
          /^spec\.containers\.0\.name: a container is named/,
          /^spec\.volumes\.0\.name: a volume/,
        ],
      },
      {
        name: 'ports and a grace period that are none, all at once',
        spec: {
          containers: [workload({ ports: [{ containerPort: '8080' }, {}] })],
          initContainers: [{ name: 'a', ports: [port(65_536)] }],
          terminationGracePeriodSeconds: 1.5,
        },
        says: [
          /^spec\.terminationGracePeriodSeconds: 1\.5 is not a whole number of seconds/,
          /^spec\.containers\.0\.ports\.0\.containerPort: "8080" is not a port, expected a number/,
          /^spec\.containers\.0\.ports\.1\.containerPort: nothing is not a port/,
          /^spec\.initContainers\.0\.ports\.0\.containerPort: 65536 is not a port/,
        ],
      },
      {
        name: 'limits below what is asked for, in any unit',
        annotations: {
          'postern.dev/cpu-request': '0.5',
          'postern.dev/cpu-limit': '499m',
          'postern.dev/memory-request': '1Gi',
          'postern.dev/memory-limit': '1073M',
        },
        says: [
          /cpu 0\.5 above its limit of 499m, expected postern\.dev\/cpu-request/,
          /memory 1Gi above its limit of 1073M/,
        ],
      },
      {
        name: 'Windows',
        spec: { os: { name: 'windows' } },
        says: [/^spec\.os\.name: .*Linux only/],
      },
      {
        name: 'a redirection on the network of the node',
        spec: { hostNetwork: true },
        annotations: { 'postern.dev/redirect': 'true' },
        says: [/^spec\.hostNetwork: a redirection/],
      },
      {
        name: 'a redirection of what the kubelet probes',
        spec: {
          containers: [
            workload({
              livenessProbe: { httpGet: { port: 'http' } },
              readinessProbe: { grpc: { port: 8080 } },
              startupProbe: { httpGet: { port: 8081 } },
              lifecycle: { preStop: { httpGet: { port: 8080 } } },
            }),
          ],
          initContainers: [{ name: 'a', startupProbe: { httpGet: { port: 8080 } } }],
        },
        annotations: { 'postern.dev/redirect': 'true' },
        says: [
          /livenessProbe\.httpGet\.port/,
          /readinessProbe\.grpc\.port/,
          /preStop\.httpGet\.port/,
          /initContainers\.0\.startupProbe\.httpGet\.port/,
        ],
      },
      {
        name: 'values of annotations that are none, all at once',
        annotations: { 'postern.dev/port': '99999', 'postern.dev/protocol': 'udp' },
        says: [
          /^metadata\.annotations\.postern\.dev\/port: "99999" is not a port/,
          /^metadata\.annotations\.postern\.dev\/protocol: "udp" is not http or tcp/,
        ],
      },
      {
        name: 'what is no pod',
        spec: { containers: 'x' },
        says: [/^spec\.containers: is not a list/],
      },
      {
        name: 'a record that it did not write',
        annotations: { 'postern.dev/injected': '{"volumes":1}' },
        says: [/^metadata\.annotations\.postern\.dev\/injected: is not what an injection wrote/],
      },
    ]
    for (const { name, spec, annotations, says } of cases) {
      it(name, () => {
        const problems = refusal(podWith(spec, annotations))
        assert.equal(problems.length, says.length, problems.join('\n'))
        for (const [i, pattern] of says.entries()) assert.match(problems[i] ?? '', pattern)
      })
    }

    it('a job that a plain container would keep from ending, and takes it as a native one', () => {
      const job = podWith({ restartPolicy: 'OnFailure' })
      assert.match(refusal(job, optionsWith({}, old)).join(), /^spec\.restartPolicy: .*1\.29/)
      assert.equal(containerOf(injected(job))['restartPolicy'], 'Always')
    })
  })

  it('warns of annotations that mean nothing, with what was probably meant', () => {
    const injection = injectPod(
      podWith({}, { 'postern.dev/upstream-prot': '1', 'postern.dev/zzz': '1', 'other/port': '1' }),
      optionsWith(),
    )
    assert.ok(injection.kind === 'injected')
    assert.deepEqual(
      injection.warnings.map(({ message }) => message),
      [
        'postern.dev/upstream-prot is not a known annotation, did you mean postern.dev/upstream-port',
        'postern.dev/zzz is not a known annotation, docs/kubernetes.md lists them',
      ],
    )
  })

  it('redirects before it serves, with the rights for that in one container only', () => {
    const pod = injected(podWith({}, { 'postern.dev/redirect': 'true' }))
    assert.deepEqual(namesOf(mapAt(pod, 'spec')['initContainers']), ['postern-redirect', 'postern'])
    assert.deepEqual(environmentOf(containerOf(pod, 'postern-redirect')), {
      POSTERN_REDIRECT_FROM: '8080',
      POSTERN_REDIRECT_TO: '8443',
    })
    assert.deepEqual(mapAt(containerOf(pod), 'securityContext')['capabilities'], { drop: ['ALL'] })
  })
})

describe('taking the sidecar out', () => {
  const pods: { name: string; pod: JsonMap }[] = [
    { name: 'a plain pod', pod: podWith() },
    { name: 'one without metadata', pod: { spec: { containers: [workload()] } } },
    {
      name: 'one that has everything already',
      pod: podWith(
        {
          initContainers: [{ name: 'migrate' }],
          volumes: [{ name: 'data' }],
          terminationGracePeriodSeconds: 5,
        },
        { other: 'x' },
      ),
    },
    { name: 'one with empty lists', pod: podWith({ initContainers: [], volumes: [] }, {}) },
    {
      name: 'one with keys that have no value',
      pod: {
        metadata: { annotations: null },
        spec: { ...mapAt(podWith(), 'spec'), initContainers: null, volumes: null },
      },
    },
    { name: 'one whose metadata have none', pod: { ...podWith(), metadata: null } },
  ]
  for (const { name, pod } of pods) {
    for (const [how, options] of [
      ['native', optionsWith()],
      ['plain', optionsWith({ redirect: true, keys: 'k', config: 'c' }, old)],
    ] as const) {
      it(`gives ${name} back as it was (${how})`, () => {
        const ejection = ejectPod(injected(pod, options))
        assert.ok(ejection.kind === 'ejected')
        assert.deepEqual(ejection.template, pod)
      })
    }
  }

  it('keeps what came to the pod in the meantime', () => {
    const pod = injected(podWith()) as { spec: { volumes: Json[] }; metadata: object }
    pod.spec.volumes.push({ name: 'later' })
    const ejection = ejectPod(pod as unknown as JsonMap)
    assert.ok(ejection.kind === 'ejected')
    assert.deepEqual(mapAt(ejection.template, 'spec')['volumes'], [{ name: 'later' }])
  })

  it('does nothing to a pod that has none', () => {
    assert.equal(ejectPod(podWith()).kind, 'unchanged')
  })
})

function namesOf(list: unknown): unknown[] {
  return (list as { name: string }[]).map(({ name }) => name)
}

function withContainer(template: JsonMap, added: JsonMap): JsonMap {
  const spec = mapAt(template, 'spec')
  return { ...template, spec: { ...spec, containers: [...listAt(spec, 'containers'), added] } }
}
