import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { Certificate } from '../x509/certificate.ts'
import { newestEditions } from '../x509/revocation.ts'
import type { RevocationList } from '../x509/revocation-list.ts'
import type { ApiKeys } from './api-keys.ts'
import { type Caller, selectorKey } from './caller.ts'
import type { MappedAuthority, ProductMap } from './product-map.ts'
import type { Product } from './product.ts'
import type { SourcePosition } from './source-position.ts'

/** Something in the files that is allowed and probably not meant. */
export interface LintWarning {
  readonly code:
    | 'caller_never_wins'
    | 'trust_domain_without_bundle'
    | 'product_unreachable'
    | 'anchor_expires'
    /** A revocation list that has ended, or not begun. */
    | 'crl_not_current'
    /** A revocation list that does not say when the next one comes: nobody can tell that it is old. */
    | 'crl_never_ends'
    /** `crlRequired`, and no list of a CA certificate of the authority: nobody passes who was issued by it. */
    | 'crl_missing'
    /** Keys of a product that the map does not hold: they are denied `product_unmapped`. */
    | 'key_product_unknown'
    /** A key that expires before it becomes valid. */
    | 'key_never_valid'
  readonly position: SourcePosition
  /** What, and what follows from it. */
  readonly message: string
}

export interface LintInput {
  readonly products: ProductMap
  readonly apiKeys: ApiKeys
  /** Names the file of `apiKeys` in positions. Default `api-keys.yaml`. */
  readonly apiKeysFile?: string
  /** Bundles that are held; undefined when nobody has asked the Workload API: then no bundle is missed. */
  readonly bundles?: TrustBundles
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

const soonMs = 30 * 86_400_000

/** The lint warnings of DESIGN.md 4, in the order of the lines. */
export function lint(input: LintInput): readonly LintWarning[] {
  const { products } = input
  const callers = [...products.products.values()].flatMap((product) => product.callers)
  const first = new Map<string, Caller>()
  for (const caller of callers) {
    const key = selectorKey(caller.selector)
    if (!first.has(key)) first.set(key, caller)
  }
  return [
    ...callers.flatMap((caller) => beaten(caller, first, input)),
    ...callers.flatMap((caller) => bundleMissing(caller, input)),
    ...unreachable(input),
    ...[...products.authorities.values()].flatMap((one) => [
      ...expiring(one, input.nowMs),
      ...oddLists(one, input.nowMs),
      ...missingLists(one),
    ]),
    ...oddKeys(input),
  ].sort((a, b) => a.position.line - b.position.line)
}

/** The callers of a map by selector. */
type Callers = ReadonlyMap<string, Caller>

function beaten(caller: Caller, first: Callers, input: LintInput): LintWarning[] {
  const why = whyBeaten(caller, first, input)
  if (why === undefined) return []
  const message = `${caller.text} never wins: ${why}`
  return [{ code: 'caller_never_wins', position: caller.position, message }]
}

function whyBeaten(caller: Caller, first: Callers, input: LintInput): string | undefined {
  const twin = first.get(selectorKey(caller.selector))
  if (twin !== undefined && twin !== caller)
    return `the product names it in line ${twin.position.line} too`
  const domain = domainOf(caller, input.products)
  if (domain === undefined) return undefined
  // Every SVID has a path.
  if (first.has(`spiffe://${domain}/**`)) {
    return `spiffeId: spiffe://${domain}/** takes every SVID of ${domain} before it`
  }
  if (caller.selector.kind === 'authority') return undefined
  const anchors = anchorsOf(domain, input)
  return anchors.length > 0 && anchors.every((anchor) => isAnchorOfCaller(anchor, first, input))
    ? `all CA certificates of ${domain} belong to authorities, which take its SVIDs before it`
    : undefined
}

/** Every CA certificate at which an SVID of the domain may end, as far as they are known. */
function anchorsOf(domain: string, { bundles, products }: LintInput): readonly Certificate[] {
  const ofAuthorities = [...products.authorities.values()]
    .filter(({ trustDomain }) => trustDomain?.name === domain)
    .flatMap(({ anchors }) => anchors)
  return [...ofAuthorities, ...(bundles?.get(domain)?.anchors ?? [])]
}

function isAnchorOfCaller(anchor: Certificate, callers: Callers, { products }: LintInput): boolean {
  return [...products.authorities.values()].some(
    ({ alias, anchors }) =>
      callers.has(selectorKey({ kind: 'authority', alias })) &&
      anchors.some((own) => own.equals(anchor)),
  )
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

function oddLists({ alias, position, revocation }: MappedAuthority, nowMs: number): LintWarning[] {
  return newestEditions(revocation?.lists ?? []).flatMap((list): LintWarning[] => {
    const name = `authority ${alias}: the revocation list of ${list.issuer}`
    if (!list.isCurrent(nowMs)) {
      const message = `${name} ${describeStale(list, nowMs)}`
      return [{ code: 'crl_not_current', position, message }]
    }
    if (list.nextUpdateMs !== Infinity) return []
    const message = `${name} has no nextUpdate: nobody can tell when it is too old`
    return [{ code: 'crl_never_ends', position, message }]
  })
}

function describeStale(list: RevocationList, nowMs: number): string {
  return nowMs < list.thisUpdateMs
    ? `is not valid before ${new Date(list.thisUpdateMs).toISOString()}`
    : `ended at ${new Date(list.nextUpdateMs).toISOString()}`
}

function missingLists({ alias, position, anchors, revocation }: MappedAuthority): LintWarning[] {
  if (revocation?.required !== true) return []
  const without = anchors.filter(
    (anchor) => !revocation.lists.some((list) => list.issuerName.equals(anchor.subjectName)),
  )
  return without.map((anchor) => {
    const message = `authority ${alias}: no revocation list of ${anchor.subject} is held, and crlRequired refuses whoever it issued a certificate to`
    return { code: 'crl_missing', position, message }
  })
}

function oddKeys({
  apiKeys,
  apiKeysFile = 'api-keys.yaml',
  products,
  nowMs,
}: LintInput): LintWarning[] {
  const warnings: LintWarning[] = []
  const told = new Set<string>()
  for (const { id, product, line, notBeforeMs, expiresMs } of apiKeys.entries()) {
    const position = { file: apiKeysFile, line, column: 1 }
    if (nowMs < expiresMs && expiresMs <= notBeforeMs) {
      const message = `key ${id} expires before it becomes valid`
      warnings.push({ code: 'key_never_valid', position, message })
    }
    if (products.products.has(product) || told.has(product)) continue
    told.add(product)
    const message = `key ${id} belongs to product ${product}, which the product map does not hold: it is denied`
    warnings.push({ code: 'key_product_unknown', position, message })
  }
  return warnings
}
