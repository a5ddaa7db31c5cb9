import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { FoundProxy } from './proxies/proxy.ts'

/** Asks a program for its version; undefined when it is not there. */
export async function versionOf(
  command: string,
  options: readonly string[],
  shape: RegExp,
): Promise<FoundProxy | undefined> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, options)
    const version = shape.exec(stdout + stderr)?.[1]
    return version === undefined ? undefined : { command, version }
  } catch {
    return undefined
  }
}
