import type { Decision } from '../../../src/policy/decision.ts'
import type { PeerDecision } from '../../../src/policy/peer-decision.ts'
import type { Peer } from '../../../src/policy/peer.ts'
import { SpiffeId } from '../../../src/spiffe/spiffe-id.ts'
import type { DecisionRecord, Outcome } from '../../../src/telemetry/telemetry.ts'
import type { CertificatePath } from '../../../src/x509/certificate-path.ts'
import { TestCa } from '../../support/test-ca.ts'

/** The moment at which the tests of telemetry happen. */
export const now = Date.UTC(2026, 10, 20)

/** A caller with an SVID below an intermediate. */
export async function svidPeer(id = 'spiffe://corp.example/checkout'): Promise<SvidPeer> {
  const ca = await (await TestCa.root('corp.example')).intermediate()
  const leaf = await ca.leaf({ spiffeId: id, subject: '/O=Corp/CN=checkout' })
  const path = pathOf(leaf.certificates, ca.root)
  return { kind: 'svid', id: SpiffeId.parse(id), path, authorities: ['team-a'] }
}

export type SvidPeer = Extract<Peer, { kind: 'svid' }>

/** A partner's caller without a SPIFFE ID. */
export async function certificatePeer(): Promise<Extract<Peer, { kind: 'certificate' }>> {
  const ca = await TestCa.root('partner-b.example')
  const leaf = await ca.leaf({ subject: '/O=Partner B/CN=client 7' })
  return {
    kind: 'certificate',
    subject: leaf.certificate.subject,
    path: pathOf(leaf.certificates, ca),
    authorities: ['partner-b'],
  }
}

function pathOf(certificates: CertificatePath['certificates'], root: TestCa): CertificatePath {
  const [leaf] = certificates
  return {
    certificates: [...certificates, root.certificate] as unknown as CertificatePath['certificates'],
    leaf,
    anchor: root.certificate,
    notAfterMs: leaf.notAfterMs,
    revocationUntilMs: Infinity,
  }
}

type Allow = Extract<Decision, { outcome: 'allow' }>
type Deny = Extract<Decision, { outcome: 'deny' }>

export function allow(parts: Partial<Allow> = {}): Allow {
  return {
    outcome: 'allow',
    reason: 'svid_id',
    product: 'payments',
    principal: 'spiffe://corp.example/checkout',
    credential: 'x509-svid',
    rule: 'spiffeId: spiffe://corp.example/checkout',
    epoch: 7,
    steps,
    ...parts,
  }
}

export function deny(parts: Partial<Deny> = {}): Deny {
  return { outcome: 'deny', reason: 'product_unmapped', status: 403, epoch: 7, steps, ...parts }
}

/** A call of the workload that went out. */
export function outbound(parts: Partial<Extract<PeerDecision, { outcome: 'allow' }>> = {}) {
  return {
    outcome: 'allow' as const,
    reason: 'svid_id' as const,
    principal: 'spiffe://corp.example/billing',
    credential: 'x509-svid' as const,
    upstream: 'billing.corp.example:8443',
    epoch: 7,
    steps,
    ...parts,
  }
}

const steps: Decision['steps'] = [
  { name: 'identity', outcome: 'pass', detail: 'we hold an unexpired SVID' },
  { name: 'certificate', outcome: 'pass', detail: 'the SVID is valid in its trust domain' },
  { name: 'product-map', outcome: 'pass', detail: 'line 7 maps the caller to product payments' },
  { name: 'api-key', outcome: 'skip', detail: 'no key is asked for beside a certificate' },
  { name: 'credential-rule', outcome: 'pass', detail: 'the product takes this credential' },
  { name: 'request-rule', outcome: 'pass', detail: 'line 12 allows the request' },
]

export function recordOf(parts: Partial<DecisionRecord> = {}): DecisionRecord {
  return {
    id: 'd_1y2p0ij32e8e7_2s',
    atMs: now,
    direction: 'inbound',
    decision: allow(),
    peer: { kind: 'anonymous' },
    protocol: 'http/1.1',
    clientAddress: '10.1.2.3',
    clientPort: 51_234,
    request: { method: 'GET', host: 'api.example:8443', path: '/v1/payments/17' },
    ...parts,
  }
}

/** A record of what has no request: a TCP connection, or a handshake that was refused. */
export function recordWithoutRequest(
  protocol: 'tcp' | 'handshake',
  parts: Partial<Omit<DecisionRecord, 'request'>> = {},
): DecisionRecord {
  const { request: _, ...record } = recordOf({ protocol, ...parts })
  return record
}

export function outcomeOf(parts: Partial<Outcome> = {}): Outcome {
  return { status: 200, requestBytes: 0, replyBytes: 12, durationMs: 3.25, ...parts }
}
