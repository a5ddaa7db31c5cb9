import type { Certificate } from '../x509/certificate.ts'
import type { TrustDomain } from './trust-domain.ts'

/**
 * The X.509 authorities of one trust domain. An empty bundle trusts nobody. Bundles of two domains are never
 * merged.
 */
export interface TrustBundle {
  readonly trustDomain: TrustDomain
  readonly anchors: readonly Certificate[]
}

/** Bundles by the bare name of their trust domain. */
export type TrustBundles = ReadonlyMap<string, TrustBundle>
