import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Certificate } from '../../src/x509/certificate.ts'
import { validatePath } from '../../src/x509/validate-path.ts'

interface PkitsCase {
  readonly test: string
  readonly leaf: string
  readonly intermediates: readonly string[]
  readonly expected: string
  /** What the suite says, where we differ. */
  readonly published?: string
}

interface PkitsTable {
  readonly cases: readonly PkitsCase[]
  readonly leftOut: readonly { readonly tests: readonly string[]; readonly why: string }[]
}

const folder = new URL('../vectors/pkits/', import.meta.url)
const table = JSON.parse(readFileSync(new URL('cases.json', folder), 'utf8')) as PkitsTable
const nowMs = Date.UTC(2020, 0, 1)

function load(name: string): Certificate {
  return Certificate.parse(readFileSync(new URL(`certs/${name}.crt`, folder)))
}

function outcome(pkitsCase: PkitsCase, order: (names: readonly string[]) => readonly string[]) {
  const anchors = [load('TrustAnchorRootCertificate')]
  try {
    const intermediates = order(pkitsCase.intermediates).map(load)
    const result = validatePath(load(pkitsCase.leaf), intermediates, anchors, { nowMs })
    return result.kind === 'valid' ? result.kind : result.reason
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ERR_CERTIFICATE_MALFORMED')
    return 'malformed'
  }
}

describe('PKITS', () => {
  for (const pkitsCase of table.cases) {
    it(`${pkitsCase.test} ${pkitsCase.leaf}: ${pkitsCase.expected}`, () => {
      assert.equal(
        outcome(pkitsCase, (names) => names),
        pkitsCase.expected,
      )
      assert.equal(
        outcome(pkitsCase, (names) => names.toReversed()),
        pkitsCase.expected,
      )
    })
  }

  it('expects what the suite publishes, but for DSA', () => {
    const differing = table.cases.filter((pkitsCase) => {
      const published = pkitsCase.leaf.startsWith('Valid')
      return published !== (pkitsCase.expected === 'valid')
    })
    assert.deepEqual(
      differing.map((pkitsCase) => pkitsCase.test),
      ['4.1.4', '4.1.5'],
    )
  })

  it('accounts for each of the 224 tests once', () => {
    const tests = [
      ...table.cases.map((pkitsCase) => pkitsCase.test),
      ...table.leftOut.flatMap((group) => group.tests),
    ]
    assert.equal(tests.length, 224)
    assert.equal(new Set(tests).size, 224)
  })
})
