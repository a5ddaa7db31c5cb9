import type { Certificate } from './certificate.ts'
import { extendedKeyUsageOid, keyUsageBit, type NameConstraints } from './extensions.ts'
import { nameConstraintViolation } from './name-constraints.ts'
import { keyWeakness } from './public-key.ts'
import { hasSupportedSignature } from './signature.ts'

/** Why there is no valid path, in the words of DESIGN.md 5. */
export type PathFault =
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'certificate_wrong_purpose'
  | 'path_invalid'
  | 'issuer_unknown'
  | 'certificate_revoked'
  /** Revocation must be known, and it is not. */
  | 'revocation_unknown'

/** What the leaf is to prove itself as. */
export type Purpose = 'client' | 'server'

/** What the rules depend on besides the certificates. */
export interface PathConditions {
  /** Milliseconds since 1970. */
  readonly nowMs: number
  /** Absent: extended key usage is not looked at. */
  readonly purpose?: Purpose
  /** Absent: nobody is asked whether a certificate was revoked. */
  readonly revocation?: RevocationCheck | undefined
}

/** Whom a path search asks about each certificate below the anchor, once its signature is known to be good. */
export interface RevocationCheck {
  /** `above`: the path over `certificate`, the anchor first and the issuer last. */
  check(certificate: Certificate, above: readonly Certificate[], nowMs: number): RevocationVerdict
}

export type RevocationVerdict =
  /** Holds until then, milliseconds since 1970, as long as the same lists are held. */
  | { readonly kind: 'passed'; readonly untilMs: number }
  | {
      readonly kind: 'refused'
      readonly reason: 'certificate_revoked' | 'revocation_unknown'
      /** What follows the name of the certificate. */
      readonly what: string
    }

/** A rule that a certificate broke. `detail` is one bounded sentence for people. */
export interface Fault {
  readonly reason: PathFault
  readonly detail: string
  readonly certificate: Certificate
}

/** What the CA certificates so far impose on those below, RFC 5280 6.1.2. */
export interface PathState {
  /** How many CA certificates that are not self-issued may follow. */
  readonly pathLength: number
  readonly constraints: readonly NameConstraints[]
}

/** The state before any certificate. */
export const unconstrained: PathState = { pathLength: Infinity, constraints: [] }

/**
 * Faults that a leaf has by itself, whoever issued it: dates first, since they are the usual cause and mend
 * themselves with the next certificate, then purpose, then the rest.
 */
export function leafFault(leaf: Certificate, conditions: PathConditions): Fault | undefined {
  return (
    dateFault(leaf, conditions.nowMs) ??
    leafPurposeFault(leaf, conditions.purpose) ??
    signatureFault(leaf) ??
    commonFault(leaf)
  )
}

/** Faults that a CA has by itself, whoever issued it; how it was signed is `signatureFault`. */
export function caFault(ca: Certificate, conditions: PathConditions): Fault | undefined {
  return (
    dateFault(ca, conditions.nowMs) ??
    issuingFault(ca) ??
    caPurposeFault(ca, conditions.purpose) ??
    commonFault(ca)
  )
}

/** Faults of `certificate` below the CA certificates that `state` remembers. */
export function stateFault(
  state: PathState,
  certificate: Certificate,
  position: 'leaf' | 'intermediate',
): Fault | undefined {
  const isSelfIssued = certificate.isSelfIssued
  if (position === 'intermediate' && !isSelfIssued && state.pathLength === 0)
    return invalid(certificate, 'stands deeper than the pathLen of a CA above it allows')
  // RFC 5280 6.1.3 (b): a self-issued intermediate is a key change of a CA that was judged already.
  if (position === 'intermediate' && isSelfIssued) return undefined
  for (const constraints of state.constraints) {
    const violation = nameConstraintViolation(constraints, certificate)
    if (violation !== undefined)
      return invalid(certificate, `breaks name constraints: ${violation}`)
  }
  return undefined
}

/**
 * The state below `ca`, RFC 5280 6.1.4 (g), (l), (m). An anchor comes first and takes nothing from an endless
 * length.
 */
export function stateBelow(state: PathState, ca: Certificate): PathState {
  const left = ca.isSelfIssued ? state.pathLength : state.pathLength - 1
  const own = ca.extensions.basicConstraints?.pathLength ?? Infinity
  const constraints = ca.extensions.nameConstraints
  return {
    pathLength: Math.max(0, Math.min(left, own)),
    constraints:
      constraints === undefined ? state.constraints : [...state.constraints, constraints],
  }
}

/** Faults of the validity alone. Both ends belong to it. */
export function dateFault(certificate: Certificate, nowMs: number): Fault | undefined {
  if (nowMs > certificate.notAfterMs)
    return fault('certificate_expired', certificate, `expired on ${date(certificate.notAfterMs)}`)
  if (nowMs < certificate.notBeforeMs) {
    const detail = `is not valid before ${date(certificate.notBeforeMs)}`
    return fault('certificate_not_yet_valid', certificate, detail)
  }
  return undefined
}

/** Whether the certificate is neither expired nor not yet valid. */
export function isCurrent(certificate: Certificate, nowMs: number): boolean {
  return certificate.notBeforeMs <= nowMs && nowMs <= certificate.notAfterMs
}

function issuingFault(ca: Certificate): Fault | undefined {
  if (!ca.isCa) return invalid(ca, 'is not a CA certificate, and yet it issued one')
  const usage = ca.extensions.keyUsage
  if (usage !== undefined && (usage & keyUsageBit.keyCertSign) === 0)
    return invalid(ca, 'may not sign certificates (keyUsage)')
  return undefined
}

const purposeOid = {
  client: extendedKeyUsageOid.clientAuth,
  server: extendedKeyUsageOid.serverAuth,
} as const

function leafPurposeFault(leaf: Certificate, purpose: Purpose | undefined): Fault | undefined {
  const usages = leaf.extensions.extendedKeyUsage
  if (purpose === undefined || usages === undefined) return undefined
  if (usages.includes(purposeOid[purpose])) return undefined
  const detail = `has extended key usage without ${purpose}Auth`
  return fault('certificate_wrong_purpose', leaf, detail)
}

/** RFC 5280 leaves it open; OpenSSL, Go and the web read extended key usage of a CA as a limit for all below it. */
function caPurposeFault(ca: Certificate, purpose: Purpose | undefined): Fault | undefined {
  const usages = ca.extensions.extendedKeyUsage
  if (purpose === undefined || usages === undefined) return undefined
  const isAllowed = usages.includes(purposeOid[purpose]) || usages.includes(extendedKeyUsageOid.any)
  return isAllowed ? undefined : invalid(ca, `has extended key usage without ${purpose}Auth`)
}

/** Faults of the algorithm that the issuer signed with. */
export function signatureFault(certificate: Certificate): Fault | undefined {
  if (hasSupportedSignature(certificate)) return undefined
  return invalid(certificate, 'is signed with an algorithm that is weak or not supported')
}

function commonFault(certificate: Certificate): Fault | undefined {
  const weakness = keyWeakness(certificate.keyParameters)
  if (weakness !== undefined) return invalid(certificate, `is refused: ${weakness}`)
  const unknown = certificate.extensions.unknownCritical[0]
  if (unknown === undefined) return undefined
  return invalid(certificate, `has the critical extension ${unknown}, which is not understood`)
}

function invalid(certificate: Certificate, what: string): Fault {
  return fault('path_invalid', certificate, what)
}

/** A fault of `certificate`; `what` follows its name. */
export function fault(reason: PathFault, certificate: Certificate, what: string): Fault {
  return { reason, certificate, detail: `${nameOf(certificate)} ${what}` }
}

const longestShownName = 96

/** A name for a message: in quotes, cut short. Control characters were escaped when it was read. */
export function quoted(name: string): string {
  return name.length > longestShownName ? `"${name.slice(0, longestShownName)}..."` : `"${name}"`
}

/** The subject or, when that is empty, the first name. */
function nameOf(certificate: Certificate): string {
  return quoted(certificate.subject === '' ? firstName(certificate) : certificate.subject)
}

function firstName(certificate: Certificate): string {
  const name = certificate.names[0]
  return name !== undefined && 'value' in name ? name.value : `serial ${certificate.serial}`
}

function date(ms: number): string {
  return new Date(ms).toISOString()
}
