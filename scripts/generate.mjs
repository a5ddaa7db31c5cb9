/**
 * Generates src/workload-api/generated from proto/workload.proto. With --check it generates into a temporary folder and
 * exits 1 when the committed code differs, so that nobody edits generated code or forgets to generate it again.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const committed = join(root, 'src/workload-api/generated')

const options = [
  'outputServices=grpc-js',
  'esModuleInterop=true',
  'env=node',
  'importSuffix=.ts',
  'outputJsonMethods=false',
  'outputPartialMethods=false',
  'useOptionals=none',
  'forceLong=string',
  'enumsAsLiterals=true',
  'useMapType=true',
]

if (process.argv.includes('--check')) check()
else regenerate()

function regenerate() {
  rmSync(committed, { recursive: true, force: true })
  mkdirSync(committed, { recursive: true })
  generateInto(committed)
}

function check() {
  const fresh = mkdtempSync(join(tmpdir(), 'postern-generate-'))
  try {
    generateInto(fresh)
    const different = differences(committed, fresh)
    if (different.length === 0) return
    console.error(`src/workload-api/generated is not what proto/workload.proto generates:`)
    for (const line of different) console.error(`  ${line}`)
    console.error('run: npm run generate')
    process.exitCode = 1
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function generateInto(folder) {
  const protoc = join(root, 'node_modules/protoc/protoc.cjs')
  const plugin = join(root, 'node_modules/.bin/protoc-gen-ts_proto')
  const args = [
    protoc,
    '-I',
    join(root, 'proto'),
    `--plugin=${plugin}`,
    `--ts_proto_out=${folder}`,
    `--ts_proto_opt=${options.join(',')}`,
    'workload.proto',
  ]
  execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
}

/** One line for each file that only one folder holds or that differs. */
function differences(have, want) {
  const names = new Set([...filesOf(have), ...filesOf(want)])
  return [...names].sort().flatMap((name) => {
    const [left, right] = [textOf(join(have, name)), textOf(join(want, name))]
    if (left === undefined) return [`missing: ${name}`]
    if (right === undefined) return [`not generated any more: ${name}`]
    return left === right ? [] : [`differs: ${name}`]
  })
}

function filesOf(folder) {
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
}

function textOf(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
