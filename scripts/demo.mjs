/**
 * `npm run demo`: plays every kind of caller against one sidecar. Builds dist/ first when it is missing or older than what
 * it is built from, then becomes `postern demo`, so that Ctrl-C, colours and the exit code are the program's own.
 * `npm run demo -- --keep` stays and prints commands to try.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const program = join(root, 'dist/bin/postern.js')

if (isStale()) build()
process.argv.splice(1, 1, program, 'demo')
await import(pathToFileURL(program).href)

/** The compiler writes every file anew, so that any one of them tells the age of all. */
function isStale() {
  const built = statSync(program, { throwIfNoEntry: false })
  return built === undefined || newestSource() > built.mtimeMs
}

function newestSource() {
  const sources = readdirSync(join(root, 'src'), { recursive: true }).map((name) =>
    join('src', name),
  )
  const times = [...sources, 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'].map(
    (name) => statSync(join(root, name)).mtimeMs,
  )
  return Math.max(...times)
}

function build() {
  process.stderr.write('building dist/ ...\n')
  runNode('scripts/clean.mjs', 'dist')
  runNode('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
}

/** The demo's output is on stdout alone. */
function runNode(script, ...options) {
  const all = [join(root, script), ...options]
  const { status } = spawnSync(process.execPath, all, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status === 0) return
  process.stderr.write(`building dist/ failed: ${script} ended with exit code ${status}\n`)
  process.exit(1)
}
