import type { Caller, Selector } from './caller.ts'
import { decide, type DecisionInput } from './decide.ts'
import type { Decision } from './decision.ts'
import type { MappedPeer } from './peer.ts'
import { normaliseRequest } from './request-rule.ts'
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

/** Why each rule did or did not lead to a decision. */
export interface RulesExplained {
  /** The winner first, then those that came nearest. */
  readonly rules: readonly RuleExplanation[]
  /** Rules that are not listed: nothing in them has to do with this caller. */
  readonly otherRules: number
  /** The entries of the product's `requests`, when there is a request to compare them with. */
  readonly requests: readonly RequestExplanation[]
}

/** A decision, and why each rule did or did not lead to it. */
export interface Explanation extends RulesExplained {
  readonly decision: Decision
}

/** What one entry of `requests` had to say. */
export interface RequestExplanation {
  readonly position: SourcePosition
  readonly matches: boolean
  /** Why, in one sentence. */
  readonly why: string
}

const mostRules = 50

/** What a decision was made about, and by. */
export type DecidedBy = Pick<DecisionInput, 'peer' | 'request' | 'trust'>

/** Decides and says why (DESIGN.md 10). The limiter of `input` should count nothing: `unlimited`. */
export function explain(input: DecisionInput): Explanation {
  const decision = decide(input)
  return { decision, ...explainRules(input, decision.product) }
}

/**
 * Says why each rule did or did not lead to a decision that was made for this product, if for any; `input.trust` is the
 * state that it was made by.
 */
export function explainRules(input: DecidedBy, product: string | undefined): RulesExplained {
  const requests = explainRequests(input, product)
  const { peer } = input
  if (peer.kind !== 'svid' && peer.kind !== 'certificate') {
    return { rules: [], otherRules: countCallers(input), requests }
  }
  const winner = input.trust.products.find(peer)?.caller
  const judged = [...input.trust.products.products.values()].flatMap((one) =>
    one.callers.map((caller) => judge(one.name, caller, winner, peer)),
  )
  const rules = judged.sort((a, b) => a.distance - b.distance).slice(0, mostRules)
  return {
    rules: rules.map(({ distance: _, ...rule }) => rule),
    otherRules: judged.length - rules.length,
    requests,
  }
}

function explainRequests(input: DecidedBy, productName = ''): RequestExplanation[] {
  const rules = input.trust.products.products.get(productName)?.requests
  if (rules === undefined || input.request === undefined) return []
  const request = normaliseRequest(input.request)
  return rules.map((rule) => {
    const why = rule.whyNot(request)
    const { position } = rule
    return { position, matches: why === undefined, why: why ?? 'method, host and path match' }
  })
}

function countCallers({ trust }: DecidedBy): number {
  let count = 0
  for (const product of trust.products.products.values()) count += product.callers.length
  return count
}

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
    const why = `the caller is of trust domain ${domain}, not ${wanted}`
    return { why, distance: 4 + apart(domain, wanted) }
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
    case 'spiffe-id': {
      const wanted = selector.id.toString()
      if (wanted === id) return undefined
      return { why: `the caller is ${id}`, distance: 2 + apart(id, wanted) }
    }
    case 'children':
    case 'subtree': {
      const prefix = `${selector.parent.toString()}/`
      const distance = 2 + apart(id, prefix)
      if (!id.startsWith(prefix)) return { why: `${id} is not below ${prefix}`, distance }
      const isDeeper = id.slice(prefix.length).includes('/')
      if (selector.kind === 'subtree' || !isDeeper) return undefined
      return { why: `${id} is more than one segment below ${prefix}`, distance }
    }
  }
}

/** From 0, when `other` begins with all of `text`, to 1, when they differ from the first character on. */
function apart(text: string, other: string): number {
  let same = 0
  while (same < text.length && text[same] === other[same]) same++
  return 1 - same / text.length
}
