import type { Context } from 'mocha'

/**
 * Skips the running test or suite with a reason that the reporter prints. Under CI=true a missing tool is a failure,
 * not a skip: the project's own script installs every tool that a registry holds.
 */
export function skip(context: Context, reason: string): never {
  const runnable = context.test ?? context.runnable()
  runnable.title += ` [skipped: ${reason}]`
  return context.skip()
}

/** Skips because an outside tool is not on this machine; under CI=true this is an error. */
export function skipMissingTool(context: Context, tool: string): never {
  if (process.env['CI'] === 'true') throw new Error(`${tool} is missing; npm run tools installs it`)
  return skip(context, `${tool} is not installed`)
}
