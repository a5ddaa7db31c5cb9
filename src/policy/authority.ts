import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { RevocationList } from '../x509/revocation-list.ts'

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
  /** Absent: nobody asks whether its certificates were revoked. */
  readonly revocation?: AuthorityRevocation
}

/**
 * What an authority's revocation lists may decide. They speak of its CA certificates and of all that was issued below them,
 * of SVIDs too whose path runs through one.
 */
export interface AuthorityRevocation {
  /** Of its CAs and of those below them; whether a list is signed is looked at when it is asked. */
  readonly lists: readonly RevocationList[]
  /** What is below its CA certificates must be known to be good. */
  readonly required: boolean
}

/** Authorities by alias. */
export type Authorities = ReadonlyMap<string, Authority>
