import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import type { Context } from 'mocha'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { skip } from './skip.ts'
import { SpireDomain, type SpireBinaries, type SpireLifetimes } from './spire-domain.ts'

export interface SpireClusterOptions extends SpireLifetimes {
  /** Default: `corp.example` alone. */
  readonly trustDomains?: readonly string[]
}

/**
 * A real SPIRE on this machine for one suite of tests: a server and an agent for each trust domain, in a folder of its own,
 * on free ports. Who starts it closes it; a test process that crashes takes it along.
 */
export class SpireCluster implements AsyncDisposable {
  readonly #folder: string
  readonly #domains: ReadonlyMap<string, SpireDomain>

  private constructor(folder: string, domains: readonly SpireDomain[]) {
    this.#folder = folder
    this.#domains = new Map(domains.map((domain) => [domain.trustDomain, domain]))
  }

  /** Starts all trust domains at once; servers and agents are healthy when it resolves. */
  static async start(
    binaries: SpireBinaries,
    options: SpireClusterOptions = {},
  ): Promise<SpireCluster> {
    const { trustDomains = ['corp.example'], ...lifetimes } = options
    const root = mkdtempSync(join(tmpdir(), 'postern-spire-'))
    const starts = await Promise.allSettled(
      trustDomains.map((trustDomain) =>
        SpireDomain.start({ ...lifetimes, binaries, trustDomain, folder: join(root, trustDomain) }),
      ),
    )
    const started = starts.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []))
    const cluster = new SpireCluster(root, started)
    const failed = starts.find((it) => it.status === 'rejected')
    if (failed === undefined) return cluster
    await cluster.close()
    throw failed.reason
  }

  domain(trustDomain = 'corp.example'): SpireDomain {
    const domain = this.#domains.get(trustDomain)
    if (domain === undefined) throw new TypeError(`no trust domain ${trustDomain} was started`)
    return domain
  }

  /** For an `afterEach`: shows what SPIRE had to say when the test failed. */
  printLogsIfFailed(context: Context): void {
    if (context.currentTest?.state !== 'failed') return
    for (const domain of this.#domains.values()) console.error(domain.logs)
  }

  /** Ends everything and removes the folder; idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#domains.values()].map((domain) => domain.close()))
    rmSync(this.#folder, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * SPIRE's programs from SPIRE_BIN, then PATH; skips the suite where there are none. No package registry holds SPIRE, so
 * this is the one tool that may be missing under CI too.
 */
export function requireSpire(context: Context): SpireBinaries {
  return findSpire() ?? skip(context, 'spire-server and spire-agent are not in SPIRE_BIN or PATH')
}

function findSpire(): SpireBinaries | undefined {
  const ownFolder = process.env['SPIRE_BIN']
  if (ownFolder !== undefined) return binariesIn([ownFolder], 'SPIRE_BIN')
  return binariesIn((process.env['PATH'] ?? '').split(delimiter), 'PATH')
}

function binariesIn(
  folders: readonly string[],
  from: SpireBinaries['from'],
): SpireBinaries | undefined {
  const server = findIn(folders, 'spire-server')
  const agent = findIn(folders, 'spire-agent')
  return server === undefined || agent === undefined ? undefined : { server, agent, from }
}

function findIn(folders: readonly string[], name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
