import { AdminApi } from '../../../src/admin/admin-api.ts'
import { RecentDecisions } from '../../../src/admin/memory/recent-decisions.ts'
import { TrustHistory } from '../../../src/admin/memory/trust-history.ts'
import { Usage } from '../../../src/admin/memory/usage.ts'
import type {
  FileState,
  OutboundState,
  OpenConnection,
  SidecarState,
} from '../../../src/admin/sidecar-state.ts'
import type { TrustState } from '../../../src/policy/trust-state.ts'
import type { DecisionRecord } from '../../../src/telemetry/telemetry.ts'
import { trustOf } from '../../policy/support/policy.ts'
import { FakeClock } from '../../support/fake-clock.ts'

/** A sidecar without one: what the admin port shows of it is what a test says. */
export class FakeSidecar {
  readonly clock = new FakeClock()
  readonly recent = new RecentDecisions({ maxHeaderBytes: 16 * 1024 })
  readonly usage = new Usage(this.clock.now())
  readonly history: TrustHistory
  readonly api: AdminApi
  readonly connections: OpenConnection[] = []
  readonly files: FileState[] = []
  readonly outbound: OutboundState[] = []
  missing: string[] = []
  reloads = 0
  trust: TrustState

  constructor(trust: Partial<TrustState> = {}) {
    this.trust = trustOf(trust)
    const { recent, usage, clock } = this
    this.history = new TrustHistory(this.trust, clock.now())
    this.api = new AdminApi({
      state: this.#state(),
      recent,
      history: this.history,
      usage,
      clock,
      rules: { untrustedCertificate: 'refuse' },
    })
  }

  decide(...records: readonly DecisionRecord[]): void {
    for (const record of records) {
      this.recent.add(record)
      this.usage.add(record)
    }
  }

  change(trust: Partial<TrustState>): void {
    this.trust = { ...this.trust, ...trust, epoch: this.trust.epoch + 1 }
    this.history.add(this.trust, this.clock.now())
  }

  #state(): SidecarState {
    return {
      version: '1.2.3',
      startedMs: this.clock.now(),
      listen: '0.0.0.0:8443',
      upstream: '127.0.0.1:8080',
      svid: () => undefined,
      identitySource: () => ({ kind: 'workload-api', address: 'unix:///a.sock', connected: true }),
      trust: () => this.trust,
      missing: () => this.missing,
      connectionCount: () => this.connections.length,
      connections: () => this.connections,
      outbound: () => this.outbound,
      files: () => this.files,
      reload: () => {
        this.reloads++
        return Promise.resolve()
      },
    }
  }
}
