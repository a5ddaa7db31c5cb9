import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Credentials } from './credentials.ts'
import { cores, PinnedProcess } from './pinned-process.ts'
import type { Load } from './scenario.ts'

/** What a load made of one proxy. */
export interface LoadResult {
  /** Answered, every one of them well. */
  readonly units: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface LoadOptions {
  readonly port: number
  readonly seconds: number
  /** Units per second; absent: as many as there can be. */
  readonly ratePerSecond?: number
  readonly credentials: Credentials
  /** For bodies. */
  readonly directory: string
}

const messagesProgram = fileURLToPath(new URL('messages.ts', import.meta.url))

/** Drives a proxy from the other core. Throws when an answer is not the right one. */
export async function drive(load: Load, options: LoadOptions): Promise<LoadResult> {
  const [command, args] =
    load.kind === 'messages' ? messageCommand(load, options) : ohaCommand(load, options)
  const output = await PinnedProcess.start({ core: cores.others, command, args }).output()
  return load.kind === 'messages' ? (JSON.parse(output) as LoadResult) : readOha(output)
}

function messageCommand(
  load: Extract<Load, { kind: 'messages' }>,
  { port, seconds, ratePerSecond = 0, credentials }: LoadOptions,
): [string, string[]] {
  const numbers = [port, load.connections, seconds, ratePerSecond].map(String)
  const files = [credentials.clientCertificate, credentials.clientKey]
  const args = ['--import', 'tsx', messagesProgram, load.transport, ...numbers, ...files]
  return [process.execPath, args]
}

function ohaCommand(
  load: Extract<Load, { kind: 'requests' }>,
  options: LoadOptions,
): [string, string[]] {
  const { port, seconds, ratePerSecond, credentials } = options
  const { clientCertificate, clientKey, apiKey } = credentials
  const scheme = load.credential === 'none' ? 'http' : 'https'
  const path = load.path ?? '/v1/payments/12345?expand=all'
  return [
    'oha',
    [
      ...['--no-tui', '--output-format', 'json', '--insecure', '--disable-compression'],
      ...['-z', `${seconds}s`, '-c', String(load.connections)],
      ...(ratePerSecond === undefined ? [] : ['-q', String(ratePerSecond)]),
      ...(load.protocol === 'http2' ? ['--http2', '-p', String(load.streams ?? 1)] : []),
      ...(load.reconnect === true ? ['--disable-keepalive'] : []),
      ...(load.credential === 'svid' ? ['--cert', clientCertificate, '--key', clientKey] : []),
      ...(load.credential === 'key' ? ['-H', `x-api-key: ${apiKey}`] : []),
      ...headers,
      ...bodyOptions(load, options.directory),
      `${scheme}://127.0.0.1:${port}${path}`,
    ],
  ]
}

/** What a client of a mesh sends. */
const headers = [
  'x-request-id: 0f8fad5b-d9cb-469f-a165-70867728950e',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
].flatMap((header) => ['-H', header])

function bodyOptions(load: Extract<Load, { kind: 'requests' }>, directory: string): string[] {
  if (load.bodyBytes === undefined) return []
  const file = join(directory, `body-${load.bodyBytes}`)
  // Zeros are an empty message in the framing of gRPC, too.
  if (!existsSync(file)) writeFileSync(file, Buffer.alloc(load.bodyBytes))
  const fields = load.grpc === true ? ['content-type: application/grpc', 'te: trailers'] : []
  return ['-m', 'POST', '-D', file, ...fields.flatMap((field) => ['-H', field])]
}

interface OhaReport {
  readonly summary: { readonly successRate: number }
  readonly latencyPercentiles: { readonly p50: number; readonly p99: number }
  readonly statusCodeDistribution: Readonly<Record<string, number>>
  readonly errorDistribution: Readonly<Record<string, number>>
}

/** Oha counts what is still under way at the end as an error of its own. */
const cutAtTheEnd = 'aborted due to deadline'

function readOha(output: string): LoadResult {
  const report = JSON.parse(output) as OhaReport
  const { 200: units = 0, ...others } = report.statusCodeDistribution
  const errors = Object.keys(report.errorDistribution).filter((error) => error !== cutAtTheEnd)
  if (units === 0 || Object.keys(others).length > 0 || errors.length > 0) {
    throw new Error(`not every answer was 200: ${output.slice(0, 2_000)}`)
  }
  const { p50, p99 } = report.latencyPercentiles
  return { units, p50Ms: p50 * 1_000, p99Ms: p99 * 1_000 }
}
