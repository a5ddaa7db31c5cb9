import { createHash } from 'node:crypto'
import { PosternError, messageOf } from '../core/errors.ts'
import type { TrustBundle, TrustBundles } from '../spiffe/trust-bundle.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { X509Svid } from '../spiffe/x509-svid.ts'
import { type Certificate, parseCertificates } from '../x509/certificate.ts'
import { type X509SVID, X509SVIDResponse } from './generated/workload.ts'

/** An SVID with the hint that the agent gave; '' when it gave none. */
export interface HintedSvid {
  readonly svid: X509Svid
  readonly hint: string
}

/** One message of FetchX509SVID, valid as a whole: the full state of what the agent says. */
export interface X509Update {
  /** At least one, in the agent's order; the first is the default identity. */
  readonly svids: readonly [HintedSvid, ...HintedSvid[]]
  /** Of the SVIDs' own trust domains and of the federated ones; a federated bundle may be empty and then trusts nobody. */
  readonly bundles: TrustBundles
  /** DER revocation lists, as they came. */
  readonly crls: readonly Buffer[]
  /** Equal for two messages that say the same, whatever the order of their maps and bundles. */
  readonly digest: string
}

/** Most SVIDs, federated bundles and revocation lists in one message. */
const mostSvids = 256
const mostFederatedBundles = 1_024
const mostCrls = 1_024
/** SPIFFE Workload API 8. */
const longestHint = 1_024

/**
 * Reads a message whole: chains parse, each key belongs to its leaf, each leaf carries the announced SPIFFE ID, bundles parse and
 * those of our own trust domains are not empty. Throws `PosternError` ERR_WORKLOAD_API_RESPONSE at the first fault; nothing of
 * such a message may be used (SPIFFE Workload API 4.5).
 */
export function parseX509Update(message: Uint8Array): X509Update {
  try {
    return readUpdate(X509SVIDResponse.decode(message))
  } catch (cause) {
    throw new PosternError(
      'ERR_WORKLOAD_API_RESPONSE',
      `message of the Workload API discarded: ${messageOf(cause)}`,
      { cause },
    )
  }
}

/** The first SVID with this hint (SPIFFE Workload API 5.2.1); without a hint the first of all. */
export function selectSvid(update: X509Update, hint: string | undefined): X509Svid | undefined {
  if (hint === undefined) return update.svids[0].svid
  return update.svids.find((candidate) => candidate.hint === hint)?.svid
}

function readUpdate(message: X509SVIDResponse): X509Update {
  atMost(mostSvids, message.svids.length, 'SVIDs')
  atMost(mostFederatedBundles, message.federatedBundles.size, 'federated bundles')
  atMost(mostCrls, message.crl.length, 'revocation lists')
  const [first, ...more] = message.svids.map(readSvid)
  if (first === undefined) throw new Error('it holds no SVID')
  const svids = [first, ...more] as const
  const bundles = readBundles(message, svids)
  const crls = message.crl
  return { svids, bundles, crls, digest: digestOf(svids, bundles, crls) }
}

function atMost(limit: number, count: number, what: string): void {
  if (count > limit) throw new Error(`it holds ${count} ${what}, more than ${limit}`)
}

function readSvid(message: X509SVID): HintedSvid {
  if (Buffer.byteLength(message.hint) > longestHint) {
    throw new Error(`a hint is longer than ${longestHint} bytes`)
  }
  const svid = X509Svid.parse({
    certificates: message.x509Svid,
    privateKeyDer: message.x509SvidKey,
    spiffeId: message.spiffeId,
  })
  return { svid, hint: message.hint }
}

function readBundles(message: X509SVIDResponse, svids: readonly HintedSvid[]): TrustBundles {
  const bundles = new Map<string, TrustBundle>()
  message.svids.forEach(({ bundle: der }, i) => {
    const trustDomain = svids[i]?.svid.id.trustDomain
    if (trustDomain === undefined) return
    const anchors = parseCertificates(der)
    if (anchors.length === 0) throw new Error(`the bundle of ${trustDomain.id} is empty`)
    addBundle(bundles, { trustDomain, anchors })
  })
  for (const [key, der] of message.federatedBundles) {
    const trustDomain = TrustDomain.parseNameOrId(key)
    addBundle(bundles, { trustDomain, anchors: parseCertificates(der) })
  }
  return bundles
}

/** Two bundles of one trust domain that differ are a contradiction that nobody may resolve by guessing. */
function addBundle(bundles: Map<string, TrustBundle>, bundle: TrustBundle): void {
  const { name } = bundle.trustDomain
  const known = bundles.get(name)
  if (known !== undefined && fingerprints(known).join() !== fingerprints(bundle).join()) {
    throw new Error(`it holds two different bundles of ${bundle.trustDomain.id}`)
  }
  bundles.set(name, bundle)
}

function fingerprints(bundle: TrustBundle): string[] {
  return sha256Of(bundle.anchors).sort()
}

function sha256Of(certificates: readonly Certificate[]): string[] {
  return certificates.map((certificate) => certificate.sha256)
}

/** The private keys are not in it: a key that passed is the one of its leaf. */
function digestOf(
  svids: readonly HintedSvid[],
  bundles: TrustBundles,
  crls: readonly Buffer[],
): string {
  const state = [
    svids.map(({ svid, hint }) => [hint, ...sha256Of(svid.certificates)]),
    [...bundles.values()]
      .map((bundle) => [bundle.trustDomain.name, ...fingerprints(bundle)])
      .sort(),
    crls.map((crl) => createHash('sha256').update(crl).digest('hex')),
  ]
  return createHash('sha256').update(JSON.stringify(state)).digest('hex')
}
