import type { Caller, Selector } from './caller.ts'
import { decide, type DecisionInput } from './decide.ts'
import type { Decision } from './decision.ts'
import type { Peer } from './peer.ts'
import type { SourcePosition } from './source-position.ts'

/** What one caller entry of the product map had to say. */
export interface RuleExplanation {
  readonly product: string
  /** The entry as written. */
  readonly rule: string
  readonly position: SourcePosition
  readonly result: 'won' | 'less-specific' | 'no-match'
  /** Why, in one sentence. */
  readonly why: string
}

/** A decision, and why each rule did or did not lead to it. */
export interface Explanation {
  readonly decision: Decision
  /** The winner first, then those that came nearest. */
  readonly rules: readonly RuleExplanation[]
  /** Rules that are not listed: nothing in them has to do with this caller. */
  readonly otherRules: number
}

const mostRules = 50

/** Decides and says why (DESIGN.md 10). The limiter of `input` should count nothing: `unlimited`. */
export function explain(input: DecisionInput): Explanation {
  const decision = decide(input)
  const { peer } = input
  if (peer.kind !== 'svid' && peer.kind !== 'certificate') {
    return { decision, rules: [], otherRules: countCallers(input) }
  }
  const winner = input.trust.products.find(peer)?.caller
  const judged = [...input.trust.products.products.values()].flatMap((product) =>
    product.callers.map((caller) => judge(product.name, caller, winner, peer)),
  )
  const rules = judged.sort((a, b) => a.distance - b.distance).slice(0, mostRules)
  return {
    decision,
    rules: rules.map(({ distance: _, ...rule }) => rule),
    otherRules: judged.length - rules.length,
  }
}

function countCallers({ trust }: DecisionInput): number {
  let count = 0
  for (const product of trust.products.products.values()) count += product.callers.length
  return count
}

type MappedPeer = Extract<Peer, { kind: 'svid' | 'certificate' }>

/** `distance`: 0 for the winner; the larger, the less the rule has to do with the caller. */
interface JudgedRule extends RuleExplanation {
  readonly distance: number
}

function judge(
  product: string,
  caller: Caller,
  winner: Caller | undefined,
  peer: MappedPeer,
): JudgedRule {
  const { text: rule, position, selector } = caller
  if (caller === winner) {
    const why = 'it is the most specific entry that matches'
    return { product, rule, position, result: 'won', why, distance: 0 }
  }
  const mismatch = whyNot(selector, peer)
  if (mismatch === undefined) {
    const why = `it matches, and ${winner?.text ?? 'another entry'} is more specific`
    return { product, rule, position, result: 'less-specific', why, distance: 1 }
  }
  return { product, rule, position, result: 'no-match', ...mismatch }
}

interface Mismatch {
  readonly why: string
  readonly distance: number
}

/** Undefined: the selector matches. */
function whyNot(selector: Selector, peer: MappedPeer): Mismatch | undefined {
  if (selector.kind === 'authority') return whyNotAuthority(selector.alias, peer)
  if (peer.kind === 'certificate') {
    return { why: 'the caller has a certificate without a proven SPIFFE ID', distance: 4 }
  }
  const domain = peer.id.trustDomain.name
  const wanted = domainOf(selector)
  if (domain !== wanted) {
    return { why: `the caller is of trust domain ${domain}, not ${wanted}`, distance: 4 }
  }
  return whyNotId(selector, peer.id.toString())
}

function whyNotAuthority(alias: string, peer: MappedPeer): Mismatch | undefined {
  if (peer.authorities.includes(alias)) return undefined
  const why = `no CA certificate of authority ${alias} is on the path of the caller`
  return { why, distance: 3 }
}

function domainOf(selector: Exclude<Selector, { kind: 'authority' }>): string {
  switch (selector.kind) {
    case 'trust-domain':
      return selector.trustDomain.name
    case 'spiffe-id':
      return selector.id.trustDomain.name
    case 'children':
    case 'subtree':
      return selector.parent.trustDomain.name
  }
}

function whyNotId(
  selector: Exclude<Selector, { kind: 'authority' }>,
  id: string,
): Mismatch | undefined {
  switch (selector.kind) {
    case 'trust-domain':
      return undefined
    case 'spiffe-id':
      return selector.id.toString() === id ? undefined : { why: `the caller is ${id}`, distance: 2 }
    case 'children':
    case 'subtree': {
      const prefix = `${selector.parent.toString()}/`
      if (!id.startsWith(prefix)) return { why: `${id} is not below ${prefix}`, distance: 2 }
      const isDeeper = id.slice(prefix.length).includes('/')
      if (selector.kind === 'subtree' || !isDeeper) return undefined
      return { why: `${id} is more than one segment below ${prefix}`, distance: 2 }
    }
  }
}
