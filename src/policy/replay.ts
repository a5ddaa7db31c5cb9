import type { IpAddress } from '../core/ip-address.ts'
import type { SpiffeId } from '../spiffe/spiffe-id.ts'
import type { ApiKey } from './api-key-table.ts'
import type { ApiKeys } from './api-keys.ts'
import type { Authorities } from './authority.ts'
import { decide } from './decide.ts'
import type { Decision, Reason } from './decision.ts'
import type { JudgedPeer, UntrustedReason } from './peer.ts'
import type { ProductMap } from './product-map.ts'
import { unlimited } from './rate-limiter.ts'
import type { RequestLine } from './request-rule.ts'

/** A decision of before, read back from its record. */
export interface RecordedCall {
  /** The decision id. */
  readonly id: string
  /** When it was decided, milliseconds since 1970. */
  readonly atMs: number
  readonly peer: RecordedPeer
  readonly address?: IpAddress | undefined
  /** Absent on a TCP connection. */
  readonly request?: RequestLine | undefined
  readonly key: RecordedKey
  /** The sidecar itself held an SVID. */
  readonly hadIdentity: boolean
  /** The certificate proved nothing and counted as none: `untrustedCertificate: ignore`. */
  readonly ignoredCertificate: boolean
  readonly answer: Answer
}

/** What TLS had proved. `chain`: SHA-256 of the validated path, leaf first; the certificates themselves are not recorded. */
export type RecordedPeer =
  | { readonly kind: 'plaintext' | 'anonymous' }
  | {
      readonly kind: 'svid'
      readonly id: SpiffeId
      /** Of the certificate, RFC 4514. */
      readonly subject: string
      readonly chain: readonly string[]
      readonly notAfterMs: number
      /** An authority was the bundle of its trust domain. */
      readonly isByAuthority: boolean
    }
  | {
      readonly kind: 'certificate'
      readonly subject: string
      readonly chain: readonly string[]
      readonly notAfterMs: number
    }
  | { readonly kind: 'untrusted'; readonly reason: UntrustedReason; readonly detail: string }

/** The API key that was presented. An unknown one has no name: it stays unknown. */
export type RecordedKey =
  { readonly status: 'none' } | { readonly status: 'unknown' } | KnownRecordedKey

interface KnownRecordedKey {
  readonly status: 'valid' | 'expired' | 'not_yet_valid'
  readonly id: string
  readonly product: string
  readonly consumer: string
}

/** What a caller got, as far as a change of it matters. */
export interface Answer {
  readonly outcome: 'allow' | 'deny'
  readonly reason: Reason
  readonly product?: string | undefined
  readonly principal?: string | undefined
  readonly consumer?: string | undefined
  /** The product's own address of the workload. */
  readonly upstream?: string | undefined
}

/** The new files. Without `apiKeys` each key is what it was. */
export interface ReplayFiles {
  readonly products: ProductMap
  readonly apiKeys?: ApiKeys | undefined
}

/**
 * Decides recorded calls again with other files, at the moment of each call. What stands in no file stays as it was: bundles
 * of the Workload API, certificates that proved nothing, our own identity. Limits are not replayed.
 */
export class Replay {
  readonly #files: ReplayFiles
  readonly #anchors: Anchors

  constructor(files: ReplayFiles) {
    this.#files = files
    this.#anchors = new Anchors(files.products.authorities)
  }

  decide(call: RecordedCall): Decision {
    const { key } = call
    return decide({
      peer: judgeAgain(call.peer, this.#anchors),
      address: call.address,
      request: call.request,
      apiKey: key.status === 'none' ? undefined : { id: 'id' in key ? key.id : '' },
      trust: {
        epoch: 0,
        products: this.#files.products,
        apiKeys: { find: () => this.#keyNow(call) },
        hasIdentity: call.hadIdentity,
      },
      rules: { untrustedCertificate: call.ignoredCertificate ? 'ignore' : 'refuse' },
      nowMs: call.atMs,
      limiter: unlimited,
    })
  }

  #keyNow({ key, atMs }: RecordedCall): ApiKey | undefined {
    if (!('id' in key)) return undefined
    return this.#files.apiKeys === undefined ? asItWas(key, atMs) : this.#files.apiKeys.find(key)
  }
}

/** A key whose validity is what it was at the moment of the call. */
function asItWas(key: KnownRecordedKey, atMs: number): ApiKey {
  const { id, product, consumer, status } = key
  return {
    id,
    product,
    consumer,
    notBeforeMs: status === 'not_yet_valid' ? atMs + 1 : -Infinity,
    expiresMs: status === 'expired' ? atMs : Infinity,
    line: 0,
  }
}

/** CA certificates of the authorities by their digests. */
class Anchors {
  readonly #aliases = new Map<string, string>()
  /** Of the authorities without `trustDomain`. */
  readonly #ofSubjects = new Set<string>()
  /** Of the others, by the name of the trust domain. */
  readonly #ofDomains = new Map<string, Set<string>>()

  constructor(authorities: Authorities) {
    for (const { alias, anchors, trustDomain } of authorities.values()) {
      const digests = trustDomain === undefined ? this.#ofSubjects : this.#setOf(trustDomain.name)
      for (const { sha256 } of anchors) {
        this.#aliases.set(sha256, alias)
        digests.add(sha256)
      }
    }
  }

  #setOf(domain: string): Set<string> {
    const digests = this.#ofDomains.get(domain) ?? new Set<string>()
    this.#ofDomains.set(domain, digests)
    return digests
  }

  /** Aliases on the path, nearest to the leaf first. */
  aliasesOn(chain: readonly string[]): string[] {
    if (this.#aliases.size === 0) return []
    const aliases = casOf(chain).flatMap((sha256) => this.#aliases.get(sha256) ?? [])
    return [...new Set(aliases)]
  }

  /** Whether there is an authority that vouches for subjects. */
  get hasSubjects(): boolean {
    return this.#ofSubjects.size > 0
  }

  /** Whether an authority vouches for subjects on this path. */
  vouchFor(chain: readonly string[]): boolean {
    return casOf(chain).some((sha256) => this.#ofSubjects.has(sha256))
  }

  /** Undefined: no authority is the bundle of this trust domain. */
  vouchForDomain(domain: string, chain: readonly string[]): boolean | undefined {
    const digests = this.#ofDomains.get(domain)
    return digests && casOf(chain).some((sha256) => digests.has(sha256))
  }
}

function casOf(chain: readonly string[]): readonly string[] {
  return chain.slice(1)
}

function judgeAgain(peer: RecordedPeer, anchors: Anchors): JudgedPeer {
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
      return { kind: peer.kind }
    case 'untrusted':
      return peer
    case 'certificate':
      return judgeSubject(peer, anchors)
    case 'svid': {
      const vouched = peer.isByAuthority
        ? anchors.vouchForDomain(peer.id.trustDomain.name, peer.chain)
        : true
      if (vouched === undefined) return judgeSubject(peer, anchors)
      if (!vouched) return noIssuer
      const { kind, id, chain } = peer
      return { kind, id, authorities: anchors.aliasesOn(chain), path: peer }
    }
  }
}

function judgeSubject(
  peer: Extract<RecordedPeer, { kind: 'svid' | 'certificate' }>,
  anchors: Anchors,
): JudgedPeer {
  const { kind, subject, chain } = peer
  if (anchors.vouchFor(chain)) {
    return { kind: 'certificate', subject, authorities: anchors.aliasesOn(chain), path: peer }
  }
  if (kind === 'svid') return noBundle
  return anchors.hasSubjects ? noIssuer : noAuthority
}

const noIssuer: JudgedPeer = {
  kind: 'untrusted',
  reason: 'issuer_unknown',
  detail: 'no authority holds a CA certificate of its path any more',
}

/** As `authenticate` puts it: what is left to be is an SVID. */
const noAuthority: JudgedPeer = {
  kind: 'untrusted',
  reason: 'svid_malformed',
  detail: 'there is no SPIFFE ID, and no authority for other certificates any more',
}

const noBundle: JudgedPeer = {
  kind: 'untrusted',
  reason: 'trust_domain_unknown',
  detail: 'no authority is the bundle of its trust domain any more',
}
