import type { ApiKey } from '../../policy/api-key-table.ts'
import { formatPosition } from '../../policy/source-position.ts'
import type { Product } from '../../policy/product.ts'
import type { TrustState } from '../../policy/trust-state.ts'
import type { X509Svid } from '../../spiffe/x509-svid.ts'
import type { Certificate } from '../../x509/certificate.ts'
import {
  bounded,
  longestDetail,
  longestSpiffeId,
  longestWord,
} from '../../telemetry/record-text.ts'
import type { TrustHistory } from '../memory/trust-history.ts'
import type { SeenCaller, Usage } from '../memory/usage.ts'
import type { OpenConnection, OutboundState, SidecarState } from '../sidecar-state.ts'
import { type CertificateView, timeText, viewCertificate } from './certificate-view.ts'

/** Most of each that one answer holds; beside each list stands how many there are. */
const most = {
  anchors: 100,
  domains: 500,
  products: 500,
  callers: 50,
  keys: 1_000,
  connections: 200,
  outbound: 200,
}
/** With more keys than this only those that were used are looked at: nobody reads a million lines. */
const mostListedKeys = 20_000

/** Everything on the status page but the decisions. Times are RFC 3339 in UTC. */
export interface StatusView {
  readonly version: string
  readonly now: string
  readonly started: string
  readonly ready: boolean
  /** What is missing before callers can be served. */
  readonly missing: readonly string[]
  readonly listen: string
  readonly upstream: string
  readonly identity: IdentityView
  readonly epoch: number
  /** Newest first. */
  readonly epochs: readonly { epoch: number; time: string; changes: readonly string[] }[]
  readonly trustDomains: readonly TrustDomainView[]
  readonly authorities: readonly AuthorityView[]
  readonly products: readonly ProductView[]
  readonly productCount: number
  readonly keys: readonly KeyView[]
  readonly keyCount: number
  /** Since when callers and keys are counted. */
  readonly countedSince: string
  readonly connections: readonly ConnectionView[]
  readonly connectionCount: number
  /** Where the workload calls, in the order of the configuration. */
  readonly outbound: readonly OutboundView[]
  readonly outboundCount: number
  readonly files: readonly { name: string; time: string; result: string; error?: string }[]
}

export interface IdentityView {
  readonly source: string
  /** Whether the Workload API answers; absent where files are the source. */
  readonly connected?: boolean
  readonly spiffeId?: string
  readonly notBefore?: string
  /** The first end of validity in the chain. */
  readonly notAfter?: string
  /** When half of the validity is over, which is when SPIRE renews; a certificate from files is renewed by who writes it. */
  readonly renewalExpected?: string
  readonly chain?: readonly CertificateView[]
}

export interface TrustDomainView {
  readonly name: string
  readonly own: boolean
  readonly anchors: readonly CertificateView[]
  readonly anchorCount: number
}

export interface AuthorityView {
  readonly alias: string
  readonly trustDomain?: string
  readonly position: string
  readonly anchors: readonly CertificateView[]
  readonly anchorCount: number
}

export interface ProductView {
  readonly name: string
  readonly description?: string
  readonly position: string
  readonly apiKeys: string
  readonly apiKeysUntil?: string
  readonly require: string
  readonly upstream?: string
  readonly limit?: string
  readonly requests?: readonly string[]
  readonly rules: readonly { readonly rule: string; readonly position: string }[]
  readonly ruleCount: number
  /** Who called, last first. */
  readonly callers: readonly SeenCallerView[]
  readonly callerCount: number
}

export interface SeenCallerView {
  readonly principal: string
  readonly credential: string
  readonly allowed: number
  readonly denied: number
  readonly firstSeen: string
  readonly lastSeen: string
}

export interface KeyView {
  readonly id: string
  readonly product: string
  readonly consumer: string
  readonly notBefore?: string
  readonly expires?: string
  readonly state: 'valid' | 'expired' | 'not yet valid'
  readonly allowed: number
  readonly denied: number
  readonly lastSeen?: string
}

export interface ConnectionView {
  readonly protocol: string
  readonly client: string
  readonly opened: string
  readonly product?: string
  readonly principal?: string
}

export interface OutboundView {
  readonly listen: string
  readonly upstream: string
  readonly expect: string
  readonly protocol: string
  /** Of the workload, open now. */
  readonly connections: number
  readonly lastFailure?: { readonly time: string; readonly reason: string; readonly detail: string }
}

export interface StatusFacts {
  readonly state: SidecarState
  readonly history: TrustHistory
  readonly usage: Usage
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

export function viewStatus({ state, history, usage, nowMs }: StatusFacts): StatusView {
  const trust = state.trust()
  const missing = state.missing()
  const products = viewProducts(trust, usage)
  return {
    version: state.version,
    now: timeText(nowMs),
    started: timeText(state.startedMs),
    ready: missing.length === 0,
    missing,
    listen: state.listen,
    upstream: state.upstream,
    identity: viewIdentity(state),
    epoch: trust.epoch,
    epochs: history.epochs.map(({ epoch, atMs, changes }) => ({
      epoch,
      time: timeText(atMs),
      changes,
    })),
    trustDomains: viewTrustDomains(trust, state.svid()),
    authorities: viewAuthorities(trust),
    products,
    productCount: trust.products.products.size,
    keys: viewKeys(trust, usage, nowMs),
    keyCount: trust.apiKeys.size,
    countedSince: timeText(usage.sinceMs),
    connections: viewConnections(state.connections()),
    connectionCount: state.connectionCount(),
    outbound: state.outbound().slice(0, most.outbound).map(viewOutbound),
    outboundCount: state.outbound().length,
    files: state.files().map(({ name, atMs, result, error }) => ({
      name,
      time: timeText(atMs),
      result,
      ...(error !== undefined && { error: bounded(error, 4_096) }),
    })),
  }
}

function viewIdentity(state: SidecarState): IdentityView {
  const source = state.identitySource()
  const svid = state.svid()
  const isAgent = source.kind === 'workload-api'
  const from = isAgent
    ? { source: source.address, connected: source.connected }
    : { source: source.certificate }
  if (svid === undefined) return from
  const notBeforeMs = Math.max(...svid.certificates.map((certificate) => certificate.notBeforeMs))
  const halfMs = (svid.leaf.notBeforeMs + svid.leaf.notAfterMs) / 2
  return {
    ...from,
    spiffeId: svid.id.toString(),
    notBefore: timeText(notBeforeMs),
    notAfter: timeText(svid.notAfterMs),
    ...(isAgent && { renewalExpected: timeText(halfMs) }),
    chain: svid.certificates.map(viewCertificate),
  }
}

function viewTrustDomains({ bundles }: TrustState, svid: X509Svid | undefined): TrustDomainView[] {
  const own = svid?.id.trustDomain.name
  return [...bundles.values()]
    .map(({ trustDomain: { name }, anchors }) => ({
      name,
      own: name === own,
      ...viewAnchors(anchors),
    }))
    .sort((a, b) => Number(b.own) - Number(a.own) || compare(a.name, b.name))
    .slice(0, most.domains)
}

function viewAuthorities({ products }: TrustState): AuthorityView[] {
  return [...products.authorities.values()]
    .slice(0, most.domains)
    .map(({ alias, trustDomain, position, anchors }) => ({
      alias,
      ...(trustDomain !== undefined && { trustDomain: trustDomain.name }),
      position: formatPosition(position),
      ...viewAnchors(anchors),
    }))
}

function viewAnchors(anchors: readonly Certificate[]) {
  return {
    anchors: anchors.slice(0, most.anchors).map(viewCertificate),
    anchorCount: anchors.length,
  }
}

/** Products that were called last come first, then the others in the order of the file. */
function viewProducts({ products }: TrustState, usage: Usage): ProductView[] {
  return [...products.products.values()]
    .map((product) => ({ product, callers: byLastSeen(usage.callersOf(product.name)) }))
    .sort((a, b) => lastMsOf(b.callers) - lastMsOf(a.callers))
    .slice(0, most.products)
    .map(({ product, callers }) => viewProduct(product, callers))
}

function byLastSeen(callers: readonly Readonly<SeenCaller>[]): readonly Readonly<SeenCaller>[] {
  return callers.toSorted((a, b) => b.lastMs - a.lastMs)
}

function lastMsOf([last]: readonly Readonly<SeenCaller>[]): number {
  return last?.lastMs ?? 0
}

function viewProduct(product: Product, callers: readonly Readonly<SeenCaller>[]): ProductView {
  const { description, apiKeysUntilMs, upstream, limit, requests } = product
  return {
    name: product.name,
    ...(description !== undefined && { description }),
    position: formatPosition(product.position),
    apiKeys: product.apiKeys,
    ...(apiKeysUntilMs !== undefined && { apiKeysUntil: timeText(apiKeysUntilMs) }),
    require: product.require,
    ...(upstream !== undefined && { upstream }),
    ...(limit !== undefined && { limit: `${limit.text} per ${limit.per}` }),
    ...(requests !== undefined && { requests: requests.slice(0, most.callers).map(String) }),
    rules: product.callers.slice(0, most.callers).map(({ text, position }) => ({
      rule: text,
      position: formatPosition(position),
    })),
    ruleCount: product.callers.length,
    callers: callers.slice(0, most.callers).map(viewSeenCaller),
    callerCount: callers.length,
  }
}

function viewSeenCaller(caller: Readonly<SeenCaller>): SeenCallerView {
  return {
    principal: bounded(caller.principal, longestSpiffeId),
    credential: caller.credential,
    allowed: caller.allowed,
    denied: caller.denied,
    firstSeen: timeText(caller.firstMs),
    lastSeen: timeText(caller.lastMs),
  }
}

/** Keys that were used last come first, then those that end first. */
function viewKeys(trust: TrustState, usage: Usage, nowMs: number): KeyView[] {
  return keysToShow(trust, usage)
    .map((key) => ({ key, seen: usage.key(key.product, key.id) }))
    .sort(
      (a, b) =>
        (b.seen?.lastMs ?? 0) - (a.seen?.lastMs ?? 0) ||
        Math.sign(a.key.expiresMs - b.key.expiresMs) ||
        a.key.line - b.key.line,
    )
    .slice(0, most.keys)
    .map(({ key, seen }) => ({
      id: key.id,
      product: bounded(key.product, longestWord),
      consumer: key.consumer,
      ...(Number.isFinite(key.notBeforeMs) && { notBefore: timeText(key.notBeforeMs) }),
      ...(Number.isFinite(key.expiresMs) && { expires: timeText(key.expiresMs) }),
      state: stateOf(key, nowMs),
      allowed: seen?.allowed ?? 0,
      denied: seen?.denied ?? 0,
      ...(seen !== undefined && { lastSeen: timeText(seen.lastMs) }),
    }))
}

function keysToShow({ apiKeys }: TrustState, usage: Usage): ApiKey[] {
  if (apiKeys.size <= mostListedKeys) return [...apiKeys.entries()]
  return usage.snapshot().keys.flatMap(({ id }) => apiKeys.find({ id }) ?? [])
}

function stateOf({ notBeforeMs, expiresMs }: ApiKey, nowMs: number): KeyView['state'] {
  if (nowMs >= expiresMs) return 'expired'
  return nowMs < notBeforeMs ? 'not yet valid' : 'valid'
}

function viewConnections(connections: Iterable<OpenConnection>): ConnectionView[] {
  const shown: ConnectionView[] = []
  for (const { protocol, clientAddress, clientPort, openedMs, product, principal } of connections) {
    if (shown.length === most.connections) break
    shown.push({
      protocol,
      client: `${clientAddress} port ${clientPort}`,
      opened: timeText(openedMs),
      ...(product !== undefined && { product: bounded(product, longestWord) }),
      ...(principal !== undefined && { principal: bounded(principal, longestSpiffeId) }),
    })
  }
  return shown
}

function viewOutbound({ lastFailure, ...rest }: OutboundState): OutboundView {
  if (lastFailure === undefined) return rest
  const { atMs, reason, detail } = lastFailure
  return {
    ...rest,
    lastFailure: { time: timeText(atMs), reason, detail: bounded(detail, longestDetail) },
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
