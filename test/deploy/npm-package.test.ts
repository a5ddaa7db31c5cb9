import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { version } from '../../src/bin/version.ts'
import { runProgram } from '../e2e/support/programs.ts'
import { temporaryDirectory } from '../support/postern-process.ts'
import { filesBelow } from './support/image-build.ts'
import { productionPackages } from './support/lock.ts'

const checkout = join(import.meta.dirname, '../..')
const minute = 60_000

describe('the npm package', function () {
  this.timeout(8 * minute)
  let directory = ''
  let packed: { readonly filename: string; readonly files: readonly { readonly path: string }[] }

  before(async () => {
    directory = await temporaryDirectory()
    const stdout = await npm('pack', '--json', '--pack-destination', directory)
    const [first] = Object.values(JSON.parse(stdout) as Record<string, typeof packed>)
    assert.ok(first)
    packed = first
  })

  after(() => rmSync(directory, { recursive: true, force: true }))

  it('holds the program, what it is read with and what it is run with, and nothing else', async () => {
    const single = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
    const folders = ['deploy', 'dist', 'docs', 'examples', 'observability']
    const expected = [...single]
    for (const folder of folders) {
      const files = [...(await filesBelow(join(checkout, folder))).keys()]
      expected.push(...files.map((file) => `${folder}/${file}`))
    }
    const paths = packed.files.map(({ path }) => path)
    assert.deepEqual(paths.toSorted(), expected.filter((path) => !path.endsWith('.map')).sort())
    for (const needed of ['dist/bin/postern.js', 'dist/admin/page/index.html']) {
      assert.ok(paths.includes(needed), needed)
    }
    assert.deepEqual(
      paths.filter((path) => /\.(ts|pem|key|map|tgz|log)$/.test(path)),
      [],
    )
  })

  it('runs where it is installed, with its demo', async () => {
    const empty = join(directory, 'empty')
    await runProgram('mkdir', [empty])
    writeFileSync(join(empty, 'package.json'), '{"private":true}')
    await npm('install', '--ignore-scripts', '--prefix', empty, join(directory, packed.filename))
    assert.deepEqual(readdirSync(join(empty, 'node_modules/postern/dist')).includes('bin'), true)

    const help = await npx(empty, 'postern', '--help')
    assert.match(help, /^Usage: postern /m)
    assert.equal((await npx(empty, 'postern', '--version')).trim(), version())
    const demo = await npx(empty, 'postern', 'demo')
    assert.match(demo, /certificate of a partner's CA +200 +settlement/)
  })

  function npm(...args: readonly string[]): Promise<string> {
    return must(checkout, 'npm', [...args, '--no-audit', '--no-fund'])
  }

  /** Of what is installed there alone: nothing is fetched. */
  function npx(cwd: string, ...args: readonly string[]): Promise<string> {
    return must(cwd, 'npx', ['--no-install', '--', ...args])
  }
})

describe('npm run sbom', function () {
  this.timeout(2 * minute)

  it('lists every dependency of production with its version and hash, in CycloneDX', async () => {
    const bom = JSON.parse(await must(checkout, 'npm', ['run', 'sbom', '--silent'])) as Bom
    assert.equal(bom.bomFormat, 'CycloneDX')
    assert.equal(bom.metadata.component.purl, `pkg:npm/postern@${version()}`)
    const listed = bom.components.map((component) => `${component.name}@${component.version}`)
    const locked = Object.entries(productionPackages()).map(
      ([path, entry]) => `${path.replace(/^.*node_modules\//, '')}@${entry.version}`,
    )
    assert.deepEqual([...new Set(listed)].sort(), [...new Set(locked)].sort())
    for (const { name, hashes } of bom.components) assert.equal(hashes?.[0]?.alg, 'SHA-512', name)
  })
})

describe('docs/releasing.md', () => {
  it('names every place that holds the version', async () => {
    const text = readFileSync(join(checkout, 'docs/releasing.md'), 'utf8')
    const tracked = (await must(checkout, 'git', ['grep', '-lF', version()])).trim().split('\n')
    const holders = tracked.filter((path) => isHolder(path))
    assert.ok(holders.includes('Dockerfile'))
    for (const path of holders) assert.ok(text.includes(path), `${path} holds ${version()}`)
  })
})

/** A place where the version of Postern stands, not one of something else. */
function isHolder(path: string): boolean {
  const text = readFileSync(join(checkout, path), 'utf8')
  const own = version().replaceAll('.', String.raw`\.`)
  return (
    !path.startsWith('test/') &&
    new RegExp(
      `(postern(-redirect)?[:@-]|VERSION=|"postern",\\s+"version": "|[vV]ersion: "?)${own}`,
    ).test(text)
  )
}

interface Bom {
  readonly bomFormat: string
  readonly metadata: { readonly component: { readonly purl: string } }
  readonly components: readonly {
    readonly name: string
    readonly version: string
    readonly hashes?: readonly { readonly alg: string }[]
  }[]
}

/** What it prints; it must end with 0. */
async function must(cwd: string, command: string, args: readonly string[]): Promise<string> {
  const ended = await runProgram(command, args, { cwd, timeoutMs: 5 * minute })
  assert.equal(ended.code, 0, `${command} ${args.join(' ')}:\n${ended.stdout}${ended.stderr}`)
  return ended.stdout
}
