import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Context } from 'mocha'
import { skipMissingTool } from './skip.ts'

/**
 * Where an outside tool is: in the project's tool cache or on the PATH. Where it is nowhere the running test is skipped, or from
 * a `before` hook its whole suite; under CI=true that is an error.
 */
export function requireTool(context: Context, command: string): string {
  return (
    toolFolders()
      .map((folder) => join(folder, command))
      .find(isExecutable) ?? skipMissingTool(context, command)
  )
}

function toolFolders(): readonly string[] {
  const { POSTERN_TOOLS_BIN: bin = '', PATH: path = '' } = process.env
  return [bin, ...path.split(delimiter)].filter((folder) => folder !== '')
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
