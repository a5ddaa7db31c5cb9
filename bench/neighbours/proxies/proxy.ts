import type { Credentials } from '../credentials.ts'
import type { PinnedOptions } from '../pinned-process.ts'
import type { ProxyMode } from '../scenario.ts'

/** One proxy, ours or a neighbour, and how it is set up for the same work. */
export interface Proxy {
  readonly name: string
  /** What it was configured to do, in a phrase; stands beside the table. */
  readonly configured: string
  /** The version, when the program is there. */
  find(): Promise<FoundProxy | undefined>
  /** Why it cannot do this; undefined: it can. */
  cannot(mode: ProxyMode): string | undefined
  /** Writes its files and says how to start it. */
  prepare(command: string, setup: ProxySetup): Promise<Omit<PinnedOptions, 'core'>>
}

export interface FoundProxy {
  readonly command: string
  readonly version: string
}

export interface ProxySetup {
  readonly mode: ProxyMode
  /** For its files and its access log. */
  readonly directory: string
  readonly port: number
  readonly upstreamPort: number
  readonly credentials: Credentials
}
