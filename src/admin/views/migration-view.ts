import type { ApiKey } from '../../policy/api-key-table.ts'
import type { Product } from '../../policy/product.ts'
import type { TrustState } from '../../policy/trust-state.ts'
import { bounded, longestSpiffeId } from '../../telemetry/record-text.ts'
import type { SeenKey, Usage } from '../memory/usage.ts'
import { timeText } from './certificate-view.ts'

/** How far each product is on the way from API keys to certificates. Times are RFC 3339 in UTC. */
export interface MigrationView {
  readonly now: string
  /** Since when uses are counted: what happened before is not known. */
  readonly countedSince: string
  /** Present where no running sidecar was asked: what happened after it is not known. */
  readonly countedUntil?: string
  /** Who has used no key for so many days counts as moved. */
  readonly quietDays: number
  /** Whether uses have been counted for at least that long. */
  readonly countedLongEnough: boolean
  /** Those that take keys, or took one. */
  readonly products: readonly ProductMigration[]
  /** Products that take keys or took one, and are not listed. */
  readonly otherProducts: number
}

export interface ProductMigration {
  readonly product: string
  readonly apiKeys: Product['apiKeys']
  readonly apiKeysUntil?: string
  readonly require: Product['require']
  /** Last use first; those without a use last. */
  readonly consumers: readonly ConsumerMigration[]
  readonly consumerCount: number
  /** Who comes with a certificate, last first. */
  readonly certificates: readonly CertificateUse[]
  readonly certificateCount: number
  /** Consumers that `apiKeys: refuse` would lock out; the names may be cut, the number is not. */
  readonly breaks: readonly string[]
  readonly breakCount: number
  /** What `apiKeys: refuse` would do, in one sentence. */
  readonly ifRefused: string
  /** What `apiKeysUntil` does, or will do, in one sentence; absent where the product has none. */
  readonly atItsEnd?: string
}

export interface ConsumerMigration {
  readonly consumer: string
  readonly stillUsesKeys: boolean
  readonly allowed: number
  readonly lastKeyUse?: string
  readonly keys: readonly { readonly id: string; readonly lastUse?: string }[]
}

export interface CertificateUse {
  readonly principal: string
  readonly credential: string
  readonly allowed: number
  readonly lastSeen: string
}

export interface MigrationFacts {
  readonly trust: Pick<TrustState, 'products' | 'apiKeys'>
  readonly usage: Usage
  readonly nowMs: number
  /** The last moment that is counted. Default: now. Without it a sidecar that was off would make everybody quiet. */
  readonly countedUntilMs?: number
  /** Without a use for so long a consumer counts as moved. */
  readonly quietDays: number
}

export const defaultQuietDays = 30

const dayMs = 86_400_000
const most = { products: 200, consumers: 200, certificates: 50, keys: 20 }
/** With more keys than this, those that were never used are not looked for. */
const mostListedKeys = 20_000

export function viewMigration(facts: MigrationFacts): MigrationView {
  const { trust, usage, nowMs, countedUntilMs, quietDays } = facts
  const unused = unusedKeys(trust, usage)
  const products = [...trust.products.products.values()].filter(
    ({ name, apiKeys }) => apiKeys !== 'refuse' || usage.keysOf(name).length > 0,
  )
  return {
    now: timeText(nowMs),
    countedSince: timeText(usage.sinceMs),
    ...(countedUntilMs !== undefined && { countedUntil: timeText(countedUntilMs) }),
    quietDays,
    countedLongEnough: lastCounted(facts) - usage.sinceMs >= quietDays * dayMs,
    products: products
      .slice(0, most.products)
      .map((product) => viewProduct(product, unused.get(product.name) ?? [], facts)),
    otherProducts: Math.max(0, products.length - most.products),
  }
}

function lastCounted({ nowMs, countedUntilMs = nowMs }: MigrationFacts): number {
  return Math.min(nowMs, countedUntilMs)
}

/** Valid keys that nobody used since counting began, by product. */
function unusedKeys({ apiKeys }: MigrationFacts['trust'], usage: Usage): Map<string, ApiKey[]> {
  const byProduct = new Map<string, ApiKey[]>()
  if (apiKeys.size > mostListedKeys) return byProduct
  for (const key of apiKeys.entries()) {
    if (usage.key(key.product, key.id) !== undefined) continue
    const keys = byProduct.get(key.product) ?? []
    byProduct.set(key.product, keys)
    keys.push(key)
  }
  return byProduct
}

function viewProduct(
  product: Product,
  unused: readonly ApiKey[],
  facts: MigrationFacts,
): ProductMigration {
  const consumers = viewConsumers(facts.usage.keysOf(product.name), unused, facts)
  const breaks = consumers.filter((one) => one.stillUsesKeys).map((one) => one.consumer)
  const certificates = viewCertificates(product.name, facts.usage)
  const { apiKeysUntilMs } = product
  return {
    product: product.name,
    apiKeys: product.apiKeys,
    ...(apiKeysUntilMs !== undefined && { apiKeysUntil: timeText(apiKeysUntilMs) }),
    require: product.require,
    consumers: consumers.slice(0, most.consumers),
    consumerCount: consumers.length,
    certificates: certificates.slice(0, most.certificates),
    certificateCount: certificates.length,
    breaks: breaks.slice(0, most.consumers),
    breakCount: breaks.length,
    ifRefused: ifRefused(product, breaks, facts),
    ...(apiKeysUntilMs !== undefined && { atItsEnd: atItsEnd(apiKeysUntilMs, breaks, facts) }),
  }
}

function viewConsumers(
  seen: readonly Readonly<SeenKey>[],
  unused: readonly ApiKey[],
  facts: MigrationFacts,
): ConsumerMigration[] {
  const quietSinceMs = lastCounted(facts) - facts.quietDays * dayMs
  const names = new Set([...seen, ...unused].map(({ consumer }) => consumer))
  return [...names]
    .map((consumer) => {
      const used = seen
        .filter((key) => key.consumer === consumer && key.lastAllowedMs > 0)
        .sort((a, b) => b.lastAllowedMs - a.lastAllowedMs)
      const lastMs = used[0]?.lastAllowedMs
      const idle = unused.filter((key) => key.consumer === consumer)
      return {
        consumer,
        stillUsesKeys: lastMs !== undefined && lastMs > quietSinceMs,
        allowed: used.reduce((sum, { allowed }) => sum + allowed, 0),
        ...(lastMs !== undefined && { lastKeyUse: timeText(lastMs) }),
        keys: [
          ...used.map(({ id, lastAllowedMs }) => ({ id, lastUse: timeText(lastAllowedMs) })),
          ...idle.map(({ id }) => ({ id })),
        ].slice(0, most.keys),
        lastMs: lastMs ?? 0,
      }
    })
    .sort((a, b) => b.lastMs - a.lastMs)
    .map(({ lastMs: _, ...consumer }) => consumer)
}

function viewCertificates(product: string, usage: Usage): CertificateUse[] {
  return usage
    .callersOf(product)
    .filter(({ credential, lastAllowedMs }) => credential !== 'api-key' && lastAllowedMs > 0)
    .toSorted((a, b) => b.lastAllowedMs - a.lastAllowedMs)
    .map(({ principal, credential, allowed, lastAllowedMs }) => ({
      principal: bounded(principal, longestSpiffeId),
      credential,
      allowed,
      lastSeen: timeText(lastAllowedMs),
    }))
}

function ifRefused(product: Product, breaks: readonly string[], facts: MigrationFacts): string {
  const { usage, quietDays } = facts
  if (product.apiKeys === 'refuse') return 'keys are refused already'
  if (breaks.length > 0) {
    return `apiKeys: refuse would lock out ${names(breaks)}, who used a key in the last ${days(quietDays)}`
  }
  const countedDays = Math.floor((lastCounted(facts) - usage.sinceMs) / dayMs)
  if (countedDays >= quietDays) {
    return `apiKeys: refuse would break nobody: no key was accepted in the last ${days(quietDays)}`
  }
  return `no key was accepted since counting began, which is only ${days(countedDays)} ago: too short to say that apiKeys: refuse would break nobody`
}

function atItsEnd(untilMs: number, breaks: readonly string[], { nowMs }: MigrationFacts): string {
  const date = timeText(untilMs).slice(0, 10)
  if (nowMs >= untilMs) return `keys are refused since ${date}`
  const inDays = days(Math.ceil((untilMs - nowMs) / dayMs))
  return breaks.length === 0
    ? `keys are refused from ${date}, in ${inDays}; nobody uses one now`
    : `keys are refused from ${date}, in ${inDays}, and that would lock out ${names(breaks)}`
}

const mostNames = 5

function names(consumers: readonly string[]): string {
  const rest = consumers.length - mostNames
  const shown = consumers.slice(0, mostNames).join(', ')
  return rest > 0 ? `${shown} and ${rest} more` : shown
}

function days(count: number): string {
  return count === 1 ? '1 day' : `${count} days`
}
