import type { Certificate } from './certificate.ts'

/** A validated path: the leaf first, the anchor last. Only path validation makes one. */
export interface CertificatePath {
  readonly certificates: readonly [Certificate, ...Certificate[]]
  readonly leaf: Certificate
  /** The CA certificate of the bundle or authority at which the path ended. */
  readonly anchor: Certificate
  /**
   * The first end of validity on the path, milliseconds since 1970: what was concluded from it holds until then.
   */
  readonly notAfterMs: number
  /**
   * When the first of the revocation lists ends that had to speak of it, milliseconds since 1970; Infinity when none had to.
   */
  readonly revocationUntilMs: number
}
