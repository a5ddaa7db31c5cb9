import { messageOf, PosternError } from '../core/errors.ts'
import { type Caller, parseSpiffeIdSelector, type Selector } from '../policy/caller.ts'
import type { Limit, Product } from '../policy/product.ts'
import {
  type Conflict,
  type CrlFile,
  findConflicts,
  type MappedAuthority,
  type ProductCallers,
  ProductMap,
} from '../policy/product-map.ts'
import { RequestRule } from '../policy/request-rule.ts'
import { formatPosition } from '../policy/source-position.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import { parsePemCertificates } from '../x509/pem.ts'
import { isLocal, parseAddress } from './address.ts'
import { buildAddressRules } from './address-rules-schema.ts'
import { ConfigError, type Problem } from './problem.ts'
import {
  type DraftAuthority,
  type DraftCaller,
  type DraftProduct,
  type ProductsDraft,
  readProducts,
} from './products-draft.ts'

export interface ProductsOptions {
  /** The text of a PEM file that the products file names. `path`: as written, relative to the products file. May throw. */
  readonly readPem: (path: string) => string
  /** A product's `upstream` may be another machine. Default false. */
  readonly allowRemoteUpstream?: boolean
}

/**
 * Parses products.yaml (DESIGN.md 4). `file` names it in messages and positions. Throws `ConfigError` with every problem of the
 * file and of the PEM files that it names. Revocation lists are not read: `ProductMap.withRevocation` takes them.
 */
export function parseProducts(text: string, file: string, options: ProductsOptions): ProductMap {
  return buildProducts(readProducts(text, file), options)
}

/** As `parseProducts`, of a file that was read before. */
function buildProducts(draft: ProductsDraft, options: ProductsOptions): ProductMap {
  const problems = [...draft.problems]
  const authorities = draft.authorities.map((one) => buildAuthority(one, options, problems))
  const callers = draft.products.map(buildCallers)
  problems.push(...findConflicts(callers, authorities).map(describeConflict))
  problems.push(...draft.products.flatMap((product) => remoteUpstreams(product, options)))
  if (problems.length > 0) throw new ConfigError(problems)
  const products = draft.products.flatMap((product, index) =>
    buildProduct(product, callers[index]?.callers ?? []),
  )
  return ProductMap.of(products, authorities)
}

/** One without anchors when something is wrong with it: it is still defined, and its callers are not at fault. */
function buildAuthority(
  draft: DraftAuthority,
  options: ProductsOptions,
  problems: Problem[],
): MappedAuthority {
  const { alias, position, settings } = draft
  const certificatesFile = settings?.certificates ?? ''
  const crlFiles = buildCrlFiles(draft)
  const trustDomain = settings?.trustDomain && TrustDomain.parse(settings.trustDomain)
  try {
    return {
      alias,
      position,
      certificatesFile,
      anchors: settings === undefined ? [] : readAnchors(certificatesFile, options),
      crlFiles,
      ...(trustDomain && { trustDomain }),
      // Until its lists are read, nobody is known to be good.
      ...(settings?.crl && { revocation: { lists: [], required: settings.crlRequired } }),
    }
  } catch (thrown) {
    problems.push({
      where: formatPosition(draft.certificatesPosition),
      path: `authorities.${alias}.certificates`,
      message: `${certificatesFile}: ${messageOf(thrown)}`,
    })
    return { alias, position, certificatesFile, anchors: [], crlFiles }
  }
}

function buildCrlFiles({ settings, position, crlPositions }: DraftAuthority): CrlFile[] {
  const paths = settings?.crl ?? []
  return paths.map((path, index) => ({ path, position: crlPositions[index] ?? position }))
}

/** Throws `PosternError` for what is no PEM file of CA certificates. */
function readAnchors(path: string, options: ProductsOptions): Certificate[] {
  const anchors = parsePemCertificates(options.readPem(path))
  const other = anchors.find((anchor) => !anchor.isCa)
  if (other === undefined) return anchors
  throw new PosternError('ERR_CONFIG_INVALID', `${other.toString()} is not a CA certificate`)
}

function buildCallers({ name, callers }: DraftProduct): ProductCallers {
  return { name, callers: callers.map(buildCaller) }
}

function buildCaller({ kind, value, position }: DraftCaller): Caller {
  return { selector: selectorOf(kind, value), text: `${kind}: ${value}`, position }
}

function selectorOf(kind: DraftCaller['kind'], value: string): Selector {
  switch (kind) {
    case 'trustDomain':
      return { kind: 'trust-domain', trustDomain: TrustDomain.parse(value) }
    case 'spiffeId':
      return parseSpiffeIdSelector(value)
    case 'authority':
      return { kind: 'authority', alias: value }
  }
}

function buildProduct(draft: DraftProduct, callers: readonly Caller[]): Product[] {
  const { name, position, settings, requestPositions } = draft
  if (settings === undefined) return []
  const { description, apiKeys, apiKeysUntil, require, upstream, requests, limit } = settings
  const { addresses } = settings
  return [
    {
      name,
      position,
      callers,
      apiKeys,
      require,
      ...(description !== undefined && { description }),
      ...(apiKeysUntil !== undefined && { apiKeysUntilMs: apiKeysUntil }),
      ...(upstream !== undefined && { upstream }),
      ...(requests !== undefined && {
        requests: requests.map((texts, i) =>
          RequestRule.parse(texts, requestPositions[i] ?? position),
        ),
      }),
      ...(addresses !== undefined && { addresses: buildAddressRules(addresses) }),
      ...(limit !== undefined && { limit: buildLimit(limit) }),
    },
  ]
}

function buildLimit(limit: NonNullable<NonNullable<DraftProduct['settings']>['limit']>): Limit {
  return { ...limit.rate, burst: limit.burst ?? limit.rate.count, per: limit.per }
}

function remoteUpstreams(product: DraftProduct, options: ProductsOptions): Problem[] {
  const upstream = product.settings?.upstream
  if (upstream === undefined || options.allowRemoteUpstream === true) return []
  if (isLocal(parseAddress(upstream))) return []
  return [
    {
      where: formatPosition(product.position),
      path: `products.${product.name}.upstream`,
      message: `${upstream} is not on this machine, expected a local address or inbound.allowRemoteUpstream: true`,
    },
  ]
}

function describeConflict(conflict: Conflict): Problem {
  switch (conflict.kind) {
    case 'selector': {
      const { selector, first, second } = conflict
      return {
        where: formatPosition(second.position),
        path: `products.${second.product}.callers`,
        message: `${selector} is a caller of product ${first.product} already (${formatPosition(first.position)}), expected one product for each caller`,
      }
    }
    case 'unknown-authority':
      return {
        where: formatPosition(conflict.position),
        path: `products.${conflict.product}.callers`,
        message: `authority ${conflict.alias} is not defined, expected one of authorities`,
      }
    case 'anchor': {
      const { subject, sha256, first, second } = conflict
      return {
        where: formatPosition(second.position),
        path: `authorities.${second.alias}.certificates`,
        message: `${second.certificatesFile} holds ${subject} (SHA-256 ${sha256}), which authority ${first.alias} has already (${formatPosition(first.position)}), expected each CA certificate in one authority`,
      }
    }
  }
}

/**
 * Authorities with a `trustDomain` that the Workload API provides a bundle for as well. Only the running sidecar knows them;
 * two sources for one trust domain are an error (DESIGN.md 4).
 */
export function checkAgainstBundles(products: ProductMap, bundles: TrustBundles): Problem[] {
  return [...products.authorities.values()].flatMap(({ alias, trustDomain, position }) => {
    if (trustDomain === undefined || !bundles.has(trustDomain.name)) return []
    return [
      {
        where: formatPosition(position),
        path: `authorities.${alias}.trustDomain`,
        message: `${trustDomain.name} is also provided by the Workload API, expected one source of its bundle`,
      },
    ]
  })
}
