import type { KeyObject } from 'node:crypto'
import {
  type NameSource,
  type RawExtension,
  schemeOf,
  type SignatureSpec,
  writeExtension,
  writeName,
} from './certificate-writer.ts'
import {
  bitString,
  boolean,
  context,
  enumerated,
  integer,
  namedBits,
  nothing,
  sequence,
  time,
  tlv,
} from './der-writer.ts'

/** Everything in a revocation list that a test may want to turn. */
export interface RevocationListSpec {
  readonly issuer: NameSource
  readonly signer: KeyObject
  readonly thisUpdateMs: number
  /** `null` leaves it out. */
  readonly nextUpdateMs: number | null
  readonly timeForm?: 'utc' | 'generalized'
  readonly version?: 1 | 2
  readonly entries?: readonly EntrySpec[]
  readonly extensions?: readonly RawExtension[]
  readonly signature?: SignatureSpec
  /** AlgorithmIdentifier in both places, whatever the signature is made with. */
  readonly algorithm?: Uint8Array
  /** AlgorithmIdentifier within the signed part, when it shall differ from the outer one. */
  readonly innerAlgorithm?: Uint8Array
}

export interface EntrySpec {
  readonly serial: bigint
  readonly atMs?: number
  /** `CRLReason`. */
  readonly reason?: number
  readonly extensions?: readonly RawExtension[]
}

/** Writes and signs a revocation list. */
export function writeRevocationList(spec: RevocationListSpec): Buffer {
  const scheme = schemeOf(spec.signer, spec.signature)
  const algorithm = spec.algorithm ?? scheme.algorithm
  const { entries = [], extensions = [], nextUpdateMs, version = 2 } = spec
  const signedPart = sequence(
    version === 1 ? nothing : integer(1),
    spec.innerAlgorithm ?? algorithm,
    writeName(spec.issuer),
    time(spec.thisUpdateMs, spec.timeForm),
    nextUpdateMs === null ? nothing : time(nextUpdateMs, spec.timeForm),
    entries.length === 0
      ? nothing
      : sequence(Buffer.concat(entries.map((entry) => writeEntry(entry, spec.thisUpdateMs)))),
    extensions.length === 0
      ? nothing
      : context(0, 'constructed', sequence(...extensions.map(writeExtension))),
  )
  return sequence(signedPart, algorithm, bitString(scheme.sign(signedPart)))
}

/** One X509 CRL block. */
export function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`
}

function writeEntry({ serial, atMs, reason, extensions = [] }: EntrySpec, thisUpdateMs: number) {
  const all = [...(reason === undefined ? [] : [reasonCode(reason)]), ...extensions]
  return sequence(
    integer(serial),
    time(atMs ?? thisUpdateMs),
    all.length === 0 ? nothing : sequence(...all.map(writeExtension)),
  )
}

function reasonCode(reason: number): RawExtension {
  return { oid: '2.5.29.21', value: enumerated(reason) }
}

/** `IssuingDistributionPoint`. */
export interface ScopeSpec {
  readonly uri?: string
  readonly only?: 'user' | 'ca' | 'attribute'
  /** Numbers of bits of `ReasonFlags`. */
  readonly reasons?: readonly number[]
  readonly isIndirect?: boolean
}

export function issuingDistributionPoint(scope: ScopeSpec): RawExtension {
  const flag = (number: number, isSet: boolean) =>
    isSet ? context(number, 'primitive', boolean(true).subarray(2)) : nothing
  const value = sequence(
    scope.uri === undefined ? nothing : pointName(scope.uri),
    flag(1, scope.only === 'user'),
    flag(2, scope.only === 'ca'),
    scope.reasons === undefined ? nothing : tlv(0x83, namedBits(scope.reasons).subarray(2)),
    flag(4, scope.isIndirect === true),
    flag(5, scope.only === 'attribute'),
  )
  return { oid: '2.5.29.28', isCritical: true, value }
}

/** `cRLDistributionPoints` of a certificate that names these. */
export function revocationPoints(...uris: readonly string[]): RawExtension {
  return { oid: '2.5.29.31', value: sequence(...uris.map((uri) => sequence(pointName(uri)))) }
}

function pointName(uri: string): Buffer {
  const name = context(6, 'primitive', Buffer.from(uri, 'latin1'))
  return context(0, 'constructed', context(0, 'constructed', name))
}
