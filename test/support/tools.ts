import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where an outside tool is: in the project's tool cache or on the PATH; undefined: nowhere. */
export function findTool(command: string): string | undefined {
  const folders = [
    process.env['POSTERN_TOOLS_BIN'],
    ...(process.env['PATH'] ?? '').split(delimiter),
  ]
  return folders
    .filter((folder): folder is string => folder !== undefined && folder !== '')
    .map((folder) => join(folder, command))
    .find((path) => existsSync(path))
}
