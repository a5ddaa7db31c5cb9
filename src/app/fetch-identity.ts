import type { IdentityConfig } from '../config/sidecar-config.ts'
import type { Clock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { X509Svid } from '../spiffe/x509-svid.ts'
import { parseWorkloadApiAddress } from '../workload-api/address.ts'
import { X509Source } from '../workload-api/x509-source.ts'
import { readSvid } from './file-identity.ts'
import { readBundles } from './read-bundles.ts'

/** Our identity, or why there is none. */
export type FetchedIdentity =
  | { readonly kind: 'held'; readonly svid: X509Svid; readonly bundles: TrustBundles }
  | { readonly kind: 'none'; readonly error: PosternError }

interface Tools {
  readonly clock: Clock
  readonly logger: Logger
}

const patienceMs = 3_000

/**
 * The identity that a sidecar with this configuration would hold now, for commands that run beside it. An agent gets 3 s
 * to answer.
 */
export async function fetchIdentity(
  identity: IdentityConfig,
  tools: Tools,
): Promise<FetchedIdentity> {
  try {
    if (identity.kind === 'workload-api') return await askAgent(identity, tools)
    const svid = readSvid(identity.certificate, identity.key)
    return { kind: 'held', svid, bundles: readBundles(identity.bundles) }
  } catch (error) {
    if (!(error instanceof PosternError)) throw error
    return { kind: 'none', error }
  }
}

async function askAgent(
  { address, hint }: Extract<IdentityConfig, { kind: 'workload-api' }>,
  { clock, logger }: Tools,
): Promise<FetchedIdentity> {
  const source = X509Source.start({
    address: parseWorkloadApiAddress(address),
    clock,
    logger,
    ...(hint === undefined ? {} : { hint }),
  })
  const patience = new AbortController()
  const timer = clock.setTimer(patienceMs, () => patience.abort(), { keepAlive: true })
  try {
    const { svid, bundles } = await source.firstIdentity(patience.signal)
    return { kind: 'held', svid, bundles }
  } catch (error) {
    if (!patience.signal.aborted) throw error
    const { state } = source
    return { kind: 'none', error: (state.kind === 'waiting' ? state.error : undefined) ?? silent() }
  } finally {
    timer.cancel()
    await source.close()
  }
}

function silent(): PosternError {
  return new PosternError(
    'ERR_WORKLOAD_API_UNAVAILABLE',
    `Workload API did not answer in ${patienceMs / 1_000} s`,
  )
}
