/** Removes what a build left behind: `node scripts/clean.mjs dist`. Only paths inside the checkout. */
import { rmSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { root } from './lib/run.mjs'

for (const path of process.argv.slice(2)) {
  const target = resolve(root, path)
  if (!isInside(target)) throw new TypeError(`${path} is not inside the checkout`)
  rmSync(target, { recursive: true, force: true })
}

function isInside(target) {
  const fromRoot = relative(root, target)
  return fromRoot !== '' && !fromRoot.startsWith('..')
}
