import type { SpiffeId } from '../spiffe/spiffe-id.ts'
import type { CertificatePath } from '../x509/certificate-path.ts'

/** Why a presented certificate proves nothing (DESIGN.md 5). */
export type UntrustedReason =
  | 'certificate_malformed'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'certificate_not_for_client_auth'
  | 'certificate_not_for_server_auth'
  | 'svid_malformed'
  | 'trust_domain_unknown'
  | 'issuer_unknown'
  | 'path_invalid'
  | 'certificate_revoked'
  /** `crlRequired`: no revocation list of the authority says that it is good. */
  | 'revocation_unknown'

/** What is known of a certificate that failed; every text is bounded. Nothing here is proven. */
export interface ClaimedIdentity {
  readonly subject?: string
  readonly issuer?: string
  readonly spiffeId?: string
  /** SHA-256 of the leaf's DER, lower-case hex. */
  readonly sha256?: string
  readonly notAfterMs?: number
}

/** The other end of a connection and what TLS proved about it. */
export type Peer =
  /** No TLS. */
  | { readonly kind: 'plaintext' }
  /** TLS, and no certificate was presented. */
  | { readonly kind: 'anonymous' }
  /**
   * `authorities`: aliases of the product map whose CA certificates lie on the path, nearest to the leaf first.
   * `isByAuthority`: one of them is the bundle of the trust domain, in place of one that the Workload API provides.
   */
  | {
      readonly kind: 'svid'
      readonly id: SpiffeId
      readonly path: CertificatePath
      readonly authorities: readonly string[]
      readonly isByAuthority?: true
    }
  /** A certificate of a caller outside SPIFFE. `subject`: RFC 4514, or `dns:`, `email:`, `uri:` and the first name. */
  | {
      readonly kind: 'certificate'
      readonly subject: string
      readonly path: CertificatePath
      readonly authorities: readonly string[]
    }
  /** A certificate was presented and failed. `detail` says which certificate failed which check, for people. */
  | {
      readonly kind: 'untrusted'
      readonly reason: UntrustedReason
      readonly detail: string
      readonly claimed: ClaimedIdentity
    }

/** The end of a path: all that a decision asks of it. */
type PathEnd = Pick<CertificatePath, 'notAfterMs'>

/** What a decision asks of a peer: a `Peer`, or one that was read back from a record, where no certificates are left. */
export type JudgedPeer =
  | Extract<Peer, { kind: 'plaintext' | 'anonymous' }>
  | MappedPeer
  | Pick<Extract<Peer, { kind: 'untrusted' }>, 'kind' | 'reason' | 'detail'>

/** A peer that proved who it is, as far as the product map asks. */
export type MappedPeer =
  | (Pick<Extract<Peer, { kind: 'svid' }>, 'kind' | 'id' | 'authorities'> & {
      readonly path: PathEnd
    })
  | (Pick<Extract<Peer, { kind: 'certificate' }>, 'kind' | 'subject' | 'authorities'> & {
      readonly path: PathEnd
    })
