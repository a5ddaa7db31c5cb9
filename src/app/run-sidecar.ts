import { parseAddress } from '../config/address.ts'
import type { SidecarConfig } from '../config/sidecar-config.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { AuditFile } from '../telemetry/audit-file.ts'
import { Recorder } from '../telemetry/recorder.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { dialerSelfTest, selfTest } from '../tls/self-test.ts'
import { FollowedCallerFiles } from './caller-files.ts'
import { watchFileIdentity } from './file-identity.ts'
import { OperatorPort } from './operator-port.ts'
import { Sidecar } from './sidecar.ts'
import { followWorkloadApi } from './workload-api-identity.ts'

export interface RunSidecarContext {
  readonly clock: Clock
  readonly logger: Logger
  /** For the `OTEL_*` variables. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly version: string
  /** Begins the drain. */
  readonly shutdown: AbortSignal
  /** Calls back when the operator asks for the files to be read again; the audit log was perhaps moved away. */
  readonly onReloadRequest: (listener: () => void) => void
  /** Calls back when the audit log was moved away. */
  readonly onRotateRequest: (listener: () => void) => void
}

/**
 * Runs the sidecar until `shutdown` aborts and it has drained. Throws `PosternError` when it cannot start: a bad file, a
 * taken port, a Node.js that breaks what security rests on.
 */
export async function runSidecar(config: SidecarConfig, context: RunSidecarContext): Promise<void> {
  await selfTest()
  if (config.outbound.length > 0) await dialerSelfTest()
  const { clock, logger, env, version } = context
  const operator = await OperatorPort.open({ config, clock, logger, version })
  const telemetry = await Recorder.start({
    env,
    clock,
    logger,
    audit: {
      sink: await AuditFile.open(config.audit.file),
      isRequired: config.audit.required,
    },
    serviceVersion: version,
    observer: operator,
  })
  try {
    await runWatched(config, context, { telemetry, operator })
  } finally {
    await operator.close()
    await telemetry.close()
  }
}

/** Who records and shows what happens. */
interface Watchers {
  readonly telemetry: Telemetry
  readonly operator: OperatorPort
}

async function runWatched(
  config: SidecarConfig,
  context: RunSidecarContext,
  watchers: Watchers,
): Promise<void> {
  const { clock, logger, shutdown } = context
  const { telemetry, operator } = watchers
  let sidecar: Sidecar | undefined
  const files = await FollowedCallerFiles.start({
    paths: { ...config, allowRemoteUpstream: config.inbound.allowRemoteUpstream },
    clock,
    logger,
    onFiles: (current) => sidecar?.useFiles(current),
    onReload: (file, result, error) => {
      telemetry.configReload(file, result)
      operator.fileRead(file, result, error)
    },
  })
  try {
    sidecar = await Sidecar.start({
      config,
      files: files.current,
      parseAddress,
      clock,
      logger,
      telemetry,
      onNewEpoch: (state) => operator.trustChanged(state),
    })
    // They may have changed while it started.
    sidecar.useFiles(files.current)
    context.onRotateRequest(() => void telemetry.reopenAudit())
    context.onReloadRequest(() => {
      void files.reload()
      void telemetry.reopenAudit()
    })
    await serve(config, context, { ...watchers, sidecar, reload: () => files.reload() })
  } finally {
    await files.close()
    await sidecar?.close()
  }
  if (shutdown.aborted) logger.info('drained')
}

async function serve(
  config: SidecarConfig,
  context: RunSidecarContext,
  running: Watchers & { readonly sidecar: Sidecar; readonly reload: () => Promise<void> },
): Promise<void> {
  const { logger, shutdown } = context
  const { telemetry, operator, sidecar, reload } = running
  // The port is asked before there is one.
  const followed: { identity?: FollowedIdentity } = {}
  const isConnected = () => followed.identity?.connected === true
  const adminPort = await operator.listen({ sidecar, reload, isConnected })
  const { inbound, outbound, health } = sidecar.ports
  const outboundPorts = outbound.length === 0 ? {} : { outboundPorts: outbound }
  logger.info('listening', {
    inboundPort: inbound,
    ...outboundPorts,
    healthPort: health,
    ...(adminPort !== undefined && { adminPort }),
  })
  followed.identity = await followIdentity(config, context, telemetry, sidecar)
  try {
    await aborted(shutdown)
    logger.info('draining', { connections: sidecar.connections })
    await sidecar.drain()
  } finally {
    await followed.identity.close()
  }
}

interface FollowedIdentity {
  /** Whether the Workload API answers; files say nothing about that. */
  readonly connected?: boolean
  close(): Promise<void>
}

/** Begins to follow where our identity comes from. */
async function followIdentity(
  { identity }: SidecarConfig,
  { clock, logger }: RunSidecarContext,
  telemetry: Telemetry,
  sidecar: Sidecar,
): Promise<FollowedIdentity> {
  const common = { sidecar, clock, logger, telemetry }
  switch (identity.kind) {
    case 'workload-api':
      return followWorkloadApi({ ...common, ...identity })
    case 'files':
      return watchFileIdentity({ ...common, files: identity })
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
