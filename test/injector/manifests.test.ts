import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { parse, parseAllDocuments } from 'yaml'
import { ConfigError } from '../../src/config/problem.ts'
import type { JsonMap } from '../../src/injector/json.ts'
import {
  ejectManifests,
  injectManifests,
  type ManifestOptions,
} from '../../src/injector/manifest/inject-manifests.ts'
import { containerOf, injected, optionsWith } from './support/pods.ts'

const options: ManifestOptions = { ...optionsWith(), renamesPorts: false }
const renaming: ManifestOptions = { ...options, renamesPorts: true }
const redirecting: ManifestOptions = {
  ...optionsWith({ redirect: true, keys: 'k' }, { hasNativeSidecars: false }),
  renamesPorts: false,
}

function inject(text: string, how = options): string {
  return injectManifests([{ name: 'app.yaml', text }], how).texts[0] ?? ''
}

function eject(text: string): string {
  return ejectManifests([{ name: 'app.yaml', text }]).texts[0] ?? ''
}

/** Every line of the text stands in the other, in the same order. */
function assertOnlyAdded(text: string, other: string): void {
  let from = 0
  for (const line of text.split('\n')) {
    const at = other.split('\n').indexOf(line, from)
    assert.ok(at !== -1, `missing: ${line}`)
    from = at + 1
  }
}

function problemsOf(...texts: readonly string[]): string[] {
  const sources = texts.map((text, index) => ({ name: `${index}.yaml`, text }))
  try {
    injectManifests(sources, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

const deployment = `# The shop's API
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api # not the old one
  namespace: shop
spec:
  replicas:   2
  selector: { matchLabels: {app: api} }
  template:
    metadata:
      labels: {"app": 'api'}
    spec:
      # all that it has
      containers:
        # the workload
        - name: api
          image: "example/api:1" # pinned
          args: ["--text"]
          ports:
            - { name: http, containerPort: 8080 }

      # to the end
---
# not ours
kind: Unknown
apiVersion: x/v1
on:   [ yes,no ]
`

const service = `apiVersion: v1
kind: Service
metadata:
  name: api
  namespace: shop
spec:
  selector: {app: api}
  ports:
  - name: https
    port: 443
    targetPort: http
  - port: 8080
  - { port: 9, targetPort: 9000 }
`

describe('injecting manifests', () => {
  it('adds lines and changes none', () => {
    const text = inject(deployment)
    assertOnlyAdded(deployment, text)
    const [first] = parseAllDocuments(text)
    const template = (first?.toJS() as { spec: { template: JsonMap } }).spec.template
    const before = (parseAllDocuments(deployment)[0]?.toJS() as { spec: { template: JsonMap } })
      .spec
    assert.deepEqual(template, injected(before.template))
  })

  it('puts an init container above the comments of the first', () => {
    const text = inject(
      deployment.replace(
        '      # all that it has\n',
        '      initContainers: # first\n        # its own\n        - name: migrate\n          image: m:1\n',
      ),
    )
    assert.match(
      text,
      /initContainers: # first\n {8}- name: postern\n[^]*\n {8}# its own\n {8}- name: migrate\n/,
    )
  })

  for (const { kind, version, path } of [
    { kind: 'Pod', version: 'v1', path: [] },
    { kind: 'Deployment', version: 'apps/v1', path: ['spec', 'template'] },
    { kind: 'StatefulSet', version: 'apps/v1', path: ['spec', 'template'] },
    { kind: 'DaemonSet', version: 'apps/v1', path: ['spec', 'template'] },
    { kind: 'ReplicaSet', version: 'apps/v1', path: ['spec', 'template'] },
    { kind: 'Job', version: 'batch/v1', path: ['spec', 'template'] },
    { kind: 'CronJob', version: 'batch/v1', path: ['spec', 'jobTemplate', 'spec', 'template'] },
  ]) {
    const pod = { spec: { containers: [{ name: 'a', ports: [{ containerPort: 80 }] }] } }
    const nested = path.reduceRight<object>((inner, key) => ({ [key]: inner }), pod)
    const resource = { apiVersion: version, kind, metadata: { name: 'x' }, ...nested }

    it(`knows a ${kind}, also in a List, and in JSON`, () => {
      const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [resource] }, null, 2)
      const done = inject(text)
      const { items } = JSON.parse(done) as { items: JsonMap[] }
      const template = path.reduce<JsonMap>((parent, key) => parent[key] as JsonMap, items[0] ?? {})
      assert.equal(containerOf(template)['name'], 'postern')
      assert.equal(inject(done), done)
      assert.equal(eject(done), text)
    })
  }

  for (const { name, text } of [
    {
      name: 'a kind of another group',
      text: 'apiVersion: x/v1\nkind: Deployment\nspec: { template: {} }\n',
    },
    { name: 'nothing', text: '' },
    { name: 'comments only', text: '# nothing\n---\n# here\n' },
    { name: 'a scalar', text: 'hello\n' },
    { name: 'a pod that says no', text: podText({ annotations: 'postern.dev/inject: "false"' }) },
  ]) {
    it(`leaves ${name} as it is`, () => assert.equal(inject(text), text))
  }

  for (const [name, spaces, comment] of [
    ['a key without a value', '', ''],
    ['a key without a value and a comment', '', '   # none'],
    ['an empty list with spaces in it', ' [ ]', ' # none'],
  ] as const) {
    for (const eol of ['\n', '\r\n']) {
      it(`fills ${name}, and empties it again (${JSON.stringify(eol)})`, () => {
        const map = spaces.replace('[', '{').replace(']', '}')
        const grace = spaces === '' ? `  terminationGracePeriodSeconds:${comment}\n` : ''
        const text = `apiVersion: v1
kind: Pod
metadata:
  annotations:${map}${comment}
  labels: { app: a }
spec:
  initContainers:${spaces}${comment}
${grace}  containers:
    - ports: [{ containerPort: 8080 }]
  volumes:${spaces}${comment}
---
apiVersion: v1
kind: Service
metadata:
  annotations:${map}${comment}
  name: a
spec: { selector: { app: a }, ports: [{ port: 80, targetPort: 8080 }] }
`.replaceAll('\n', eol)
        const how = {
          ...renaming,
          ...optionsWith({ drainTimeout: { text: '1m', seconds: 60 } }),
        }
        const once = inject(text, how)
        assert.match(once, /terminationGracePeriodSeconds: 65/)
        assert.match(once, /target-ports/)
        assert.equal(inject(once, how), once)
        assert.equal(eject(once), text)
      })
    }
  }

  it('has no warning of Node for keys that are no words', async () => {
    const warnings: Error[] = []
    const listener = (warning: Error) => void warnings.push(warning)
    process.on('warning', listener)
    const text = 'kind: Unknown\n? [a, b]\n: { .Values.image }\n'
    assert.equal(inject(text), text)
    await setImmediate()
    process.off('warning', listener)
    assert.deepEqual(warnings, [])
  })

  it('refuses a null that is written out, which it could not write again as it was', () => {
    const text = podText({ port: 8080 }).replace('spec:\n', 'spec:\n  volumes: ~\n')
    assert.match(
      problemsOf(text).join(),
      /^0\.yaml:\d+:\d+: cannot be changed: it is null, expected/,
    )
  })

  it('reports all that cannot be injected at once, each with its place', () => {
    const noPort = deployment.replace(/ +ports:\n.*\n/, '')
    const taken = podText({ port: 8443 })
    assert.deepEqual(
      problemsOf(
        `${noPort}---\n${taken}`,
        'a: [\n',
        podText({ annotations: 'postern.dev/port: 1' }),
      ).map((line) => line.split(':').slice(0, 4).join(':')),
      [
        '1.yaml:2:1: is not valid YAML',
        '2.yaml:6:5: metadata.annotations.postern.dev/port',
        '0.yaml:15:7: spec.template.spec.containers',
        '0.yaml:37:9: spec.containers[0].ports[0].containerPort',
      ],
    )
  })

  it('refuses what is too deep, and aliases without end', () => {
    assert.match(problemsOf('['.repeat(100_000)).join(), /0\.yaml:1:\d+: is nested too deeply/)
    const rows = Array.from({ length: 12 }, (_, i) => `a${i}: &a${i} [${`*a${i - 1},`.repeat(9)}]`)
    assert.match(
      problemsOf(['a: &a [x]', ...rows].join('\n').replaceAll('*a-1', '*a')).join(),
      /alias/i,
    )
  })

  it('refuses to change what other places use too', () => {
    const shared = `apiVersion: v1
kind: Pod
metadata: {name: x}
spec: &spec
  containers: [{name: a, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: y}
spec:
  <<: {containers: [{name: a, ports: [{containerPort: 80}]}]}
`
    const problems = problemsOf(shared)
    assert.equal(problems.length, 2)
    assert.match(problems[0] ?? '', /^0\.yaml:5:3: cannot be changed: .*anchor or alias/)
    assert.match(problems[1] ?? '', /^0\.yaml:11:3: cannot be changed: .*merged/)
  })

  describe('that a Service leads to', () => {
    const notesOf = (how: ManifestOptions, workload = deployment) =>
      injectManifests(
        [
          { name: 'a.yaml', text: workload },
          { name: 's.yaml', text: service },
        ],
        how,
      )

    it('explains which of its ports lead past the sidecar', () => {
      const { notes, texts } = notesOf(options)
      assert.equal(texts[1], service)
      assert.deepEqual(
        notes.map(({ where, path }) => `${where} ${path}`),
        ['s.yaml:9:5 spec.ports[0]', 's.yaml:12:5 spec.ports[1]'],
      )
      assert.match(
        notes[0]?.message ?? '',
        /port 8080 of deployment\/api; point targetPort at 8443/,
      )
    })

    it('points them at the sidecar when asked, and back', () => {
      const { texts } = notesOf(renaming)
      const renamed = texts[1] ?? ''
      const { spec } = parse(renamed) as { spec: { ports: { targetPort: unknown }[] } }
      assert.deepEqual(
        spec.ports.map(({ targetPort }) => targetPort),
        [8443, 8443, 9000],
      )
      assert.equal(eject(renamed), service)
      const again = injectManifests(
        texts.map((text, i) => ({ name: `${i}.yaml`, text })),
        renaming,
      )
      assert.deepEqual(again.texts, texts)
    })

    it('needs nothing of it where the port is redirected', () => {
      assert.deepEqual(notesOf(redirecting).notes, [])
    })

    it('looks at the selector and the namespace', () => {
      const others = [
        deployment.replaceAll('app: api', 'app: other').replace("'api'", "'other'"),
        deployment.replace('namespace: shop', 'namespace: other'),
      ]
      for (const other of others) assert.deepEqual(notesOf(options, other).notes, [])
    })

    it('leaves a Service that selects nothing as it is', () => {
      for (const none of ['', '  selector: {}\n', '  selector:\n']) {
        const text = service.replace('  selector: {app: api}\n', none)
        const all = [deployment, text].map((one, i) => ({ name: `${i}.yaml`, text: one }))
        const { texts, notes } = injectManifests(all, renaming)
        assert.deepEqual([texts[1], notes], [text, []])
      }
    })
  })

  it('is undone byte for byte, and done once, in every way of writing', () => {
    fc.assert(
      fc.property(manifestText, fc.constantFrom(options, redirecting, renaming), (text, how) => {
        const once = inject(text, how)
        assert.notEqual(once, text)
        assert.equal(inject(once, how), once)
        assert.equal(eject(once), text)
      }),
      { numRuns: 60 },
    )
  })
})

/** A Pod on a few lines. */
function podText({
  annotations = 'x: y',
  port = 80,
}: {
  annotations?: string
  port?: number
}): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: x
  annotations:
    ${annotations}
spec:
  containers:
    - ports:
      - containerPort: ${port}
`
}

/** Manifests as people write them: indentation, comments, block and flow, line ends, and a last line without one. */
const manifestText = fc
  .record({
    listIndent: fc.constantFrom('', '  '),
    eol: fc.constantFrom('\n', '\r\n'),
    endsWithEol: fc.boolean(),
    comments: fc.boolean(),
    annotations: fc.constantFrom('none', 'block', 'flow', 'empty'),
    volumes: fc.constantFrom('none', 'block', 'flow', 'empty'),
    init: fc.constantFrom('none', 'block', 'flow'),
    grace: fc.boolean(),
    last: fc.constantFrom('metadata', 'spec'),
    second: fc.boolean(),
    literal: fc.boolean(),
  })
  .map((style) => {
    const { listIndent: list } = style
    const comment = style.comments ? ['      # a comment', ''] : []
    const annotations = {
      none: [],
      block: ['      annotations:', '        a: b # c'],
      flow: ['      annotations: { a: b }'],
      empty: ['      annotations: {}'],
    }[style.annotations]
    const volumes = {
      none: [],
      block: ['      volumes:', `      ${list}- name: data`, `      ${list}  emptyDir: {}`],
      flow: ['      volumes: [{ name: data }]'],
      empty: ['      volumes: []'],
    }[style.volumes]
    const init = {
      none: [],
      block: ['      initContainers:', ...comment, `      ${list}- name: migrate`],
      flow: ['      initContainers: [ { name: migrate } ] # one'],
    }[style.init]
    const metadata = ['    metadata:', '      labels:', '        app: api', ...annotations]
    const spec = [
      '    spec:',
      ...init,
      ...volumes,
      ...(style.grace ? ['      terminationGracePeriodSeconds: 7 # short'] : []),
      '      containers:',
      `      ${list}- name: api`,
      ...comment,
      ...(style.literal
        ? [`      ${list}  args:`, `      ${list}  - |`, `      ${list}    text`, '']
        : []),
      `      ${list}  ports: [{ containerPort: 8080 }]`,
      ...(style.literal ? ['      hostname: |-', '        text'] : []),
      ...comment,
    ]
    const template = style.last === 'spec' ? [...metadata, ...spec] : [...spec, ...metadata]
    const one = ['apiVersion: apps/v1', 'kind: Deployment', 'spec:', '  template:', ...template]
    const lines = style.second ? [...one, '---', 'kind: Other', '...', '---', ...one] : one
    return lines.join(style.eol) + (style.endsWithEol ? style.eol : '')
  })
