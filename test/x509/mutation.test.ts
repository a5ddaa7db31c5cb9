import assert from 'node:assert/strict'
import { authenticateDer } from '../../src/policy/authenticate.ts'
import type { Peer } from '../../src/policy/peer.ts'
import type { TrustBundle } from '../../src/spiffe/trust-bundle.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

const id = 'spiffe://corp.example/api'

describe('a good chain with one byte changed', function () {
  this.timeout(180_000)

  let leaf: TestLeaf
  let bundle: TrustBundle
  let presented: readonly Buffer[]

  before(async () => {
    const root = await TestCa.root('corp.example')
    const constraints = { permitted: [{ uri: 'corp.example' }] }
    const intermediate = await root.intermediate({ nameConstraints: constraints })
    leaf = await intermediate.leaf({ spiffeId: id, dnsNames: ['api.corp.example'] })
    bundle = root.bundle('corp.example')
    presented = leaf.certificates.map((certificate) => certificate.der)
  })

  const judge = (ders: readonly Buffer[]): Peer => {
    const bundles = new Map([['corp.example', bundle]])
    return authenticateDer(ders, { bundles, authorities: new Map() }, Date.now())
  }

  it('is accepted as long as nothing is changed', () => {
    assert.equal(judge(presented).kind, 'svid')
  })

  // No octet is free: all but the signature is signed or must equal something signed, and ECDSA signatures in DER
  // have one form.
  for (const [index, name] of ['leaf', 'intermediate'].entries()) {
    it(`is refused at every offset of the ${name}`, () => {
      const original = presented[index]!
      for (let offset = 0; offset < original.length; offset++)
        for (const change of [0x01, 0x80, 0xff, 0x20])
          assert.equal(
            judge(withChange(presented, index, offset, change)).kind,
            'untrusted',
            `${offset}`,
          )
    })

    it(`is refused with the ${name} cut off at any length or followed by a byte`, () => {
      const original = presented[index]!
      for (let length = 0; length < original.length; length++)
        assert.equal(judge(presented.with(index, original.subarray(0, length))).kind, 'untrusted')
      const longer = Buffer.concat([original, Buffer.alloc(1)])
      assert.equal(judge(presented.with(index, longer)).kind, 'untrusted')
    })
  }
})

function withChange(
  ders: readonly Buffer[],
  index: number,
  offset: number,
  change: number,
): readonly Buffer[] {
  const changed = Buffer.from(ders[index]!)
  changed[offset] = changed[offset]! ^ change
  return ders.with(index, changed)
}
