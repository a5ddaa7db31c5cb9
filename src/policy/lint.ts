import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { ApiKeys } from './api-keys.ts'
import { type Caller, selectorKey } from './caller.ts'
import type { MappedAuthority, ProductMap } from './product-map.ts'
import type { Product } from './product.ts'
import type { SourcePosition } from './source-position.ts'

/** Something in the files that is allowed and probably not meant. */
export interface LintWarning {
  readonly code:
    'caller_never_wins' | 'trust_domain_without_bundle' | 'product_unreachable' | 'anchor_expires'
  readonly position: SourcePosition
  /** What, and what follows from it. */
  readonly message: string
}

export interface LintInput {
  readonly products: ProductMap
  readonly apiKeys: ApiKeys
  /** Bundles that are held; undefined when nobody has asked the Workload API: then no bundle is missed. */
  readonly bundles?: TrustBundles
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

const soonMs = 30 * 86_400_000

/** The lint warnings of DESIGN.md 4, in the order of the file. */
export function lint(input: LintInput): readonly LintWarning[] {
  const { products } = input
  const callers = [...products.products.values()].flatMap((product) => product.callers)
  const keys = new Set(callers.map((caller) => selectorKey(caller.selector)))
  return [
    ...callers.flatMap((caller) => shadowed(caller, keys, products)),
    ...callers.flatMap((caller) => bundleMissing(caller, input)),
    ...unreachable(input),
    ...[...products.authorities.values()].flatMap((one) => expiring(one, input.nowMs)),
  ].sort((a, b) => a.position.line - b.position.line)
}

/** `spiffe://domain/**` takes every SVID of a domain: nothing less specific ever gets one. */
function shadowed(
  caller: Caller,
  selectors: ReadonlySet<string>,
  products: ProductMap,
): LintWarning[] {
  const domain = domainOf(caller, products)
  if (domain === undefined || !selectors.has(`spiffe://${domain}/**`)) return []
  const message = `${caller.text} never wins: spiffeId: spiffe://${domain}/** takes every SVID of ${domain} before it`
  return [{ code: 'caller_never_wins', position: caller.position, message }]
}

/** The domain whose SVIDs are all that a selector less specific than a SPIFFE ID can match. */
function domainOf({ selector }: Caller, products: ProductMap): string | undefined {
  switch (selector.kind) {
    case 'trust-domain':
      return selector.trustDomain.name
    case 'authority':
      return products.authorities.get(selector.alias)?.trustDomain?.name
    case 'spiffe-id':
    case 'children':
    case 'subtree':
      return undefined
  }
}

function bundleMissing(caller: Caller, { bundles, products }: LintInput): LintWarning[] {
  if (bundles === undefined) return []
  const domain = wantedDomain(caller)
  if (domain === undefined || bundles.has(domain) || isVouchedFor(domain, products)) return []
  const message = `${caller.text}: no bundle is held for trust domain ${domain}, so that nobody of it can be verified`
  return [{ code: 'trust_domain_without_bundle', position: caller.position, message }]
}

function wantedDomain({ selector }: Caller): string | undefined {
  switch (selector.kind) {
    case 'trust-domain':
      return selector.trustDomain.name
    case 'spiffe-id':
      return selector.id.trustDomain.name
    case 'children':
    case 'subtree':
      return selector.parent.trustDomain.name
    case 'authority':
      return undefined
  }
}

function isVouchedFor(domain: string, products: ProductMap): boolean {
  return [...products.authorities.values()].some((one) => one.trustDomain?.name === domain)
}

function unreachable({ products, apiKeys, nowMs }: LintInput): LintWarning[] {
  const withKeys = new Set<string>()
  for (const key of apiKeys.entries()) if (nowMs < key.expiresMs) withKeys.add(key.product)
  return [...products.products.values()].flatMap((product) => {
    const why = whyUnreachable(product, withKeys.has(product.name), nowMs)
    if (why === undefined) return []
    const message = `nobody can reach product ${product.name}: ${why}`
    return [{ code: 'product_unreachable' as const, position: product.position, message }]
  })
}

function whyUnreachable(product: Product, hasKeys: boolean, nowMs: number): string | undefined {
  const keyFault = whyNoKey(product, hasKeys, nowMs)
  const certificateFault =
    product.callers.length === 0
      ? 'it names no callers'
      : product.require === 'apiKey'
        ? 'it takes API keys only'
        : undefined
  if (product.require === 'both') return certificateFault ?? keyFault
  if (certificateFault === undefined || keyFault === undefined) return undefined
  return `${certificateFault}, and ${keyFault}`
}

function whyNoKey(product: Product, hasKeys: boolean, nowMs: number): string | undefined {
  if (product.require === 'certificate') return 'it takes certificates only'
  if (product.apiKeys === 'refuse') return 'it takes no API keys'
  if (product.apiKeysUntilMs !== undefined && nowMs >= product.apiKeysUntilMs) {
    return 'its time of API keys is over'
  }
  return hasKeys ? undefined : 'no key that is valid belongs to it'
}

function expiring(authority: MappedAuthority, nowMs: number): LintWarning[] {
  return authority.anchors.flatMap((anchor) => {
    if (anchor.notAfterMs - nowMs > soonMs) return []
    const message = `authority ${authority.alias}: ${describeEnd(anchor, nowMs)}`
    return [{ code: 'anchor_expires' as const, position: authority.position, message }]
  })
}

function describeEnd(anchor: Certificate, nowMs: number): string {
  const end = new Date(anchor.notAfterMs).toISOString()
  return nowMs > anchor.notAfterMs
    ? `the CA certificate ${anchor.subject} expired at ${end}`
    : `the CA certificate ${anchor.subject} expires within 30 days, at ${end}`
}
