import { type Caller, parseSpiffeIdSelector, type Selector } from '../../../src/policy/caller.ts'
import { type ApiKey, ApiKeyTable } from '../../../src/policy/api-key-table.ts'
import { ApiKeys } from '../../../src/policy/api-keys.ts'
import { digestOf } from '../../../src/policy/api-key.ts'
import type { Peer } from '../../../src/policy/peer.ts'
import type { Product } from '../../../src/policy/product.ts'
import { type MappedAuthority, ProductMap } from '../../../src/policy/product-map.ts'
import { RequestRule, type RequestRuleTexts } from '../../../src/policy/request-rule.ts'
import type { TrustState } from '../../../src/policy/trust-state.ts'
import { SpiffeId } from '../../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../../src/spiffe/trust-domain.ts'
import type { CertificatePath } from '../../../src/x509/certificate-path.ts'
import type { Certificate } from '../../../src/x509/certificate.ts'

/** The moment at which the tests of the policy happen. */
export const now = Date.UTC(2026, 10, 20)
export const hour = 3_600_000
export const day = 24 * hour

/** A caller from its text in products.yaml: `trustDomain: a.example`. */
function caller(text: string, line = 1): Caller {
  return { selector: selectorOf(text), text, position: { file: 'products.yaml', line, column: 9 } }
}

function selectorOf(text: string): Selector {
  const [key = '', value = ''] = text.split(': ')
  switch (key) {
    case 'trustDomain':
      return { kind: 'trust-domain', trustDomain: TrustDomain.parse(value) }
    case 'authority':
      return { kind: 'authority', alias: value }
    default:
      return parseSpiffeIdSelector(value)
  }
}

type ProductParts = Partial<Omit<Product, 'callers' | 'requests'>> & {
  readonly callers?: readonly string[]
  readonly requests?: readonly RequestRuleTexts[]
}

let lines = 1

/** A product; each caller and request has a line of its own. */
export function product(name: string, parts: ProductParts = {}): Product {
  const { callers = [], requests, ...rest } = parts
  const next = () => ({ file: 'products.yaml', line: ++lines, column: 5 })
  return {
    name,
    apiKeys: 'refuse',
    require: 'any',
    position: next(),
    callers: callers.map((text) => caller(text, ++lines)),
    ...(requests && { requests: requests.map((texts) => RequestRule.parse(texts, next())) }),
    ...rest,
  }
}

/** An authority without certificates; enough wherever no path is validated. */
export function authority(alias: string, parts: Partial<MappedAuthority> = {}): MappedAuthority {
  return {
    alias,
    anchors: [],
    certificatesFile: `${alias}.pem`,
    crlFiles: [],
    position: { file: 'products.yaml', line: ++lines, column: 3 },
    ...parts,
  }
}

/** A map whose authorities are those that its callers name. */
export function mapOf(...products: readonly Product[]): ProductMap {
  const aliases = products
    .flatMap(({ callers }) => callers)
    .flatMap(({ selector }) => (selector.kind === 'authority' ? [selector.alias] : []))
  return ProductMap.of(
    products,
    [...new Set(aliases)].map((alias) => authority(alias)),
  )
}

export function svid(
  id: string,
  parts: { authorities?: string[]; notAfterMs?: number } = {},
): Peer {
  return {
    kind: 'svid',
    id: SpiffeId.parse(id),
    authorities: parts.authorities ?? [],
    path: pathUntil(parts.notAfterMs ?? now + hour),
  }
}

export function certificate(
  subject: string,
  parts: { authorities?: string[]; notAfterMs?: number } = {},
): Peer {
  return {
    kind: 'certificate',
    subject,
    authorities: parts.authorities ?? [],
    path: pathUntil(parts.notAfterMs ?? now + hour),
  }
}

/** `decide` reads nothing of a path but its end. */
function pathUntil(notAfterMs: number): CertificatePath {
  const none = {} as unknown as Certificate
  return { certificates: [none], leaf: none, anchor: none, notAfterMs, revocationUntilMs: Infinity }
}

export const anonymous: Peer = { kind: 'anonymous' }
export const plaintext: Peer = { kind: 'plaintext' }

export function untrusted(reason: Extract<Peer, { kind: 'untrusted' }>['reason']): Peer {
  return { kind: 'untrusted', reason, detail: 'the leaf failed a check', claimed: {} }
}

/** Keys by their plain text. */
export function keysOf(
  keys: Readonly<Record<string, Partial<ApiKey> & { readonly product: string }>>,
): ApiKeys {
  const table = new ApiKeyTable()
  for (const [key, parts] of Object.entries(keys)) {
    const line = table.size + 3
    table.add({ ...entryOf(key, line), ...parts })
  }
  return ApiKeys.from(table)
}

function entryOf(key: string, line: number) {
  const sha256 = digestOf(key)
  return {
    id: `k_${line}`,
    sha256,
    consumer: 'acme',
    notBeforeMs: -Infinity,
    expiresMs: Infinity,
    line,
  }
}

export function trustOf(parts: Partial<TrustState> = {}): TrustState {
  return {
    epoch: 1,
    bundles: new Map(),
    products: ProductMap.empty,
    apiKeys: ApiKeys.empty,
    hasIdentity: true,
    ...parts,
  }
}
