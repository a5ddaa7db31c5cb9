import type { Socket } from 'node:net'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { AddressRules } from '../policy/address-rules.ts'
import type { Limiter } from '../policy/rate-limiter.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { Deadlines } from '../proxy/deadlines.ts'
import type { HeaderRules } from '../proxy/header-rules.ts'
import type { Upstream, WebSocketUpstream } from '../proxy/ends.ts'
import type { RequestLimits } from '../proxy/request-limits.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { DecisionIds } from '../policy/decision-ids.ts'
import type { Verdicts } from './verdicts.ts'

/** Where the workload listens, by the address that a product names; undefined: the listener's own upstream. */
export interface Upstreams {
  /** For requests and WebSockets. */
  at(address: string | undefined): Upstream & WebSocketUpstream
  /** A connection of its own, half-open, still connecting; for TCP. */
  dial(address: string | undefined): Socket
}

/** What all connections of one inbound listener share. */
export interface InboundContext {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** The trust state of this moment; asked anew for every request. */
  readonly trust: { readonly current: TrustState }
  readonly verdicts: Verdicts
  readonly rules: HeaderRules
  readonly limiter: Limiter
  readonly decisionIds: DecisionIds
  readonly upstreams: Upstreams
  readonly deadlines: Deadlines
  readonly settings: InboundSettings
  /** Our own SPIFFE ID, while we hold one. */
  readonly ownId: () => string | undefined
}

export interface InboundSettings extends RequestLimits {
  readonly untrustedCertificate: 'refuse' | 'ignore'
  /** From where anybody may connect at all; undefined: from everywhere. */
  readonly addresses?: AddressRules | undefined
  /** Whether the workload gets `x-forwarded-client-cert`. */
  readonly forwardClientCert: boolean
  /** Bytes of a request's body. */
  readonly maxBodyBytes: number
  readonly headerTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly upstreamConnectTimeoutMs: number
}
