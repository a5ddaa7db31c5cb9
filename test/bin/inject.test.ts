import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeTerminal } from '../support/fake-terminal.ts'

const pod = `apiVersion: v1
kind: Pod
metadata: { name: api }
spec:
  containers:
    - name: api
      ports: [{ containerPort: 8080 }]
`
const service = `apiVersion: v1
kind: Service
metadata: { name: api }
spec: { selector: { a: b }, ports: [{ port: 80 }] }`

describe('postern inject', () => {
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'postern-inject-'))
    await writeFile(join(directory, 'b.yaml'), pod)
    await writeFile(join(directory, 'a.yml'), service)
    await writeFile(join(directory, 'notes.txt'), 'not a manifest: [')
  })

  after(() => rm(directory, { recursive: true }))

  const at = (name: string) => join(directory, name)

  async function inject(args: readonly string[], input = '') {
    const terminal = new FakeTerminal()
    terminal.stdin.end(input)
    // As the commands load their code: an error is of one class on both sides.
    const { createProgram } = await import('../../src/bin/program.ts')
    const { exitCodeOf } = await import('../../src/bin/exit-codes.ts')
    const code = await createProgram(terminal)
      .parseAsync(['inject', ...args], { from: 'user' })
      .then(
        () => ({ code: terminal.exitCode, error: '' }),
        (error: unknown) => ({ code: exitCodeOf(error), error: String(error) }),
      )
    return { ...code, out: terminal.takeOutput(), err: terminal.takeErrors() }
  }

  it('writes a file with the sidecar, and takes it out again from stdin', async () => {
    const injected = await inject(['-f', at('b.yaml')])
    assert.equal(injected.code, 0, injected.error)
    assert.match(injected.out, /- name: postern\n/)
    const back = await inject(['-f', '-', '--uninject'], injected.out)
    assert.equal(back.out, pod)
  })

  it('writes a folder as one stream, and reads nothing that is no manifest', async () => {
    const { code, out, error } = await inject(['-f', directory])
    assert.equal(code, 0, error)
    assert.ok(out.startsWith(`${service}\n---\napiVersion: v1\nkind: Pod\n`))
  })

  it('writes files and notes for programs', async () => {
    const { out } = await inject(['-f', at('b.yaml'), at('a.yml'), '-o', 'json'])
    const { files, notes } = JSON.parse(out) as {
      files: { name: string; text: string }[]
      notes: []
    }
    assert.deepEqual(
      files.map(({ name }) => name),
      [at('b.yaml'), at('a.yml')],
    )
    assert.equal(files[1]?.text, service)
    assert.deepEqual(notes, [])
  })

  it('takes flags for what the annotations of the pod do not say', async () => {
    const flags = [
      '--image',
      'r.example/postern:7',
      '--keys',
      'shop',
      '--kubernetes-version',
      'v1.28.3',
    ]
    const { out, error } = await inject(['-f', at('b.yaml'), ...flags])
    assert.equal(error, '')
    assert.match(out, /image: r\.example\/postern:7\n/)
    assert.match(out, /secretName: shop\n/)
    assert.ok(!out.includes('restartPolicy'))
  })

  it('says where it cannot inject, and writes nothing', async () => {
    const bad = pod.replace('8080', '8443')
    const { code, out, error } = await inject(['-f', '-'], bad)
    assert.equal(code, 64)
    assert.equal(out, '')
    assert.match(
      error,
      /stdin:7:17: spec\.containers\[0\]\.ports\[0\]\.containerPort: port 8443 is/,
    )
  })

  for (const { name, args } of [
    { name: 'no manifest', args: [] },
    { name: 'a file that is not there', args: ['-f', '/nowhere.yaml'] },
    { name: 'a folder without manifests', args: ['-f', import.meta.dirname] },
    { name: 'a port that is none', args: ['-f', '-', '--port', '0'] },
    { name: 'a version that is none', args: ['-f', '-', '--kubernetes-version', 'new'] },
  ]) {
    it(`ends with code 64 for ${name}`, async () => {
      const { code, out } = await inject(args, pod)
      assert.equal(code, 64)
      assert.equal(out, '')
    })
  }
})
