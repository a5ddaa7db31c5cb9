import type { Certificate } from './certificate.ts'
import { keyUsageBit } from './extensions.ts'
import { allReasons, reasonsCovered } from './list-scope.ts'
import { isCurrent, quoted } from './path-rules.ts'
import type { RevocationList } from './revocation-list.ts'

/** What revocation lists say of one certificate. `detail` is one bounded sentence for people. */
export type RevocationStatus =
  /** Listed nowhere, and every reason is covered by a list that is current until then, milliseconds since 1970. */
  | { readonly kind: 'good'; readonly untilMs: number }
  | { readonly kind: 'revoked'; readonly detail: string }
  | { readonly kind: 'unknown'; readonly detail: string }

/**
 * Asks `lists` about `certificate`, RFC 5280 6.3. A list counts when the certificate's issuer is its issuer and one of
 * `signers` of that name, valid now and free to sign lists, signed it: the issuer itself, or the same CA with its key before
 * or after. Of several editions of a list the newest counts alone.
 *
 * Fails closed: an entry revokes also when its list has ended, and when the list is one for other certificates of the CA.
 */
export function revocationOf(
  certificate: Certificate,
  signers: readonly Certificate[],
  lists: readonly RevocationList[],
  nowMs: number,
): RevocationStatus {
  const issued = lists.filter((list) => list.issuerName.equals(certificate.issuerName))
  if (issued.length === 0)
    return unknown(`no revocation list of ${quoted(certificate.issuer)} is held`)
  const able = signers.filter((ca) => maySignLists(ca) && isCurrent(ca, nowMs))
  const signed = newestEditions(issued.filter((list) => able.some((ca) => isSigner(ca, list))))
  if (signed.length === 0)
    return unknown(`no revocation list of ${quoted(certificate.issuer)} is signed by its key`)
  return revoked(certificate, signed) ?? standing(certificate, signed, nowMs)
}

/** Whether the CA has the name of the list's issuer and its key made the signature. Says nothing about the CA. */
export function isSigner(ca: Certificate, list: RevocationList): boolean {
  return ca.subjectName.equals(list.issuerName) && list.isSignedBy(ca)
}

/** RFC 5280 6.3.3 (f). */
export function maySignLists(ca: Certificate): boolean {
  const usage = ca.extensions.keyUsage
  return usage === undefined || (usage & keyUsageBit.cRLSign) !== 0
}

/** Without those that their issuer has replaced by a newer one. */
export function newestEditions(lists: readonly RevocationList[]): readonly RevocationList[] {
  return lists.filter((list) => !lists.some((other) => isNewerEdition(other, list)))
}

/** Whether `one` replaces `other`, as far as names and dates tell. */
export function isNewerEdition(one: RevocationList, other: RevocationList): boolean {
  return (
    one.thisUpdateMs > other.thisUpdateMs &&
    one.scope.id === other.scope.id &&
    one.issuerName.equals(other.issuerName)
  )
}

function revoked(
  certificate: Certificate,
  lists: readonly RevocationList[],
): RevocationStatus | undefined {
  for (const list of lists) {
    const entry = list.find(certificate.serialNumber)
    if (entry === undefined) continue
    const detail = `was revoked by ${quoted(list.issuer)} on ${date(entry.atMs)} (${entry.reason})`
    return { kind: 'revoked', detail }
  }
  return undefined
}

/** Of a certificate that no list revokes. */
function standing(
  certificate: Certificate,
  lists: readonly RevocationList[],
  nowMs: number,
): RevocationStatus {
  const current = lists.filter((list) => list.isCurrent(nowMs))
  const covered = current.reduce(
    (reasons, list) => reasons | reasonsCovered(list.scope, certificate),
    0,
  )
  if (covered === allReasons) {
    return { kind: 'good', untilMs: Math.min(...current.map((list) => list.nextUpdateMs)) }
  }
  const [stale] = lists.filter((list) => !list.isCurrent(nowMs))
  return unknown(
    stale === undefined
      ? `the revocation lists of ${quoted(certificate.issuer)} do not speak of it`
      : describeStale(stale, nowMs),
  )
}

function describeStale({ issuer, thisUpdateMs, nextUpdateMs }: RevocationList, nowMs: number) {
  const list = `the revocation list of ${quoted(issuer)}`
  return nowMs < thisUpdateMs
    ? `${list} is not valid before ${date(thisUpdateMs)}`
    : `${list} ended on ${date(nextUpdateMs)}`
}

function unknown(detail: string): RevocationStatus {
  return { kind: 'unknown', detail }
}

function date(ms: number): string {
  return new Date(ms).toISOString()
}
