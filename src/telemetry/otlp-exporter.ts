import { readFileSync } from 'node:fs'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js'
import type { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { BatchSettings, OtlpExporterSettings } from './environment.ts'

type OtlpOptions = NonNullable<ConstructorParameters<typeof OTLPTraceExporter>[0]>

/** An exporter and the way to cut its connections. */
export interface SpanSink {
  readonly exporter: SpanExporter
  /** Ends its connections, those in use too; it connects anew when there is something to send. */
  disconnect(): void
}

/**
 * Makes the OTLP exporter. Everything is passed explicitly, because the library otherwise reads the process's own
 * environment; headers are the exception: those of the process are always added, ours win. The library of the other protocol is
 * not loaded.
 */
export function otlpSink(
  settings: OtlpExporterSettings,
  batch: BatchSettings,
  logger: Logger,
): Promise<SpanSink> {
  return settings.protocol === 'grpc'
    ? grpcSink(settings, batch, logger)
    : httpSink(settings, batch, logger)
}

async function httpSink(
  settings: OtlpExporterSettings,
  batch: BatchSettings,
  logger: Logger,
): Promise<SpanSink> {
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto')
  const agent = createAgent(settings, logger)
  const exporter = new OTLPTraceExporter({
    url: settings.url,
    headers: { ...settings.headers },
    ...commonOptions(settings, batch),
    httpAgentOptions: () => Promise.resolve(agent),
  })
  return { exporter, disconnect: () => agent.destroy() }
}

/** Each call has its own deadline, so that there is nothing to cut: `shutdown` of the exporter closes its channel. */
async function grpcSink(
  settings: OtlpExporterSettings,
  batch: BatchSettings,
  logger: Logger,
): Promise<SpanSink> {
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc')
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(settings.headers)) metadata.set(name, value)
  const exporter = new OTLPTraceExporter({
    url: settings.url,
    metadata,
    ...commonOptions(settings, batch),
    credentials: createCredentials(settings, logger),
  })
  return { exporter, disconnect: () => undefined }
}

function createCredentials(settings: OtlpExporterSettings, logger: Logger): ChannelCredentials {
  if (settings.url.startsWith('http:')) return credentials.createInsecure()
  const { ca, key, cert } = readFiles(settings.files, logger)
  // gRPC takes a key and its certificate together, or neither.
  return key === undefined || cert === undefined
    ? credentials.createSsl(ca)
    : credentials.createSsl(ca, key, cert)
}

function commonOptions(settings: OtlpExporterSettings, batch: BatchSettings) {
  return {
    timeoutMillis: settings.timeoutMs,
    // The type is an enum of a package that we do not depend on ourselves; its values are these words.
    compression: settings.compression as unknown as NonNullable<OtlpOptions['compression']>,
    // A flush sends the whole queue at once, beside what is already on its way; more than this would be lost.
    concurrencyLimit: Math.ceil(batch.maxQueueSize / batch.maxBatchSize) + 1,
  }
}

function createAgent(settings: OtlpExporterSettings, logger: Logger): HttpAgent {
  if (settings.url.startsWith('http:')) return new HttpAgent({ keepAlive: true })
  return new HttpsAgent({ keepAlive: true, ...readFiles(settings.files, logger) })
}

function readFiles(
  files: OtlpExporterSettings['files'],
  logger: Logger,
): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  const read: Record<string, Buffer> = {}
  for (const [use, file] of Object.entries(files)) {
    try {
      read[use] = readFileSync(file)
    } catch (error) {
      logger.warn('a file for exporting spans cannot be read', {
        file,
        error: messageOf(error),
      })
    }
  }
  return read
}
