import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { ApiKeys } from './api-keys.ts'
import type { ProductMap } from './product-map.ts'

/** Everything a decision rests on, swapped as one value. `epoch` rises with every change and names this state. */
export interface TrustState {
  readonly epoch: number
  readonly bundles: TrustBundles
  readonly products: ProductMap
  readonly apiKeys: ApiKeys
  /** Whether we hold an unexpired SVID ourselves; without one every request is denied `identity_unavailable`. */
  readonly hasIdentity: boolean
}
