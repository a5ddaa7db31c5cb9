import { dirname, resolve } from 'node:path'
import type { z } from 'zod'
import type { AddressRules } from '../policy/address-rules.ts'
import { CidrSet } from '../policy/cidr-set.ts'
import { type Address, formatAddress, isLocal, type TcpAddress } from './address.ts'
import { buildAddressRules } from './address-rules-schema.ts'
import { Checker, formatPath } from './checker.ts'
import { type Environment, overlayEnvironment } from './environment.ts'
import { schemaAt } from './schema-at.ts'
import { sidecarSchema } from './sidecar-schema.ts'
import { type Path, YamlSource } from './yaml-source.ts'

export type { Address, TcpAddress } from './address.ts'

/** The parsed postern.yaml, with every default filled in and the environment applied (DESIGN.md 4). */
export interface SidecarConfig {
  readonly identity: IdentityConfig
  readonly inbound: InboundConfig
  readonly outbound: readonly OutboundConfig[]
  /** Absolute path of products.yaml. */
  readonly products: string
  /** Absolute path of api-keys.yaml; undefined: no keys. */
  readonly apiKeys: string | undefined
  readonly health: { readonly listen: TcpAddress }
  /** `none`: there is no admin port. */
  readonly admin: { readonly listen: TcpAddress | 'none' }
  /** '-': stdout; else an absolute path. */
  readonly audit: { readonly file: string; readonly required: boolean }
  /** An absolute path; undefined: nothing is kept across restarts. */
  readonly state: { readonly directory: string | undefined }
  readonly drain: { readonly delayMs: number; readonly timeoutMs: number }
}

/** Where our own identity and the bundles come from. */
export type IdentityConfig =
  | {
      readonly kind: 'workload-api'
      /** As written: `unix:///...` or `tcp://IP:port`. */
      readonly address: string
      readonly hint: string | undefined
    }
  | {
      readonly kind: 'files'
      /** Absolute paths. */
      readonly certificate: string
      readonly key: string
      /** PEM file by the name of its trust domain. */
      readonly bundles: ReadonlyMap<string, string>
    }

export interface InboundConfig {
  readonly listen: TcpAddress
  readonly upstream: Address
  /** Also for the upstreams of products. */
  readonly allowRemoteUpstream: boolean
  readonly protocol: 'http' | 'tcp'
  readonly upstreamProtocol: 'auto' | 'http1' | 'h2c'
  readonly plaintext: 'refuse' | 'allow'
  readonly untrustedCertificate: 'refuse' | 'ignore'
  /** Lower case. */
  readonly apiKeyHeader: string
  readonly forwardClientCert: boolean
  /** Undefined: anybody may connect from everywhere. */
  readonly addresses: AddressRules | undefined
  /** Balancers that say for whom they connect (PROXY protocol); undefined: none. */
  readonly balancers: CidrSet | undefined
  readonly limits: InboundLimits
}

/** Bounds of everything that a stranger can make us hold or wait for. */
export interface InboundLimits {
  readonly maxConnections: number
  /** Of one address, or of one /64 of IPv6. */
  readonly maxConnectionsPerAddress: number
  readonly maxHandshakes: number
  readonly maxHeaderBytes: number
  readonly maxHeaderFields: number
  /** Infinity: none. */
  readonly maxBodyBytes: number
  readonly handshakeTimeoutMs: number
  readonly headerTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly upstreamConnectTimeoutMs: number
  /** Infinity: none. */
  readonly upstreamResponseTimeoutMs: number
  /** To one address of the workload. */
  readonly maxUpstreamConnections: number
  /** Requests that wait for one. */
  readonly maxUpstreamQueue: number
  readonly upstreamQueueTimeoutMs: number
  readonly maxConcurrentStreams: number
}

export interface OutboundConfig {
  readonly listen: TcpAddress
  /** `host:port` of the other end. */
  readonly upstream: TcpAddress
  /** SPIFFE ID, `/*`, `/**`, or the name of a trust domain, as written. */
  readonly expect: string
  readonly protocol: 'http' | 'tcp'
  readonly limits: OutboundLimits
}

/** Those of the inbound limits that make sense for calls of the workload. */
export type OutboundLimits = Pick<
  InboundLimits,
  | 'maxConnections'
  | 'maxHeaderBytes'
  | 'maxHeaderFields'
  | 'handshakeTimeoutMs'
  | 'headerTimeoutMs'
  | 'idleTimeoutMs'
  | 'upstreamConnectTimeoutMs'
  | 'upstreamResponseTimeoutMs'
  | 'maxConcurrentStreams'
>

/** Largest postern.yaml, bytes. */
export const largestSidecarConfig = 1024 * 1024

const lastWorkloadApi = 'unix:///run/spire/sockets/agent.sock'

type Parsed = z.output<typeof sidecarSchema>

/**
 * Parses postern.yaml; '' is a file without settings. `file` names it in messages, and relative paths in it are relative to its
 * folder; those of the environment to the working directory. Throws `ConfigError` with every problem.
 */
export function parseSidecarConfig(text: string, file: string, env: Environment): SidecarConfig {
  const source = YamlSource.parse(text, file, { maxLength: largestSidecarConfig })
  const overlay = overlayEnvironment(source.value ?? {}, env)
  const checker = new Checker(source, (path) => overlay.variables.get(formatPath(path)))
  checker.problems.push(...overlay.problems)
  const parsed = checker.check(sidecarSchema, overlay.value, [])
  new Cross(checker, overlay.value).check()
  checker.finish()
  if (parsed === undefined) throw new TypeError('a config without problems parses')
  const from = (path: string) =>
    overlay.variables.has(path) ? resolve('.') : dirname(resolve(file))
  return build(parsed, env, (path, written) => resolve(from(path), written))
}

/** What several settings say together. Looks at each of them by itself, so that an error elsewhere hides nothing. */
class Cross {
  readonly #checker: Checker
  readonly #value: unknown

  constructor(checker: Checker, value: unknown) {
    this.#checker = checker
    this.#value = value
  }

  check(): void {
    this.#checkIdentity()
    this.#checkUpstream()
    this.#checkListeners()
  }

  #checkIdentity(): void {
    const identity = this.#part(['identity']) as Parsed['identity'] | undefined
    if (identity?.workloadApi === undefined || identity.files === undefined) return
    this.#checker.add(['identity', 'files'], 'stands beside workloadApi, expected one of them')
  }

  #checkUpstream(): void {
    const upstream = this.#part(['inbound', 'upstream']) as Address | undefined
    if (upstream === undefined || isLocal(upstream)) return
    if (this.#part(['inbound', 'allowRemoteUpstream']) === true) return
    this.#checker.add(
      ['inbound', 'upstream'],
      `${formatAddress(upstream)} is not on this machine, expected a local address or allowRemoteUpstream: true`,
    )
  }

  #checkListeners(): void {
    const taken: { readonly path: Path; readonly address: Address }[] = []
    for (const path of this.#listeners()) {
      const address = this.#part(path) as TcpAddress | 'none' | undefined
      if (address === undefined || address === 'none' || address.port === 0) continue
      const other = taken.find((one) => overlaps(one.address, address))
      if (other !== undefined) this.#addTaken(path, other.path, address)
      taken.push({ path, address })
    }
    const upstream = this.#part(['inbound', 'upstream']) as Address | undefined
    if (upstream === undefined || !isLocal(upstream)) return
    const own = taken.find(({ address }) => overlaps(address, upstream))
    if (own === undefined) return
    const message = `is ${formatPath(own.path)} itself, expected the workload`
    this.#checker.add(['inbound', 'upstream'], message)
  }

  /** Told of the one that is written, when the other is a default. */
  #addTaken(path: Path, other: Path, address: Address): void {
    const isWritten = valueAt(this.#value, path) !== undefined
    const [here, there] = isWritten ? [path, other] : [other, path]
    const message = `${formatAddress(address)} is taken by ${formatPath(there)} already`
    this.#checker.add(here, message)
  }

  #listeners(): Path[] {
    const outbound = valueAt(this.#value, ['outbound'])
    const count = Array.isArray(outbound) ? outbound.length : 0
    return [
      ['inbound', 'listen'],
      ['health', 'listen'],
      ['admin', 'listen'],
      ...Array.from({ length: count }, (_, i) => ['outbound', i, 'listen']),
    ]
  }

  /** The value of one setting, its default included; undefined when it is wrong. */
  #part(path: Path): unknown {
    const schema = schemaAt(sidecarSchema, path) as z.ZodType | undefined
    const result = schema?.safeParse(valueAt(this.#value, path))
    return result?.success === true ? result.data : undefined
  }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (parent, key) =>
      typeof parent === 'object' && parent !== null
        ? (parent as Record<string | number, unknown>)[key]
        : undefined,
    value,
  )
}

const everyHost = new Set(['0.0.0.0', '::'])

/** Whether a socket on one address takes connections to the other. */
function overlaps(a: Address, b: Address): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') return false
  if (a.port !== b.port) return false
  return a.host === b.host || everyHost.has(a.host) || everyHost.has(b.host)
}

function build(
  parsed: Parsed,
  env: Environment,
  absolute: (path: string, written: string) => string,
): SidecarConfig {
  const { inbound, outbound, health, admin, audit, state, drain } = parsed
  return {
    identity: buildIdentity(parsed.identity, env, absolute),
    inbound: buildInbound(inbound),
    outbound: outbound.map((one) => ({ ...one, limits: buildOutboundLimits(one.limits) })),
    products: absolute('products', parsed.products),
    apiKeys: parsed.apiKeys === undefined ? undefined : absolute('apiKeys', parsed.apiKeys),
    health,
    admin,
    audit: {
      file: audit.file === '-' ? '-' : absolute('audit.file', audit.file),
      required: audit.required,
    },
    state: {
      directory:
        state.directory === undefined ? undefined : absolute('state.directory', state.directory),
    },
    drain: { delayMs: drain.delay, timeoutMs: drain.timeout },
  }
}

function buildInbound(parsed: Parsed['inbound']): InboundConfig {
  const { addresses, proxyProtocol, limits, ...inbound } = parsed
  return {
    ...inbound,
    addresses: addresses && buildAddressRules(addresses),
    balancers: proxyProtocol && new CidrSet(proxyProtocol.from),
    limits: buildLimits(limits),
  }
}

function buildIdentity(
  identity: Parsed['identity'],
  env: Environment,
  absolute: (path: string, written: string) => string,
): IdentityConfig {
  const { files, workloadApi, hint } = identity
  if (files === undefined) {
    const address = workloadApi ?? nonEmpty(env['SPIFFE_ENDPOINT_SOCKET']) ?? lastWorkloadApi
    return { kind: 'workload-api', address, hint }
  }
  const bundles = Object.entries(files.bundles).map(
    ([name, path]) => [name, absolute('identity.files.bundles', path)] as const,
  )
  return {
    kind: 'files',
    certificate: absolute('identity.files.certificate', files.certificate),
    key: absolute('identity.files.key', files.key),
    bundles: new Map(bundles),
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

function buildLimits(limits: Parsed['inbound']['limits']): InboundLimits {
  return {
    maxConnections: limits.maxConnections,
    maxConnectionsPerAddress: limits.maxConnectionsPerAddress,
    maxHandshakes: limits.maxHandshakes,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxHeaderFields: limits.maxHeaderFields,
    maxBodyBytes: limits.maxBodyBytes,
    handshakeTimeoutMs: limits.handshakeTimeout,
    headerTimeoutMs: limits.headerTimeout,
    bodyTimeoutMs: limits.bodyTimeout,
    idleTimeoutMs: limits.idleTimeout,
    upstreamConnectTimeoutMs: limits.upstreamConnectTimeout,
    upstreamResponseTimeoutMs: limits.upstreamResponseTimeout,
    maxUpstreamConnections: limits.maxUpstreamConnections,
    maxUpstreamQueue: limits.maxUpstreamQueue,
    upstreamQueueTimeoutMs: limits.upstreamQueueTimeout,
    maxConcurrentStreams: limits.maxConcurrentStreams,
  }
}

function buildOutboundLimits(limits: Parsed['outbound'][number]['limits']): OutboundLimits {
  return {
    maxConnections: limits.maxConnections,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxHeaderFields: limits.maxHeaderFields,
    handshakeTimeoutMs: limits.handshakeTimeout,
    headerTimeoutMs: limits.headerTimeout,
    idleTimeoutMs: limits.idleTimeout,
    upstreamConnectTimeoutMs: limits.upstreamConnectTimeout,
    upstreamResponseTimeoutMs: limits.upstreamResponseTimeout,
    maxConcurrentStreams: limits.maxConcurrentStreams,
  }
}
