import type { CallerIdentity } from '../../support/caller.ts'

/** Of the sidecar, where a row asks for no other. */
export const paymentsId = 'spiffe://corp.example/payments'
/** Of a caller of the sidecar's own trust domain. */
export const checkoutId = 'spiffe://corp.example/checkout'
/** Of a caller of the other trust domain. */
export const partnerId = 'spiffe://partner-a.example/orders'

export const ownDomain = 'corp.example'
export const partnerDomain = 'partner-a.example'

/**
 * What hands out identities and bundles for the trust domains corp.example, the sidecar's own, and partner-a.example: a real
 * SPIRE, or the embedded agent. The rows of both suites are written against this.
 */
export interface TrustWorld {
  /** A validity that is over soon and renewed every few seconds, of which a slow machine may lose some. */
  readonly shortTtlSeconds: number
  /** An agent for one sidecar; it has no identity for it yet. */
  openEndpoint(): Promise<WorkloadEndpoint>
  /** A certificate for a caller, by the CA of its trust domain that signs now. */
  mint(spiffeId: string): Promise<CallerIdentity>
  /** A new CA enters the bundle; nothing is signed by it yet. */
  prepareCa(trustDomain: string): Promise<void>
  /** It signs from now on; the one before stays in the bundle. */
  activateCa(trustDomain: string): Promise<void>
  /** What the CA before has signed is issued again. */
  taintOldCa(trustDomain: string): Promise<void>
  /** The CA before leaves the bundle. */
  revokeOldCa(trustDomain: string): Promise<void>
  /** The endpoint's identities come with the bundle of partner-a.example as it is now. */
  federate(endpoint: WorkloadEndpoint): Promise<void>
  /** Nobody's identity comes with that bundle any more. */
  defederate(): Promise<void>
  /** Nothing is renewed any more, and the agents say nothing about it. */
  stopIssuing(): Promise<void>
  startIssuing(): Promise<void>
  close(): Promise<void>
}

/** The Workload API as one sidecar sees it. */
export interface WorkloadEndpoint {
  /** For `identity.workloadApi`. */
  readonly address: string
  register(identity: RegisteredIdentity): Promise<void>
  /** Takes an identity back. */
  remove(spiffeId: string): Promise<void>
  /** As a crash would end the agent. */
  killAgent(): Promise<void>
  /** The server knows the agent no more, which ends by itself. */
  evictAgent(): Promise<void>
  /** The agent comes back as a new one would, with nothing that it had. */
  attestAgent(): Promise<void>
  /** The agent comes back with what it had. */
  startAgent(): Promise<void>
}

export interface RegisteredIdentity {
  readonly spiffeId: string
  readonly hint?: string
  /** Default: an hour. */
  readonly ttlSeconds?: number
}
