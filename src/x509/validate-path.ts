import { AnchorSet } from './anchors.ts'
import type { CertificatePath } from './certificate-path.ts'
import type { Certificate } from './certificate.ts'
import {
  caFault,
  type Fault,
  fault as faultOf,
  isCurrent,
  leafFault,
  type PathConditions,
  type PathFault,
  type PathState,
  quoted,
  type RevocationVerdict,
  signatureFault,
  stateBelow,
  stateFault,
  unconstrained,
} from './path-rules.ts'
import { isSignedBy } from './signature.ts'

/** Most certificates on one path, leaf and anchor included. */
export const longestPath = 6
/** Most intermediates that a peer may send. */
export const mostIntermediates = 9
/** Most signatures that are checked for one leaf. */
export const mostSignatureChecks = 20

/**
 * `certificateIndex` counts from the leaf (0) along the path that came nearest to being valid; absent when there
 * was none. `detail` is one bounded sentence for people.
 */
export type PathResult =
  | { readonly kind: 'valid'; readonly path: CertificatePath }
  | {
      readonly kind: 'invalid'
      readonly reason: PathFault
      readonly detail: string
      readonly certificateIndex?: number
    }

/**
 * RFC 5280 section 6 with path building. `intermediates` are what the peer sent, in any order; they never are
 * anchors. Every one of `anchors` is one, self-signed or not; those that are not valid now are passed over. The
 * constraints of the anchor's certificate apply as well. Policies are not processed: a certificate that could
 * require one (a critical policyConstraints) is refused.
 *
 * The search goes from the anchors down and follows verified signatures only, so that a stranger's keys are never
 * used; it tries each candidate by name, those with the right key identifier first. A path ends at the first anchor
 * on it, and an anchor that issued the leaf itself comes before any other. Revocation is asked about last, of what an
 * issuer is known to have signed; the anchor itself cannot be revoked.
 *
 * When none is valid, the reason is, in this order: a fault of the leaf itself; the best fault of a path that ends
 * at an anchor which is valid now (revoked, expired, not yet valid, wrong purpose, revocation unknown, then other rules);
 * the dates of an anchor; `issuer_unknown`.
 */
export function validatePath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  conditions: PathConditions,
): PathResult {
  const fault = leafFault(leaf, conditions)
  if (fault !== undefined) return invalid(fault, 0)
  if (intermediates.length > mostIntermediates)
    return { kind: 'invalid', reason: 'path_invalid', detail: 'too many intermediates were sent' }
  return new PathSearch(leaf, intermediates, AnchorSet.of(anchors), conditions).run()
}

/** A path under construction, anchor first, and what is wrong with it so far. */
interface Branch {
  readonly certificates: readonly [Certificate, ...Certificate[]]
  readonly last: Certificate
  readonly state: PathState
  readonly fault: Fault | undefined
  /** What was learned of revocation holds until then. */
  readonly revocationUntilMs: number
}

/** `explain` follows paths that break a rule, to say which; it can never end in a valid path. */
type Mode = 'find' | 'explain'

/**
 * Bounded without a count of branches: they run along verified signatures, of which there are at most 20 in at most
 * 5 steps.
 */
class PathSearch {
  readonly #leaf: Certificate
  readonly #intermediates: readonly Certificate[]
  readonly #anchors: AnchorSet
  readonly #conditions: PathConditions
  readonly #signed = new Map<Certificate, Map<Certificate, boolean>>()
  #checksLeft = mostSignatureChecks
  #best: Invalid | undefined
  #isCutOff = false

  constructor(
    leaf: Certificate,
    intermediates: readonly Certificate[],
    anchors: AnchorSet,
    conditions: PathConditions,
  ) {
    this.#leaf = leaf
    this.#anchors = anchors
    this.#conditions = conditions
    this.#intermediates = distinct(intermediates).filter(
      (sent) => !anchors.has(sent) && !sent.equals(leaf),
    )
  }

  run(): PathResult {
    const anchors = this.#candidateAnchors()
    const current = anchors.filter((anchor) => isCurrent(anchor, this.#conditions.nowMs))
    const found = this.#find(current)
    if (found !== undefined) return { kind: 'valid', path: found }
    this.#explain(current)
    if (this.#best === undefined) this.#explain(anchors)
    return this.#best ?? { kind: 'invalid', reason: 'issuer_unknown', detail: this.#whyUnknown() }
  }

  /** Anchors that issued something that is here, by name; those of the leaf first. */
  #candidateAnchors(): Certificate[] {
    const children = [this.#leaf, ...this.#intermediates]
    return [...new Set(children.flatMap((child) => this.#anchorsOf(child)))]
  }

  #anchorsOf(child: Certificate): Certificate[] {
    return byKeyId(this.#anchors.named(child.issuerName), (anchor) => keyIdRank(anchor, child))
  }

  #find(anchors: readonly Certificate[]): CertificatePath | undefined {
    for (const anchor of anchors) {
      const branch = this.#start(anchor)
      const found = branch.fault === undefined ? this.#findBelow(branch) : undefined
      if (found !== undefined) return found
    }
    return undefined
  }

  #findBelow(branch: Branch): CertificatePath | undefined {
    if (this.#isLeafBelow(branch) && stateFault(branch.state, this.#leaf, 'leaf') === undefined) {
      const verdict = this.#askRevocation(this.#leaf, branch)
      if (verdict.kind === 'passed') return pathOf(this.#leaf, branch, verdict.untilMs)
    }
    for (const next of this.#nextBranches(branch, 'find')) {
      const found = this.#findBelow(next)
      if (found !== undefined) return found
    }
    return undefined
  }

  #explain(anchors: readonly Certificate[]): void {
    for (const anchor of anchors) this.#explainBelow(this.#start(anchor))
  }

  #explainBelow(branch: Branch): void {
    if (this.#isLeafBelow(branch)) {
      const leafFault = better(
        stateFault(branch.state, this.#leaf, 'leaf'),
        revocationFault(this.#leaf, this.#askRevocation(this.#leaf, branch)),
      )
      this.#keepBest(better(branch.fault, leafFault), [...branch.certificates, this.#leaf])
    }
    for (const next of this.#nextBranches(branch, 'explain')) this.#explainBelow(next)
  }

  /** Without a path the fault is one of a certificate that nobody is known to have signed. */
  #keepBest(fault: Fault | undefined, anchorFirst?: readonly Certificate[]): void {
    if (fault === undefined) return
    if (this.#best !== undefined && rank(this.#best.reason) <= rank(fault.reason)) return
    this.#best = invalid(fault, anchorFirst?.toReversed().indexOf(fault.certificate))
  }

  #start(anchor: Certificate): Branch {
    return {
      certificates: [anchor],
      last: anchor,
      state: stateBelow(unconstrained, anchor),
      fault: caFault(anchor, this.#conditions),
      revocationUntilMs: Infinity,
    }
  }

  *#nextBranches(branch: Branch, mode: Mode): Generator<Branch> {
    for (const child of this.#children(branch)) {
      const fault =
        caFault(child, this.#conditions) ?? stateFault(branch.state, child, 'intermediate')
      if (mode === 'find' && fault !== undefined) continue
      if (mode === 'explain') this.#keepBest(signatureFault(child))
      if (!this.#isSigned(child, branch.last)) continue
      const verdict = this.#askRevocation(child, branch)
      if (mode === 'find' && verdict.kind === 'refused') continue
      yield {
        certificates: [...branch.certificates, child],
        last: child,
        state: stateBelow(branch.state, child),
        fault: better(branch.fault, better(fault, revocationFault(child, verdict))),
        revocationUntilMs:
          verdict.kind === 'passed'
            ? Math.min(branch.revocationUntilMs, verdict.untilMs)
            : branch.revocationUntilMs,
      }
    }
  }

  #askRevocation(child: Certificate, branch: Branch): RevocationVerdict {
    const { revocation, nowMs } = this.#conditions
    return revocation?.check(child, branch.certificates, nowMs) ?? neverAsked
  }

  #children(branch: Branch): Certificate[] {
    const children = this.#intermediates.filter(
      (sent) =>
        sent.issuerName.equals(branch.last.subjectName) && !branch.certificates.includes(sent),
    )
    if (branch.certificates.length + 2 <= longestPath)
      return byKeyId(children, (child) => keyIdRank(branch.last, child))
    this.#isCutOff ||= children.length > 0
    return []
  }

  #isLeafBelow(branch: Branch): boolean {
    const isNamed = this.#leaf.issuerName.equals(branch.last.subjectName)
    return isNamed && this.#isSigned(this.#leaf, branch.last)
  }

  #isSigned(child: Certificate, issuer: Certificate): boolean {
    const verdicts = this.#signed.get(child) ?? new Map<Certificate, boolean>()
    const known = verdicts.get(issuer)
    if (known !== undefined || this.#checksLeft === 0) return known === true
    this.#checksLeft--
    const verdict = isSignedBy(child, issuer)
    this.#signed.set(child, verdicts.set(issuer, verdict))
    return verdict
  }

  #whyUnknown(): string {
    if (this.#checksLeft === 0)
      return `no path was found in ${mostSignatureChecks} signature checks`
    if (this.#isCutOff) return `no path of at most ${longestPath} certificates was found`
    const issuer = this.#leaf.issuerName
    const isNamed =
      this.#anchors.named(issuer).length > 0 ||
      this.#intermediates.some((sent) => sent.subjectName.equals(issuer))
    const name = quoted(issuer.toString())
    return isNamed
      ? `the issuer ${name} is known by name, but no trusted key leads to it`
      : `the issuer ${name} is neither trusted nor was it sent`
  }
}

type Invalid = Extract<PathResult, { kind: 'invalid' }>

function invalid({ reason, detail }: Fault, certificateIndex?: number): Invalid {
  return certificateIndex === undefined
    ? { kind: 'invalid', reason, detail }
    : { kind: 'invalid', reason, detail, certificateIndex }
}

const neverAsked: RevocationVerdict = { kind: 'passed', untilMs: Infinity }

function revocationFault(certificate: Certificate, verdict: RevocationVerdict): Fault | undefined {
  return verdict.kind === 'passed' ? undefined : faultOf(verdict.reason, certificate, verdict.what)
}

function pathOf(leaf: Certificate, branch: Branch, leafUntilMs: number): CertificatePath {
  const [anchor, ...below] = branch.certificates
  const certificates = [leaf, ...below.reverse(), anchor] as const
  const notAfterMs = Math.min(...certificates.map((certificate) => certificate.notAfterMs))
  const revocationUntilMs = Math.min(branch.revocationUntilMs, leafUntilMs)
  return { certificates, leaf, anchor, notAfterMs, revocationUntilMs }
}

const usefulFirst: readonly PathFault[] = [
  'certificate_revoked',
  'certificate_expired',
  'certificate_not_yet_valid',
  'certificate_wrong_purpose',
  'revocation_unknown',
  'path_invalid',
  'issuer_unknown',
]

function rank(reason: PathFault): number {
  return usefulFirst.indexOf(reason)
}

/** The more useful one of two faults; the earlier one of equals. */
function better(one: Fault | undefined, other: Fault | undefined): Fault | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return rank(other.reason) < rank(one.reason) ? other : one
}

/** Key identifiers only order the candidates (RFC 4158 3.5.12): the signature decides. */
function keyIdRank(issuer: Certificate, child: Certificate): number {
  const wanted = child.extensions.authorityKeyId
  const own = issuer.extensions.subjectKeyId
  if (wanted === undefined || own === undefined) return 1
  return wanted.equals(own) ? 0 : 2
}

function byKeyId(
  candidates: readonly Certificate[],
  rankOf: (candidate: Certificate) => number,
): Certificate[] {
  return candidates.toSorted((one, other) => rankOf(one) - rankOf(other))
}

function distinct(certificates: readonly Certificate[]): Certificate[] {
  return certificates.filter(
    (certificate, i) => certificates.findIndex((other) => other.equals(certificate)) === i,
  )
}
