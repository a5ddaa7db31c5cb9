import assert from 'node:assert/strict'
import { finish } from '../../src/core/steps.ts'
import { authenticate } from '../../src/policy/authenticate.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

describe('a revocation list with one byte changed', function () {
  this.timeout(180_000)

  let ca: TestCa
  let revoked: TestLeaf
  let good: TestLeaf
  let der: Buffer

  before(async () => {
    ca = await TestCa.root('partner-b')
    revoked = await ca.leaf()
    good = await ca.leaf()
    const other = await ca.leaf()
    der = ca.revocationList([other.certificate, revoked.certificate])
  })

  /** As when the file is taken: what does not parse is never asked. */
  function reasonOf(leaf: TestLeaf, bytes: Buffer): string | undefined {
    let lists: RevocationList[] = []
    try {
      lists = [finish(RevocationList.read(bytes))]
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ERR_CRL_MALFORMED')
    }
    const revocation = { lists, required: true }
    const authority = { alias: 'partner-b', anchors: [ca.certificate], revocation }
    const trust = { bundles: new Map(), authorities: new Map([['partner-b', authority]]) }
    const peer = authenticate(leaf.certificates, trust, Date.now())
    return peer.kind === 'untrusted' ? peer.reason : undefined
  }

  it('revokes whom it lists as long as nothing is changed', () => {
    assert.equal(reasonOf(revoked, der), 'certificate_revoked')
    assert.equal(reasonOf(good, der), undefined)
  })

  it('shows nobody to be good at any offset, and throws nothing', () => {
    for (let offset = 0; offset < der.length; offset++)
      for (const change of [0x01, 0x80, 0xff, 0x20]) {
        const changed = Buffer.from(der)
        changed[offset] = (changed[offset] ?? 0) ^ change
        for (const leaf of [revoked, good])
          assert.equal(reasonOf(leaf, changed), 'revocation_unknown', `${offset} ${change}`)
      }
  })

  it('shows nobody to be good when it is cut off at any length or followed by a byte', () => {
    for (let length = 0; length < der.length; length++)
      assert.equal(reasonOf(good, der.subarray(0, length)), 'revocation_unknown')
    assert.equal(reasonOf(good, Buffer.concat([der, Buffer.alloc(1)])), 'revocation_unknown')
  })
})
