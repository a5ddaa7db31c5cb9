import assert from 'node:assert/strict'
import fc from 'fast-check'
import { digestOf } from '../../src/policy/api-key.ts'
import { IpAddress } from '../../src/core/ip-address.ts'
import type { AddressRules } from '../../src/policy/address-rules.ts'
import { CidrSet, parseCidr } from '../../src/policy/cidr-set.ts'
import { decide, decideAddress, type DecisionInput } from '../../src/policy/decide.ts'
import type { DenyReason } from '../../src/policy/decision.ts'
import type { Peer } from '../../src/policy/peer.ts'
import { RateLimiter, unlimited } from '../../src/policy/rate-limiter.ts'
import {
  anonymous,
  certificate,
  day,
  hour,
  keysOf,
  mapOf,
  now,
  plaintext,
  product,
  svid,
  trustOf,
  untrusted,
} from './support/policy.ts'

const requestless: Partial<DecisionInput> = { request: undefined }
const limit = { count: 1, periodMs: 1_000, burst: 1, per: 'principal', text: '1/s' } as const

function setOf(...texts: string[]): CidrSet {
  return new CidrSet(texts.map(parseCidr))
}

const near = IpAddress.parse('10.1.2.3')
const far = IpAddress.parse('192.0.2.1')

/** Listener rules with this part. */
function rulesFrom(addresses: AddressRules): DecisionInput['rules'] {
  return { untrustedCertificate: 'refuse', addresses }
}

const products = mapOf(
  product('inside', {
    callers: ['spiffeId: spiffe://corp.example/inside'],
    apiKeys: 'accept',
    require: 'certificate',
    addresses: { allow: setOf('10.0.0.0/8'), deny: setOf('10.9.0.0/16') },
  }),
  product('payments', {
    callers: [
      'trustDomain: partner-a.example',
      'spiffeId: spiffe://corp.example/checkout',
      'spiffeId: spiffe://corp.example/batch/*',
      'spiffeId: spiffe://corp.example/ns/prod/**',
      'authority: partner-b',
    ],
    upstream: '127.0.0.1:8081',
  }),
  product('open', { callers: ['spiffeId: spiffe://corp.example/open'], apiKeys: 'accept' }),
  product('migrating', {
    apiKeys: 'warn',
    apiKeysUntilMs: now + day,
    callers: ['spiffeId: spiffe://corp.example/migrating'],
  }),
  product('certificates', {
    apiKeys: 'accept',
    require: 'certificate',
    callers: ['spiffeId: spiffe://corp.example/certificates'],
  }),
  product('keys', {
    apiKeys: 'accept',
    require: 'apiKey',
    callers: ['spiffeId: spiffe://corp.example/keys'],
  }),
  product('both', {
    apiKeys: 'accept',
    require: 'both',
    callers: ['spiffeId: spiffe://corp.example/both'],
  }),
  product('both-warned', {
    apiKeys: 'warn',
    require: 'both',
    callers: ['spiffeId: spiffe://corp.example/both-warned'],
  }),
  product('both-refused', {
    require: 'both',
    callers: ['spiffeId: spiffe://corp.example/both-refused'],
  }),
  product('reading', {
    callers: ['spiffeId: spiffe://corp.example/reading'],
    requests: [{ methods: ['GET'], hosts: ['api.example'], paths: ['/v1/payments/**'] }],
  }),
  product('slow', { callers: ['spiffeId: spiffe://corp.example/slow'], limit }),
)

const apiKeys = keysOf({
  'open key': { id: 'k_open', product: 'open', consumer: 'acme' },
  'migrating key': { product: 'migrating' },
  'refused key': { product: 'payments' },
  'certificates key': { product: 'certificates' },
  'keys key': { product: 'keys' },
  'both key': { product: 'both', id: 'k_both', consumer: 'shop' },
  'both-warned key': { product: 'both-warned' },
  'both-refused key': { product: 'both-refused' },
  'old key': { product: 'open', expiresMs: now },
  'old both key': { product: 'both', expiresMs: now },
  'young key': { product: 'open', notBeforeMs: now + 1 },
  'orphaned key': { product: 'gone' },
})

const trust = trustOf({ products, apiKeys, epoch: 7 })

function decideOn(parts: Partial<DecisionInput>) {
  return decide({
    peer: anonymous,
    request: { method: 'GET', host: 'api.example', path: '/v1/payments/17' },
    trust,
    rules: { untrustedCertificate: 'refuse' },
    nowMs: now,
    limiter: unlimited,
    ...parts,
  })
}

describe('decide', () => {
  describe('allows', () => {
    const cases: readonly {
      readonly name: string
      readonly input: Partial<DecisionInput>
      readonly expected: Readonly<Record<string, unknown>>
    }[] = [
      {
        name: 'an SVID by its trust domain',
        input: { peer: svid('spiffe://partner-a.example/any/thing') },
        expected: {
          reason: 'svid_trust_domain',
          product: 'payments',
          principal: 'spiffe://partner-a.example/any/thing',
          credential: 'x509-svid',
          rule: 'trustDomain: partner-a.example',
          upstream: '127.0.0.1:8081',
          epoch: 7,
        },
      },
      {
        name: 'an SVID by its exact ID',
        input: { peer: svid('spiffe://corp.example/checkout') },
        expected: { reason: 'svid_id', rule: 'spiffeId: spiffe://corp.example/checkout' },
      },
      {
        name: 'an SVID by /*',
        input: { peer: svid('spiffe://corp.example/batch/nightly') },
        expected: { reason: 'svid_id', rule: 'spiffeId: spiffe://corp.example/batch/*' },
      },
      {
        name: 'an SVID by /**',
        input: { peer: svid('spiffe://corp.example/ns/prod/sa/web') },
        expected: { reason: 'svid_id', rule: 'spiffeId: spiffe://corp.example/ns/prod/**' },
      },
      {
        name: 'an SVID by an authority on its path',
        input: { peer: svid('spiffe://other.example/web', { authorities: ['partner-b'] }) },
        expected: {
          reason: 'authority',
          principal: 'spiffe://other.example/web',
          credential: 'x509-svid',
        },
      },
      {
        name: 'a certificate by its authority',
        input: { peer: certificate('CN=shop,O=Partner B', { authorities: ['partner-b'] }) },
        expected: {
          reason: 'authority',
          product: 'payments',
          principal: 'CN=shop,O=Partner B',
          credential: 'x509',
        },
      },
      {
        name: 'an API key over TLS',
        input: { apiKey: 'open key' },
        expected: {
          reason: 'api_key',
          product: 'open',
          principal: 'acme',
          consumer: 'acme',
          credential: 'api-key',
          apiKeyId: 'k_open',
        },
      },
      {
        name: 'an API key in plaintext',
        input: { peer: plaintext, apiKey: 'open key' },
        expected: { reason: 'api_key', product: 'open' },
      },
      {
        name: 'an API key that is named by its digest',
        input: { apiKey: { sha256: digestOf('open key') } },
        expected: { reason: 'api_key', apiKeyId: 'k_open' },
      },
      {
        name: 'an API key that is named by its id',
        input: { apiKey: { id: 'k_open' } },
        expected: { reason: 'api_key', apiKeyId: 'k_open' },
      },
      {
        name: 'and marks an API key where the product warns',
        input: { apiKey: 'migrating key' },
        expected: { reason: 'api_key', apiKeyWarned: true },
      },
      {
        name: 'a certificate where the product asks for one',
        input: { peer: svid('spiffe://corp.example/certificates') },
        expected: { reason: 'svid_id', product: 'certificates' },
      },
      {
        name: 'an API key where the product asks for one',
        input: { apiKey: 'keys key' },
        expected: { reason: 'api_key', product: 'keys' },
      },
      {
        name: 'a certificate with a key of the same product where both are asked for',
        input: { peer: svid('spiffe://corp.example/both'), apiKey: 'both key' },
        expected: {
          reason: 'svid_id',
          product: 'both',
          principal: 'spiffe://corp.example/both',
          credential: 'x509-svid',
          apiKeyId: 'k_both',
          consumer: 'shop',
        },
      },
      {
        name: 'and marks both where the product warns of keys',
        input: { peer: svid('spiffe://corp.example/both-warned'), apiKey: 'both-warned key' },
        expected: { reason: 'svid_id', apiKeyWarned: true },
      },
      {
        name: 'a request that matches an entry of requests',
        input: { peer: svid('spiffe://corp.example/reading') },
        expected: { reason: 'svid_id', product: 'reading' },
      },
      {
        name: 'a caller from where its product may be called',
        input: { peer: svid('spiffe://corp.example/inside'), address: near },
        expected: { reason: 'svid_id', product: 'inside' },
      },
      {
        name: 'a caller from where anybody may connect',
        input: {
          peer: svid('spiffe://corp.example/checkout'),
          address: near,
          rules: rulesFrom({ allow: setOf('10.0.0.0/8') }),
        },
        expected: { reason: 'svid_id', product: 'payments' },
      },
      {
        name: 'a caller from an unknown address where nobody asks for it',
        input: { peer: svid('spiffe://corp.example/checkout'), address: undefined },
        expected: { reason: 'svid_id', product: 'payments' },
      },
      {
        name: 'a TCP connection to a product without requests',
        input: { peer: svid('spiffe://corp.example/checkout'), ...requestless },
        expected: { reason: 'svid_id', product: 'payments' },
      },
      {
        name: 'a certificate at the last moment of its validity',
        input: { peer: svid('spiffe://corp.example/checkout', { notAfterMs: now }) },
        expected: { reason: 'svid_id' },
      },
    ]
    for (const { name, input, expected } of cases) {
      it(name, () => {
        const decision = decideOn(input)
        assert.equal(decision.outcome, 'allow', JSON.stringify(decision.steps))
        assert.deepEqual(pick(decision, Object.keys(expected)), expected)
      })
    }
  })

  describe('denies', () => {
    const cases: readonly {
      readonly name: string
      readonly input: Partial<DecisionInput>
      readonly reason: DenyReason
      readonly status: number
      readonly expected?: Readonly<Record<string, unknown>>
    }[] = [
      {
        name: 'everything while we hold no SVID ourselves',
        input: {
          peer: svid('spiffe://corp.example/checkout'),
          trust: { ...trust, hasIdentity: false },
        },
        reason: 'identity_unavailable',
        status: 503,
      },
      {
        name: 'an address from which nobody may connect, before everything else',
        input: {
          peer: untrusted('certificate_expired'),
          address: far,
          rules: rulesFrom({ allow: setOf('10.0.0.0/8') }),
          trust: { ...trust, hasIdentity: false },
        },
        reason: 'address_not_allowed',
        status: 403,
        expected: { product: undefined, principal: undefined },
      },
      {
        name: 'an address that both lists name',
        input: {
          peer: svid('spiffe://corp.example/checkout'),
          address: near,
          rules: rulesFrom({ allow: setOf('10.0.0.0/8'), deny: setOf('10.1.0.0/16') }),
        },
        reason: 'address_not_allowed',
        status: 403,
      },
      {
        name: 'an address that nobody knows, where there are rules',
        input: {
          peer: svid('spiffe://corp.example/checkout'),
          address: undefined,
          rules: rulesFrom({ deny: setOf('10.0.0.0/8') }),
        },
        reason: 'address_not_allowed',
        status: 403,
      },
      {
        name: 'a caller from where its product may not be called',
        input: { peer: svid('spiffe://corp.example/inside'), address: far },
        reason: 'address_not_allowed',
        status: 403,
        expected: { product: 'inside', principal: 'spiffe://corp.example/inside' },
      },
      {
        name: 'a caller from a range within one from where its product may be called',
        input: {
          peer: svid('spiffe://corp.example/inside'),
          address: IpAddress.parse('10.9.0.1'),
        },
        reason: 'address_not_allowed',
        status: 403,
      },
      {
        name: 'a valid key while we hold no SVID ourselves',
        input: { apiKey: 'open key', trust: { ...trust, hasIdentity: false } },
        reason: 'identity_unavailable',
        status: 503,
      },
      {
        name: 'a bad certificate, whatever key stands beside it',
        input: { peer: untrusted('issuer_unknown'), apiKey: 'open key' },
        reason: 'issuer_unknown',
        status: 403,
      },
      {
        name: 'a certificate that ended since the handshake',
        input: {
          peer: svid('spiffe://corp.example/checkout', { notAfterMs: now - 1 }),
          apiKey: 'open key',
        },
        reason: 'certificate_expired',
        status: 403,
      },
      {
        name: 'an SVID that no caller entry matches',
        input: { peer: svid('spiffe://corp.example/nobody'), apiKey: 'open key' },
        reason: 'product_unmapped',
        status: 403,
        expected: { principal: 'spiffe://corp.example/nobody', credential: 'x509-svid' },
      },
      {
        name: 'a certificate of an authority that is no caller',
        input: { peer: certificate('CN=x', { authorities: ['partner-z'] }) },
        reason: 'product_unmapped',
        status: 403,
      },
      {
        name: 'a caller without certificate and key',
        input: {},
        reason: 'credential_missing',
        status: 401,
      },
      {
        name: 'a plaintext caller without key',
        input: { peer: plaintext },
        reason: 'credential_missing',
        status: 401,
      },
      {
        name: 'a key that is not in the file',
        input: { apiKey: 'some key' },
        reason: 'api_key_unknown',
        status: 401,
      },
      {
        name: 'a key above 256 bytes',
        input: { apiKey: 'x'.repeat(257) },
        reason: 'api_key_unknown',
        status: 401,
      },
      {
        name: 'a key from the moment at which it expires',
        input: { apiKey: 'old key' },
        reason: 'api_key_expired',
        status: 401,
        expected: { apiKeyId: 'k_11', consumer: 'acme', product: 'open' },
      },
      {
        name: 'a key before its notBefore',
        input: { apiKey: 'young key' },
        reason: 'api_key_not_yet_valid',
        status: 401,
      },
      {
        name: 'a key of a product that is not in the map',
        input: { apiKey: 'orphaned key' },
        reason: 'product_unmapped',
        status: 403,
      },
      {
        name: 'a key where the product takes none',
        input: { apiKey: 'refused key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a key from apiKeysUntil on',
        input: { apiKey: 'migrating key', nowMs: now + day },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a key where the product asks for a certificate',
        input: { apiKey: 'certificates key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a certificate where the product asks for a key, which stands beside it',
        input: { peer: svid('spiffe://corp.example/keys'), apiKey: 'keys key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a certificate alone where both are asked for',
        input: { peer: svid('spiffe://corp.example/both') },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a key alone where both are asked for',
        input: { apiKey: 'both key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a certificate with a key of another product where both are asked for',
        input: { peer: svid('spiffe://corp.example/both'), apiKey: 'open key' },
        reason: 'credential_not_accepted',
        status: 403,
        expected: { product: 'both', apiKeyId: 'k_open' },
      },
      {
        name: 'a certificate with an unknown key where both are asked for',
        input: { peer: svid('spiffe://corp.example/both'), apiKey: 'some key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a certificate with an expired key where both are asked for',
        input: { peer: svid('spiffe://corp.example/both'), apiKey: 'old both key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'both where both are asked for and keys are refused',
        input: { peer: svid('spiffe://corp.example/both-refused'), apiKey: 'both-refused key' },
        reason: 'credential_not_accepted',
        status: 403,
      },
      {
        name: 'a request that no entry of requests matches',
        input: {
          peer: svid('spiffe://corp.example/reading'),
          request: { method: 'POST', host: 'api.example', path: '/v1/payments/17' },
        },
        reason: 'request_not_allowed',
        status: 403,
      },
      {
        name: 'a path that two readers could read differently',
        input: {
          peer: svid('spiffe://corp.example/reading'),
          request: { method: 'GET', host: 'api.example', path: '/v1/payments/..%2Fadmin' },
        },
        reason: 'request_not_allowed',
        status: 403,
      },
      {
        name: 'a TCP connection to a product with requests',
        input: { peer: svid('spiffe://corp.example/reading'), ...requestless },
        reason: 'request_not_allowed',
        status: 403,
      },
    ]
    for (const { name, input, reason, status, expected } of cases) {
      it(name, () => {
        const decision = decideOn(input)
        assert.deepEqual(pick(decision, ['outcome', 'reason', 'status']), {
          outcome: 'deny',
          reason,
          status,
        })
        assert.equal(decision.steps.at(-1)?.outcome, 'deny')
        if (expected !== undefined) {
          assert.deepEqual(pick(decision, Object.keys(expected)), expected)
        }
      })
    }
  })

  it('accepts a key until the moment of apiKeysUntil, and marks it', () => {
    const decision = decideOn({ apiKey: 'migrating key', nowMs: now + day - 1 })
    assert.deepEqual(pick(decision, ['outcome', 'apiKeyWarned']), {
      outcome: 'allow',
      apiKeyWarned: true,
    })
  })

  it('accepts a key from the moment of notBefore, and until the moment before it expires', () => {
    assert.equal(decideOn({ apiKey: 'young key', nowMs: now + 1 }).reason, 'api_key')
    assert.equal(decideOn({ apiKey: 'old key', nowMs: now - 1 }).reason, 'api_key')
  })

  it('decides nothing by a key beside a good certificate, and records it', () => {
    const peer = svid('spiffe://corp.example/open')
    const besides = ['open key', 'old key', 'young key', 'no key of ours'].map((apiKey) => {
      const decision = decideOn({ peer, apiKey })
      assert.equal(decision.reason, 'svid_id')
      assert.deepEqual([decision.apiKeyId, decision.consumer], [undefined, undefined])
      return decision.keyBeside?.status
    })
    assert.deepEqual(besides, ['valid', 'expired', 'not_yet_valid', 'unknown'])
    assert.equal(decideOn({ peer }).keyBeside, undefined)
  })

  it('looks for no key where none was presented beside a certificate', () => {
    const peer = svid('spiffe://corp.example/open')
    const decision = decideOn({ peer, trust: { ...trust, apiKeys: trap('find') } })
    assert.equal(decision.reason, 'svid_id')
  })

  it('allows nothing that cannot be recorded, denies as ever, and takes nothing of a limit', () => {
    const peer = svid('spiffe://corp.example/open')
    const decision = decideOn({ peer, canRecord: false, limiter: trap('take') })
    assert.deepEqual(pick(decision, ['reason', 'status', 'product', 'principal']), {
      reason: 'audit_unavailable',
      status: 503,
      product: 'open',
      principal: 'spiffe://corp.example/open',
    })
    assert.equal(decideOn({ peer, canRecord: true }).reason, 'svid_id')
    assert.equal(decideOn({ canRecord: false }).reason, 'credential_missing')
  })

  it('looks at nothing after a bad certificate', () => {
    const decision = decideOn({
      peer: untrusted('path_invalid'),
      apiKey: 'open key',
      trust: { ...trust, apiKeys: trap('find'), products: trap('find') },
      limiter: trap('take'),
    })
    assert.equal(decision.reason, 'path_invalid')
  })

  describe('with untrustedCertificate: ignore', () => {
    const rules = { untrustedCertificate: 'ignore' } as const
    const bad: readonly { readonly name: string; readonly peer: Peer; readonly reason: string }[] =
      [
        { name: 'a bad certificate', peer: untrusted('issuer_unknown'), reason: 'issuer_unknown' },
        {
          name: 'a certificate that ended since the handshake',
          peer: svid('spiffe://corp.example/checkout', { notAfterMs: now - hour }),
          reason: 'certificate_expired',
        },
      ]
    for (const { name, peer, reason } of bad) {
      it(`takes the key beside ${name}, and records the certificate`, () => {
        const decision = decideOn({ peer, rules, apiKey: 'open key' })
        assert.deepEqual(pick(decision, ['reason', 'ignoredCertificate', 'credential']), {
          reason: 'api_key',
          ignoredCertificate: reason,
          credential: 'api-key',
        })
      })

      it(`denies ${name} without a key, and records the certificate`, () => {
        const decision = decideOn({ peer, rules })
        assert.deepEqual(pick(decision, ['reason', 'ignoredCertificate']), {
          reason: 'credential_missing',
          ignoredCertificate: reason,
        })
      })
    }

    it('still lets a good certificate decide alone', () => {
      const decision = decideOn({
        peer: svid('spiffe://corp.example/nobody'),
        rules,
        apiKey: 'open key',
      })
      assert.equal(decision.reason, 'product_unmapped')
    })
  })

  it('counts each principal against the limit, and says when to come again', () => {
    const limiter = new RateLimiter()
    const peer = svid('spiffe://corp.example/slow')
    assert.equal(decideOn({ peer, limiter }).outcome, 'allow')
    const denied = decideOn({ peer, limiter, nowMs: now + 1 })
    assert.deepEqual(pick(denied, ['reason', 'status', 'retryAfterSeconds']), {
      reason: 'rate_limited',
      status: 429,
      retryAfterSeconds: 1,
    })
    assert.equal(decideOn({ peer, limiter, nowMs: now + 1_000 }).outcome, 'allow')
  })

  it('rounds the time to wait up to whole seconds', () => {
    const perMinute = { ...limit, periodMs: 60_000 }
    const map = mapOf(product('slow', { callers: ['trustDomain: a.example'], limit: perMinute }))
    const input = {
      peer: svid('spiffe://a.example/x'),
      trust: trustOf({ products: map }),
      limiter: new RateLimiter(),
    }
    decideOn(input)
    const denied = decideOn({ ...input, nowMs: now + 1_500 })
    assert.deepEqual(pick(denied, ['retryAfterSeconds']), { retryAfterSeconds: 59 })
  })

  it('counts no request that a rule refused before the limit', () => {
    const request = { method: 'GET', host: 'api.example', path: '/' }
    const reading = svid('spiffe://corp.example/reading')
    const decision = decideOn({ peer: reading, request, limiter: trap('take') })
    assert.equal(decision.reason, 'request_not_allowed')
  })

  it('records the steps in the order in which they are asked', () => {
    const decision = decideOn({ peer: svid('spiffe://corp.example/checkout') })
    assert.deepEqual(
      decision.steps.map(({ name, outcome }) => `${name} ${outcome}`),
      [
        'identity pass',
        'certificate pass',
        'product-map pass',
        'api-key skip',
        'credential-rule pass',
        'request-rule skip',
        'limit skip',
      ],
    )
  })

  it('records where the caller comes from where it was asked', () => {
    const { steps } = decideOn({
      peer: svid('spiffe://corp.example/inside'),
      address: near,
      rules: rulesFrom({ allow: setOf('10.0.0.0/8') }),
    })
    assert.deepEqual(
      steps.map(({ name, outcome }) => `${name} ${outcome}`),
      [
        'address pass',
        'identity pass',
        'certificate pass',
        'product-map pass',
        'product-address pass',
        'api-key skip',
        'credential-rule pass',
        'request-rule skip',
        'limit skip',
      ],
    )
  })

  it('decides on an address before anything else is known', () => {
    const rules = rulesFrom({ allow: setOf('10.0.0.0/8') })
    const denial = decideAddress(rules, far, 7)
    assert.deepEqual(denial, {
      epoch: 7,
      outcome: 'deny',
      reason: 'address_not_allowed',
      status: 403,
      steps: [
        { name: 'address', outcome: 'deny', detail: 'allow lists no range where 192.0.2.1 is' },
      ],
    })
    assert.equal(decideAddress(rules, near, 7), undefined)
    assert.equal(decideAddress({ untrustedCertificate: 'refuse' }, undefined, 7), undefined)
  })

  it('ends the steps with the one that denied', () => {
    const decision = decideOn({ apiKey: 'certificates key' })
    assert.deepEqual(
      decision.steps.map(({ name, outcome }) => `${name} ${outcome}`),
      [
        'identity pass',
        'certificate skip',
        'product-map skip',
        'api-key pass',
        'credential-rule deny',
      ],
    )
  })

  it('never repeats what was presented as a key', () => {
    const presented = 'pst_k_8f3a2c91_secret'
    assert.ok(!JSON.stringify(decideOn({ apiKey: presented })).includes(presented))
    assert.ok(!JSON.stringify(decideOn({ apiKey: 'open key' })).includes('open key'))
  })

  it('never throws, and answers with whole decisions, whatever comes in', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const decision = decideOn(input)
        const last = decision.steps.at(-1)
        assert.equal(decision.outcome === 'deny', last?.outcome === 'deny')
        assert.ok(decision.outcome === 'allow' || decision.status >= 401)
      }),
      { numRuns: 300 },
    )
  })
})

const anyPeer: fc.Arbitrary<Peer> = fc.oneof(
  fc.constantFrom<Peer>(plaintext, anonymous, untrusted('svid_malformed')),
  fc
    .constantFrom('checkout', 'batch/x', 'ns/prod', 'ns/prod/a/b', 'both', 'reading', 'keys')
    .map((path) => svid(`spiffe://corp.example/${path}`, { authorities: ['partner-b'] })),
  fc.string().map((subject) => certificate(subject, { authorities: [subject] })),
)

const anyInput: fc.Arbitrary<Partial<DecisionInput>> = fc.record(
  {
    peer: anyPeer,
    request: fc.record({
      method: fc.string({ unit: 'binary' }),
      host: fc.string({ unit: 'binary' }),
      path: fc.string({
        unit: fc.constantFrom('/', '%', '2', 'e', 'f', '.', 'a', '\\', '\0', '?'),
      }),
    }),
    apiKey: fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('open key', 'both key', 'old key', 'orphaned key'),
      fc.record({ id: fc.string() }),
      fc.record({ sha256: fc.string() }),
    ),
    rules: fc.record({ untrustedCertificate: fc.constantFrom('refuse', 'ignore') }),
    nowMs: fc.oneof(fc.integer(), fc.constant(now)),
  },
  { requiredKeys: [] },
)

function pick(value: object, keys: readonly string[]): Record<string, unknown> {
  const record = value as Record<string, unknown>
  return Object.fromEntries(keys.map((key) => [key, record[key]]))
}

/** Stands where nobody may ask. */
function trap(method: string): never {
  return {
    [method]: () => {
      throw new Error(`${method} was asked`)
    },
  } as never
}
