import assert from 'node:assert/strict'
import { viewMadeDecision } from '../../../src/admin/views/explanation-view.ts'
import type { Peer } from '../../../src/policy/peer.ts'
import { ProductMap } from '../../../src/policy/product-map.ts'
import { authority, mapOf, product, trustOf } from '../../policy/support/policy.ts'
import { TestCa } from '../../support/test-ca.ts'
import { allow, deny, recordOf, svidPeer } from '../../telemetry/support/records.ts'
import { FakeSidecar } from '../support/fake-sidecar.ts'

const unmapped = deny({ reason: 'product_unmapped', principal: 'spiffe://a.example/y' })

describe('viewMadeDecision', () => {
  it('says of each rule why it did not match, with its place in the file', async () => {
    const peer = await svidPeer('spiffe://a.example/y')
    const trust = trustOf({
      epoch: 3,
      products: mapOf(product('x', { callers: ['spiffeId: spiffe://a.example/x'] })),
    })
    const view = viewMadeDecision(recordOf({ peer, decision: unmapped }), trust, 3)

    assert.equal(view.rules.length, 1)
    assert.equal(view.rules[0]?.why, 'the caller is spiffe://a.example/y')
    assert.equal(view.rules[0].position.file, 'products.yaml')
    assert.equal(view.note, undefined)
    assert.equal(view.caller.spiffeId, 'spiffe://a.example/y')
    assert.deepEqual(
      view.caller.path?.map(({ sha256 }) => sha256),
      peer.path.certificates.map(({ sha256 }) => sha256),
    )
  })

  it('keeps the decision that was made, whatever would be decided now', () => {
    const limited = deny({ reason: 'rate_limited', status: 429, retryAfterSeconds: 2 })
    const view = viewMadeDecision(recordOf({ decision: limited }), trustOf(), 1)
    assert.equal(view.decision, limited)
  })

  it('says so when the rules are those of an older epoch', async () => {
    const record = recordOf({ peer: await svidPeer(), decision: allow() })
    const view = viewMadeDecision(record, trustOf({ epoch: 7 }), 9)
    assert.match(view.note ?? '', /those of epoch 7, .* now it is epoch 9/)
  })

  it('says so when they are no longer held, and shows none', async () => {
    const record = recordOf({ peer: await svidPeer(), decision: allow() })
    const view = viewMadeDecision(record, undefined, 30)
    assert.match(view.note ?? '', /changed since.* epoch 7.* no longer held.* epoch 30/)
    assert.deepEqual([view.rules, view.requests], [[], []])
    assert.equal(view.decision, record.decision)
  })

  describe('names who had to vouch for a certificate that proves nothing:', () => {
    const claiming = (spiffeId?: string): Peer => ({
      kind: 'untrusted',
      reason: 'issuer_unknown',
      detail: 'the issuer "CN=x" is neither trusted nor was it sent',
      claimed: spiffeId === undefined ? { subject: 'CN=x' } : { spiffeId },
    })
    let sidecar: FakeSidecar
    let ca: TestCa

    before(async () => {
      ca = await TestCa.root('corp')
      const bundle = ca.bundle('corp.example')
      const { trustDomain } = ca.bundle('partner.example')
      const products = ProductMap.of(
        [],
        [authority('outside'), authority('speaks', { trustDomain }), authority('other')],
      )
      sidecar = new FakeSidecar({ bundles: new Map([['corp.example', bundle]]), products })
    })

    const cases: readonly { name: string; id?: string; judges: string[] }[] = [
      {
        name: 'the bundle of its own trust domain alone',
        id: 'spiffe://corp.example/x',
        judges: ['bundle of corp.example'],
      },
      {
        name: 'the authority that speaks for its trust domain',
        id: 'spiffe://partner.example/x',
        judges: ['authority speaks'],
      },
      {
        name: 'the authorities without a trust domain, for one that is not held',
        id: 'spiffe://far.example/x',
        judges: ['authority outside', 'authority other'],
      },
      {
        name: 'the authorities without a trust domain, for one without a SPIFFE ID',
        judges: ['authority outside', 'authority other'],
      },
    ]
    for (const { name, id, judges } of cases) {
      it(name, () => {
        const decision = deny({ reason: 'issuer_unknown', epoch: 1 })
        sidecar.decide(recordOf({ id: `d_${name.length}`, peer: claiming(id), decision }))
        const view = sidecar.api.decision(`d_${name.length}`)
        assert.deepEqual(
          view?.judgedBy?.map((judge) => judge.name),
          judges,
        )
        assert.equal(view.caller.fault, 'the issuer "CN=x" is neither trusted nor was it sent')
      })
    }

    it('with its anchors', () => {
      const decision = deny({ reason: 'issuer_unknown', epoch: 1 })
      const peer = claiming('spiffe://corp.example/x')
      sidecar.decide(recordOf({ id: 'd_anchors', peer, decision }))
      const [judge] = sidecar.api.decision('d_anchors')?.judgedBy ?? []
      assert.equal(judge?.anchors[0]?.sha256, ca.certificate.sha256)
    })
  })
})

describe('AdminApi.explain', () => {
  const query = (text: string) => new URLSearchParams(text)
  let sidecar: FakeSidecar

  before(async () => {
    const bundle = (await TestCa.root('a')).bundle('a.example')
    const products = mapOf(
      product('reading', {
        callers: ['spiffeId: spiffe://a.example/x/*'],
        requests: [{ methods: ['GET'] }],
      }),
    )
    sidecar = new FakeSidecar({ bundles: new Map([['a.example', bundle]]), products })
  })

  it('says how a caller with this SPIFFE ID would be answered', () => {
    const allowed = sidecar.api.explain(query('spiffeId=spiffe://a.example/x/1'))
    assert.equal(allowed.decision.outcome, 'allow')
    assert.match(allowed.note ?? '', /as if a valid SVID/)
    const denied = sidecar.api.explain(query('spiffeId=spiffe://a.example/x/1&method=PUT'))
    assert.equal(denied.decision.reason, 'request_not_allowed')
    assert.equal(denied.requests[0]?.matches, false)
  })

  it('counts nothing and records nothing', () => {
    sidecar.api.explain(query('spiffeId=spiffe://a.example/x/1'))
    assert.equal(sidecar.recent.count, 0)
    assert.equal(sidecar.usage.changes, 0)
  })

  it('says what it cannot assume', () => {
    const stranger = sidecar.api.explain(query('spiffeId=spiffe://b.example/x'))
    assert.equal(stranger.decision.reason, 'trust_domain_unknown')
    assert.equal(sidecar.api.explain(query('')).decision.reason, 'credential_missing')
    const unknown = sidecar.api.explain(query('apiKeyId=k_none'))
    assert.equal(unknown.decision.reason, 'api_key_unknown')
    assert.throws(() => sidecar.api.explain(query('spiffeId=nobody')), /spiffeId/)
    assert.throws(() => sidecar.api.explain(query('address=here')), /IP address/)
    assert.throws(() => sidecar.api.explain(query('key=pst_x')), /expected spiffeId/)
  })
})
