/**
 * Makes a fresh clone usable: runs `npm ci` when node_modules does not hold what package-lock.json asks for, else
 * does nothing, quietly. `npm test` and `npm run demo` start with it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Nothing here may need a new Node: the sentence about an old one has to come out on that old one.
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const oldestNode = [20, 19]

if (isTooOld(process.versions.node)) {
  fail(`Postern needs Node.js ${oldestNode.join('.')} or newer; this is ${process.versions.node}.`)
}
if (!isInstalled()) install()

function isTooOld(version) {
  const [major, minor] = version.split('.').map(Number)
  return major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])
}

/** npm writes node_modules/.package-lock.json last, so an interrupted installation has none. */
function isInstalled() {
  const wanted = readLock('package-lock.json')
  const present = readLock('node_modules/.package-lock.json')
  if (wanted === undefined || present === undefined) return false
  return Object.entries(wanted.packages)
    .filter(([path]) => path !== '')
    .every(([path, entry]) => isPresent(path, entry, present.packages[path]))
}

/** An optional package is one for another platform; npm leaves it out. */
function isPresent(path, wanted, present) {
  if (present === undefined) return wanted.optional === true
  return present.integrity === wanted.integrity && existsSync(join(root, path, 'package.json'))
}

function readLock(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'))
  } catch {
    return undefined
  }
}

function install() {
  process.stderr.write('installing dependencies (npm ci) ...\n')
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, error } = runNpm(options)
  if (error !== undefined) fail(`npm ci could not be started: ${error.message}`)
  if (status !== 0) fail(`npm ci failed (exit code ${status}); its messages stand above.`)
}

/** npm tells its scripts where it is; outside of npm it is on PATH. Its output is not ours: stdout stays clean. */
function runNpm(options) {
  const npm = process.env.npm_execpath
  const [command, ...before] = npm === undefined ? ['npm'] : [process.execPath, npm]
  return spawnSync(command, [...before, ...options], { cwd: root, stdio: ['ignore', 2, 2] })
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}
