import { PosternError } from '../core/errors.ts'
import { SpiffeId } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { AllowReason } from './decision.ts'
import type { SourcePosition } from './source-position.ts'

/**
 * Which credentials a caller entry stands for. `children`: SPIFFE IDs with exactly one segment below `parent`; `subtree`: those
 * with one or more. Neither holds `parent` itself: whoever means it writes it down.
 */
export type Selector =
  | { readonly kind: 'spiffe-id'; readonly id: SpiffeId }
  | { readonly kind: 'children'; readonly parent: SpiffeId }
  | { readonly kind: 'subtree'; readonly parent: SpiffeId }
  | { readonly kind: 'authority'; readonly alias: string }
  | { readonly kind: 'trust-domain'; readonly trustDomain: TrustDomain }

/** One entry of a product's `callers`. */
export interface Caller {
  readonly selector: Selector
  /** As written: `spiffeId: spiffe://corp.example/batch/*`. */
  readonly text: string
  readonly position: SourcePosition
}

/**
 * Reads `spiffe://domain/path`, `.../*` or `.../**`. Throws `PosternError` ERR_SPIFFE_ID_INVALID for everything else: a
 * wildcard elsewhere, and an ID without a path, which no SVID has.
 */
export function parseSpiffeIdSelector(text: string): Selector {
  if (text.endsWith('/**')) return { kind: 'subtree', parent: SpiffeId.parse(text.slice(0, -3)) }
  if (text.endsWith('/*')) return { kind: 'children', parent: SpiffeId.parse(text.slice(0, -2)) }
  const id = SpiffeId.parse(text)
  if (id.path !== '') return { kind: 'spiffe-id', id }
  throw new PosternError(
    'ERR_SPIFFE_ID_INVALID',
    `${id.toString()} has no path, as no SVID does; trustDomain: ${id.trustDomain.name} stands for all of it`,
  )
}

/** The selector as one text: two selectors are the same exactly when their keys are. */
export function selectorKey(selector: Selector): string {
  switch (selector.kind) {
    case 'spiffe-id':
      return selector.id.toString()
    case 'children':
      return `${selector.parent.toString()}/*`
    case 'subtree':
      return `${selector.parent.toString()}/**`
    case 'authority':
      return `authority ${selector.alias}`
    case 'trust-domain':
      return `trust domain ${selector.trustDomain.name}`
  }
}

/** Why a caller that matched is allowed. */
export function reasonOf(selector: Selector): AllowReason {
  switch (selector.kind) {
    case 'spiffe-id':
    case 'children':
    case 'subtree':
      return 'svid_id'
    case 'authority':
      return 'authority'
    case 'trust-domain':
      return 'svid_trust_domain'
  }
}
