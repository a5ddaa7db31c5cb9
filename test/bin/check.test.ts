import assert from 'node:assert/strict'
import { checkValidity } from '../../src/bin/check-identity.ts'
import { formatFindings, ok, problem } from '../../src/bin/finding.ts'
import { hour, now } from '../policy/support/policy.ts'

describe('checkValidity', () => {
  const cases = [
    { name: 'a fresh SVID', begins: -60_000, ends: hour, level: 'ok', says: /agree/ },
    {
      name: 'a clock that is behind',
      begins: 5_000,
      ends: hour,
      level: 'problem',
      says: /5 s behind/,
    },
    {
      name: 'an SVID that has ended',
      begins: -hour,
      ends: -1_000,
      level: 'problem',
      says: /1 s ago/,
    },
    {
      name: 'one that is not renewed',
      begins: -0.8 * hour,
      ends: 0.2 * hour,
      level: 'warning',
      says: /not renewed yet/,
    },
    {
      name: 'one that is about to be',
      begins: -0.6 * hour,
      ends: 0.4 * hour,
      level: 'ok',
      says: /agree/,
    },
  ]
  for (const { name, begins, ends, level, says } of cases) {
    it(`finds ${name}`, () => {
      const [finding] = checkValidity(now + ends, now + begins, now)
      assert.equal(finding?.level, level)
      assert.match(finding.message, says)
      assert.equal(finding.hint === undefined, level === 'ok')
    })
  }
})

describe('formatFindings', () => {
  it('puts a heading over each group and a hint below its line, and lets nothing steer the terminal', () => {
    const groups = [
      { name: 'files', findings: [ok('good'), problem('bad \u001b[2J', 'mend it')] },
      { name: 'nothing', findings: [] },
      { name: 'identity', findings: [ok('held')] },
    ]
    assert.equal(
      formatFindings(groups),
      'files\n-----\n√ good\n× bad \\u{1b}[2J\n    hint: mend it\n\nidentity\n--------\n√ held',
    )
  })
})
