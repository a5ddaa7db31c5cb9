import { findOnPath } from './find-on-path.mjs'
import { installers, linkCommands } from './tool-installers.mjs'
import { isCached, withLock } from './tool-cache.mjs'
import { toolTable } from './tool-table.mjs'
import { run } from './run.mjs'

/**
 * Makes every tool of a table available, one after the other, and resolves to `{ failures, seconds }`: a tool that
 * cannot be had does not keep the others from being installed. Takes what our cache holds, then what PATH holds.
 */
export async function installTools({ say, table = toolTable }) {
  const startMs = Date.now()
  const missing = await missingTools(table)
  const failures = missing.length === 0 ? [] : await withLock(() => installAll(missing, say))
  return { failures, seconds: (Date.now() - startMs) / 1000 }
}

async function missingTools(table) {
  const present = await Promise.all(table.map(isPresent))
  return table.filter((_, index) => !present[index])
}

async function installAll(missing, say) {
  const failures = []
  for (const tool of missing) {
    // Another process may have installed it while we waited for the lock.
    if (await isPresent(tool)) continue
    say(`installing ${tool.name} ${tool.version}: ${tool.whatFor}`)
    const failure = await install(tool)
    if (failure !== undefined) failures.push(`${tool.name}: ${failure}`)
  }
  return failures
}

async function install(tool) {
  try {
    await installers[tool.kind].install(tool)
  } catch (error) {
    return error.message
  }
  return (await isPresent(tool))
    ? undefined
    : `installed, but ${tool.commands.join(', ')} cannot be used`
}

async function isPresent(tool) {
  if (isCached(tool)) {
    linkCommands(tool)
    return true
  }
  const usable = await Promise.all(tool.commands.map((command) => isUsable(command, tool.usable)))
  return usable.every(Boolean)
}

async function isUsable(command, usable) {
  const path = findOnPath(command)
  if (path === undefined || usable === undefined) return path !== undefined
  const { output } = await run(path, usable.options, { timeoutMs: 10_000 })
  return usable.says.test(output)
}
