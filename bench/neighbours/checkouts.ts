import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { postern } from './proxies/postern.ts'
import type { Proxy } from './proxies/proxy.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The built programs of two commits, each in a clone of its own below `directory`. Throws when one cannot be built. */
export function checkouts(commits: readonly string[], directory: string): Promise<Proxy[]> {
  return Promise.all(commits.map((commit) => Promise.resolve(checkout(commit, directory))))
}

function checkout(commit: string, directory: string): Proxy {
  const id = git(root, 'rev-parse', '--short', `${commit}^{commit}`)
  const folder = join(directory, `checkout-${id}`)
  console.error(`building ${commit} (${id}) ...`)
  git(directory, 'clone', '--quiet', root, folder)
  git(folder, 'checkout', '--quiet', id)
  const options = { cwd: folder, stdio: 'inherit' } as const
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], options)
  execFileSync('npm', ['run', '--silent', 'build'], options)
  return postern(commit, folder)
}

function git(cwd: string, ...args: string[]): string {
  return execFileSync('git', args, { cwd, encoding: 'utf8' }).trim()
}
