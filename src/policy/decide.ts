import type { IpAddress } from '../core/ip-address.ts'
import { type AddressRules, whyAddressRefused } from './address-rules.ts'
import { readApiKeyForm } from './api-key.ts'
import type { ApiKey } from './api-key-table.ts'
import type { ApiKeys, PresentedKey } from './api-keys.ts'
import type {
  AllowReason,
  CredentialKind,
  Decision,
  DecisionSubject,
  DenyReason,
  KeyBeside,
  Step,
} from './decision.ts'
import type { JudgedPeer, MappedPeer, UntrustedReason } from './peer.ts'
import type { Product } from './product.ts'
import type { Limiter } from './rate-limiter.ts'
import { normaliseRequest, type RequestLine } from './request-rule.ts'
import type { TrustState } from './trust-state.ts'

/** Settings of the listener that a decision depends on. */
export interface DecisionRules {
  /** `ignore`: a certificate that proves nothing is as if none had been presented, and is recorded. */
  readonly untrustedCertificate: 'refuse' | 'ignore'
  /** From where anybody may connect at all. Absent: from everywhere. */
  readonly addresses?: AddressRules | undefined
}

/** What a decision asks of the trust state; certificates were judged before. */
export interface DecisionTrust extends Pick<TrustState, 'epoch' | 'products' | 'hasIdentity'> {
  readonly apiKeys: Pick<ApiKeys, 'find'>
}

/** Everything that a decision depends on. */
export interface DecisionInput {
  readonly peer: JudgedPeer
  /** Where the caller connects from; undefined when nobody knows. */
  readonly address?: IpAddress | undefined
  /** Absent on a TCP connection. */
  readonly request?: RequestLine | undefined
  readonly apiKey?: PresentedKey | undefined
  readonly trust: DecisionTrust
  readonly rules: DecisionRules
  /** Milliseconds since 1970. */
  readonly nowMs: number
  readonly limiter: Limiter
  /** false: what is allowed could not be recorded, and must be. Absent: it can be, or need not. */
  readonly canRecord?: boolean | undefined
}

/**
 * Answers "may this request pass?" (DESIGN.md 6). Synchronous, never throws, and pure but for the count in the limiter. Fails
 * closed: whatever is not allowed by an entry of the product map, or by a key it accepts, is denied.
 *
 * A key beside a good certificate is only recorded unless the product says `require: both`, and then every fault of the key
 * is `credential_not_accepted`. A TCP connection has no request, so that a product with `requests` never allows one.
 */
export function decide(input: DecisionInput): Decision {
  const draft: Draft = { epoch: input.trust.epoch, steps: [] }
  const refused = checkAddress(draft, input.rules.addresses, input.address, listenerAddress)
  if (refused !== undefined) return refused
  const mapped = identify(input, draft)
  if (mapped.kind === 'denied') return mapped.decision
  return (
    checkAddress(draft, mapped.product.addresses, input.address, productAddress) ??
    checkCredential(input, draft, mapped) ??
    checkRequest(input, draft, mapped.product) ??
    checkRecord(input, draft) ??
    checkLimit(input, draft, mapped) ??
    allow(draft, mapped)
  )
}

/** The first step of `decide`, for a connection that has not said anything yet; undefined: it may go on. */
export function decideAddress(
  rules: DecisionRules,
  address: IpAddress | undefined,
  epoch: number,
): Denial | undefined {
  return checkAddress({ epoch, steps: [] }, rules.addresses, address, listenerAddress)
}

type Denial = Extract<Decision, { outcome: 'deny' }>

/** What is known so far. */
type Draft = { -readonly [Field in keyof DecisionSubject]: DecisionSubject[Field] } & {
  readonly steps: Step[]
}

/** Who calls and for which product, or why nobody. */
type Identified = Mapped | { readonly kind: 'denied'; readonly decision: Denial }

interface Mapped {
  /** How the product was found. */
  readonly kind: 'certificate' | 'api-key'
  /** The key beside a certificate; undefined when there was none. */
  readonly beside?: KeyLookup | undefined
  readonly product: Product
  readonly reason: AllowReason
  readonly principal: string
  readonly credential: CredentialKind
}

/** No step is recorded where there are no rules: each costs something in every record. */
function checkAddress(
  draft: Draft,
  rules: AddressRules | undefined,
  address: IpAddress | undefined,
  good: Step,
): Denial | undefined {
  if (rules === undefined) return undefined
  const why = whyAddressRefused(rules, address)
  if (why !== undefined) return deny(draft, good.name, 'address_not_allowed', why)
  draft.steps.push(good)
  return undefined
}

function identify(input: DecisionInput, draft: Draft): Identified {
  const { peer } = input
  if (!input.trust.hasIdentity) {
    const detail = 'this sidecar holds no unexpired SVID'
    return denied(draft, 'identity', 'identity_unavailable', detail)
  }
  draft.steps.push(identityHeld)
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
      draft.steps.push(noCertificate)
      return identifyByKey(input, draft)
    case 'untrusted':
      return identifyUntrusted(input, draft, peer)
    case 'svid':
    case 'certificate':
      return input.nowMs > peer.path.notAfterMs
        ? identifyUntrusted(input, draft, expired(peer.path.notAfterMs))
        : identifyByCertificate(input, draft, peer)
  }
}

function expired(notAfterMs: number): Fault {
  const detail = `the certificates were valid until ${new Date(notAfterMs).toISOString()}`
  return { reason: 'certificate_expired', detail }
}

interface Fault {
  readonly reason: UntrustedReason
  readonly detail: string
}

function identifyUntrusted(input: DecisionInput, draft: Draft, fault: Fault): Identified {
  if (input.rules.untrustedCertificate === 'refuse') {
    return denied(draft, 'certificate', fault.reason, fault.detail)
  }
  draft.ignoredCertificate = fault.reason
  draft.steps.push({ name: 'certificate', outcome: 'skip', detail: `ignored: ${fault.detail}` })
  return identifyByKey(input, draft)
}

function identifyByCertificate(input: DecisionInput, draft: Draft, peer: MappedPeer): Identified {
  draft.steps.push(peer.kind === 'svid' ? svidValid : certificateValid)
  const principal = peer.kind === 'svid' ? peer.id.toString() : peer.subject
  const credential = peer.kind === 'svid' ? 'x509-svid' : 'x509'
  draft.principal = principal
  draft.credential = credential
  const beside = input.apiKey === undefined ? undefined : findKey(input)
  if (beside !== undefined) draft.keyBeside = describeBeside(beside)
  const match = input.trust.products.find(peer)
  if (match === undefined) {
    return denied(draft, 'product-map', 'product_unmapped', 'no caller entry matches')
  }
  const { product, reason } = match
  draft.product = product.name
  draft.rule = match.caller.text
  draft.steps.push(match.step)
  return { kind: 'certificate', product, reason, principal, credential, beside }
}

function identifyByKey(input: DecisionInput, draft: Draft): Identified {
  draft.steps.push(mapNotAsked)
  const found = findKey(input)
  if (found.key !== undefined) recordKey(draft, found.key)
  if (found.kind === 'unusable') return denied(draft, 'api-key', found.reason, found.detail)
  const { key } = found
  draft.principal = key.consumer
  draft.credential = 'api-key'
  const product = input.trust.products.products.get(key.product)
  if (product === undefined) {
    const detail = `the key belongs to product ${key.product}, which the product map does not hold`
    return denied(draft, 'api-key', 'product_unmapped', detail)
  }
  draft.steps.push(keyValid)
  return {
    kind: 'api-key',
    product,
    reason: 'api_key',
    principal: key.consumer,
    credential: 'api-key',
  }
}

type KeyLookup =
  | { readonly kind: 'usable'; readonly key: ApiKey }
  | {
      readonly kind: 'unusable'
      readonly reason:
        'credential_missing' | 'api_key_unknown' | 'api_key_expired' | 'api_key_not_yet_valid'
      readonly detail: string
      /** A key that is known, and not valid now. */
      readonly key?: ApiKey
    }

const noKey: KeyLookup = {
  kind: 'unusable',
  reason: 'credential_missing',
  detail: 'no API key was presented',
}

function findKey(input: DecisionInput): KeyLookup {
  const { apiKey, nowMs } = input
  if (apiKey === undefined) return noKey
  const key = input.trust.apiKeys.find(apiKey)
  if (key === undefined) {
    return { kind: 'unusable', reason: 'api_key_unknown', detail: unknownKeyDetail(apiKey) }
  }
  if (nowMs < key.notBeforeMs) {
    const detail = `the key is valid from ${new Date(key.notBeforeMs).toISOString()}`
    return { kind: 'unusable', reason: 'api_key_not_yet_valid', detail, key }
  }
  if (nowMs >= key.expiresMs) {
    const detail = `the key was valid until ${new Date(key.expiresMs).toISOString()}`
    return { kind: 'unusable', reason: 'api_key_expired', detail, key }
  }
  return { kind: 'usable', key }
}

function unknownKeyDetail(apiKey: PresentedKey): string {
  if (typeof apiKey !== 'string') return 'no key of the file has this name'
  switch (readApiKeyForm(apiKey).kind) {
    case 'well-formed':
      return 'no key of the file has this digest'
    case 'mistyped':
      return 'no key of the file has this digest, and its checksum is wrong, as after a typing error'
    case 'foreign':
      return 'no key of the file has this digest, and it does not look like one of ours'
  }
}

function recordKey(draft: Draft, key: ApiKey): void {
  draft.apiKeyId = key.id
  draft.consumer = key.consumer
  draft.product = key.product
}

function describeBeside(found: KeyLookup): KeyBeside {
  if (found.key === undefined) return { status: 'unknown' }
  const { id, product, consumer } = found.key
  return { status: besideStatus(found), id, product, consumer }
}

function besideStatus(found: KeyLookup): 'valid' | 'expired' | 'not_yet_valid' {
  if (found.kind === 'usable') return 'valid'
  return found.reason === 'api_key_expired' ? 'expired' : 'not_yet_valid'
}

function checkCredential(input: DecisionInput, draft: Draft, mapped: Mapped): Denial | undefined {
  const refusal =
    mapped.kind === 'certificate'
      ? certificateRefusal(input, draft, mapped)
      : keyRefusal(draft, mapped.product, input.nowMs)
  if (refusal !== undefined) {
    const detail = `product ${mapped.product.name} ${refusal}`
    return deny(draft, 'credential-rule', 'credential_not_accepted', detail)
  }
  draft.steps.push(credentialAccepted)
  return undefined
}

function certificateRefusal(
  input: DecisionInput,
  draft: Draft,
  { product, beside = noKey }: Mapped,
): string | undefined {
  if (product.require === 'both') return keyBesideRefusal(input, draft, product, beside)
  draft.steps.push(keyNotAsked)
  return product.require === 'apiKey' ? 'takes API keys only' : undefined
}

/** `require: both`: the key must be good, and of the product that the certificate maps to. */
function keyBesideRefusal(
  input: DecisionInput,
  draft: Draft,
  product: Product,
  found: KeyLookup,
): string | undefined {
  if (found.key !== undefined) {
    draft.apiKeyId = found.key.id
    draft.consumer = found.key.consumer
  }
  if (found.kind === 'unusable') {
    draft.steps.push({ name: 'api-key', outcome: 'skip', detail: found.detail })
    return `takes a certificate with a key beside it: ${found.detail}`
  }
  draft.steps.push(keyValid)
  if (found.key.product !== product.name) {
    return `takes keys of its own: this one belongs to product ${found.key.product}`
  }
  return keyModeRefusal(draft, product, input.nowMs)
}

function keyRefusal(draft: Draft, product: Product, nowMs: number): string | undefined {
  switch (product.require) {
    case 'certificate':
      return 'takes certificates only'
    case 'both':
      return 'takes a certificate with a key beside it: no certificate was presented'
    case 'any':
    case 'apiKey':
      return keyModeRefusal(draft, product, nowMs)
  }
}

function keyModeRefusal(draft: Draft, product: Product, nowMs: number): string | undefined {
  if (product.apiKeys === 'refuse') return 'takes no API keys'
  const { apiKeysUntilMs } = product
  if (apiKeysUntilMs !== undefined && nowMs >= apiKeysUntilMs) {
    return `took API keys until ${new Date(apiKeysUntilMs).toISOString()}`
  }
  if (product.apiKeys === 'warn') draft.apiKeyWarned = true
  return undefined
}

function checkRequest(input: DecisionInput, draft: Draft, product: Product): Denial | undefined {
  if (product.requests === undefined) {
    draft.steps.push(everyRequest)
    return undefined
  }
  if (input.request === undefined) {
    const detail = `product ${product.name} has rules on requests, and this is a TCP connection`
    return deny(draft, 'request-rule', 'request_not_allowed', detail)
  }
  const request = normaliseRequest(input.request)
  if (request.kind === 'ambiguous') {
    return deny(draft, 'request-rule', 'request_not_allowed', request.detail)
  }
  if (product.requests.some((rule) => rule.matches(request))) {
    draft.steps.push(requestAllowed)
    return undefined
  }
  const detail = `no entry of the requests of product ${product.name} matches`
  return deny(draft, 'request-rule', 'request_not_allowed', detail)
}

/** `audit.required`: fails closed. No step is recorded where all is well: each costs something in every record. */
function checkRecord({ canRecord }: DecisionInput, draft: Draft): Denial | undefined {
  if (canRecord !== false) return undefined
  const detail = 'the audit log, which is required, cannot be written'
  return deny(draft, 'audit', 'audit_unavailable', detail)
}

function checkLimit(input: DecisionInput, draft: Draft, mapped: Mapped): Denial | undefined {
  const { limit, name } = mapped.product
  if (limit === undefined) {
    draft.steps.push(noLimit)
    return undefined
  }
  const waitMs = input.limiter.take(name, mapped.principal, limit, input.nowMs)
  if (waitMs === 0) {
    draft.steps.push(withinLimit)
    return undefined
  }
  const detail = `${limit.text} per ${limit.per} is reached`
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000))
  return Object.assign(deny(draft, 'limit', 'rate_limited', detail), { retryAfterSeconds })
}

/** The draft becomes the decision: a copy by spreading costs ten times as much as all the rest of `decide`. */
function allow(draft: Draft, mapped: Mapped): Decision {
  const { product, reason, principal, credential } = mapped
  const outcome = {
    outcome: 'allow',
    reason,
    product: product.name,
    principal,
    credential,
  } as const
  if (product.upstream === undefined) return Object.assign(draft, outcome)
  return Object.assign(draft, outcome, { upstream: product.upstream })
}

function denied(
  draft: Draft,
  step: Step['name'],
  reason: DenyReason,
  detail: string,
): Extract<Identified, { kind: 'denied' }> {
  return { kind: 'denied', decision: deny(draft, step, reason, detail) }
}

function deny(draft: Draft, step: Step['name'], reason: DenyReason, detail: string): Denial {
  draft.steps.push({ name: step, outcome: 'deny', detail })
  return Object.assign(draft, { outcome: 'deny', reason, status: statusOf[reason] } as const)
}

const statusOf: Readonly<Record<DenyReason, Denial['status']>> = {
  address_not_allowed: 403,
  identity_unavailable: 503,
  certificate_malformed: 403,
  certificate_expired: 403,
  certificate_not_yet_valid: 403,
  certificate_not_for_client_auth: 403,
  certificate_not_for_server_auth: 403,
  svid_malformed: 403,
  trust_domain_unknown: 403,
  issuer_unknown: 403,
  path_invalid: 403,
  certificate_revoked: 403,
  revocation_unknown: 403,
  product_unmapped: 403,
  credential_missing: 401,
  api_key_unknown: 401,
  api_key_expired: 401,
  api_key_not_yet_valid: 401,
  credential_not_accepted: 403,
  request_not_allowed: 403,
  audit_unavailable: 503,
  rate_limited: 429,
}

// Steps that say the same each time are shared: a decision allocates its list and itself.
const listenerAddress = pass('address', 'the caller may connect from there')
const productAddress = pass('product-address', 'the product may be called from there')
const identityHeld = pass('identity', 'this sidecar holds an unexpired SVID')
const noCertificate = skip('certificate', 'no certificate was presented')
const svidValid = pass('certificate', 'the SVID is valid')
const certificateValid = pass('certificate', 'the certificate is valid')
const mapNotAsked = skip('product-map', 'there is no certificate to map')
const keyNotAsked = skip('api-key', 'the certificate decides, a key beside it does not')
const keyValid = pass('api-key', 'the key is known and valid')
const credentialAccepted = pass('credential-rule', 'the product takes this kind of credential')
const everyRequest = skip('request-rule', 'the product has no rules on requests')
const requestAllowed = pass('request-rule', 'an entry of the requests of the product matches')
const noLimit = skip('limit', 'the product has no limit')
const withinLimit = pass('limit', 'the limit is not reached')

function pass(name: Step['name'], detail: string): Step {
  return Object.freeze({ name, outcome: 'pass', detail })
}

function skip(name: Step['name'], detail: string): Step {
  return Object.freeze({ name, outcome: 'skip', detail })
}
