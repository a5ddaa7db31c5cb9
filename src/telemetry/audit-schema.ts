import { z } from 'zod'
import type { AllowReason, DenyReason, Step } from '../policy/decision.ts'
import type { PeerDenyReason } from '../policy/peer-decision.ts'
import type { UntrustedReason } from '../policy/peer.ts'
import {
  longestDetail,
  longestHost,
  longestMethod,
  longestName,
  longestPath,
  longestSpiffeId,
  longestWord,
} from './record-text.ts'
import type { RecordedProtocol } from './telemetry.ts'

// Keyed by the types, so that the compiler finds the one that was forgotten.

const untrustedReasons = wordsOf<UntrustedReason>({
  certificate_malformed: true,
  certificate_expired: true,
  certificate_not_yet_valid: true,
  certificate_not_for_client_auth: true,
  certificate_not_for_server_auth: true,
  svid_malformed: true,
  trust_domain_unknown: true,
  issuer_unknown: true,
  path_invalid: true,
  certificate_revoked: true,
  revocation_unknown: true,
})
const denyReasons = wordsOf<DenyReason>({
  address_not_allowed: true,
  identity_unavailable: true,
  ...untrustedReasons.enum,
  product_unmapped: true,
  credential_missing: true,
  api_key_unknown: true,
  api_key_expired: true,
  api_key_not_yet_valid: true,
  credential_not_accepted: true,
  request_not_allowed: true,
  audit_unavailable: true,
  rate_limited: true,
})
const peerDenyReasons = wordsOf<PeerDenyReason>({
  identity_unavailable: true,
  audit_unavailable: true,
  peer_untrusted: true,
  peer_unexpected: true,
  handshake_failed: true,
  upstream_unavailable: true,
  upstream_timeout: true,
})
const allowReasons = wordsOf<AllowReason>({
  svid_trust_domain: true,
  svid_id: true,
  authority: true,
  api_key: true,
})
const protocols = wordsOf<RecordedProtocol>({
  'http/1.1': true,
  h2: true,
  tcp: true,
  websocket: true,
  handshake: true,
})
const stepNames = wordsOf<Step['name']>({
  address: true,
  identity: true,
  certificate: true,
  'product-map': true,
  'api-key': true,
  'product-address': true,
  'credential-rule': true,
  'request-rule': true,
  audit: true,
  limit: true,
  connect: true,
  'expected-peer': true,
})

function wordsOf<Word extends string>(words: Readonly<Record<Word, unknown>>) {
  return z.enum(Object.keys(words) as Word[])
}

const word = z.string().max(longestWord)
const name = z.string().max(longestName)
const spiffeId = z.string().max(longestSpiffeId)
const detail = z.string().max(longestDetail)
/** Written by `toISOString`: nothing shorter, no other zone. */
const moment = z.iso.datetime({ precision: 3 })
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const count = z.number().min(0)

const address = z.object({ address: word, port: z.int().min(0).max(65_535) })

const path = {
  subject: name.describe('Of the leaf, RFC 4514.'),
  issuer: name.describe('Of the leaf, RFC 4514.'),
  chain: z
    .array(sha256)
    .min(1)
    .describe('SHA-256 of each certificate of the validated path, the anchor last.'),
  not_after: moment.optional().describe('The first end of validity on the path.'),
  authorities: z
    .array(word)
    .describe('Authorities of the product map on the path, nearest to the leaf first.'),
}

const peer = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('plaintext') }),
    z.object({ kind: z.literal('anonymous') }),
    z.object({
      kind: z.literal('svid'),
      spiffe_id: spiffeId,
      ...path,
      bundle: z
        .literal('authority')
        .optional()
        .describe('An authority was the bundle of its trust domain. Absent: the Workload API.'),
    }),
    z.object({ kind: z.literal('certificate'), principal: name, ...path }),
    z.object({
      kind: z.literal('untrusted'),
      reason: untrustedReasons,
      detail,
      claimed: z
        .object({
          subject: name.optional(),
          issuer: name.optional(),
          spiffe_id: spiffeId.optional(),
          sha256: word.optional(),
          not_after: moment.optional(),
        })
        .describe('What the certificate says of itself. Nothing of it is proven.'),
    }),
  ])
  .describe(
    'What TLS proved about the caller; outbound about the other end, anonymous when it was not reached.',
  )
  .meta({ id: 'peer' })

const request = z
  .object({
    method: z.string().max(longestMethod),
    host: z.string().max(longestHost),
    path: z.string().max(longestPath).describe('Without the query.'),
    truncated: z
      .literal(true)
      .optional()
      .describe('One of the three was longer than the log holds.'),
  })
  .describe('Absent on TCP connections and refused handshakes.')
  .meta({ id: 'request' })

const subject = {
  principal: spiffeId.optional().describe('SPIFFE ID, subject, or the consumer of the key.'),
  consumer: word.optional(),
  credential: z.enum(['x509-svid', 'x509', 'api-key']).optional(),
  key: word.optional().describe('The id of the API key that was used.'),
  rule: spiffeId.optional().describe('The caller entry of the product map, as written.'),
  epoch: z.int().min(0),
  key_warned: z.literal(true).optional().describe('The product says `apiKeys: warn`.'),
  key_beside: z
    .object({
      status: z.enum(['unknown', 'valid', 'expired', 'not_yet_valid']),
      id: word.optional(),
      product: word.optional(),
      consumer: word.optional(),
    })
    .optional()
    .describe('A key that was presented beside a good certificate.'),
  ignored_certificate: untrustedReasons
    .optional()
    .describe('`untrustedCertificate: ignore`: why the certificate proved nothing.'),
  steps: z
    .array(z.object({ name: stepNames, outcome: z.enum(['pass', 'deny', 'skip']), detail }))
    .describe('What was asked, in this order, and what was found.'),
}

const product = word.optional()
const upstream = word.describe('host:port as configured.')

const decision = z.discriminatedUnion('outcome', [
  z.object({
    outcome: z.literal('allow'),
    reason: allowReasons,
    upstream: word.optional().describe("The product's own address of the workload."),
    product,
    ...subject,
  }),
  z.object({
    outcome: z.literal('deny'),
    reason: denyReasons,
    status: statusOf(401, 403, 429, 503),
    retry_after: z.int().min(1).optional().describe('Seconds.'),
    product,
    ...subject,
  }),
])

const peerDecision = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('allow'), reason: allowReasons, upstream, ...subject }),
  z.object({
    outcome: z.literal('deny'),
    reason: peerDenyReasons,
    status: statusOf(502, 503, 504),
    upstream,
    ...subject,
  }),
])

function statusOf<Status extends number>(...statuses: readonly Status[]) {
  return z.literal(statuses).describe('HTTP status of the reply.')
}

const frame = {
  time: moment.describe('When it was decided, UTC.'),
  id: word.describe('The decision id, which the caller got as well.'),
  trace: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .describe('The trace id of W3C Trace Context.'),
  protocol: protocols.describe('handshake: the connection was refused before there was a request.'),
  client: address.describe('The caller; outbound the workload.'),
  peer,
  request: request.optional(),
  previous_reason: z
    .union([allowReasons, denyReasons, peerDenyReasons])
    .optional()
    .describe(
      'A live connection was judged again when the trust changed, and ended; it had been this.',
    ),
  status: z.int().min(100).max(999).optional().describe('HTTP status that the caller got.'),
  request_bytes: count.describe('Body bytes from the caller.'),
  reply_bytes: count.describe('Body bytes to the caller.'),
  duration_ms: count,
  error: word.optional().describe('How it went wrong, of a small set.'),
}

/**
 * One line of the audit log: the source of docs/audit.schema.json, and what `replay` reads lines with. Reading takes no
 * notice of members that it does not know, so that the log of a newer version is read as far as it is understood.
 */
export const auditLineSchema = z.discriminatedUnion('direction', [
  z.object({ ...frame, direction: z.literal('inbound'), decision }),
  z.object({ ...frame, direction: z.literal('outbound'), decision: peerDecision }),
])

/** A line about a caller of ours. */
export type InboundAuditLine = Extract<z.infer<typeof auditLineSchema>, { direction: 'inbound' }>

/** The JSON Schema (2020-12) of a line. */
export function auditJsonSchema(): Readonly<Record<string, unknown>> {
  const description =
    'One line of the audit log of Postern. Members that are not listed do not occur.'
  const schema = z.toJSONSchema(auditLineSchema, { io: 'output' })
  return { title: 'audit log', description, ...schema }
}
