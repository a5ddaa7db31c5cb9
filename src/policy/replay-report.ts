import type { Decision } from './decision.ts'
import type { Answer, RecordedCall } from './replay.ts'

/** What became of the answer to a call. `answer`: the outcome is the same, its reason, product or what follows is not. */
export type ChangeKind = 'allow_to_deny' | 'deny_to_allow' | 'answer'

/** Why a line of the audit log was not decided again. */
export type SkipReason =
  /** It records the end of a live connection after a change of trust; its calls have lines of their own. */
  | 'ended_connection'
  /** The product map decides who may call us, not whom we call. */
  | 'outbound'
  /** The addresses of the listener refused it: no product map decides that. */
  | 'listener_address'
  /** Method, host or path was longer than the log holds. */
  | 'truncated'
  /** It is no line of an audit log. */
  | 'unreadable'

/** All calls whose answer changed in the same way. */
export interface Change {
  readonly kind: ChangeKind
  readonly from: AnswerFacts
  readonly to: AnswerFacts
  readonly calls: number
  /** Most calls first; at most 20,000 are told apart over all changes. */
  readonly callers: readonly { readonly principal: string; readonly calls: number }[]
  /** Calls of callers that are not told apart. */
  readonly otherCalls: number
  readonly examples: readonly Example[]
}

/** What a group of changes has in common; the principal is the caller's. */
type AnswerFacts = Omit<Answer, 'principal'>

/** One call with a changed answer. */
export interface Example {
  readonly id: string
  readonly atMs: number
  readonly principal: string
  readonly request?: { readonly method: string; readonly host: string; readonly path: string }
  /** The step of the new decision that says why. */
  readonly why: string
}

/** What a replay found. */
export interface ReplaySummary {
  readonly replayed: number
  readonly unchanged: number
  readonly skipped: Readonly<Record<SkipReason, number>>
  /** Calls whose limit had been reached: taken as allowed, because limits are not replayed. */
  readonly rateLimited: number
  /** Calls that `audit.required` refused because the log could not be written: taken as allowed. */
  readonly unrecorded: number
  /** Calls with a key that was unknown: it has no name in the log, and is taken as unknown again. */
  readonly unknownKeys: number
  /** Calls by kind of change. */
  readonly changed: Readonly<Record<ChangeKind, number>>
  /** Changes of the outcome first, then most calls first; at most 1,000 are told apart. */
  readonly changes: readonly Change[]
  /** Changed calls of changes that are not told apart. */
  readonly otherCalls: number
}

const mostChanges = 1_000
/** Over all changes. */
const mostCallers = 20_000
const mostExamples = 3

interface Group {
  readonly kind: ChangeKind
  readonly from: AnswerFacts
  readonly to: AnswerFacts
  calls: number
  otherCalls: number
  readonly callers: Map<string, number>
  readonly examples: Example[]
}

/** Sums up a replay in memory that does not grow with the number of calls. */
export class ReplayReport {
  #replayed = 0
  #rateLimited = 0
  #unrecorded = 0
  #unknownKeys = 0
  #otherCalls = 0
  #callers = 0
  readonly #skipped = {
    ended_connection: 0,
    outbound: 0,
    listener_address: 0,
    truncated: 0,
    unreadable: 0,
  }
  readonly #changed = { allow_to_deny: 0, deny_to_allow: 0, answer: 0 }
  readonly #groups = new Map<string, Group>()

  skip(reason: SkipReason): void {
    this.#skipped[reason]++
  }

  /** `decision`: the answer to the call with the new files. */
  add(call: RecordedCall, decision: Decision): void {
    this.#replayed++
    if (call.answer.reason === 'rate_limited') this.#rateLimited++
    if (call.answer.reason === 'audit_unavailable') this.#unrecorded++
    if (call.key.status === 'unknown') this.#unknownKeys++
    const kind = changeOf(call.answer, decision)
    if (kind === undefined) return
    this.#changed[kind]++
    this.#note(kind, call, decision)
  }

  summary(): ReplaySummary {
    const changes = [...this.#groups.values()].sort(byWeight).map(toChange)
    const { allow_to_deny, deny_to_allow, answer } = this.#changed
    return {
      replayed: this.#replayed,
      unchanged: this.#replayed - allow_to_deny - deny_to_allow - answer,
      skipped: this.#skipped,
      rateLimited: this.#rateLimited,
      unrecorded: this.#unrecorded,
      unknownKeys: this.#unknownKeys,
      changed: this.#changed,
      changes,
      otherCalls: this.#otherCalls,
    }
  }

  #note(kind: ChangeKind, call: RecordedCall, decision: Decision): void {
    const group = this.#groupOf(kind, factsOf(call.answer), factsOf(decision))
    if (group === undefined) {
      this.#otherCalls++
      return
    }
    const principal = principalOf(call, decision)
    const isNew = !group.callers.has(principal)
    group.calls++
    if (isNew && group.examples.length < mostExamples) {
      group.examples.push(exampleOf(call, decision, principal))
    }
    if (isNew && this.#callers >= mostCallers) {
      group.otherCalls++
      return
    }
    if (isNew) this.#callers++
    group.callers.set(principal, (group.callers.get(principal) ?? 0) + 1)
  }

  /** Undefined: there are too many to tell apart. */
  #groupOf(kind: ChangeKind, from: AnswerFacts, to: AnswerFacts): Group | undefined {
    const name = JSON.stringify([from, to])
    const existing = this.#groups.get(name)
    if (existing !== undefined || this.#groups.size >= mostChanges) return existing
    const group = { kind, from, to, calls: 0, otherCalls: 0, callers: new Map(), examples: [] }
    this.#groups.set(name, group)
    return group
  }
}

/** A call whose limit was reached, or that could not be recorded, had passed what the files say: it counts as allowed. */
function changeOf(before: Answer, after: Decision): ChangeKind | undefined {
  if (before.reason === 'rate_limited' || before.reason === 'audit_unavailable') {
    return after.outcome === 'deny' ? 'allow_to_deny' : undefined
  }
  if (before.outcome !== after.outcome) {
    return before.outcome === 'allow' ? 'allow_to_deny' : 'deny_to_allow'
  }
  return isSame(factsOf(before), factsOf(after)) ? undefined : 'answer'
}

function isSame(a: AnswerFacts, b: AnswerFacts): boolean {
  return (
    a.reason === b.reason &&
    a.product === b.product &&
    a.consumer === b.consumer &&
    a.upstream === b.upstream
  )
}

function factsOf(answer: Answer | Decision): AnswerFacts {
  const { outcome, reason, product, consumer } = answer
  const upstream = 'upstream' in answer ? answer.upstream : undefined
  return { outcome, reason, product, consumer, upstream }
}

function principalOf({ answer, peer }: RecordedCall, decision: Decision): string {
  return answer.principal ?? decision.principal ?? `(${peer.kind})`
}

function exampleOf(call: RecordedCall, decision: Decision, principal: string): Example {
  const { id, atMs, request } = call
  return {
    id,
    atMs,
    principal,
    ...(request === undefined ? {} : { request }),
    why: whyOf(decision),
  }
}

/** The step that ended it; of an allow, the one that mapped the caller. */
function whyOf({ outcome, steps }: Decision): string {
  const step =
    outcome === 'deny'
      ? steps.at(-1)
      : (steps.find(({ name, outcome: went }) => name === 'product-map' && went === 'pass') ??
        steps.find(({ name }) => name === 'api-key'))
  return step?.detail ?? ''
}

function byWeight(a: Group, b: Group): number {
  return rank[a.kind] - rank[b.kind] || b.calls - a.calls
}

const rank: Readonly<Record<ChangeKind, number>> = { allow_to_deny: 0, deny_to_allow: 1, answer: 2 }

function toChange({ callers, ...group }: Group): Change {
  const byCalls = [...callers].map(([principal, calls]) => ({ principal, calls }))
  return { ...group, callers: byCalls.sort((a, b) => b.calls - a.calls) }
}
