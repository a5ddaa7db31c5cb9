import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Twelve hex digits that follow the names and contents of a folder's files; `absent` where there is no such folder. */
export function sourcesDigest(folder) {
  if (!existsSync(folder)) return 'absent'
  const digest = createHash('sha256')
  for (const name of readdirSync(folder).sort()) {
    digest.update(`${name}\n`).update(readFileSync(join(folder, name)))
  }
  return digest.digest('hex').slice(0, 12)
}
