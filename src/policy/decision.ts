import type { UntrustedReason } from './peer.ts'

/** Reasons of an allow: which rule of the product map, or which credential, mapped the caller. */
export type AllowReason = 'svid_trust_domain' | 'svid_id' | 'authority' | 'api_key'

/** Reasons of a deny, in the order of DESIGN.md 6. */
export type DenyReason =
  | 'address_not_allowed'
  | 'identity_unavailable'
  | UntrustedReason
  | 'product_unmapped'
  | 'credential_missing'
  | 'api_key_unknown'
  | 'api_key_expired'
  | 'api_key_not_yet_valid'
  | 'credential_not_accepted'
  | 'request_not_allowed'
  | 'audit_unavailable'
  | 'rate_limited'

export type Reason = AllowReason | DenyReason

/** How the caller proved who it is; the value of `x-postern-credential`. */
export type CredentialKind = 'x509-svid' | 'x509' | 'api-key'

/** One step that led to the decision: what was asked, and what was found. For people and for `explain`. */
export interface Step {
  readonly name:
    | 'address'
    | 'identity'
    | 'certificate'
    | 'product-map'
    | 'api-key'
    | 'product-address'
    | 'credential-rule'
    | 'request-rule'
    | 'audit'
    | 'limit'
    // Of calls of the workload (peer-decision.ts).
    | 'connect'
    | 'expected-peer'
  /** `pass`: the step did not object; `deny`: it ended the decision; `skip`: it did not apply. */
  readonly outcome: 'pass' | 'deny' | 'skip'
  /** One sentence, no secret. */
  readonly detail: string
}

/** What is known of the caller and the product when the decision was made; absent where a step was not reached. */
export interface DecisionSubject {
  readonly product?: string
  /** SPIFFE ID, certificate subject, or the consumer of the key. */
  readonly principal?: string
  readonly consumer?: string
  readonly credential?: CredentialKind
  /** The id of the API key that was used; never the key. */
  readonly apiKeyId?: string
  /** The caller entry of the product map that matched, as written (`trustDomain: partner-a.example`). */
  readonly rule?: string
  /** The epoch whose trust state was asked. */
  readonly epoch: number
  readonly steps: readonly Step[]
  /** An API key was used where the product says `apiKeys: warn`. */
  readonly apiKeyWarned?: boolean
  /** The key that was presented beside a certificate that proved who calls. Only `require: both` asks for one. */
  readonly keyBeside?: KeyBeside
  /** `untrustedCertificate: ignore`: why the certificate that was presented proved nothing. */
  readonly ignoredCertificate?: UntrustedReason
}

/** What is known of a key beside a certificate, so that it can be decided again; the key itself is nowhere. */
export type KeyBeside =
  | { readonly status: 'unknown' }
  | {
      readonly status: 'valid' | 'expired' | 'not_yet_valid'
      readonly id: string
      readonly product: string
      readonly consumer: string
    }

/** The answer to "may this request pass?": a value; the caller enforces, logs and counts it. */
export type Decision =
  | (DecisionSubject & {
      readonly outcome: 'allow'
      readonly reason: AllowReason
      readonly product: string
      readonly principal: string
      readonly credential: CredentialKind
      /** The product's own upstream, when the map names one. */
      readonly upstream?: string
    })
  | (DecisionSubject & {
      readonly outcome: 'deny'
      readonly reason: DenyReason
      /** HTTP status of the reply. */
      readonly status: 401 | 403 | 429 | 503
      /** With 429: seconds to wait, at least 1. */
      readonly retryAfterSeconds?: number
    })
