import type { z } from 'zod'
import { IpAddress } from '../core/ip-address.ts'
import type { RecordedCall, RecordedKey, RecordedPeer } from '../policy/replay.ts'
import type { SkipReason } from '../policy/replay-report.ts'
import { SpiffeId } from '../spiffe/spiffe-id.ts'
import { auditLineSchema, type InboundAuditLine } from './audit-schema.ts'

/** What a line of the audit log holds for a replay. */
export type ReadLine =
  | { readonly kind: 'call'; readonly call: RecordedCall }
  | { readonly kind: 'skipped'; readonly reason: SkipReason }

/** Reads one line without its line feed. Never throws: what is no line of an audit log is `unreadable`. */
export function readAuditLine(text: string): ReadLine {
  const line = parse(text)
  if (line === undefined) return skipped('unreadable')
  if (line.direction === 'outbound') return skipped('outbound')
  if (line.previous_reason !== undefined || line.error === 'trust_changed') {
    return skipped('ended_connection')
  }
  if (isOfListener(line)) return skipped('listener_address')
  if (line.request?.truncated === true) return skipped('truncated')
  const peer = readPeer(line)
  return peer === undefined ? skipped('unreadable') : { kind: 'call', call: toCall(line, peer) }
}

function skipped(reason: SkipReason): ReadLine {
  return { kind: 'skipped', reason }
}

/** The addresses of the listener refused it, before anybody looked for its product. */
function isOfListener({ decision }: InboundAuditLine): boolean {
  return decision.reason === 'address_not_allowed' && decision.product === undefined
}

function parse(text: string): z.infer<typeof auditLineSchema> | undefined {
  try {
    const { data } = auditLineSchema.safeParse(JSON.parse(text))
    return data
  } catch {
    return undefined
  }
}

function toCall(line: InboundAuditLine, peer: RecordedPeer): RecordedCall {
  const { decision } = line
  return {
    id: line.id,
    atMs: Date.parse(line.time),
    peer,
    address: IpAddress.parse(line.client.address),
    request: line.request,
    key: readKey(decision, peer),
    hadIdentity: decision.reason !== 'identity_unavailable',
    ignoredCertificate: decision.ignored_certificate !== undefined,
    answer: {
      outcome: decision.outcome,
      reason: decision.reason,
      product: decision.product,
      principal: decision.principal,
      consumer: decision.consumer,
      upstream: decision.outcome === 'allow' ? decision.upstream : undefined,
    },
  }
}

/** Undefined: its SPIFFE ID is none. */
function readPeer({ peer }: InboundAuditLine): RecordedPeer | undefined {
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
    case 'untrusted':
      return peer
    case 'certificate':
      return {
        kind: peer.kind,
        subject: peer.principal,
        chain: peer.chain,
        notAfterMs: endOf(peer),
      }
    case 'svid': {
      const id = parseId(peer.spiffe_id)
      if (id === undefined) return undefined
      const isByAuthority = peer.bundle === 'authority'
      const { kind, subject, chain } = peer
      return { kind, id, subject, chain, notAfterMs: endOf(peer), isByAuthority }
    }
  }
}

/** A certificate may end at a time that no Date holds. */
function endOf({ not_after: notAfter }: { readonly not_after?: string | undefined }): number {
  return notAfter === undefined ? Infinity : Date.parse(notAfter)
}

function parseId(text: string): SpiffeId | undefined {
  try {
    return SpiffeId.parse(text)
  } catch {
    return undefined
  }
}

/** A certificate decides without the key beside it; everyone else was asked for one. */
function readKey(decision: InboundAuditLine['decision'], peer: RecordedPeer): RecordedKey {
  const isByCertificate =
    (peer.kind === 'svid' || peer.kind === 'certificate') &&
    decision.ignored_certificate === undefined
  if (isByCertificate) return readKeyBeside(decision.key_beside)
  const { key: id, product = '', consumer = '', reason } = decision
  if (id === undefined) return { status: reason === 'api_key_unknown' ? 'unknown' : 'none' }
  return { status: statusOf(reason), id, product, consumer }
}

function readKeyBeside(beside: InboundAuditLine['decision']['key_beside']): RecordedKey {
  if (beside === undefined) return { status: 'none' }
  const { status, id = '', product = '', consumer = '' } = beside
  return status === 'unknown' ? { status } : { status, id, product, consumer }
}

function statusOf(
  reason: InboundAuditLine['decision']['reason'],
): 'valid' | 'expired' | 'not_yet_valid' {
  if (reason === 'api_key_expired') return 'expired'
  return reason === 'api_key_not_yet_valid' ? 'not_yet_valid' : 'valid'
}
