import assert from 'node:assert/strict'
import { Verdicts } from '../../src/inbound/verdicts.ts'
import { ApiKeys } from '../../src/policy/api-keys.ts'
import { ProductMap } from '../../src/policy/product-map.ts'
import type { Peer } from '../../src/policy/peer.ts'
import type { TrustState } from '../../src/policy/trust-state.ts'
import type { PresentedChain } from '../../src/tls/presented-chain.ts'
import { finish } from '../../src/core/steps.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { authority } from '../policy/support/policy.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

const hour = 3_600_000

describe('Verdicts', () => {
  const nowMs = Date.now()
  let ca: TestCa
  let chain: PresentedChain
  let trust: TrustState
  let verdicts: Verdicts

  before(async () => {
    ca = await TestCa.root('corp')
    chain = await present({ notBeforeMs: nowMs - hour / 2, notAfterMs: nowMs + hour / 2 })
  })

  beforeEach(() => {
    verdicts = new Verdicts()
    trust = stateOf(1, new Map([['corp.example', ca.bundle('corp.example')]]))
  })

  it('remembers a good verdict within an epoch', () => {
    const first = verdicts.judge(chain, trust, nowMs)
    assert.equal(first.kind, 'svid')
    assert.equal(verdicts.judge(chain, trust, nowMs + 1), first)
  })

  it('judges anew in the next epoch, whatever was remembered', () => {
    verdicts.judge(chain, trust, nowMs)
    assert.equal(
      reason(verdicts.judge(chain, stateOf(2, new Map()), nowMs)),
      'trust_domain_unknown',
    )
    assert.equal(verdicts.judge(chain, { ...trust, epoch: 3 }, nowMs).kind, 'svid')
  })

  it('admits no expired certificate when the clock jumps forward, and the same one when it is back', () => {
    verdicts.judge(chain, trust, nowMs)
    assert.equal(reason(verdicts.judge(chain, trust, nowMs + hour)), 'certificate_expired')
    assert.equal(verdicts.judge(chain, trust, nowMs).kind, 'svid')
  })

  it('admits no certificate before its time when the clock jumps back, and the same one afterwards', () => {
    verdicts.judge(chain, trust, nowMs)
    assert.equal(reason(verdicts.judge(chain, trust, nowMs - hour)), 'certificate_not_yet_valid')
    assert.equal(verdicts.judge(chain, trust, nowMs).kind, 'svid')
  })

  it('ends a verdict with the intermediate when that ends first', async () => {
    const intermediate = await ca.intermediate({ notAfterMs: nowMs + hour / 4 })
    const below = await present({ notAfterMs: nowMs + hour }, intermediate)
    assert.equal(verdicts.judge(below, trust, nowMs).kind, 'svid')
    assert.equal(verdicts.judge(below, trust, nowMs + hour / 2).kind, 'untrusted')
  })

  it('ends a verdict with the revocation list that had to be asked, within an epoch', async () => {
    const partner = await TestCa.root('partner-b')
    const leaf = await partner.leaf()
    const nextUpdateMs = Math.floor(nowMs / 1_000) * 1_000 + 60_000
    const list = finish(RevocationList.read(partner.revocationList([], { nextUpdateMs })))
    const revocation = { lists: [list], required: true }
    const anchors = [partner.certificate]
    const products = ProductMap.of([], [authority('b', { anchors, revocation })])
    const held = { ...trust, products }
    const presented = { certificates: [leaf.certificate.der], digest: leaf.certificate.sha256 }
    const first = verdicts.judge(presented, held, nowMs)
    assert.equal(first.kind, 'certificate')
    assert.equal(verdicts.judge(presented, held, nextUpdateMs), first)
    assert.equal(reason(verdicts.judge(presented, held, nextUpdateMs + 1)), 'revocation_unknown')
  })

  it('parses a chain once for all epochs, and judges it anew in each', () => {
    const first = leafOf(verdicts.judge(chain, trust, nowMs))
    const next = verdicts.judge(chain, { ...trust, epoch: 2 }, nowMs)
    assert.equal(leafOf(next), first)
    assert.equal(
      reason(verdicts.judge(chain, stateOf(3, new Map()), nowMs)),
      'trust_domain_unknown',
    )
  })

  it('has connections with the same good chain share it, and keeps nothing of a bad one', () => {
    const again = {
      certificates: chain.certificates.map((der) => Buffer.from(der)),
      digest: chain.digest,
    }
    verdicts.judge(chain, stateOf(0, new Map()), nowMs)
    assert.equal(verdicts.shared(again), again)
    verdicts.judge(chain, trust, nowMs)
    assert.equal(verdicts.shared(again), chain)
  })

  it('takes a caller that presented nothing for anonymous', () => {
    const nothing = { certificates: [], digest: '' }
    assert.deepEqual(verdicts.judge(nothing, trust, nowMs), { kind: 'anonymous' })
  })

  async function present(
    dates: { notBeforeMs?: number; notAfterMs: number },
    issuer = ca,
  ): Promise<PresentedChain> {
    const leaf: TestLeaf = await issuer.leaf({ spiffeId: 'spiffe://corp.example/a', ...dates })
    const certificates = leaf.certificates.map((certificate) => certificate.der)
    return { certificates, digest: leaf.certificates.map((one) => one.sha256).join() }
  }
})

function stateOf(epoch: number, bundles: TrustState['bundles']): TrustState {
  const products = ProductMap.of([], [])
  return { epoch, bundles, products, apiKeys: ApiKeys.empty, hasIdentity: true }
}

function leafOf(peer: Peer): Certificate {
  assert.equal(peer.kind, 'svid')
  return peer.path.leaf
}

function reason(peer: Peer): string {
  return peer.kind === 'untrusted' ? peer.reason : peer.kind
}
