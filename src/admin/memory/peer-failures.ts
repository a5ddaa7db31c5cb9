import type { PeerDecision } from '../../policy/peer-decision.ts'
import type { DecisionRecord } from '../../telemetry/telemetry.ts'

/** Why a call of the workload did not reach its peer. */
export interface PeerFailure {
  /** Milliseconds since 1970. */
  readonly atMs: number
  readonly reason: PeerDecision['reason']
  /** What the step that ended it found; of the peer's own making in part. */
  readonly detail: string
}

/** The last failure of each peer that the configuration names: as many as there are of these, and no more. */
export class PeerFailures {
  readonly #last = new Map<string, PeerFailure>()

  add({ direction, decision, atMs }: DecisionRecord): void {
    if (direction !== 'outbound' || decision.outcome === 'allow') return
    const { upstream, reason, steps } = decision as PeerDecision
    this.#last.set(upstream, { atMs, reason, detail: steps.at(-1)?.detail ?? '' })
  }

  /** `host:port` as the configuration writes it. */
  of(upstream: string): PeerFailure | undefined {
    return this.#last.get(upstream)
  }
}
