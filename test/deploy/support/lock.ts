import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A package as package-lock.json has it. */
export interface LockedPackage {
  readonly version: string
  readonly dev?: boolean
  readonly devOptional?: boolean
}

/** By the path of the package: `node_modules/zod`. */
type Packages = Readonly<Record<string, LockedPackage>>

export function readLock(path: string): { readonly packages: Packages } {
  return JSON.parse(readFileSync(path, 'utf8')) as { packages: Packages }
}

/** What an installation without dev dependencies holds. */
export function productionPackages(): Packages {
  const { packages } = readLock(join(import.meta.dirname, '../../../package-lock.json'))
  const wanted = Object.entries(packages).filter(
    ([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true,
  )
  return Object.fromEntries(wanted)
}
