import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { readTextFile } from '../config/read-file.ts'
import {
  largestSidecarConfig,
  parseSidecarConfig,
  type SidecarConfig,
} from '../config/sidecar-config.ts'
import type { Terminal } from './terminal.ts'

/** The default of `--config`. Every setting has a default and a variable, so that only this file may be missing. */
const defaultConfigFile = 'postern.yaml'

/** Reads postern.yaml with the environment applied. Throws `PosternError` with everything that is wrong. */
export function loadConfig(file: string, terminal: Terminal): SidecarConfig {
  const path = resolve(file)
  const isLeftOut = file === defaultConfigFile && !existsSync(path)
  const text = isLeftOut ? '' : readTextFile(path, largestSidecarConfig)
  return parseSidecarConfig(text, path, terminal.env)
}
