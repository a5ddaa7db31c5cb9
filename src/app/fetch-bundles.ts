import type { IdentityConfig } from '../config/sidecar-config.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import { fetchIdentity } from './fetch-identity.ts'
import { readBundles } from './read-bundles.ts'

/**
 * The bundles that a sidecar with this configuration would hold now, for commands that run beside it. An agent that does
 * not answer in 3 s is reported, and there are none.
 */
export async function fetchBundles(
  identity: IdentityConfig,
  tools: { readonly clock: Clock; readonly logger: Logger },
): Promise<TrustBundles> {
  if (identity.kind === 'files') return readBundles(identity.bundles)
  const fetched = await fetchIdentity(identity, tools)
  if (fetched.kind === 'held') return fetched.bundles
  tools.logger.warn('no bundles from the Workload API', {
    address: identity.address,
    error: fetched.error.message,
  })
  return new Map()
}
