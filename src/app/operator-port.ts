import { AdminApi } from '../admin/admin-api.ts'
import { AdminServer } from '../admin/admin-server.ts'
import { PeerFailures } from '../admin/memory/peer-failures.ts'
import { RecentDecisions } from '../admin/memory/recent-decisions.ts'
import { TrustHistory } from '../admin/memory/trust-history.ts'
import type {
  FileState,
  IdentitySource,
  OutboundState,
  SidecarState,
} from '../admin/sidecar-state.ts'
import { UsageFile } from '../admin/usage-file.ts'
import { formatAddress } from '../config/address.ts'
import type { SidecarConfig } from '../config/sidecar-config.ts'
import { type Clock, wait } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { DecisionObserver } from '../telemetry/recorder.ts'
import type { ConfigFile, ConfigReloadResult, DecisionRecord } from '../telemetry/telemetry.ts'
import { listeningAt } from './listening-at.ts'
import type { Sidecar } from './sidecar.ts'

export interface OperatorPortOptions {
  readonly config: SidecarConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly version: string
}

/** A disk that hangs must not keep a sidecar from its end. */
const longestSaveMs = 2_000

/** What the port shows, once it is there. */
export interface ShownParts {
  readonly sidecar: Pick<
    Sidecar,
    | 'svid'
    | 'trust'
    | 'missing'
    | 'ports'
    | 'connections'
    | 'describeConnections'
    | 'outboundConnections'
  >
  readonly reload: () => Promise<void>
  /** Whether the Workload API answers. */
  readonly isConnected: () => boolean
}

/**
 * The operator's port with all that it remembers. It remembers from the start, and listens once there is something to show.
 */
export class OperatorPort implements DecisionObserver {
  readonly #options: OperatorPortOptions
  readonly #startedMs: number
  readonly #recent: RecentDecisions
  readonly #usageFile: UsageFile
  readonly #peerFailures = new PeerFailures()
  readonly #files = new Map<ConfigFile, FileState>()
  #history: TrustHistory | undefined
  #server: AdminServer | undefined

  private constructor(options: OperatorPortOptions, usageFile: UsageFile) {
    const { config, clock } = options
    this.#options = options
    this.#startedMs = clock.now()
    this.#usageFile = usageFile
    this.#recent = new RecentDecisions(config.inbound.limits)
    this.fileRead('products', 'accepted')
    if (config.apiKeys !== undefined) this.fileRead('api-keys', 'accepted')
  }

  /** Reads what was remembered. The caller closes it. */
  static async open(options: OperatorPortOptions): Promise<OperatorPort> {
    const { config, clock, logger } = options
    const { directory } = config.state
    return new OperatorPort(options, await UsageFile.open({ directory, clock, logger }))
  }

  decided(record: DecisionRecord): void {
    this.#recent.add(record)
    this.#usageFile.usage.add(record)
    this.#peerFailures.add(record)
  }

  /** Each trust state, the first one included. */
  trustChanged(state: TrustState): void {
    const nowMs = this.#options.clock.now()
    if (this.#history === undefined) this.#history = new TrustHistory(state, nowMs)
    else this.#history.add(state, nowMs)
  }

  fileRead(file: ConfigFile, result: ConfigReloadResult, error?: string): void {
    const { config, clock } = this.#options
    const names = {
      config: undefined,
      products: config.products,
      'api-keys': config.apiKeys,
      crl: 'revocation lists',
    }
    const name = names[file]
    if (name === undefined) return
    const state = { name, atMs: clock.now(), result }
    this.#files.set(file, error === undefined ? state : { ...state, error })
  }

  /** Resolves with the bound port; undefined: there is to be none. Throws `PosternError` ERR_LISTEN_FAILED. */
  async listen(parts: ShownParts): Promise<number | undefined> {
    const { config, clock, logger } = this.#options
    const { listen } = config.admin
    if (listen === 'none') return undefined
    this.#history ??= new TrustHistory(parts.sidecar.trust, clock.now())
    const api = new AdminApi({
      state: this.#state(parts),
      recent: this.#recent,
      history: this.#history,
      usage: this.#usageFile.usage,
      clock,
      rules: config.inbound,
    })
    const server = AdminServer.start({ ...listen, api, clock, logger })
    this.#server = await listeningAt('admin.listen', server, ', or none')
    return this.#server.port
  }

  /** Cuts whoever is connected and saves what is remembered. Idempotent. */
  async close(): Promise<void> {
    const isDone = new AbortController()
    const late = wait(this.#options.clock, longestSaveMs, isDone.signal)
    await Promise.race([Promise.all([this.#server?.close(), this.#usageFile.close()]), late])
    isDone.abort()
  }

  #state({ sidecar, reload, isConnected }: ShownParts): SidecarState {
    const { config, version } = this.#options
    return {
      version,
      startedMs: this.#startedMs,
      listen: formatAddress({ ...config.inbound.listen, port: sidecar.ports.inbound }),
      upstream: formatAddress(config.inbound.upstream),
      svid: () => sidecar.svid,
      identitySource: () => sourceOf(config, isConnected()),
      trust: () => sidecar.trust,
      missing: () => sidecar.missing(),
      connectionCount: () => sidecar.connections,
      connections: () => sidecar.describeConnections(),
      outbound: () => this.#outbound(sidecar),
      files: () => [...this.#files.values()],
      reload,
    }
  }

  #outbound({ ports, outboundConnections }: ShownParts['sidecar']): OutboundState[] {
    return this.#options.config.outbound.map(({ listen, upstream, expect, protocol }, i) => ({
      listen: formatAddress({ ...listen, port: ports.outbound[i] ?? listen.port }),
      upstream: formatAddress(upstream),
      expect,
      protocol,
      connections: outboundConnections[i] ?? 0,
      lastFailure: this.#peerFailures.of(formatAddress(upstream)),
    }))
  }
}

function sourceOf({ identity }: SidecarConfig, connected: boolean): IdentitySource {
  return identity.kind === 'files'
    ? { kind: 'files', certificate: identity.certificate }
    : { kind: 'workload-api', address: identity.address, connected }
}
