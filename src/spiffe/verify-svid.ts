import type { CertificatePath } from '../x509/certificate-path.ts'
import type { Certificate } from '../x509/certificate.ts'
import {
  dateFault,
  type PathFault,
  type Purpose,
  type RevocationCheck,
} from '../x509/path-rules.ts'
import { validatePath } from '../x509/validate-path.ts'
import type { SpiffeId } from './spiffe-id.ts'
import { readSvidLeaf } from './svid-leaf.ts'
import type { TrustBundles } from './trust-bundle.ts'

/** Why a chain proves no SPIFFE ID, in the words of DESIGN.md 5. */
export type SvidFault = PathFault | 'svid_malformed' | 'trust_domain_unknown'

export type SvidVerdict =
  | { readonly kind: 'verified'; readonly id: SpiffeId; readonly path: CertificatePath }
  | { readonly kind: 'refused'; readonly reason: SvidFault; readonly detail: string }

export interface SvidConditions {
  /** Milliseconds since 1970. */
  readonly nowMs: number
  /** What the peer proves itself as; extended key usage, when there is any, must allow it. */
  readonly purpose: Purpose
  /** Absent: nobody is asked whether a certificate was revoked. */
  readonly revocation?: RevocationCheck | undefined
}

/**
 * Verifies a peer's X.509-SVID, X509-SVID 5 and DESIGN.md 5: the leaf is `chain[0]`, what follows are intermediates
 * in any order, and only the bundle of the leaf's own trust domain is asked. Of several faults the first is named:
 * dates of the leaf, rules of the standard, trust domain, purpose, path.
 */
export function verifySvid(
  chain: readonly Certificate[],
  bundles: TrustBundles,
  conditions: SvidConditions,
): SvidVerdict {
  const [leaf, ...intermediates] = chain
  if (leaf === undefined) return refused('svid_malformed', 'there is no certificate')
  const expired = dateFault(leaf, conditions.nowMs)
  if (expired !== undefined) return refused(expired.reason, expired.detail)
  const svid = readSvidLeaf(leaf)
  if (svid.kind === 'malformed') return refused('svid_malformed', svid.detail)
  const bundle = bundles.get(svid.id.trustDomain.name)
  if (bundle === undefined)
    return refused('trust_domain_unknown', `no bundle is held for ${svid.id.trustDomain.id}`)
  const result = validatePath(leaf, intermediates, bundle.anchors, conditions)
  if (result.kind === 'invalid') return refused(result.reason, result.detail)
  return { kind: 'verified', id: svid.id, path: result.path }
}

function refused(reason: SvidFault, detail: string): SvidVerdict {
  return { kind: 'refused', reason, detail }
}
