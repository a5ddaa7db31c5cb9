import type { Decision, DenyReason } from '../policy/decision.ts'
import type { PeerDecision, PeerDenyReason } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { Fields } from '../core/fields.ts'
import { isGrpc } from './auto-upstream.ts'
import type { ReplySink, UpstreamFailure, UpstreamFailureReason } from './ends.ts'

type PeerDeny = Extract<PeerDecision, { outcome: 'deny' }>
type Deny = Extract<Decision, { outcome: 'deny' }>

/** How the caller reads an answer of ours: as HTTP (RFC 9457), or as a gRPC status in a trailers-only reply. */
export type ReplyForm = 'problem' | 'grpc'

/** The form for a request with these fields. */
export function replyFormFor(fields: Fields): ReplyForm {
  return isGrpc(fields) ? 'grpc' : 'problem'
}

/** A reply that we write ourselves. */
export interface Problem {
  readonly status: number
  /** Machine-readable: one of the reason codes in the README. */
  readonly reason: string
  readonly detail: string
  readonly decisionId: string
  /** Further header fields: name, value, name, value. */
  readonly fields?: readonly string[]
  /** The connection ends after this reply. */
  readonly closeAfter?: boolean
  readonly form: ReplyForm
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
}

/** What a caller may know; the steps stay with the operator, who finds them by the decision id. */
const denials: Readonly<Record<DenyReason, string>> = {
  address_not_allowed: 'this address may not call here',
  identity_unavailable: 'this sidecar holds no valid identity at the moment',
  certificate_malformed: 'the client certificate cannot be read',
  certificate_expired: 'the client certificate, or one on its path, has expired',
  certificate_not_yet_valid: 'the client certificate, or one on its path, is not valid yet',
  certificate_not_for_client_auth: 'the client certificate is not meant for client authentication',
  certificate_not_for_server_auth: 'the certificate is not meant for server authentication',
  svid_malformed: 'the client certificate breaks a rule for X.509-SVIDs',
  trust_domain_unknown: 'no trust bundle is held for the trust domain of the client certificate',
  issuer_unknown: 'the client certificate was not issued by a CA that may vouch for it here',
  path_invalid: 'the path from the client certificate to a trusted CA is not valid',
  certificate_revoked: 'the client certificate, or one on its path, was revoked',
  revocation_unknown: 'whether the client certificate was revoked cannot be found out here now',
  product_unmapped: 'the caller is known but is mapped to no product',
  credential_missing: 'present a client certificate or an API key',
  api_key_unknown: 'the API key is not known',
  api_key_expired: 'the API key has expired',
  api_key_not_yet_valid: 'the API key is not valid yet',
  credential_not_accepted: 'the product does not accept this kind of credential',
  request_not_allowed: 'the product does not allow this method, host or path',
  audit_unavailable: 'this sidecar cannot record what it would allow at the moment',
  rate_limited: 'the product allows no more requests at the moment',
}

/** `detail` goes on from whoever did not answer. */
const failures: Readonly<Record<UpstreamFailureReason, { status: number; detail: string }>> = {
  upstream_unavailable: { status: 503, detail: 'cannot be reached' },
  upstream_overloaded: { status: 503, detail: 'has as many requests as it may have' },
  upstream_reset: { status: 502, detail: 'ended the connection before its reply' },
  upstream_malformed: { status: 502, detail: 'did not answer in valid HTTP' },
  upstream_timeout: { status: 504, detail: 'did not answer in time' },
  websocket_unsupported: { status: 501, detail: 'takes no WebSocket' },
}

/** What the workload may know of its own call; it learns which check failed, because it is its operator who has to mend it. */
const peerDenials: Readonly<Record<PeerDenyReason, string>> = {
  identity_unavailable: 'this sidecar holds no valid identity to present at the moment',
  audit_unavailable: 'this sidecar cannot record what it would allow at the moment',
  peer_untrusted: 'the other end proved no identity that is trusted here',
  peer_unexpected: 'the other end is somebody else than this listener expects',
  handshake_failed: 'the TLS handshake with the other end failed',
  upstream_unavailable: 'the other end cannot be reached',
  upstream_timeout: 'the other end did not complete a TLS handshake in time',
}

/** Answers a deny. A caller whose certificate was refused is also hung up on: what it proved will not change. */
export function respondDenied(
  reply: ReplySink,
  decision: Deny,
  options: Pick<Problem, 'decisionId' | 'form' | 'closeAfter'>,
): void {
  respond(reply, {
    ...options,
    status: decision.status,
    reason: decision.reason,
    detail: denials[decision.reason],
    fields: denialFields(decision),
  })
}

/** Answers a call of the workload that may not go to its peer. Returns the status. */
export function respondPeerDenied(
  reply: ReplySink,
  decision: PeerDeny,
  peer: Peer,
  options: Pick<Problem, 'decisionId' | 'form'>,
): number {
  const { status, reason } = decision
  const why = reason === 'peer_untrusted' && peer.kind === 'untrusted' ? `: ${peer.reason}` : ''
  respond(reply, { ...options, status, reason, detail: `${peerDenials[reason]}${why}` })
  return status
}

/** Answers in the place of whoever did not. Returns the status. */
export function respondFailed(
  reply: ReplySink,
  failure: UpstreamFailure,
  options: Pick<Problem, 'decisionId' | 'form'> & {
    readonly who?: 'the workload' | 'the other end'
  },
): number {
  const { who = 'the workload', ...rest } = options
  const { status, detail } = failures[failure.reason]
  respond(reply, { ...rest, status, reason: failure.reason, detail: `${who} ${detail}` })
  return status
}

/** Writes a whole reply. It holds nothing that the caller sent. */
export function respond(reply: ReplySink, problem: Problem): void {
  switch (problem.form) {
    case 'problem': {
      respondProblem(reply, problem)
      return
    }
    case 'grpc': {
      respondGrpc(reply, problem)
      return
    }
  }
}

/** `application/problem+json` (RFC 9457). */
function respondProblem(reply: ReplySink, problem: Problem): void {
  const title = titles[problem.status] ?? 'Error'
  const body = Buffer.from(
    `${JSON.stringify({
      type: `urn:postern:reason:${problem.reason}`,
      title,
      status: problem.status,
      detail: problem.detail,
      reason: problem.reason,
      decision_id: problem.decisionId,
    })}\n`,
  )
  reply.replyHead({
    status: problem.status,
    reason: title,
    fields: [
      'content-type',
      'application/problem+json',
      'cache-control',
      'no-store',
      ...(problem.fields ?? []),
    ],
    length: body.length,
    connectionOptions: [],
    closeAfter: problem.closeAfter === true,
  })
  reply.replyData(body)
  reply.replyEnd([])
}

/** Trailers only: the status is in the head, and there is no body. */
function respondGrpc(reply: ReplySink, problem: Problem): void {
  const message = `${problem.reason}: ${problem.detail} (decision ${problem.decisionId})`
  reply.replyHead({
    status: 200,
    reason: 'OK',
    fields: [
      'content-type',
      'application/grpc',
      'grpc-status',
      String(grpcStatus[problem.status] ?? grpcUnknown),
      'grpc-message',
      message,
      ...(problem.fields ?? []),
    ],
    length: 'none',
    connectionOptions: [],
    closeAfter: problem.closeAfter === true,
  })
  reply.replyEnd([])
}

const grpcUnknown = 2

/** gRPC status by the HTTP status that the answer would have had (DESIGN.md 6). */
const grpcStatus: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  405: 12,
  408: 4,
  413: 8,
  414: 8,
  429: 8,
  431: 8,
  500: 13,
  502: 14,
  503: 14,
  504: 4,
}

function denialFields(decision: Deny): readonly string[] {
  if (decision.status === 401) return ['www-authenticate', 'ApiKey realm="postern"']
  if (decision.retryAfterSeconds !== undefined) {
    return ['retry-after', String(decision.retryAfterSeconds)]
  }
  return []
}
