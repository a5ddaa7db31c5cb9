import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { parseWorkloadApiAddress } from '../workload-api/address.ts'
import { X509Source } from '../workload-api/x509-source.ts'
import type { Sidecar } from './sidecar.ts'

export interface WorkloadApiIdentityOptions {
  /** `unix:///...` or `tcp://IP:port`. */
  readonly address: string
  /** Which SVID to use when the agent hands out several. */
  readonly hint: string | undefined
  readonly sidecar: Pick<Sidecar, 'holdIdentity' | 'dropIdentity'>
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Pick<Telemetry, 'identityUpdate' | 'workloadApiConnected'>
}

/**
 * Follows the agent: what it says is our identity and whom we can verify. Starts at once and waits for nothing; the caller
 * closes it. Throws `PosternError` ERR_ADDRESS_INVALID.
 */
export function followWorkloadApi(options: WorkloadApiIdentityOptions): X509Source {
  const { sidecar, telemetry, logger, clock, hint } = options
  return X509Source.start({
    address: parseWorkloadApiAddress(options.address),
    clock,
    logger,
    ...(hint === undefined ? {} : { hint }),
    observer: {
      onIdentity: (snapshot) => {
        telemetry.identityUpdate('accepted')
        sidecar.holdIdentity(snapshot.svid, snapshot.bundles)
      },
      onUnchanged: () => telemetry.identityUpdate('accepted'),
      onWithdrawn: () => sidecar.dropIdentity(),
      onRejected: () => telemetry.identityUpdate('rejected'),
      onConnected: (isConnected) => telemetry.workloadApiConnected(isConnected),
      onEnded: (error) => logger.error('Workload API refused for good', { error: error.message }),
    },
  })
}
