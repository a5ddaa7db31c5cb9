import { X509Certificate } from 'node:crypto'
import { testKey } from '../../support/certificate-writer.ts'
import { sequence, tlv } from '../../support/der-writer.ts'
import { TestCa, type TestLeafOptions } from '../../support/test-ca.ts'
import { type Caller, type CallerIdentity, type CallRequest, identityOf } from './caller.ts'
import { checkoutId, type Mesh, threeCallers } from './mesh.ts'

const hourMs = 3_600_000
const partnerCId = 'spiffe://partner-c.example/ledger'

/** A caller and what must come of it. */
interface Case {
  readonly name: string
  readonly caller: (mesh: Mesh) => Caller | Promise<Caller>
  readonly request?: CallRequest
  readonly reason: string
}

interface Allowed extends Case {
  readonly product: string
  readonly credential: 'x509-svid' | 'x509' | 'api-key'
  readonly principal: string
}

interface Denied extends Case {
  readonly status: 401 | 403 | 429
}

/** A product for each rule. */
export const products = {
  ...threeCallers,
  ledger: { callers: [{ trustDomain: 'partner-c.example' }] },
  legacy: { apiKeys: 'warn', apiKeysUntil: '2099-01-01' },
  closed: { apiKeys: 'accept', apiKeysUntil: '2020-01-01' },
  refusing: { apiKeys: 'refuse' },
  strict: {
    require: 'certificate',
    callers: [{ spiffeId: 'spiffe://corp.example/strict' }],
    apiKeys: 'accept',
  },
  keyOnly: {
    require: 'apiKey',
    callers: [{ spiffeId: 'spiffe://corp.example/key-only' }],
    apiKeys: 'accept',
  },
  both: {
    require: 'both',
    callers: [{ spiffeId: 'spiffe://corp.example/both' }],
    apiKeys: 'accept',
  },
  ruled: {
    callers: [{ spiffeId: 'spiffe://corp.example/ruled' }],
    requests: [{ methods: ['GET'], hosts: ['api.example'], paths: ['/v1/**'] }],
  },
  limited: {
    callers: [{ spiffeId: 'spiffe://corp.example/limited/*' }],
    limit: { rate: '2/h', per: 'principal' },
  },
}

/** By the names that the cases use. */
export const keys = {
  reports: { product: 'reports' },
  legacy: { product: 'legacy' },
  closed: { product: 'closed' },
  refusing: { product: 'refusing' },
  strict: { product: 'strict' },
  keyOnly: { product: 'keyOnly' },
  both: { product: 'both' },
  expired: { product: 'reports', expires: '2020-01-01' },
  early: { product: 'reports', notBefore: '2099-01-01' },
}

export const allowed: readonly Allowed[] = [
  {
    name: 'a workload of our own trust domain',
    caller: (mesh) => mesh.svidCaller(checkoutId),
    reason: 'svid_id',
    product: 'checkout',
    credential: 'x509-svid',
    principal: checkoutId,
  },
  {
    name: 'a workload of a federated trust domain',
    caller: (mesh) => mesh.svidCaller('spiffe://partner-a.example/shop'),
    reason: 'svid_trust_domain',
    product: 'payments',
    credential: 'x509-svid',
    principal: 'spiffe://partner-a.example/shop',
  },
  {
    name: 'a workload of a trust domain that an authority speaks for',
    caller: (mesh) => partnerC(mesh, { spiffeId: partnerCId }),
    reason: 'svid_trust_domain',
    product: 'ledger',
    credential: 'x509-svid',
    principal: partnerCId,
  },
  {
    name: 'a partner with its own CA and no SPIFFE ID',
    caller: (mesh) => mesh.partnerBCaller('/O=Partner B/CN=batch'),
    reason: 'authority',
    product: 'settlement',
    credential: 'x509',
    principal: 'CN=batch,O=Partner B',
  },
  {
    name: 'a client with an API key',
    caller: (mesh) => mesh.keyCaller('reports'),
    reason: 'api_key',
    product: 'reports',
    credential: 'api-key',
    principal: 'acme',
  },
  {
    name: 'an API key in Authorization',
    caller: (mesh) =>
      mesh.anonymous().with({ headers: { authorization: `ApiKey ${mesh.key('reports')}` } }),
    reason: 'api_key',
    product: 'reports',
    credential: 'api-key',
    principal: 'acme',
  },
  {
    name: 'an API key where the product warns',
    caller: (mesh) => mesh.keyCaller('legacy'),
    reason: 'api_key',
    product: 'legacy',
    credential: 'api-key',
    principal: 'acme',
  },
  {
    name: 'a certificate where the product wants one',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/strict'),
    reason: 'svid_id',
    product: 'strict',
    credential: 'x509-svid',
    principal: 'spiffe://corp.example/strict',
  },
  {
    name: 'an API key where the product wants one',
    caller: (mesh) => mesh.keyCaller('keyOnly'),
    reason: 'api_key',
    product: 'keyOnly',
    credential: 'api-key',
    principal: 'acme',
  },
  {
    name: 'a certificate with a key of the same product where it wants both',
    caller: (mesh) => withKey(mesh, 'spiffe://corp.example/both', 'both'),
    reason: 'svid_id',
    product: 'both',
    credential: 'x509-svid',
    principal: 'spiffe://corp.example/both',
  },
  {
    name: 'a good certificate with an unknown key beside it',
    caller: async (mesh) =>
      (await mesh.svidCaller(checkoutId)).with({ headers: { 'x-api-key': 'pst_nobody' } }),
    reason: 'svid_id',
    product: 'checkout',
    credential: 'x509-svid',
    principal: checkoutId,
  },
  {
    name: 'a request that matches an entry of the product',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/ruled'),
    request: { path: '/v1/payments?id=1' },
    reason: 'svid_id',
    product: 'ruled',
    credential: 'x509-svid',
    principal: 'spiffe://corp.example/ruled',
  },
]

export const denied: readonly Denied[] = [
  {
    name: 'an expired certificate',
    caller: expiredCaller,
    status: 403,
    reason: 'certificate_expired',
  },
  {
    name: 'a certificate that is not valid yet',
    caller: (mesh) => partnerC(mesh, { spiffeId: partnerCId, ...hoursFromNow(1, 2) }),
    status: 403,
    reason: 'certificate_not_yet_valid',
  },
  {
    name: 'a certificate for servers',
    caller: (mesh) => partnerC(mesh, { spiffeId: partnerCId, extendedKeyUsage: ['serverAuth'] }),
    status: 403,
    reason: 'certificate_not_for_client_auth',
  },
  {
    name: 'a certificate with two SPIFFE IDs',
    caller: (mesh) =>
      partnerC(mesh, { spiffeId: partnerCId, names: [{ uri: `${partnerCId}/other` }] }),
    status: 403,
    reason: 'svid_malformed',
  },
  {
    name: 'a certificate that is BER and not DER',
    caller: (mesh) => berCaller(mesh),
    status: 403,
    reason: 'certificate_malformed',
  },
  {
    name: 'a trust domain that nobody vouches for',
    caller: (mesh) => partnerC(mesh, { spiffeId: 'spiffe://nowhere.example/shop' }),
    status: 403,
    reason: 'trust_domain_unknown',
  },
  {
    name: 'a SPIFFE ID of ours that another CA issued',
    caller: (mesh) => partnerC(mesh, { spiffeId: checkoutId }),
    status: 403,
    reason: 'issuer_unknown',
  },
  {
    name: 'a certificate of a CA that nobody knows',
    caller: async (mesh) => {
      const stranger = await TestCa.root('partner-b')
      return mesh.caller(identityOf(await stranger.leaf({ subject: '/CN=batch' })))
    },
    status: 403,
    reason: 'issuer_unknown',
  },
  {
    name: 'a path that is longer than its CA allows',
    caller: async (mesh) => {
      const short = await mesh.partnerC.intermediate({
        basicConstraints: { isCa: true, pathLength: 0 },
      })
      const below = await short.intermediate()
      return mesh.caller(identityOf(await below.leaf({ spiffeId: partnerCId })))
    },
    status: 403,
    reason: 'path_invalid',
  },
  {
    name: 'a workload that no product names',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/stranger'),
    status: 403,
    reason: 'product_unmapped',
  },
  {
    name: 'nothing at all',
    caller: (mesh) => mesh.anonymous(),
    status: 401,
    reason: 'credential_missing',
  },
  {
    name: 'an API key that nobody made',
    caller: (mesh) => mesh.anonymous().with({ headers: { 'x-api-key': 'pst_nobody' } }),
    status: 401,
    reason: 'api_key_unknown',
  },
  {
    name: 'an expired API key',
    caller: (mesh) => mesh.keyCaller('expired'),
    status: 401,
    reason: 'api_key_expired',
  },
  {
    name: 'an API key that is not valid yet',
    caller: (mesh) => mesh.keyCaller('early'),
    status: 401,
    reason: 'api_key_not_yet_valid',
  },
  {
    name: 'an API key of a product that takes none',
    caller: (mesh) => mesh.keyCaller('refusing'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'an API key after the day until which they were taken',
    caller: (mesh) => mesh.keyCaller('closed'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'an API key where the product wants a certificate',
    caller: (mesh) => mesh.keyCaller('strict'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'a certificate where the product wants an API key',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/key-only'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'a certificate alone where the product wants both',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/both'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'a key alone where the product wants both',
    caller: (mesh) => mesh.keyCaller('both'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'a certificate with a key of another product where it wants both',
    caller: (mesh) => withKey(mesh, 'spiffe://corp.example/both', 'reports'),
    status: 403,
    reason: 'credential_not_accepted',
  },
  {
    name: 'a method that the product does not allow',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/ruled'),
    request: { method: 'POST', path: '/v1/payments', body: 'x' },
    status: 403,
    reason: 'request_not_allowed',
  },
  {
    name: 'a path that the product does not allow',
    caller: (mesh) => mesh.svidCaller('spiffe://corp.example/ruled'),
    request: { path: '/v1/../admin' },
    status: 403,
    reason: 'request_not_allowed',
  },
]

/** A caller whose SVID has expired. */
export async function expiredCaller(mesh: Mesh): Promise<Caller> {
  return mesh.caller(await expiredIdentity(mesh))
}

export async function expiredIdentity(mesh: Mesh): Promise<CallerIdentity> {
  return identityOf(await mesh.partnerC.leaf({ spiffeId: partnerCId, ...hoursFromNow(-2, -1) }))
}

async function partnerC(mesh: Mesh, options: TestLeafOptions): Promise<Caller> {
  return mesh.caller(identityOf(await mesh.partnerC.leaf(options)))
}

/** BOOLEAN TRUE as 01, which OpenSSL reads and DER forbids. */
function berCaller(mesh: Mesh): Caller {
  const key = testKey()
  const der = mesh.partnerC.issue({
    key,
    subject: '/CN=ber',
    names: [{ uri: partnerCId }],
    basicConstraints: null,
    extensions: [{ oid: '2.5.29.19', value: sequence(tlv(0x01, Buffer.from([1]))) }],
  })
  return mesh.caller({
    certificatePem: new X509Certificate(der).toString(),
    privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  })
}

async function withKey(mesh: Mesh, spiffeId: string, name: string): Promise<Caller> {
  return (await mesh.svidCaller(spiffeId)).with({ headers: { 'x-api-key': mesh.key(name) } })
}

/** On full seconds, which is all that a certificate can say. */
function hoursFromNow(from: number, until: number) {
  const nowMs = Math.floor(Date.now() / 1000) * 1000
  return { notBeforeMs: nowMs + from * hourMs, notAfterMs: nowMs + until * hourMs }
}
