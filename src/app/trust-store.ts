import type { ApiKeys } from '../policy/api-keys.ts'
import type { ProductMap } from '../policy/product-map.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { Certificate } from '../x509/certificate.ts'

/** The parts of the trust state that move independently of each other. */
export type TrustChange = Partial<
  Pick<TrustState, 'bundles' | 'products' | 'apiKeys' | 'hasIdentity'>
>

/**
 * Holds the current trust state and counts epochs. A change makes a new value, so that a decision that is under way sees
 * one state from its first step to its last.
 */
export class TrustStore {
  #current: TrustState
  readonly #onChange: (state: TrustState) => void

  constructor(
    initial: { products: ProductMap; apiKeys: ApiKeys; bundles: TrustBundles },
    onChange: (state: TrustState) => void,
  ) {
    this.#current = { ...initial, epoch: 1, hasIdentity: false }
    this.#onChange = onChange
  }

  get current(): TrustState {
    return this.#current
  }

  /**
   * Takes what changed. Bundles, products and keys raise the epoch, and only when they differ; whether we hold an
   * identity ourselves changes no caller's standing and leaves the epoch alone.
   */
  update(change: TrustChange): void {
    const before = this.#current
    const next = { ...before, ...change }
    const sameBundles = change.bundles === undefined || equalBundles(before.bundles, change.bundles)
    const bundles = sameBundles ? before.bundles : next.bundles
    const isNewEpoch =
      !sameBundles || next.products !== before.products || next.apiKeys !== before.apiKeys
    if (!isNewEpoch && next.hasIdentity === before.hasIdentity) return
    this.#current = { ...next, bundles, epoch: before.epoch + (isNewEpoch ? 1 : 0) }
    if (isNewEpoch) this.#onChange(this.#current)
  }

  /** Time alone changed what the same state says: a new epoch. */
  raise(): void {
    this.#current = { ...this.#current, epoch: this.#current.epoch + 1 }
    this.#onChange(this.#current)
  }
}

/** The same trust domains with the same anchors, in any order. */
function equalBundles(a: TrustBundles, b: TrustBundles): boolean {
  return (
    a.size === b.size &&
    [...a].every(([name, { anchors }]) => {
      const others = b.get(name)?.anchors
      return others !== undefined && equalAnchors(anchors, others)
    })
  )
}

/** As sets: an anchor that stands in a bundle twice counts once. */
function equalAnchors(a: readonly Certificate[], b: readonly Certificate[]): boolean {
  const digests = new Set(a.map((anchor) => anchor.sha256))
  const others = new Set(b.map((anchor) => anchor.sha256))
  return digests.size === others.size && [...digests].every((digest) => others.has(digest))
}
