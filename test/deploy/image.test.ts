import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { version } from '../../src/bin/version.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { DevAgent } from '../../src/dev/dev-agent.ts'
import { defaultSettings } from '../../src/injector/pod/settings.ts'
import { runProgram } from '../e2e/support/programs.ts'
import { PosternProcess, temporaryDirectory } from '../support/postern-process.ts'
import { skip } from '../support/skip.ts'
import { dockerIgnore, execForm, parseDockerfile, type Stage } from './support/dockerfile.ts'
import { productionPackages, readLock } from './support/lock.ts'
import { buildStage, filesBelow } from './support/image-build.ts'

const checkout = join(import.meta.dirname, '../..')
const read = (name: string) => readFileSync(join(checkout, name), 'utf8')

const stages = parseDockerfile(read('Dockerfile'))
const isSent = dockerIgnore(read('.dockerignore'))
const entrypoint = wordsOf('postern', 'ENTRYPOINT')
const command = wordsOf('postern', 'CMD')
const healthCommand = wordsOf('postern', 'HEALTHCHECK')
const user = defaultSettings.user

describe('the Dockerfile', () => {
  it('pins each base to a version', () => {
    for (const { base } of stages)
      assert.match(base, /^(node:\d+\.\d+|debian:\d+)\.\d+-(\S+-)?slim$/)
  })

  it('builds the sidecar when no target is named', () => {
    assert.equal(stages.at(-1)?.name, 'postern')
  })

  it('has the user, the signal, the versions and the command that the injector counts on', () => {
    assert.equal(textOf('postern', 'USER'), `${user}:${user}`)
    assert.equal(textOf('postern', 'STOPSIGNAL'), 'SIGTERM')
    assert.deepEqual(command, ['run'])
    for (const name of ['postern', 'postern-redirect']) {
      assert.equal(textOf(name, 'ARG'), `VERSION=${version()}`)
      assert.match(textOf(name, 'LABEL'), /image\.version="\$\{VERSION\}"/)
      assert.match(textOf(name, 'LABEL'), /image\.licenses="Apache-2\.0"/)
    }
  })

  it('needs no shell at run time, and asks for health by the program itself', () => {
    assert.equal(
      stageOf('postern').instructions.some(({ name }) => name === 'RUN'),
      false,
    )
    assert.deepEqual(healthCommand.slice(0, entrypoint.length), entrypoint)
    assert.deepEqual(healthCommand.slice(entrypoint.length), ['check', '--live', '--files-only'])
  })

  it('takes the settings of OpenSSL from the file that it copies', () => {
    const texts = stageOf('postern').instructions.map(({ text }) => text)
    assert.ok(texts.includes('OPENSSL_CONF=/opt/postern/openssl.cnf'))
    assert.ok(texts.some((text) => text.endsWith(' deploy/openssl.cnf /opt/postern/')))
    assert.ok(isSent('deploy/openssl.cnf'))
  })

  it('gives the redirecting init container what its script calls', () => {
    assert.match(textOf('postern-redirect', 'RUN'), /apt-get install .* iptables( |$)/)
  })

  it('sends the engine what is copied, and nothing private', () => {
    for (const path of ['package-lock.json', 'src/bin/postern.ts', 'scripts/clean.mjs', '.npmrc']) {
      assert.ok(isSent(path), path)
    }
    for (const path of ['node_modules/zod/package.json', '.git/config', 'test/a.ts', 'key.pem']) {
      assert.ok(!isSent(path), path)
    }
  })
})

describe('the image', function () {
  this.timeout(10 * 60_000)
  let directory = ''
  let root = ''
  let program = ''

  before(async function () {
    if (process.getuid?.() !== 0) skip(this, 'only root can start it as another user')
    directory = await temporaryDirectory()
    root = await buildStage('postern', { stages, context: checkout, isSent, directory })
    program = join(root, entrypoint[1] ?? '')
    chmodSync(directory, 0o755)
    await lock(root)
  })

  after(() => rmSync(directory, { recursive: true, force: true }))

  it('holds the program and its dependencies, and nothing else', async () => {
    const files = await filesBelow(root)
    const bytes = [...files.values()].reduce((sum, size) => sum + size, 0)
    console.log(`      ${files.size} files, ${(bytes / 2 ** 20).toFixed(1)} MiB above the base`)
    const inOpt = readdirSync(join(root, 'opt/postern')).sort()
    assert.deepEqual(inOpt, ['LICENSE', 'dist', 'node_modules', 'openssl.cnf', 'package.json'])
    assert.deepEqual(
      installedPackages(join(root, 'opt/postern/node_modules')),
      Object.keys(productionPackages()).sort(),
    )
  })

  it('is ready as another user on files that nobody may write', async () => {
    const before = await filesBelow(root)
    const { place, env, agent } = await surroundings()
    try {
      const startMs = performance.now()
      const options = { files: {}, directory: place, starter: asUser, program, env }
      await using postern = await PosternProcess.start({ ...options, args: command })
      const readyMs = performance.now() - startMs
      console.log(`      ready ${readyMs.toFixed(0)} ms after its start`)
      assert.equal(userOf(postern.pid), user)

      const health = await askHealth(place, {
        ...env,
        POSTERN_HEALTH_LISTEN: `127.0.0.1:${postern.healthPort}`,
        POSTERN_ADMIN_LISTEN: `127.0.0.1:${postern.adminPort}`,
      })
      assert.equal(health.code, 0, health.stdout + health.stderr)
      assert.match(health.stdout, / the sidecar at \S+ is ready$/m)

      postern.signal('SIGTERM')
      assert.equal(await postern.exited, 0)
    } finally {
      await agent.close()
    }
    assert.deepEqual(await filesBelow(root), before)
  })

  it('is unhealthy where no sidecar runs', async () => {
    const { place, env, agent } = await surroundings()
    await agent.close()
    const { code, stdout } = await askHealth(place, {
      ...env,
      POSTERN_HEALTH_LISTEN: '127.0.0.1:1',
      POSTERN_ADMIN_LISTEN: '127.0.0.1:2',
    })
    assert.equal(code, 2, stdout)
    assert.match(stdout, / the sidecar at 127\.0\.0\.1:1 does not answer/)
  })

  let places = 0

  /** The files of a sidecar, which its user may read, and an agent whose socket it may open. */
  async function surroundings() {
    const place = join(directory, `place-${++places}`)
    mkdirSync(place)
    writeFileSync(join(place, 'products.yaml'), products)
    const socketPath = join(place, 'agent.sock')
    const agent = await startAgent(socketPath)
    chmodSync(socketPath, 0o666)
    const env = {
      SPIFFE_ENDPOINT_SOCKET: `unix://${socketPath}`,
      POSTERN_PRODUCTS: join(place, 'products.yaml'),
      POSTERN_INBOUND_LISTEN: '127.0.0.1:0',
      POSTERN_HEALTH_LISTEN: '127.0.0.1:0',
      POSTERN_ADMIN_LISTEN: '127.0.0.1:0',
      POSTERN_DRAIN_DELAY: '0s',
      NODE_ENV: 'production',
    }
    return { place, env, agent }
  }

  /** What HEALTHCHECK runs, which must be the same program. */
  function askHealth(cwd: string, env: Readonly<Record<string, string>>) {
    const [, script = '', ...args] = healthCommand
    const [setpriv = '', ...rest] = asUser
    return runProgram(setpriv, [...rest, process.execPath, join(root, script), ...args], {
      cwd,
      env,
    })
  }
})

const asUser = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs']

const products = `version: 1
products:
  checkout:
    callers: [{ spiffeId: spiffe://corp.example/checkout }]
`

async function startAgent(socketPath: string): Promise<DevAgent> {
  const trustDomains = ['corp.example']
  const agent = await DevAgent.start({ clock: systemClock, logger: silentLogger, trustDomains })
  await agent.listen({ socketPath, spiffeId: 'spiffe://corp.example/sidecar' })
  return agent
}

function stageOf(name: string): Stage {
  const stage = stages.find((candidate) => candidate.name === name)
  assert.ok(stage, `no stage ${name}`)
  return stage
}

/** Of the first instruction of that name. */
function textOf(stage: string, name: string): string {
  const instruction = stageOf(stage).instructions.find((candidate) => candidate.name === name)
  assert.ok(instruction, `no ${name} in ${stage}`)
  return instruction.text
}

/** The exec form: the words that the engine starts, without a shell. */
function wordsOf(stage: string, name: string): readonly string[] {
  const words = execForm(textOf(stage, name).replace(/^CMD\s+/, ''))
  assert.ok(words, `${name} is in the shell form`)
  return words
}

/** Nobody may write, not even its owner; everybody may read. */
async function lock(root: string): Promise<void> {
  const { code, stderr } = await runProgram('chmod', ['-R', 'a-w,a+rX', root])
  assert.equal(code, 0, stderr)
}

function userOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])
}

/** The paths of packages below node_modules, as package-lock.json has them. */
function installedPackages(nodeModules: string): string[] {
  const { packages } = readLock(join(nodeModules, '.package-lock.json'))
  return Object.keys(packages).sort()
}
