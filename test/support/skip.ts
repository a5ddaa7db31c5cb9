import type { Context, Hook, Test } from 'mocha'

/**
 * Skips the running test, or from a `before` hook its whole suite, with a reason that the reporter prints. Under
 * CI=true a missing tool is a failure, not a skip: the project's own script installs every tool that a registry holds.
 */
export function skip(context: Context, reason: string): never {
  for (const test of skippedTests(context)) test.title += ` [skipped: ${reason}]`
  return context.skip()
}

/** Skips because an outside tool is not on this machine; under CI=true this is an error. */
export function skipMissingTool(context: Context, tool: string): never {
  if (process.env['CI'] === 'true') throw new Error(`${tool} is missing; npm run tools installs it`)
  return skip(context, `${tool} is not installed`)
}

/** Mocha reports the tests that a hook skips, never the hook. */
function skippedTests(context: Context): readonly Test[] {
  const runnable = context.runnable() as Test | Hook
  if (runnable.type === 'test') return [runnable]
  return runnable.title.startsWith('"before each"')
    ? [context.currentTest].filter((test) => test !== undefined)
    : testsOf(runnable)
}

function testsOf(hook: Hook): readonly Test[] {
  const tests: Test[] = []
  hook.parent?.eachTest((test) => tests.push(test))
  return tests
}
