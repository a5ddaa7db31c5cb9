import assert from 'node:assert/strict'
import { CaCache, mostKeptCas } from '../../src/x509/ca-cache.ts'
import type { CertificatePath } from '../../src/x509/certificate-path.ts'
import { Certificate } from '../../src/x509/certificate.ts'
import { testKey } from '../support/certificate-writer.ts'
import { TestCa } from '../support/test-ca.ts'

describe('CaCache', () => {
  let root: TestCa
  let leaf: Certificate

  before(async () => {
    root = await TestCa.root('corp.example')
    leaf = (await root.leaf()).certificate
  })

  const key = testKey()
  const issue = () => root.issue({ key, basicConstraints: { isCa: true } })
  const pathThrough = (ca: Certificate): CertificatePath => ({
    certificates: [leaf, ca, root.certificate],
    leaf,
    anchor: root.certificate,
    notAfterMs: leaf.notAfterMs,
    revocationUntilMs: Infinity,
  })

  it('gives one object for the same bytes, once they stood on a valid path', () => {
    const cas = new CaCache()
    const der = issue()
    const first = cas.parse(der)
    assert.notEqual(cas.parse(der), first)
    cas.keep(pathThrough(first))
    assert.equal(cas.parse(Buffer.from(der)), first)
  })

  it('tells certificates apart by every byte', () => {
    const cas = new CaCache()
    const [one, other] = [issue(), issue()]
    cas.keep(pathThrough(cas.parse(one)))
    assert.deepEqual(cas.parse(other).der, other)
    assert.throws(() => cas.parse(one.subarray(0, -1)), { code: 'ERR_CERTIFICATE_MALFORMED' })
  })

  it('keeps neither leaf nor anchor', () => {
    const cas = new CaCache()
    cas.keep(pathThrough(cas.parse(issue())))
    assert.notEqual(cas.parse(leaf.der), leaf)
    assert.notEqual(cas.parse(root.certificate.der), root.certificate)
  })

  it('lets the oldest go when it is full', () => {
    const cas = new CaCache()
    const kept = Array.from({ length: mostKeptCas + 1 }, () => Certificate.parse(issue()))
    for (const ca of kept) cas.keep(pathThrough(ca))
    assert.notEqual(cas.parse(kept[0]!.der), kept[0])
    assert.equal(cas.parse(kept[1]!.der), kept[1])
    assert.equal(cas.parse(kept[mostKeptCas]!.der), kept[mostKeptCas])
  })
})
