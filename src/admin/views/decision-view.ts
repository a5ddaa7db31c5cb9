import type { Decision } from '../../policy/decision.ts'
import type { ClaimedIdentity, Peer } from '../../policy/peer.ts'
import {
  bounded,
  longestHost,
  longestMethod,
  longestName,
  longestSpiffeId,
  longestWord,
  recordedPath,
} from '../../telemetry/record-text.ts'
import { type DecisionRecord, upstreamOf } from '../../telemetry/telemetry.ts'
import { type CertificateView, timeText, viewCertificate } from './certificate-view.ts'

/** One line of the list of decisions. */
export interface DecisionLine {
  readonly id: string
  /** RFC 3339 in UTC. */
  readonly time: string
  readonly outcome: 'allow' | 'deny'
  readonly reason: string
  /** HTTP status of a denial. */
  readonly status?: number
  readonly product?: string
  readonly principal?: string
  /** What a certificate that proves nothing says of its owner. */
  readonly claims?: string
  readonly consumer?: string
  readonly credential?: string
  readonly apiKeyId?: string
  readonly method?: string
  readonly host?: string
  readonly path?: string
  readonly protocol: string
  readonly client: string
  readonly epoch: number
  /** Of a call of the workload: where it goes. */
  readonly outboundTo?: string
  /** A live connection was judged again when the trust changed, and ended; this was its reason before. */
  readonly previousReason?: string
}

export function viewDecisionLine(record: DecisionRecord): DecisionLine {
  const { decision, request, previousReason } = record
  const { product, principal, consumer, credential, apiKeyId } = decision
  const claims = claimOf(record.peer)
  return {
    id: record.id,
    time: timeText(record.atMs),
    outcome: decision.outcome,
    reason: decision.reason,
    ...(decision.outcome === 'deny' && { status: decision.status }),
    ...(product !== undefined && { product: bounded(product, longestWord) }),
    ...(principal !== undefined && { principal: bounded(principal, longestSpiffeId) }),
    ...(claims !== undefined && { claims }),
    ...(consumer !== undefined && { consumer }),
    ...(credential !== undefined && { credential }),
    ...(apiKeyId !== undefined && { apiKeyId }),
    ...(request !== undefined && viewRequest(request)),
    protocol: record.protocol,
    client: record.clientAddress,
    epoch: decision.epoch,
    ...(record.direction === 'outbound' && { outboundTo: upstreamOf(decision) ?? '' }),
    ...(previousReason !== undefined && { previousReason }),
  }
}

/** What was asked for, bounded, without the query. */
export interface RequestView {
  readonly method: string
  readonly host: string
  readonly path: string
}

export function viewRequest({ method, host, path }: RequestView): RequestView {
  return {
    method: bounded(method, longestMethod),
    host: bounded(host, longestHost),
    path: recordedPath(path),
  }
}

function claimOf(peer: Peer): string | undefined {
  if (peer.kind !== 'untrusted') return undefined
  const { spiffeId, subject } = peer.claimed
  return spiffeId ?? subject
}

/** The other end, and what it presented. */
export interface CallerView {
  readonly kind: Peer['kind']
  readonly spiffeId?: string
  readonly subject?: string
  /** Aliases of the authorities on the path, nearest to the leaf first. */
  readonly authorities?: readonly string[]
  /** The validated path, the leaf first and the anchor last. */
  readonly path?: readonly CertificateView[]
  /** Why the certificate proves nothing: which one failed which check. */
  readonly fault?: string
  /** What the certificate says; none of it is proven. */
  readonly claimed?: Omit<ClaimedIdentity, 'notAfterMs'> & { readonly notAfter?: string }
}

export function viewCaller(peer: Peer): CallerView {
  const { kind } = peer
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
      return { kind }
    case 'untrusted': {
      const { notAfterMs, ...claimed } = peer.claimed
      const notAfter = notAfterMs === undefined ? {} : { notAfter: timeText(notAfterMs) }
      return { kind, fault: peer.detail, claimed: { ...claimed, ...notAfter } }
    }
    case 'svid':
      return { kind, spiffeId: peer.id.toString(), ...viewPath(peer) }
    case 'certificate':
      return { kind, subject: bounded(peer.subject, longestName), ...viewPath(peer) }
  }
}

function viewPath({ path, authorities }: Extract<Peer, { kind: 'svid' | 'certificate' }>) {
  return { path: path.certificates.map(viewCertificate), authorities }
}

/** What a list of decisions is narrowed to; a text must stand in the field, in any letter case. */
export interface DecisionFilter {
  readonly outcome?: Decision['outcome']
  readonly reason?: string
  readonly product?: string
  readonly credential?: string
  /** In the principal, the claim, the path, the id, the key's id or the caller's address. */
  readonly text?: string
}

export function matchesFilter(line: DecisionLine, filter: DecisionFilter): boolean {
  const { outcome, reason, product, credential, text } = filter
  return (
    (outcome === undefined || line.outcome === outcome) &&
    (reason === undefined || line.reason === reason) &&
    (product === undefined || line.product === product) &&
    (credential === undefined || line.credential === credential) &&
    (text === undefined || holdsText(line, text.toLowerCase()))
  )
}

function holdsText(line: DecisionLine, text: string): boolean {
  const { id, principal, claims, consumer, apiKeyId, method, host, path, client } = line
  return [id, principal, claims, consumer, apiKeyId, method, host, path, client].some(
    (field) => field?.toLowerCase().includes(text) === true,
  )
}
