import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Not from run.mjs, which takes the signals: what is started after the build has its own.
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * Builds dist/ when it is missing or older than what it is built from. What the build says goes to stderr; when it fails,
 * this process ends with exit code 1.
 */
export function buildWhenStale() {
  if (!isStale()) return
  process.stderr.write('building dist/ ...\n')
  runNode('scripts/clean.mjs', 'dist')
  runNode('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
  runNode('scripts/copy-page.mjs')
}

/** The compiler writes every file anew, so that any one of them tells the age of all. */
function isStale() {
  const built = statSync(join(root, 'dist/bin/postern.js'), { throwIfNoEntry: false })
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

/** What a script of ours prints on stdout is its own output alone. */
function runNode(script, ...options) {
  const all = [join(root, script), ...options]
  const { status } = spawnSync(process.execPath, all, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status === 0) return
  process.stderr.write(`building dist/ failed: ${script} ended with exit code ${status}\n`)
  process.exit(1)
}
