import { validateHeaderName, validateHeaderValue } from 'node:http'

/** Environment variables, as a value: only bin/ sees the process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Called for a variable whose value is not usable; `expected` says what would be. Never given the value. */
export type RefuseSetting = (variable: string, expected: string) => void

/** What the standard `OTEL_*` variables say about traces. */
export interface TracingSettings {
  readonly exporter: ExporterSettings
  readonly sampling: SamplingSettings
  readonly batch: BatchSettings
  /** Attributes of the resource, `service.name` among them. */
  readonly resource: Readonly<Record<string, string>>
}

export type ExporterSettings =
  { readonly kind: 'none' } | { readonly kind: 'console' } | OtlpExporterSettings

/** OTLP. */
export interface OtlpExporterSettings {
  readonly kind: 'otlp'
  readonly protocol: OtlpProtocol
  /** Where spans are posted to, path included; with gRPC scheme, host and port alone count. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly compression: 'none' | 'gzip'
  /** PEM files for https. */
  readonly files: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

export type OtlpProtocol = 'http/protobuf' | 'grpc'

export interface SamplingSettings {
  /** The answer where nobody above has decided. */
  readonly root: 'always' | 'never' | { readonly ratio: number }
  /** Whether the caller's sampled flag decides. */
  readonly parentBased: boolean
}

/** Bounds of the queue between requests and the exporter. */
export interface BatchSettings {
  readonly maxQueueSize: number
  readonly maxBatchSize: number
  readonly delayMs: number
  readonly exportTimeoutMs: number
}

/**
 * Reads the standard variables (OpenTelemetry Environment Variable Specification). The exporter is `none` unless
 * OTEL_TRACES_EXPORTER or an OTLP endpoint is set. Nothing here is fatal: what is not usable is refused, and its default
 * taken; but an exporter that cannot be understood is none at all, so that spans go nowhere they were not meant to.
 */
export function readTracingSettings(env: Environment, refuse: RefuseSetting): TracingSettings {
  const variables = new Variables(env, refuse)
  return {
    exporter: readExporter(variables),
    sampling: readSampling(variables),
    batch: readBatch(variables),
    resource: readResource(variables),
  }
}

const largestCount = 2 ** 31 - 1

/** Typed reads; an empty variable is as good as none (specification, "Parsing empty value"). */
class Variables {
  readonly #env: Environment
  readonly refuse: RefuseSetting

  constructor(env: Environment, refuse: RefuseSetting) {
    this.#env = env
    this.refuse = refuse
  }

  /** The first of `names` that is set. */
  find(...names: string[]): { readonly name: string; readonly text: string } | undefined {
    for (const name of names) {
      const text = this.#env[name]?.trim()
      if (text !== undefined && text !== '') return { name, text }
    }
    return undefined
  }

  text(...names: string[]): string | undefined {
    return this.find(...names)?.text
  }

  word(...names: string[]): string | undefined {
    return this.text(...names)?.toLowerCase()
  }

  /** A whole number of 1 to 2^31-1, which is also what a timer can wait for in milliseconds. */
  count(names: string[], fallback: number): number {
    const found = this.find(...names)
    if (found === undefined) return fallback
    const count = Number(found.text)
    if (Number.isInteger(count) && count >= 1 && count <= largestCount) return count
    this.refuse(found.name, `a whole number of 1 to ${largestCount}`)
    return fallback
  }

  /** `name=value,name=value`, percent-encoded. Undefined when any of it is malformed. */
  pairs(name: string): Readonly<Record<string, string>> | undefined {
    const text = this.text(name)
    if (text === undefined) return {}
    const pairs = parsePairs(text)
    if (pairs === undefined) this.refuse(name, 'name=value,... with percent-encoded values')
    return pairs
  }
}

function parsePairs(text: string): Readonly<Record<string, string>> | undefined {
  const pairs: [string, string][] = []
  for (const entry of text.split(',')) {
    if (entry.trim() === '') continue
    const at = entry.indexOf('=')
    const name = decode(entry.slice(0, Math.max(at, 0)).trim())
    const value = decode(entry.slice(at + 1).trim())
    if (name === undefined || name === '' || value === undefined) return undefined
    pairs.push([name, value])
  }
  return Object.fromEntries(pairs)
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const none: ExporterSettings = { kind: 'none' }

function readExporter(variables: Variables): ExporterSettings {
  if (variables.word('OTEL_SDK_DISABLED') === 'true') return none
  const hasEndpoint =
    variables.text('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT') !==
    undefined
  const kind = variables.word('OTEL_TRACES_EXPORTER') ?? (hasEndpoint ? 'otlp' : 'none')
  switch (kind) {
    case 'none':
      return none
    case 'console':
      return { kind: 'console' }
    case 'otlp':
      return readOtlp(variables)
    default:
      variables.refuse('OTEL_TRACES_EXPORTER', 'one of otlp, console, none')
      return none
  }
}

function readOtlp(variables: Variables): ExporterSettings {
  const protocol = readProtocol(variables)
  const url = readEndpoint(variables, protocol)
  if (url === undefined) return none
  return {
    kind: 'otlp',
    protocol,
    url,
    headers: readHeaders(variables),
    timeoutMs: variables.count(
      ['OTEL_EXPORTER_OTLP_TRACES_TIMEOUT', 'OTEL_EXPORTER_OTLP_TIMEOUT'],
      10_000,
    ),
    compression: readCompression(variables),
    files: readFileNames(variables),
  }
}

function readProtocol(variables: Variables): OtlpProtocol {
  const found = variables.find('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL')
  const word = found?.text.toLowerCase() ?? 'http/protobuf'
  if (word === 'http/protobuf' || word === 'grpc') return word
  // The endpoint of another protocol would not understand us, but only its owner knows whether it also speaks this one.
  variables.refuse(found?.name ?? '', 'one of http/protobuf, grpc; http/protobuf is what is sent')
  return 'http/protobuf'
}

const defaultEndpoints: Readonly<Record<OtlpProtocol, string>> = {
  'http/protobuf': 'http://localhost:4318',
  grpc: 'http://localhost:4317',
}

/** The variable of the signal is taken as it is, the general one gets the signal's path (OTLP Exporter, "Endpoint URLs"). */
function readEndpoint(variables: Variables, protocol: OtlpProtocol): string | undefined {
  const own = variables.find('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
  if (own !== undefined) return httpUrl(variables, own.name, own.text)
  const base = variables.find('OTEL_EXPORTER_OTLP_ENDPOINT')
  const text = base?.text ?? defaultEndpoints[protocol]
  if (protocol === 'grpc') return httpUrl(variables, base?.name ?? '', text)
  return httpUrl(
    variables,
    base?.name ?? '',
    text.endsWith('/') ? `${text}v1/traces` : `${text}/v1/traces`,
  )
}

function httpUrl(variables: Variables, name: string, text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:')) return url.href
  variables.refuse(name, 'an http or https URL; no spans are exported')
  return undefined
}

function readHeaders(variables: Variables): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {}
  for (const variable of [
    'OTEL_EXPORTER_OTLP_HEADERS',
    'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
  ] as const) {
    for (const [name, value] of Object.entries(variables.pairs(variable) ?? {})) {
      if (isHeader(name, value)) headers[name.toLowerCase()] = value
      else variables.refuse(variable, 'names and values that an HTTP header may hold')
    }
  }
  return headers
}

function isHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}

function readCompression(variables: Variables): 'none' | 'gzip' {
  const found = variables.find(
    'OTEL_EXPORTER_OTLP_TRACES_COMPRESSION',
    'OTEL_EXPORTER_OTLP_COMPRESSION',
  )
  const word = found?.text.toLowerCase() ?? 'none'
  if (word === 'none' || word === 'gzip') return word
  variables.refuse(found?.name ?? '', 'one of gzip, none')
  return 'none'
}

function readFileNames(variables: Variables): OtlpExporterSettings['files'] {
  const ca = fileName(variables, 'CERTIFICATE')
  const cert = fileName(variables, 'CLIENT_CERTIFICATE')
  const key = fileName(variables, 'CLIENT_KEY')
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function fileName(variables: Variables, which: string): string | undefined {
  return variables.text(`OTEL_EXPORTER_OTLP_TRACES_${which}`, `OTEL_EXPORTER_OTLP_${which}`)
}

function readSampling(variables: Variables): SamplingSettings {
  const word = variables.word('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on'
  const parentBased = word.startsWith('parentbased_')
  switch (parentBased ? word.slice('parentbased_'.length) : word) {
    case 'always_on':
      return { root: 'always', parentBased }
    case 'always_off':
      return { root: 'never', parentBased }
    case 'traceidratio':
      return { root: { ratio: readRatio(variables) }, parentBased }
    default:
      variables.refuse(
        'OTEL_TRACES_SAMPLER',
        'one of always_on, always_off, traceidratio, each also with parentbased_ before it',
      )
      return { root: 'always', parentBased: true }
  }
}

function readRatio(variables: Variables): number {
  const text = variables.text('OTEL_TRACES_SAMPLER_ARG')
  const ratio = Number(text ?? '1')
  if (ratio >= 0 && ratio <= 1) return ratio
  variables.refuse('OTEL_TRACES_SAMPLER_ARG', 'a number from 0 to 1')
  return 1
}

function readBatch(variables: Variables): BatchSettings {
  const maxQueueSize = variables.count(['OTEL_BSP_MAX_QUEUE_SIZE'], 2_048)
  return {
    maxQueueSize,
    maxBatchSize: Math.min(maxQueueSize, variables.count(['OTEL_BSP_MAX_EXPORT_BATCH_SIZE'], 512)),
    delayMs: variables.count(['OTEL_BSP_SCHEDULE_DELAY'], 5_000),
    exportTimeoutMs: variables.count(['OTEL_BSP_EXPORT_TIMEOUT'], 30_000),
  }
}

const defaultServiceName = 'postern'

function readResource(variables: Variables): Readonly<Record<string, string>> {
  const attributes = variables.pairs('OTEL_RESOURCE_ATTRIBUTES') ?? {}
  const serviceName =
    variables.text('OTEL_SERVICE_NAME') ?? attributes['service.name'] ?? defaultServiceName
  return { ...attributes, 'service.name': serviceName }
}
