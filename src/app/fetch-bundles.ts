import type { IdentityConfig } from '../config/sidecar-config.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import { parseWorkloadApiAddress } from '../workload-api/address.ts'
import { X509Source } from '../workload-api/x509-source.ts'
import { readBundles } from './read-bundles.ts'

const patienceMs = 3_000

/**
 * The bundles that a sidecar with this configuration would hold now, for commands that run beside it. An agent that does
 * not answer in 3 s is reported, and there are none.
 */
export async function fetchBundles(
  identity: IdentityConfig,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<TrustBundles> {
  if (identity.kind === 'files') return readBundles(identity.bundles)
  const source = X509Source.start({
    address: parseWorkloadApiAddress(identity.address),
    clock,
    logger,
    ...(identity.hint === undefined ? {} : { hint: identity.hint }),
  })
  const patience = new AbortController()
  const timer = clock.setTimer(patienceMs, () => patience.abort(), { keepAlive: true })
  try {
    return (await source.firstIdentity(patience.signal)).bundles
  } catch (error) {
    logger.warn('no bundles from the Workload API', {
      address: identity.address,
      error: messageOf(error),
    })
    return new Map()
  } finally {
    timer.cancel()
    await source.close()
  }
}
