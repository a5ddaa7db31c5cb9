import { resolve } from 'node:path'
import { certificatesOf } from '../app/read-certificates.ts'
import { runWebhook, type WebhookIdentity } from '../app/run-webhook.ts'
import type { TcpAddress } from '../config/address.ts'
import { readTextFile } from '../config/read-file.ts'
import { systemClock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import { webhookConfiguration } from '../injector/webhook/webhook-configuration.ts'
import { type InjectionFlags, platformOf, settingsOf } from './injection-flags.ts'
import { createLogger } from './logger.ts'
import type { Terminal } from './terminal.ts'

export type WebhookFlags = InjectionFlags & {
  readonly listen: TcpAddress
  readonly health: TcpAddress
  readonly tlsCertificate?: string
  readonly tlsKey?: string
  readonly workloadApi?: string
  readonly shutdownDelay: number
  readonly shutdownTimeout: number
  readonly printConfiguration?: true
  readonly namespace: string
  readonly service: string
  readonly caBundle?: string
  readonly excludeNamespace: readonly string[]
  readonly timeout: number
  readonly failurePolicy: 'Fail' | 'Ignore'
}

const maxBundleBytes = 1024 * 1024

/** Runs the webhook until SIGTERM, or prints what registers it with a cluster. */
export async function webhook(flags: WebhookFlags, terminal: Terminal): Promise<void> {
  if (flags.printConfiguration === true) {
    terminal.stdout.write(configuration(flags))
    return
  }
  await runWebhook(
    {
      listen: flags.listen,
      health: flags.health,
      identity: identityOf(flags, terminal),
      inject: { defaults: settingsOf(flags), platform: platformOf(flags) },
      shutdownDelayMs: flags.shutdownDelay,
      shutdownTimeoutMs: flags.shutdownTimeout,
    },
    { clock: systemClock, logger: createLogger(terminal), shutdown: terminal.shutdown },
  )
}

function configuration(flags: WebhookFlags): string {
  return webhookConfiguration({
    namespace: flags.namespace,
    service: flags.service,
    caBundle: flags.caBundle === undefined ? undefined : readBundle(flags.caBundle),
    failurePolicy: flags.failurePolicy,
    timeoutSeconds: flags.timeout,
    excluded: flags.excludeNamespace,
    hasMatchConditions: flags.kubernetesVersion >= 28,
  })
}

/** A bundle that no certificate can be read from would have the API server refuse every pod that asks. */
function readBundle(file: string): string {
  const pem = readTextFile(file, maxBundleBytes)
  certificatesOf(pem, file)
  return pem
}

function identityOf(flags: WebhookFlags, { env }: Terminal): WebhookIdentity {
  const { tlsCertificate: certificate, tlsKey: key, workloadApi } = flags
  if (certificate !== undefined && key !== undefined && workloadApi === undefined) {
    return { kind: 'files', certificate: resolve(certificate), key: resolve(key) }
  }
  if (certificate !== undefined || key !== undefined) {
    const message = 'expected --tls-certificate and --tls-key together, or --workload-api alone'
    throw new PosternError('ERR_CONFIG_INVALID', message)
  }
  const address = workloadApi ?? env['SPIFFE_ENDPOINT_SOCKET']
  if (address !== undefined && address !== '') return { kind: 'workload-api', address }
  const message =
    'no certificate: expected SPIFFE_ENDPOINT_SOCKET, --workload-api, or --tls-certificate and --tls-key'
  throw new PosternError('ERR_CONFIG_INVALID', message)
}
