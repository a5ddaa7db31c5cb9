import type { Reason } from '../../policy/decision.ts'
import type { ApiKeyName } from './demo-files.ts'

/** One call of the demo: what the caller brings along, and the only answer that is right. */
export interface Call {
  /** For the table. */
  readonly caller: string
  /** The name under which `DemoFiles` holds the certificate; absent: none is presented. */
  readonly certificate?: string
  readonly apiKey?: ApiKeyName
  /** Default `https`. */
  readonly protocol?: 'https' | 'grpc'
  readonly expected: ExpectedAnswer
}

/** Product and principal are absent where the decision knows none. */
export interface ExpectedAnswer {
  /** HTTP status, or `grpc` and the gRPC status. */
  readonly status: string
  readonly reason: Reason
  readonly product?: string
  readonly principal?: string
}

/** The certificate of `corp.example` as it was before its CA was rotated. */
export const oldCertificate = 'corp.example-before'

const ownSvid: ExpectedAnswer = {
  status: '200',
  reason: 'svid_id',
  product: 'checkout',
  principal: 'spiffe://corp.example/client',
}

/** Asked first. */
export const firstCalls: readonly Call[] = [
  { caller: 'own SVID', certificate: 'corp.example', expected: ownSvid },
  {
    caller: 'SVID of a federated trust domain',
    certificate: 'partner-a.example',
    expected: {
      status: '200',
      reason: 'svid_trust_domain',
      product: 'payments',
      principal: 'spiffe://partner-a.example/client',
    },
  },
  {
    caller: "certificate of a partner's CA",
    certificate: 'partner-b',
    expected: {
      status: '200',
      reason: 'authority',
      product: 'settlement',
      principal: 'O=Partner B,CN=settlement-client',
    },
  },
  {
    caller: 'API key',
    apiKey: 'good',
    expected: { status: '200', reason: 'api_key', product: 'reports', principal: 'acme' },
  },
  { caller: 'nothing', expected: { status: '401', reason: 'credential_missing' } },
  {
    caller: 'expired API key',
    apiKey: 'expired',
    expected: { status: '401', reason: 'api_key_expired', product: 'reports' },
  },
  {
    caller: "own SVID, forged by the partner's CA",
    certificate: 'forged',
    expected: { status: '403', reason: 'issuer_unknown' },
  },
  {
    caller: 'SVID of a trust domain not federated',
    certificate: 'stranger.example',
    expected: { status: '403', reason: 'trust_domain_unknown' },
  },
  {
    caller: 'bad certificate with a good API key',
    certificate: 'forged',
    apiKey: 'good',
    expected: { status: '403', reason: 'issuer_unknown' },
  },
  {
    caller: 'nothing, by gRPC',
    protocol: 'grpc',
    expected: { status: 'grpc 16', reason: 'credential_missing' },
  },
]

/** Asked after `corp.example` has got a new CA and the old one has left the bundle. */
export const callsAfterRotation: readonly Call[] = [
  { caller: 'own SVID, of the new CA', certificate: 'corp.example', expected: ownSvid },
  {
    caller: 'own SVID, of the CA withdrawn',
    certificate: oldCertificate,
    expected: { status: '403', reason: 'issuer_unknown' },
  },
]
