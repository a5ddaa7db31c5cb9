import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { finish } from '../../src/core/steps.ts'
import { AuthorityRevocationCheck } from '../../src/policy/revocation-check.ts'
import { Certificate } from '../../src/x509/certificate.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { validatePath } from '../../src/x509/validate-path.ts'

interface PkitsCase {
  readonly test: string
  readonly leaf: string
  readonly intermediates: readonly string[]
  /** Revocation lists that are given; then revocation must be known. */
  readonly crls?: readonly string[]
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

/** A list that does not parse is never asked. */
function loadLists(names: readonly string[]): RevocationList[] {
  return names.flatMap((name) => {
    try {
      return [finish(RevocationList.read(readFileSync(new URL(`crls/${name}.crl`, folder))))]
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ERR_CRL_MALFORMED')
      return []
    }
  })
}

type Order = (names: readonly string[]) => readonly string[]

const asGiven: Order = (names) => names
const reversed: Order = (names) => names.toReversed()

function outcome({ leaf, intermediates, crls }: PkitsCase, order: Order) {
  const anchors = [load('TrustAnchorRootCertificate')]
  const revocation =
    crls === undefined
      ? undefined
      : AuthorityRevocationCheck.of(
          new Map([
            [
              'pkits',
              {
                alias: 'pkits',
                anchors,
                revocation: { lists: loadLists(order(crls)), required: true },
              },
            ],
          ]),
        )
  try {
    const sent = order(intermediates).map(load)
    const result = validatePath(load(leaf), sent, anchors, { nowMs, revocation })
    return result.kind === 'valid' ? result.kind : result.reason
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ERR_CERTIFICATE_MALFORMED')
    return 'malformed'
  }
}

describe('PKITS', () => {
  for (const pkitsCase of table.cases) {
    it(`${pkitsCase.test} ${pkitsCase.leaf}: ${pkitsCase.expected}`, () => {
      assert.equal(outcome(pkitsCase, asGiven), pkitsCase.expected)
      assert.equal(outcome(pkitsCase, reversed), pkitsCase.expected)
    })
  }

  it('has many cases that only their revocation lists decide', () => {
    const decided = table.cases.filter(({ expected }) =>
      ['certificate_revoked', 'revocation_unknown'].includes(expected),
    )
    assert.ok(decided.length > 30)
    for (const { leaf, intermediates, test, expected } of decided) {
      const without = { test, leaf, intermediates, expected }
      assert.equal(outcome(without, asGiven), 'valid', test)
    }
  })

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
