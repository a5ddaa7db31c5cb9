import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { binFolder } from './tool-cache.mjs'

/** Where PATH finds a command. Our own links are not looked at: they answer for the cache, not for the machine. */
export function findOnPath(command) {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders
    .filter((folder) => folder !== '' && folder !== binFolder())
    .map((folder) => join(folder, command))
    .find(isExecutable)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
