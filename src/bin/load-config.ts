import { resolve } from 'node:path'
import { readTextFile } from '../config/read-file.ts'
import { parseSidecarConfig, type SidecarConfig } from '../config/sidecar-config.ts'
import type { Terminal } from './terminal.ts'

const maxConfigBytes = 1024 * 1024

/** Reads postern.yaml with the environment applied. Throws `PosternError` with everything that is wrong. */
export function loadConfig(file: string, terminal: Terminal): SidecarConfig {
  const path = resolve(file)
  return parseSidecarConfig(readTextFile(path, maxConfigBytes), path, terminal.env)
}
