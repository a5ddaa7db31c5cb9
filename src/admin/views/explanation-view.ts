import { type Explanation, explainRules, type RulesExplained } from '../../policy/explain.ts'
import type { Peer } from '../../policy/peer.ts'
import type { TrustState } from '../../policy/trust-state.ts'
import { SpiffeId } from '../../spiffe/spiffe-id.ts'
import type { DecisionRecord, RecordedDecision } from '../../telemetry/telemetry.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { type CertificateView, timeText, viewCertificate } from './certificate-view.ts'
import { type CallerView, type RequestView, viewCaller, viewRequest } from './decision-view.ts'

/** A decision and everything that led to it, as pages and programs read it. */
export interface ExplanationView extends RulesExplained {
  /** Absent: nobody called, it was only asked for. */
  readonly made?: MadeDecision
  /** The caller; outbound the other end. */
  readonly caller: CallerView
  readonly request?: RequestView
  readonly decision: RecordedDecision
  /** The bundle or the authorities that had to vouch for a certificate which proved nothing. */
  readonly judgedBy?: readonly JudgeView[]
  /** Where the rules are not those that the decision was made by, or none can be shown. */
  readonly note?: string
}

/** When and for whom a decision was made. */
export interface MadeDecision {
  readonly id: string
  /** RFC 3339 in UTC. */
  readonly time: string
  readonly direction: 'inbound' | 'outbound'
  readonly protocol: string
  readonly client: string
  readonly previousReason?: string
}

/** Who had to vouch. */
export interface JudgeView {
  /** `bundle of corp.example`, `authority partner-b`. */
  readonly name: string
  readonly anchors: readonly CertificateView[]
}

/** As `explain` found it for a caller who might call. */
export function viewExplanation(
  { decision, ...rules }: Explanation,
  asked: AskedOf,
): ExplanationView {
  return { ...viewAsked(asked), decision, ...viewJudges(asked), ...rules }
}

interface AskedOf {
  readonly peer: Peer
  readonly request?: RequestView | undefined
  readonly trust: TrustState
}

/** Explains a decision that was made, by the trust state of its epoch; undefined: that is held no more. */
export function viewMadeDecision(
  record: DecisionRecord,
  trust: TrustState | undefined,
  currentEpoch: number,
): ExplanationView {
  const { peer, request, decision, direction } = record
  const made = { made: viewMade(record), ...viewAsked(record), decision }
  // The map is about callers.
  if (direction === 'outbound') return { ...made, ...noRules }
  if (trust === undefined) return { ...made, ...noRules, note: changedMuch(record, currentEpoch) }
  const asked = { peer, request, trust }
  const note = trust.epoch === currentEpoch ? {} : { note: changedSince(trust, currentEpoch) }
  return { ...made, ...viewJudges(asked), ...explainRules(asked, decision.product), ...note }
}

const noRules = { rules: [], otherRules: 0, requests: [] } as const

function viewMade(record: DecisionRecord): MadeDecision {
  const { previousReason } = record
  return {
    id: record.id,
    time: timeText(record.atMs),
    direction: record.direction,
    protocol: record.protocol,
    client: `${record.clientAddress} port ${record.clientPort}`,
    ...(previousReason !== undefined && { previousReason }),
  }
}

function viewAsked({ peer, request }: Pick<AskedOf, 'peer' | 'request'>) {
  return {
    caller: viewCaller(peer),
    ...(request !== undefined && { request: viewRequest(request) }),
  }
}

function viewJudges({ peer, trust }: AskedOf) {
  const judgedBy = judgesOf(peer, trust)
  return judgedBy === undefined ? {} : { judgedBy }
}

function changedMuch({ decision: { epoch } }: DecisionRecord, currentEpoch: number): string {
  return `bundles or files have changed since: this was decided by epoch ${epoch}, of which the rules are no longer held; now it is epoch ${currentEpoch}`
}

function changedSince({ epoch }: TrustState, currentEpoch: number): string {
  return `the rules below are those of epoch ${epoch}, by which this was decided; now it is epoch ${currentEpoch}`
}

/** Who had to vouch for what the peer claimed (DESIGN.md 5): its own trust domain's bundle alone, else the authorities. */
function judgesOf(peer: Peer, { bundles, products }: TrustState): JudgeView[] | undefined {
  if (peer.kind !== 'untrusted') return undefined
  const domain = domainOf(peer.claimed.spiffeId)
  const authorities = [...products.authorities.values()]
  const bundle = domain === undefined ? undefined : bundles.get(domain)
  if (bundle !== undefined) return [judge(`bundle of ${bundle.trustDomain.name}`, bundle.anchors)]
  const ofDomain = authorities.filter(({ trustDomain }) => trustDomain?.name === domain)
  const ofNone = authorities.filter(({ trustDomain }) => trustDomain === undefined)
  const judges = domain === undefined || ofDomain.length === 0 ? ofNone : ofDomain
  return judges.map(({ alias, anchors }) => judge(`authority ${alias}`, anchors))
}

function domainOf(spiffeId: string | undefined): string | undefined {
  if (spiffeId === undefined) return undefined
  try {
    return SpiffeId.parse(spiffeId).trustDomain.name
  } catch {
    return undefined
  }
}

const mostAnchors = 20

function judge(name: string, anchors: readonly Certificate[]): JudgeView {
  return { name, anchors: anchors.slice(0, mostAnchors).map(viewCertificate) }
}
