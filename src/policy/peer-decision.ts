import type { SpiffeId } from '../spiffe/spiffe-id.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { parseSpiffeIdSelector, reasonOf, type Selector } from './caller.ts'
import type { AllowReason, DecisionSubject, Step } from './decision.ts'
import type { Peer } from './peer.ts'
import type { TrustState } from './trust-state.ts'

/**
 * Why a call of the workload does not go out. `peer_untrusted`: the other end proved no identity that is trusted here;
 * `peer_unexpected`: it is somebody else; the rest: nobody was there to be judged.
 */
export type PeerDenyReason =
  | 'identity_unavailable'
  | 'audit_unavailable'
  | 'peer_untrusted'
  | 'peer_unexpected'
  | 'handshake_failed'
  | 'upstream_unavailable'
  | 'upstream_timeout'

/** The answer to "may this call go to this peer?": a value, as `Decision` is for callers. */
export type PeerDecision =
  | (PeerDecisionSubject & {
      readonly outcome: 'allow'
      readonly reason: AllowReason
      readonly principal: string
      readonly credential: 'x509-svid'
    })
  | (PeerDecisionSubject & {
      readonly outcome: 'deny'
      readonly reason: PeerDenyReason
      /** HTTP status of the reply. */
      readonly status: 502 | 503 | 504
    })

type PeerDecisionSubject = Omit<DecisionSubject, 'product'> & {
  /** Calls of the workload belong to no product. */
  readonly product?: never
  /** `host:port` as configured. */
  readonly upstream: string
}

type PeerDenial = Extract<PeerDecision, { outcome: 'deny' }>

/** Whom a listener for calls of the workload expects at the other end. */
export interface ExpectedPeer {
  /** `host:port` as configured. */
  readonly upstream: string
  /** As configured: a SPIFFE ID, one that ends in `/*` or `/**`, or the name of a trust domain. */
  readonly text: string
  readonly selector: Selector
}

/** Throws `PosternError` ERR_SPIFFE_ID_INVALID or ERR_TRUST_DOMAIN_INVALID. */
export function parseExpectedPeer(upstream: string, text: string): ExpectedPeer {
  const selector: Selector = text.includes('/')
    ? parseSpiffeIdSelector(text)
    : { kind: 'trust-domain', trustDomain: TrustDomain.parse(text) }
  return { upstream, text, selector }
}

/**
 * Answers "may this call go to this peer?" Pure. Fails closed: only a valid SVID whose SPIFFE ID is the expected one is
 * allowed, and only while we hold an identity to present.
 */
export function decidePeer(
  peer: Peer,
  expected: ExpectedPeer,
  trust: TrustState,
  nowMs: number,
): PeerDecision {
  const { epoch } = trust
  if (!trust.hasIdentity) return denyPeer('identity_unavailable', expected, epoch, noIdentity)
  if (peer.kind !== 'svid') return denyPeer('peer_untrusted', expected, epoch, faultOf(peer))
  if (nowMs > peer.path.notAfterMs) {
    const detail = `the certificates were valid until ${new Date(peer.path.notAfterMs).toISOString()}`
    return denyPeer('peer_untrusted', expected, epoch, `certificate_expired: ${detail}`)
  }
  const proven = {
    principal: peer.id.toString(),
    credential: 'x509-svid',
    rule: `expect: ${expected.text}`,
  } as const
  if (!isExpected(peer.id, expected.selector)) {
    const detail = `it proved to be ${peer.id.toString()}, expected ${expected.text}`
    return { ...proven, ...denyPeer('peer_unexpected', expected, epoch, detail) }
  }
  return {
    ...proven,
    outcome: 'allow',
    reason: reasonOf(expected.selector),
    upstream: expected.upstream,
    epoch,
    steps: allowedSteps,
  }
}

/** A deny for what was found before, or instead of, a peer. `detail`: one sentence, no secret. */
export function denyPeer(
  reason: PeerDenyReason,
  expected: ExpectedPeer,
  epoch: number,
  detail: string,
): PeerDenial {
  const [name, before] = stepOf[reason]
  return {
    outcome: 'deny',
    reason,
    status: statusOf[reason],
    upstream: expected.upstream,
    epoch,
    steps: [...before, { name, outcome: 'deny', detail }],
  }
}

/** Exactly as the product map reads its callers. */
function isExpected(id: SpiffeId, selector: Selector): boolean {
  switch (selector.kind) {
    case 'spiffe-id':
      return id.equals(selector.id)
    case 'children':
      return isBelow(id, selector.parent) && !pathBelow(id, selector.parent).includes('/')
    case 'subtree':
      return isBelow(id, selector.parent)
    case 'trust-domain':
      return id.trustDomain.equals(selector.trustDomain)
    case 'authority':
      return false
  }
}

function isBelow(id: SpiffeId, parent: SpiffeId): boolean {
  return id.toString().startsWith(`${parent.toString()}/`)
}

function pathBelow(id: SpiffeId, parent: SpiffeId): string {
  return id.toString().slice(parent.toString().length + 1)
}

function faultOf(peer: Exclude<Peer, { kind: 'svid' }>): string {
  return peer.kind === 'untrusted' ? `${peer.reason}: ${peer.detail}` : 'it proved no SPIFFE ID'
}

const noIdentity = 'this sidecar holds no unexpired SVID'

const statusOf: Readonly<Record<PeerDenyReason, PeerDenial['status']>> = {
  identity_unavailable: 503,
  audit_unavailable: 503,
  peer_untrusted: 502,
  peer_unexpected: 502,
  handshake_failed: 502,
  upstream_unavailable: 503,
  upstream_timeout: 504,
}

// Steps that say the same each time are shared.
const identityHeld = pass('identity', 'this sidecar holds an unexpired SVID')
const svidValid = pass('certificate', "the other end's SVID is valid")
const allowedSteps: readonly Step[] = [
  identityHeld,
  svidValid,
  pass('expected-peer', 'its SPIFFE ID is the expected one'),
]

const stepOf: Readonly<Record<PeerDenyReason, readonly [Step['name'], readonly Step[]]>> = {
  identity_unavailable: ['identity', []],
  audit_unavailable: ['audit', [identityHeld]],
  upstream_unavailable: ['connect', [identityHeld]],
  upstream_timeout: ['connect', [identityHeld]],
  handshake_failed: ['connect', [identityHeld]],
  peer_untrusted: ['certificate', [identityHeld]],
  peer_unexpected: ['expected-peer', [identityHeld, svidValid]],
}

function pass(name: Step['name'], detail: string): Step {
  return Object.freeze({ name, outcome: 'pass', detail })
}
