import type { ApiKeys } from '../../policy/api-keys.ts'
import type { ProductMap } from '../../policy/product-map.ts'
import type { Authority, AuthorityRevocation } from '../../policy/authority.ts'
import type { CidrSet } from '../../policy/cidr-set.ts'
import type { Product } from '../../policy/product.ts'
import type { TrustState } from '../../policy/trust-state.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { RevocationList } from '../../x509/revocation-list.ts'

const mostSentences = 20
/** Above it single keys are not compared: the tables are read row by row. */
const mostComparedKeys = 10_000
const mostNames = 5

/** What is different in a trust state, one sentence for each thing; at most 20 and how many more. */
export function describeTrustChange(before: TrustState, after: TrustState): readonly string[] {
  const all = [
    ...bundleChanges(before, after),
    ...(before.products === after.products ? [] : mapChanges(before.products, after.products)),
    ...(before.apiKeys === after.apiKeys ? [] : keyChanges(before.apiKeys, after.apiKeys)),
  ]
  if (all.length === 0) return ['the files were read again, with nothing new that callers notice']
  if (all.length <= mostSentences) return all
  return [...all.slice(0, mostSentences), `and ${all.length - mostSentences} more changes`]
}

function bundleChanges({ bundles: before }: TrustState, { bundles: after }: TrustState): string[] {
  const { added, removed, kept } = compareNames(before, after)
  return [
    ...added.map((name) => {
      const count = after.get(name)?.anchors.length ?? 0
      return `trust domain ${name} came, with ${plural(count, 'anchor')}`
    }),
    ...removed.map((name) => `trust domain ${name} went`),
    ...kept.flatMap((name) =>
      anchorChanges(
        `trust domain ${name}`,
        before.get(name)?.anchors ?? [],
        after.get(name)?.anchors ?? [],
      ),
    ),
  ]
}

function anchorChanges(
  of: string,
  before: readonly Certificate[],
  after: readonly Certificate[],
): string[] {
  const known = new Set(before.map(({ sha256 }) => sha256))
  const held = new Set(after.map(({ sha256 }) => sha256))
  return [
    ...after.filter(({ sha256 }) => !known.has(sha256)).map((one) => `${of}: ${named(one)} came`),
    ...before.filter(({ sha256 }) => !held.has(sha256)).map((one) => `${of}: ${named(one)} went`),
  ]
}

function named({ subject, sha256 }: Certificate): string {
  return `anchor ${sha256.slice(0, 8)} (${subject === '' ? 'no subject' : subject})`
}

function mapChanges(before: ProductMap, after: ProductMap): string[] {
  const products = compareNames(before.products, after.products)
  const authorities = compareNames(before.authorities, after.authorities)
  return [
    ...products.added.map((name) => `product ${name} came`),
    ...products.removed.map((name) => `product ${name} went`),
    ...products.kept.flatMap((name) =>
      productChanges(before.products.get(name), after.products.get(name)),
    ),
    ...authorities.added.map((alias) => `authority ${alias} came`),
    ...authorities.removed.map((alias) => `authority ${alias} went`),
    ...authorities.kept.flatMap((alias) =>
      authorityChanges(before.authorities.get(alias), after.authorities.get(alias)),
    ),
  ]
}

function authorityChanges(before: Authority | undefined, after: Authority | undefined): string[] {
  if (before === undefined || after === undefined) return []
  const of = `authority ${after.alias}`
  const [was, is] = [before, after].map((one) => one.trustDomain?.name ?? 'none')
  return [
    ...anchorChanges(of, before.anchors, after.anchors),
    ...(was === is ? [] : [`${of}: trustDomain was ${was}, is ${is}`]),
    ...revocationChanges(of, before.revocation, after.revocation),
  ]
}

function revocationChanges(
  of: string,
  before: AuthorityRevocation | undefined,
  after: AuthorityRevocation | undefined,
): string[] {
  if (before === after) return []
  const old = listsByEdition(before)
  const now = listsByEdition(after)
  const { added, removed } = compareNames(old, now)
  const [was, is] = [before, after].map((one) => one?.required === true)
  return [
    ...added.map((edition) => {
      const count = plural(now.get(edition)?.size ?? 0, 'certificate')
      return `${of}: revocation list of ${edition} came, with ${count}`
    }),
    ...removed.map((edition) => `${of}: revocation list of ${edition} went`),
    ...(was === is ? [] : [`${of}: crlRequired was ${was}, is ${is}`]),
  ]
}

/** By issuer and date, which is what people know an edition by. */
function listsByEdition(revocation: AuthorityRevocation | undefined): Map<string, RevocationList> {
  const lists = revocation?.lists ?? []
  return new Map(lists.map((list) => [`${list.issuer} of ${momentOf(list.thisUpdateMs)}`, list]))
}

function productChanges(before: Product | undefined, after: Product | undefined): string[] {
  if (before === undefined || after === undefined) return []
  const old = new Set(before.callers.map(({ text }) => text))
  const now = new Set(after.callers.map(({ text }) => text))
  const of = `product ${after.name}`
  return [
    ...[...now].filter((text) => !old.has(text)).map((text) => `${of}: caller ${text} came`),
    ...[...old].filter((text) => !now.has(text)).map((text) => `${of}: caller ${text} went`),
    ...settingsOf(before).flatMap(([name, was], i) => {
      const is = settingsOf(after)[i]?.[1]
      return was === is ? [] : [`${of}: ${name} was ${was}, is ${is ?? ''}`]
    }),
    ...(requestsOf(before) === requestsOf(after) ? [] : [`${of}: other requests are allowed`]),
    ...rangeChanges(`${of}: addresses allow`, before.addresses?.allow, after.addresses?.allow),
    ...rangeChanges(`${of}: addresses deny`, before.addresses?.deny, after.addresses?.deny),
  ]
}

/** Without a set every range is allowed, or none denied. */
function rangeChanges(
  of: string,
  before: CidrSet | undefined,
  after: CidrSet | undefined,
): string[] {
  const { added, removed } = compareNames(rangesOf(before), rangesOf(after))
  const isOpen = of.endsWith('allow') && added.length + removed.length > 0
  return [
    ...(isOpen && before === undefined ? [`${of} was everywhere`] : []),
    ...(isOpen && after === undefined ? [`${of} is everywhere`] : []),
    ...added.map((range) => `${of} ${range} came`),
    ...removed.map((range) => `${of} ${range} went`),
  ]
}

function rangesOf(set: CidrSet | undefined): ReadonlyMap<string, true> {
  return new Map(Array.from(set?.texts ?? [], (text) => [text, true]))
}

/** What is compared of a product beside its callers and requests, as texts. */
function settingsOf(product: Product): [string, string][] {
  const { apiKeysUntilMs, limit } = product
  return [
    ['apiKeys', product.apiKeys],
    ['apiKeysUntil', apiKeysUntilMs === undefined ? 'none' : dateOf(apiKeysUntilMs)],
    ['require', product.require],
    ['upstream', product.upstream ?? 'none'],
    [
      'limit',
      limit === undefined ? 'none' : `${limit.text} per ${limit.per}, ${limit.burst} at once`,
    ],
  ]
}

function requestsOf({ requests }: Product): string {
  return JSON.stringify(requests?.map(String))
}

function keyChanges(before: ApiKeys, after: ApiKeys): string[] {
  if (before.size > mostComparedKeys || after.size > mostComparedKeys) {
    return [`API keys: there were ${before.size}, there are ${after.size}`]
  }
  const old = keysById(before)
  const now = keysById(after)
  const { added, removed, kept } = compareNames(old, now)
  const changed = kept.filter((id) => old.get(id) !== now.get(id))
  return [
    ...keySentence(added, 'came'),
    ...keySentence(removed, 'went'),
    ...keySentence(changed, 'changed'),
  ]
}

function keysById(keys: ApiKeys): Map<string, string> {
  const texts = new Map<string, string>()
  for (const { id, product, consumer, notBeforeMs, expiresMs, sha256 } of keys.entries()) {
    texts.set(id, [product, consumer, notBeforeMs, expiresMs, sha256].join('\n'))
  }
  return texts
}

function keySentence(ids: readonly string[], what: string): string[] {
  if (ids.length === 0) return []
  const rest = ids.length > mostNames ? ` and ${ids.length - mostNames} more` : ''
  const names = ids.slice(0, mostNames).join(', ')
  return [`${ids.length === 1 ? 'API key' : 'API keys'} ${names}${rest} ${what}`]
}

function compareNames(
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): { added: string[]; removed: string[]; kept: string[] } {
  return {
    added: [...after.keys()].filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    kept: [...after.keys()].filter((name) => before.has(name)),
  }
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

function momentOf(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('.000Z', 'Z')
}

function dateOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}
