import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'

/** A named set of CA certificates of callers outside SPIFFE federation (DESIGN.md 4). */
export interface Authority {
  readonly alias: string
  /** Each is an anchor, root or intermediate; old and new while a CA is rotated. */
  readonly anchors: readonly Certificate[]
  /**
   * The authority is the bundle of this domain, and proves its SPIFFE IDs and nothing else. Absent: it proves no
   * SPIFFE ID.
   */
  readonly trustDomain?: TrustDomain
}

/** Authorities by alias. */
export type Authorities = ReadonlyMap<string, Authority>
