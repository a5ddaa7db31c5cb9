import { hash } from 'node:crypto'
import { messageOf } from '../core/errors.ts'
import { SpiffeId } from '../spiffe/spiffe-id.ts'
import type { TrustBundle, TrustBundles } from '../spiffe/trust-bundle.ts'
import { type SvidFault, verifySvid } from '../spiffe/verify-svid.ts'
import { CaCache } from '../x509/ca-cache.ts'
import type { CertificatePath } from '../x509/certificate-path.ts'
import { type Certificate, largestCertificate } from '../x509/certificate.ts'
import { keyUsageBit } from '../x509/extensions.ts'
import { dateFault, type Purpose } from '../x509/path-rules.ts'
import { mostIntermediates, validatePath } from '../x509/validate-path.ts'
import type { Authorities } from './authority.ts'
import type { ClaimedIdentity, Peer, UntrustedReason } from './peer.ts'
import { AuthorityRevocationCheck } from './revocation-check.ts'

/**
 * Whom we believe about callers. Both maps are never changed, only replaced: what is derived from them is kept with
 * them.
 */
export interface CallerTrust {
  readonly bundles: TrustBundles
  readonly authorities: Authorities
}

/** Most certificates that a peer may present. */
export const mostPresented = mostIntermediates + 1
/** Longest subject that can be a principal, characters; as long as the longest SPIFFE ID. */
export const longestSubject = 2048

/** Who a certificate proves somebody to be, or why it proves nothing. */
export type CertificatePeer = Extract<Peer, { kind: 'svid' | 'certificate' | 'untrusted' }>
type Untrusted = Extract<Peer, { kind: 'untrusted' }>

/**
 * As `authenticate`, for what TLS hands over: DER, leaf first. Never throws; bounded before anything is parsed. `parsedLeaf`
 * spares the parsing when it is the leaf, octet by octet.
 */
export function authenticateDer(
  ders: readonly Uint8Array[],
  trust: CallerTrust,
  nowMs: number,
  parsedLeaf?: Certificate,
): CertificatePeer {
  return judgeDer(ders, trust.bundles, (chain) => authenticate(chain, trust, nowMs), parsedLeaf)
}

/**
 * Finds out who a server is that the workload calls, from the chain it presented (DER, leaf first). Only an SVID counts, by
 * the bundle of its own trust domain: authorities vouch for callers only, though their revocation lists are asked. Never throws;
 * fails closed as `authenticate` does.
 */
export function authenticateServerDer(
  ders: readonly Uint8Array[],
  { bundles, authorities }: CallerTrust,
  nowMs: number,
): CertificatePeer {
  return judgeDer(ders, bundles, (chain) => {
    const [leaf] = chain
    if (leaf === undefined) return malformed('no certificate was presented', {})
    const { revocation } = derivedFrom(authorities)
    const verdict = verifySvid(chain, bundles, { nowMs, purpose: 'server', revocation })
    if (verdict.kind === 'verified') {
      return { kind: 'svid', id: verdict.id, path: verdict.path, authorities: [] }
    }
    return untrusted(leaf, toReason(verdict.reason, 'server'), verdict.detail)
  })
}

function judgeDer(
  ders: readonly Uint8Array[],
  bundles: TrustBundles,
  judge: (chain: readonly Certificate[]) => CertificatePeer,
  parsedLeaf?: Certificate,
): CertificatePeer {
  const oversize = oversizeOf(ders)
  if (oversize !== undefined) return malformed(oversize, {})
  const cas = casOf(bundles)
  const chain: Certificate[] = []
  try {
    for (const der of ders) {
      const isParsed = chain.length === 0 && parsedLeaf?.der.equals(der) === true
      chain.push(isParsed ? parsedLeaf : cas.parse(der))
    }
  } catch (cause) {
    const detail = `number ${chain.length + 1} of the chain: ${messageOf(cause)}`
    return malformed(detail, chain[0] === undefined ? unreadable(ders) : claimedBy(chain[0]))
  }
  const peer = judge(chain)
  if (peer.kind !== 'untrusted') cas.keep(peer.path)
  return peer
}

function oversizeOf(ders: readonly Uint8Array[]): string | undefined {
  if (ders.length > mostPresented)
    return `${ders.length} certificates were presented, more than ${mostPresented}`
  const isTooLarge = ders.some((der) => der.length > largestCertificate)
  return isTooLarge ? `a certificate is larger than ${largestCertificate} bytes` : undefined
}

/**
 * Finds out who a caller is from the chain it presented (leaf first), DESIGN.md 4 and 5. Fails closed: what is not
 * proven is `untrusted`, and only a caller that presented nothing at all is anonymous, which the caller of this
 * decides.
 *
 * A chain that claims a SPIFFE ID of a trust domain we hold a bundle for (the domain's own, or that of an authority
 * with this `trustDomain`) is judged by that bundle alone. A claim that is no SPIFFE ID is refused whoever issued
 * it. Every other chain is judged by the authorities without `trustDomain`; it proves the subject, and no SPIFFE
 * ID.
 *
 * Revocation lists of the authorities are asked about every path that runs through one of their CA certificates.
 *
 * Of several faults the first is named: dates of the leaf, the claim, use of the leaf, path.
 */
export function authenticate(
  chain: readonly Certificate[],
  trust: CallerTrust,
  nowMs: number,
): CertificatePeer {
  const [leaf] = chain
  if (leaf === undefined) return malformed('no certificate was presented', {})
  if (chain.length > mostPresented)
    return malformed(`more than ${mostPresented} certificates were presented`, claimedBy(leaf))
  const expired = dateFault(leaf, nowMs)
  if (expired !== undefined) return untrusted(leaf, toReason(expired.reason), expired.detail)
  const presented = { leaf, chain, trust, nowMs }
  const claim = readClaim(leaf, trust)
  switch (claim.kind) {
    case 'malformed':
      return untrusted(leaf, 'svid_malformed', claim.detail)
    case 'held':
      return authenticateSvid(presented, claim.bundles)
    case 'foreign':
    case 'none':
      return authenticateByAuthority(presented, claim)
  }
}

/** What was presented, and what it is judged by. */
interface Presented {
  readonly leaf: Certificate
  readonly chain: readonly Certificate[]
  readonly trust: CallerTrust
  readonly nowMs: number
}

/** What the leaf's URI names say about a SPIFFE ID. `foreign`: of a trust domain that we hold no bundle for. */
type Claim =
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'held'; readonly bundles: TrustBundles }
  | { readonly kind: 'foreign'; readonly trustDomain: string }

function readClaim(leaf: Certificate, trust: CallerTrust): Claim {
  const derived = derivedFrom(trust.authorities)
  let claim: Claim = { kind: 'none' }
  for (const uri of leaf.uriNames.filter(isSpiffeUri)) {
    const trustDomain = trustDomainOf(uri)
    if (trustDomain === undefined)
      return { kind: 'malformed', detail: `${escaped(uri)} is no SPIFFE ID` }
    const bundles = [trust.bundles, derived.bundles].find((held) => held.has(trustDomain))
    if (bundles !== undefined) return { kind: 'held', bundles }
    claim = { kind: 'foreign', trustDomain }
  }
  return claim
}

/** In any letter case: `SPIFFE://` is a claim that does not parse, and not another scheme. */
function isSpiffeUri(uri: string): boolean {
  return /^spiffe:/i.test(uri)
}

function trustDomainOf(uri: string): string | undefined {
  try {
    return SpiffeId.parse(uri).trustDomain.name
  } catch {
    return undefined
  }
}

function authenticateSvid(presented: Presented, bundles: TrustBundles): CertificatePeer {
  const { leaf, chain, trust, nowMs } = presented
  const { revocation } = derivedFrom(trust.authorities)
  const verdict = verifySvid(chain, bundles, { nowMs, purpose: 'client', revocation })
  if (verdict.kind === 'refused') return untrusted(leaf, toReason(verdict.reason), verdict.detail)
  const authorities = aliasesOn(verdict.path, trust.authorities)
  const { id, path } = verdict
  return bundles === trust.bundles
    ? { kind: 'svid', id, path, authorities }
    : { kind: 'svid', id, path, authorities, isByAuthority: true }
}

type UnheldClaim = Extract<Claim, { kind: 'none' | 'foreign' }>

function authenticateByAuthority(presented: Presented, claim: UnheldClaim): CertificatePeer {
  const { leaf, chain, trust, nowMs } = presented
  const { anchors, revocation } = derivedFrom(trust.authorities)
  const unknown = unknownIssuer(claim, anchors.length)
  if (anchors.length === 0) return untrusted(leaf, unknown.reason, unknown.detail)
  const misuse = clientMisuse(leaf)
  if (misuse !== undefined) return untrusted(leaf, 'certificate_not_for_client_auth', misuse)
  const conditions = { nowMs, purpose: 'client', revocation } as const
  const result = validatePath(leaf, chain.slice(1), anchors, conditions)
  if (result.kind === 'valid') return provenSubject(leaf, result.path, trust.authorities)
  if (result.reason === 'issuer_unknown' && claim.kind === 'foreign')
    return untrusted(leaf, unknown.reason, unknown.detail)
  return untrusted(leaf, toReason(result.reason), result.detail)
}

/** A caller that claims a foreign SPIFFE ID is told about the bundle, since that is what is missing. */
function unknownIssuer(
  claim: UnheldClaim,
  anchors: number,
): { reason: UntrustedReason; detail: string } {
  if (claim.kind === 'foreign') {
    const detail = `no bundle is held for spiffe://${claim.trustDomain}, and no authority issued it`
    return { reason: 'trust_domain_unknown', detail }
  }
  const detail = 'there is no SPIFFE ID, and no authority for other certificates is configured'
  return { reason: anchors === 0 ? 'svid_malformed' : 'issuer_unknown', detail }
}

/** A certificate of an authority keeps no SPIFFE rules, but it must be one that a TLS client may sign with. */
function clientMisuse(leaf: Certificate): string | undefined {
  if (leaf.isCa) return 'it is a CA certificate'
  const usage = leaf.extensions.keyUsage
  if (usage === undefined) return undefined
  if ((usage & keyUsageBit.keyCertSign) !== 0) return 'key usage holds keyCertSign'
  return (usage & keyUsageBit.digitalSignature) === 0
    ? 'key usage lacks digitalSignature'
    : undefined
}

function provenSubject(
  leaf: Certificate,
  path: CertificatePath,
  authorities: Authorities,
): CertificatePeer {
  const subject = leaf.subject === '' ? firstName(leaf) : leaf.subject
  if (subject === undefined)
    return malformed('it has neither a subject nor a name', claimedBy(leaf))
  if (subject.length > longestSubject)
    return malformed(`its subject is longer than ${longestSubject} characters`, claimedBy(leaf))
  return { kind: 'certificate', subject, path, authorities: aliasesOn(path, authorities) }
}

function firstName(leaf: Certificate): string | undefined {
  for (const name of leaf.names)
    if (name.kind === 'dns' || name.kind === 'email' || name.kind === 'uri')
      return `${name.kind}:${name.value}`
  return undefined
}

/** Aliases whose CA certificates lie on the path, nearest to the leaf first. */
function aliasesOn(path: CertificatePath, authorities: Authorities): readonly string[] {
  const { aliasBySha256 } = derivedFrom(authorities)
  if (aliasBySha256.size === 0) return []
  const aliases = path.certificates.slice(1).flatMap((ca) => aliasBySha256.get(ca.sha256) ?? [])
  return [...new Set(aliases)]
}

/** What every caller needs of the authorities; made once for each map of authorities, and gone with it. */
interface Derived {
  /** Anchors of the authorities without `trustDomain`. */
  readonly anchors: readonly Certificate[]
  /** Bundles of the authorities with one. */
  readonly bundles: TrustBundles
  readonly aliasBySha256: ReadonlyMap<string, string>
  readonly revocation: AuthorityRevocationCheck | undefined
}

const derivations = new WeakMap<Authorities, Derived>()

function derivedFrom(authorities: Authorities): Derived {
  const existing = derivations.get(authorities)
  if (existing !== undefined) return existing
  const derived = derive(authorities)
  derivations.set(authorities, derived)
  return derived
}

function derive(authorities: Authorities): Derived {
  const anchors: Certificate[] = []
  const bundles = new Map<string, TrustBundle>()
  const aliasBySha256 = new Map<string, string>()
  for (const { alias, anchors: own, trustDomain } of authorities.values()) {
    for (const anchor of own) aliasBySha256.set(anchor.sha256, alias)
    if (trustDomain === undefined) anchors.push(...own)
    else {
      const others = bundles.get(trustDomain.name)?.anchors ?? []
      bundles.set(trustDomain.name, { trustDomain, anchors: [...others, ...own] })
    }
  }
  return { anchors, bundles, aliasBySha256, revocation: AuthorityRevocationCheck.of(authorities) }
}

const caches = new WeakMap<TrustBundles, CaCache>()

/** Intermediates seen under these bundles, gone with them. */
function casOf(bundles: TrustBundles): CaCache {
  const existing = caches.get(bundles)
  if (existing !== undefined) return existing
  const cas = new CaCache()
  caches.set(bundles, cas)
  return cas
}

function toReason(reason: SvidFault, purpose: Purpose = 'client'): UntrustedReason {
  return reason === 'certificate_wrong_purpose' ? `certificate_not_for_${purpose}_auth` : reason
}

function malformed(detail: string, claimed: ClaimedIdentity): Untrusted {
  return { kind: 'untrusted', reason: 'certificate_malformed', detail: escaped(detail), claimed }
}

function untrusted(leaf: Certificate, reason: UntrustedReason, detail: string): Untrusted {
  return { kind: 'untrusted', reason, detail: escaped(detail), claimed: claimedBy(leaf) }
}

function unreadable([leaf]: readonly Uint8Array[]): ClaimedIdentity {
  return leaf === undefined ? {} : { sha256: hash('sha256', leaf, 'hex') }
}

function claimedBy(leaf: Certificate): ClaimedIdentity {
  const spiffeId = leaf.uriNames.find(isSpiffeUri)
  return {
    subject: escaped(leaf.subject),
    issuer: escaped(leaf.issuer),
    ...(spiffeId === undefined ? {} : { spiffeId: escaped(spiffeId) }),
    sha256: leaf.sha256,
    notAfterMs: leaf.notAfterMs,
  }
}

const longestClaim = 256

/** Foreign text for logs and pages: control and format characters escaped, at most 256 characters. */
function escaped(text: string): string {
  const safe = text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
  return safe.length > longestClaim ? `${safe.slice(0, longestClaim - 3)}...` : safe
}
