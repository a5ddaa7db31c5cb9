import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { toolTable } from './tool-table.mjs'

const staleLockMs = 30 * 60_000

/** Where tools live: outside the checkout, so that every checkout shares them. */
function toolsFolder() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  return process.env.POSTERN_TOOLS_DIR ?? join(cache, 'postern-tools')
}

/** The folder for PATH. Its name follows the versions: two checkouts with different ones do not disturb each other. */
export function binFolder() {
  const versions = toolTable.map(({ name, version }) => `${name} ${version}`).join('\n')
  const digest = createHash('sha256').update(versions).digest('hex')
  return join(toolsFolder(), `bin-${digest.slice(0, 12)}`)
}

/** The folder of one version of one tool. */
export function folderOf({ name, version }) {
  return join(toolsFolder(), `${name}-${version}`)
}

/** True when the installation came to its end. */
export function isCached(tool) {
  return existsSync(stampOf(tool))
}

/** An empty folder for the tool; whatever an interrupted installation left is gone. */
export function prepareFolder(tool) {
  rmSync(folderOf(tool), { recursive: true, force: true })
  mkdirSync(folderOf(tool), { recursive: true })
}

/** Says that the tool's folder is complete. */
export function markCached(tool) {
  writeFileSync(stampOf(tool), '')
}

/** Puts a command into the folder for PATH. */
export function link(command, target) {
  const path = join(binFolder(), command)
  mkdirSync(binFolder(), { recursive: true })
  if (existsSync(path)) return
  rmSync(path, { force: true })
  symlinkSync(target, path)
}

/** Holds the cache for one process; a lock that a killed process left behind is taken over after half an hour. */
export async function withLock(work) {
  const lock = join(toolsFolder(), 'lock')
  mkdirSync(toolsFolder(), { recursive: true })
  while (!tryLock(lock)) await sleep(500)
  const unlock = () => rmSync(lock, { recursive: true, force: true })
  process.once('exit', unlock)
  try {
    return await work()
  } finally {
    process.off('exit', unlock)
    unlock()
  }
}

function tryLock(lock) {
  try {
    mkdirSync(lock)
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  const lockedMs = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
  if (Date.now() - lockedMs > staleLockMs) rmSync(lock, { recursive: true, force: true })
  return false
}

function stampOf(tool) {
  return join(folderOf(tool), '.complete')
}
