import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const script = join(import.meta.dirname, '../../scripts/tools.mjs')

/** What each tool of the distribution says about itself when it is good enough. */
const usableTools = {
  curl: 'Features: HTTP2',
  openssl: 'OpenSSL 3.0.1',
  python3: 'Python 3.11.2',
  nghttp: 'nghttp nghttp2/1.52.0',
  h2load: 'h2load nghttp2/1.52.0',
  promtool: 'promtool, version 2.42.0',
  prometheus: 'prometheus, version 2.42.0',
  faketime: 'faketime: Version 0.9.10',
  shellcheck: 'version: 0.9.0',
  'step-ca': 'Smallstep CA/0.30.2 (linux/amd64)',
  step: 'Smallstep CLI/0.21.0 (linux/amd64)',
  'kube-apiserver': 'Kubernetes v1.34.1',
  etcd: 'etcd Version: 3.4.23',
  ip: 'ip utility, iproute2-6.1.0',
  iptables: 'iptables v1.8.9 (nf_tables)',
  ip6tables: 'ip6tables v1.8.9 (nf_tables)',
  chromium: 'Chromium 150.0.1.1 built on Debian GNU/Linux 12',
  'python-websockets': 'websockets 17.4',
  'python-grpcio': 'grpcio 1.85.1',
  'otelcol-postern': '  otelcol-postern [flags]',
  helm: 'v3.22.0',
  kubeconform: 'v0.7.0',
  'python-kubernetes-validate': 'schemas 1.37.0',
  'prometheus-operator-crds': '/crds',
  'spiffe-peer': '',
  java: 'openjdk 17.0.15 2025-04-15',
}

/** Builds a program that says nothing, and notes what it was asked for. */
const workingGo = `echo "$@" >> "$NOTES"; p="\${2%@*}"; f="$GOBIN/\${p##*/}"; echo '#!/bin/sh' > "$f"; /bin/chmod +x "$f"`

describe('scripts/tools.mjs', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-tools-'))
    mkdirSync(join(folder, 'path'))
    for (const [name, says] of Object.entries(usableTools)) putOnPath(name, `echo '${says}'`)
  })

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  it('builds what is missing once, and prints the folder that holds it', () => {
    putOnPath('go', workingGo)

    const first = tools()
    const second = tools()

    const bin = first.stdout.trim()
    assert.equal(first.status, 0, first.stderr)
    assert.ok(existsSync(join(bin, 'h2spec')))
    assert.ok(existsSync(join(bin, 'grpc-interop-client')))
    assert.ok(existsSync(join(bin, 'grpc-interop-server')))
    assert.equal(second.stdout.trim(), bin)
    assert.equal(second.stderr, '')
    assert.equal(notes().length, 3)
  })

  it('takes a tool from PATH only when it says that it is new enough', () => {
    putOnPath('go', workingGo)
    putOnPath('h2spec', `echo 'Version: 2.6.0'`)
    putOnPath('openssl', `echo 'OpenSSL 1.1.1'`)
    putOnPath('apt-get', `echo "apt $@" >> "$NOTES"; exit 1`)
    putOnPath('sudo', '"$@"')

    const { status, stderr } = tools()

    assert.equal(status, 1)
    assert.match(stderr, /^openssl: /m)
    assert.ok(notes().some((line) => line.startsWith('apt ')))
    assert.ok(!notes().some((line) => line.includes('h2spec')))
  })

  it('names the tool, the command and the end of its output, and goes on with the others', () => {
    putOnPath('go', `case "$2" in *h2spec*) echo 'no such module'; exit 1;; esac; ${workingGo}`)

    const { status, stdout, stderr } = tools()

    assert.equal(status, 1)
    assert.match(stderr, /^h2spec: go install \S+h2spec@\S+: exit code 1\n {2}no such module$/m)
    assert.ok(existsSync(join(stdout.trim(), 'grpc-interop-server')))
    assert.ok(!existsSync(join(stdout.trim(), 'h2spec')))
  })

  it('builds what go install cannot, in a module that replaces its parts', () => {
    const goMod = join(folder, 'kubernetes.mod')
    writeFileSync(
      goMod,
      'module k\ngo 1.24.0\nrequire k8s.io/api v0.0.0\nrequire k8s.io/utils v0.0.0-2\n',
    )
    putOnPath('kube-apiserver', `echo 'Kubernetes v1.20.0'`)
    const build = `/bin/cat go.mod >> "$NOTES"; echo '#!/bin/sh' > "$5"; /bin/chmod +x "$5"`
    putOnPath(
      'go',
      `case "$1 $2" in "mod download") echo '{"GoMod": "${goMod}"}';; "mod tidy") ;; build*) ${build};; *) ${workingGo};; esac`,
    )

    const { status, stdout, stderr } = tools()

    assert.equal(status, 0, stderr)
    assert.ok(existsSync(join(stdout.trim(), 'kube-apiserver')))
    assert.ok(notes().includes('go 1.24.0'))
    assert.ok(notes().includes('replace k8s.io/api => k8s.io/api v0.34.1'))
    assert.ok(!notes().some((line) => line.startsWith('replace k8s.io/utils')))
  })

  it('copies files out of a module, and says where they are', () => {
    putOnPath('prometheus-operator-crds', 'exit 1')
    const files = join(folder, 'module/example/prometheus-operator-crd')
    mkdirSync(files, { recursive: true })
    writeFileSync(join(files, 'podmonitors.yaml'), 'kind: CustomResourceDefinition')
    const answer = JSON.stringify({ Dir: join(folder, 'module') })
    putOnPath('go', `case "$1 $2" in "mod download") echo '${answer}';; *) ${workingGo};; esac`)

    const { status, stdout, stderr } = tools()

    assert.equal(status, 0, stderr)
    const said = spawnSync(join(stdout.trim(), 'prometheus-operator-crds'), { encoding: 'utf8' })
    assert.ok(said.stdout.startsWith(join(folder, 'cache')))
    assert.ok(existsSync(join(said.stdout.trim(), 'podmonitors.yaml')))
  })

  it('builds a program of ours where its sources are, under a version that follows them', () => {
    rmSync(join(folder, 'path/spiffe-peer'))
    const build = `echo "in $PWD" >> "$NOTES"; echo '#!/bin/sh' > "$5"; /bin/chmod +x "$5"`
    putOnPath('go', `case "$1" in build) ${build};; *) ${workingGo};; esac`)

    const { status, stdout, stderr } = tools()

    const sources = join(import.meta.dirname, '../support/spiffe-peer')
    assert.equal(status, 0, stderr)
    assert.ok(notes().includes(`in ${sources}`))
    const built = realpathSync(join(stdout.trim(), 'spiffe-peer'))
    assert.match(built, /\/cache\/spiffe-peer-[0-9a-f]{12}\/spiffe-peer$/)
  })

  it('has the collector built by its own builder, of what the table names', () => {
    putOnPath('otelcol-postern', `echo 'another program'`)
    const builder = join(folder, 'builder.sh')
    const made = 'build/otelcol-postern'
    writeFileSync(
      builder,
      `#!/bin/sh\n/bin/cat "$2" >> "$NOTES"\n/bin/mkdir build\necho '#!/bin/sh' > ${made}\n/bin/chmod +x ${made}\n`,
      { mode: 0o755 },
    )
    putOnPath(
      'go',
      `case "$2" in */builder@*) /bin/cp ${builder} "$GOBIN/builder";; *) ${workingGo};; esac`,
    )

    const { status, stdout, stderr } = tools()

    assert.equal(status, 0, stderr)
    assert.ok(existsSync(join(stdout.trim(), 'otelcol-postern')))
    assert.ok(notes().some((line) => line.includes('receiver/otlpreceiver v0.150.0')))
  })

  it('gives a package of PyPI a Python that finds it, from wherever it is linked', () => {
    putOnPath('go', workingGo)
    putOnPath('python-grpcio', `echo 'No module named grpc'`)
    const pip = `#!/bin/sh\necho "pip $@" >> "$NOTES"\n`
    const own = `#!/bin/sh\necho "$0 $1"\n`
    putOnPath(
      'python3',
      `[ "$1" = --version ] && echo '${usableTools.python3}' && exit; /bin/mkdir -p "$3/bin"
printf '${pip}' > "$3/bin/pip"; printf '${own}' > "$3/bin/python"; /bin/chmod +x "$3/bin/"*`,
    )

    const { status, stdout, stderr } = tools()

    assert.equal(status, 0, stderr)
    assert.ok(notes().includes('pip install --quiet grpcio==1.85.1'))
    const linked = spawnSync(join(stdout.trim(), 'python-grpcio'), ['x'], { encoding: 'utf8' })
    assert.equal(linked.stdout, `${join(folder, 'cache/python-grpcio-1.85.1/bin/python')} x\n`)
  })

  it('starts again after an installation that was interrupted', () => {
    putOnPath('go', workingGo)
    const unfinished = join(folder, 'cache/h2spec-v2.2.1+incompatible')
    mkdirSync(unfinished, { recursive: true })
    writeFileSync(join(unfinished, 'half'), '')

    const { status } = tools()

    assert.equal(status, 0)
    assert.ok(!existsSync(join(unfinished, 'half')))
    assert.ok(existsSync(join(unfinished, 'h2spec')))
  })

  function putOnPath(name: string, code: string): void {
    writeFileSync(join(folder, 'path', name), `#!/bin/sh\n${code}\n`, { mode: 0o755 })
  }

  function tools() {
    const env = {
      PATH: join(folder, 'path'),
      NOTES: join(folder, 'notes'),
      POSTERN_TOOLS_DIR: join(folder, 'cache'),
    }
    return spawnSync(process.execPath, [script], { env, encoding: 'utf8', timeout: 60_000 })
  }

  function notes(): readonly string[] {
    return readFileSync(join(folder, 'notes'), 'utf8').trimEnd().split('\n')
  }
})
