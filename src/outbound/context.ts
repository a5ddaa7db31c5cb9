import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { ExpectedPeer } from '../policy/peer-decision.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { Deadlines } from '../proxy/deadlines.ts'
import type { HeaderRules } from '../proxy/header-rules.ts'
import type { RequestLimits } from '../proxy/request-limits.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** What all listeners for calls of the workload share. */
export interface OutboundContext {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** The trust state of this moment; asked anew for every request. */
  readonly trust: { readonly current: TrustState }
  readonly rules: HeaderRules
  readonly decisionIds: { next(): string }
  readonly deadlines: Deadlines
}

/** One entry of `outbound`. */
export interface OutboundRoute {
  /** Where the workload connects to, in plaintext. Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  readonly upstream: { readonly host: string; readonly port: number }
  readonly expected: ExpectedPeer
  readonly protocol: 'http' | 'tcp'
  readonly limits: OutboundLimits
}

/** Bounds of what the workload and the peer can make us hold or wait for. */
export interface OutboundLimits extends RequestLimits {
  /** Connections of the workload at once, and as many to the peer. */
  readonly maxConnections: number
  readonly headerTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly upstreamConnectTimeoutMs: number
  readonly handshakeTimeoutMs: number
  readonly upstreamResponseTimeoutMs: number
}
