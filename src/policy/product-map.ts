import type { SpiffeId } from '../spiffe/spiffe-id.ts'
import type { Authority, AuthorityRevocation } from './authority.ts'
import { type Caller, reasonOf, type Selector, selectorKey } from './caller.ts'
import type { AllowReason, Step } from './decision.ts'
import type { MappedPeer } from './peer.ts'
import type { Product } from './product.ts'
import type { SourcePosition } from './source-position.ts'

/** An authority with the place that defines it. */
export interface MappedAuthority extends Authority {
  readonly position: SourcePosition
  /** The PEM file, as written. */
  readonly certificatesFile: string
  /** The files of its revocation lists. */
  readonly crlFiles: readonly CrlFile[]
}

/** A file of revocation lists, as an authority names it. */
export interface CrlFile {
  /** As written. */
  readonly path: string
  readonly position: SourcePosition
}

/** The caller entry that won, and what follows from it. One object per entry, shared by all decisions. */
export interface Match {
  readonly product: Product
  readonly caller: Caller
  readonly reason: AllowReason
  /** The step that a decision records. */
  readonly step: Step
}

/** The part of a product that others can be at odds with. */
export type ProductCallers = Pick<Product, 'name' | 'callers'>

/** Two places that cannot both stand. */
export type Conflict =
  | {
      readonly kind: 'selector'
      readonly selector: string
      readonly first: { readonly product: string; readonly position: SourcePosition }
      readonly second: { readonly product: string; readonly position: SourcePosition }
    }
  | {
      readonly kind: 'anchor'
      /** Of the CA certificate in `second`. */
      readonly subject: string
      readonly sha256: string
      readonly first: MappedAuthority
      readonly second: MappedAuthority
    }
  | {
      readonly kind: 'unknown-authority'
      readonly product: string
      readonly alias: string
      readonly position: SourcePosition
    }

/**
 * The parsed products.yaml: maps credentials to products. Immutable; a lookup costs a few hash lookups, whatever the number
 * of products.
 */
export class ProductMap {
  static readonly empty = new ProductMap([], [])

  /** By name. */
  readonly products: ReadonlyMap<string, Product>
  /** By alias. */
  readonly authorities: ReadonlyMap<string, MappedAuthority>
  readonly #exact = new Map<string, Match>()
  readonly #children = new Map<string, Match>()
  readonly #subtrees = new Map<string, Match>()
  #longestSubtree = 0
  readonly #byAuthority = new Map<string, Match>()
  readonly #byTrustDomain = new Map<string, Match>()

  private constructor(products: readonly Product[], authorities: readonly MappedAuthority[]) {
    this.products = new Map(products.map((product) => [product.name, product]))
    this.authorities = new Map(authorities.map((authority) => [authority.alias, authority]))
    for (const product of products) {
      for (const caller of product.callers) this.#add(product, caller)
    }
  }

  /** Throws a `TypeError` when `findConflicts` finds one: whoever reads a file asks it first. */
  static of(products: readonly Product[], authorities: readonly MappedAuthority[]): ProductMap {
    const [conflict] = findConflicts(products, authorities)
    if (conflict !== undefined) throw new TypeError(`product map with a conflict: ${conflict.kind}`)
    return new ProductMap(products, authorities)
  }

  /** The same map with these revocation lists, by alias; the others keep theirs. */
  withRevocation(revocation: ReadonlyMap<string, AuthorityRevocation>): ProductMap {
    const authorities = Array.from(this.authorities.values(), (authority) => {
      const own = revocation.get(authority.alias)
      return own === undefined ? authority : { ...authority, revocation: own }
    })
    return new ProductMap([...this.products.values()], authorities)
  }

  /**
   * The most specific caller entry: exact SPIFFE ID, then `/*`, then `/**` with the longest prefix, then the authority nearest
   * to the leaf, then the trust domain. A certificate without a SPIFFE ID is mapped by its authority alone.
   */
  find(peer: MappedPeer): Match | undefined {
    if (peer.kind === 'certificate') return this.#findAuthority(peer.authorities)
    return (
      this.#findId(peer.id) ??
      this.#findAuthority(peer.authorities) ??
      this.#byTrustDomain.get(peer.id.trustDomain.name)
    )
  }

  #findId(id: SpiffeId): Match | undefined {
    const text = id.toString()
    return (
      this.#exact.get(text) ??
      this.#children.get(text.slice(0, text.lastIndexOf('/'))) ??
      this.#findSubtree(text)
    )
  }

  /** From the longest prefix that the map holds downwards, so that an ID of a thousand segments costs no more than the map. */
  #findSubtree(text: string): Match | undefined {
    let end = text.lastIndexOf('/', this.#longestSubtree)
    while (end > 0) {
      const match = this.#subtrees.get(text.slice(0, end))
      if (match !== undefined) return match
      end = text.lastIndexOf('/', end - 1)
    }
    return undefined
  }

  #findAuthority(aliases: readonly string[]): Match | undefined {
    for (const alias of aliases) {
      const match = this.#byAuthority.get(alias)
      if (match !== undefined) return match
    }
    return undefined
  }

  #add(product: Product, caller: Caller): void {
    const index = this.#indexOf(caller.selector)
    const key = keyOf(caller.selector)
    if (caller.selector.kind === 'subtree') {
      this.#longestSubtree = Math.max(this.#longestSubtree, key.length)
    }
    // A product may hold a selector twice (lint tells); the first counts.
    if (!index.has(key)) index.set(key, matchOf(product, caller))
  }

  #indexOf(selector: Selector): Map<string, Match> {
    switch (selector.kind) {
      case 'spiffe-id':
        return this.#exact
      case 'children':
        return this.#children
      case 'subtree':
        return this.#subtrees
      case 'authority':
        return this.#byAuthority
      case 'trust-domain':
        return this.#byTrustDomain
    }
  }
}

/** What a selector is found by within its kind. */
function keyOf(selector: Selector): string {
  switch (selector.kind) {
    case 'spiffe-id':
      return selector.id.toString()
    case 'children':
    case 'subtree':
      return selector.parent.toString()
    case 'authority':
      return selector.alias
    case 'trust-domain':
      return selector.trustDomain.name
  }
}

function matchOf(product: Product, caller: Caller): Match {
  return {
    product,
    caller,
    reason: reasonOf(caller.selector),
    step: {
      name: 'product-map',
      outcome: 'pass',
      detail: `${caller.text} maps the caller to product ${product.name}`,
    },
  }
}

/**
 * What must not stand in one map (DESIGN.md 4): a selector in two products, a CA certificate in two authorities, a caller of an
 * authority that is not defined. In the order of the file.
 */
export function findConflicts(
  products: readonly ProductCallers[],
  authorities: readonly MappedAuthority[],
): readonly Conflict[] {
  return [
    ...selectorConflicts(products),
    ...unknownAuthorities(products, authorities),
    ...anchorConflicts(authorities),
  ]
}

function selectorConflicts(products: readonly ProductCallers[]): Conflict[] {
  const seen = new Map<string, { product: string; position: SourcePosition }>()
  const conflicts: Conflict[] = []
  for (const product of products) {
    for (const { selector, position } of product.callers) {
      const key = selectorKey(selector)
      const second = { product: product.name, position }
      const first = seen.get(key)
      if (first === undefined) seen.set(key, second)
      else if (first.product !== product.name) {
        conflicts.push({ kind: 'selector', selector: key, first, second })
      }
    }
  }
  return conflicts
}

function unknownAuthorities(
  products: readonly ProductCallers[],
  authorities: readonly MappedAuthority[],
): Conflict[] {
  const known = new Set(authorities.map((authority) => authority.alias))
  return products.flatMap(({ name, callers }) =>
    callers.flatMap(({ selector, position }) =>
      selector.kind === 'authority' && !known.has(selector.alias)
        ? [{ kind: 'unknown-authority', product: name, alias: selector.alias, position }]
        : [],
    ),
  )
}

/** An anchor is a name and a key (RFC 5280 6.1.1): a certificate made anew for both is the same anchor. */
function anchorConflicts(authorities: readonly MappedAuthority[]): Conflict[] {
  const seen = new Map<string, MappedAuthority>()
  const conflicts: Conflict[] = []
  for (const authority of authorities) {
    for (const { subject, subjectName, sha256, publicKeyInfo } of authority.anchors) {
      const key = `${subjectName.canonical}\n${publicKeyInfo.toString('base64')}`
      const first = seen.get(key)
      if (first === undefined) seen.set(key, authority)
      else if (first.alias !== authority.alias) {
        conflicts.push({ kind: 'anchor', subject, sha256, first, second: authority })
      }
    }
  }
  return conflicts
}
