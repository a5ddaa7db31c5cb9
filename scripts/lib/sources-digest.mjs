import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Twelve hex digits that follow the names and contents of a folder's files. */
export function sourcesDigest(folder) {
  const digest = createHash('sha256')
  for (const name of readdirSync(folder).sort()) {
    digest.update(`${name}\n`).update(readFileSync(join(folder, name)))
  }
  return digest.digest('hex').slice(0, 12)
}
