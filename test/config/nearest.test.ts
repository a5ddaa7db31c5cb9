import assert from 'node:assert/strict'
import fc from 'fast-check'
import { editDistance, nearest } from '../../src/config/nearest.ts'

describe('nearest', () => {
  const known = ['listen', 'upstream', 'upstreamProtocol', 'limits', 'apiKeyHeader']
  const cases: Readonly<Record<string, string | undefined>> = {
    lisen: 'listen',
    listne: 'listen',
    LISTEN: 'listen',
    upstreem: 'upstream',
    upstreamprotocol: 'upstreamProtocol',
    apikeyheader: 'apiKeyHeader',
    something: undefined,
    '': undefined,
  }
  for (const [word, meant] of Object.entries(cases)) {
    it(`takes ${JSON.stringify(word)} for ${String(meant)}`, () => {
      assert.equal(nearest(word, known), meant)
    })
  }

  it('does not measure what is too long to be a typing error', () => {
    assert.equal(nearest('x'.repeat(1_000_000), known), undefined)
  })
})

describe('editDistance', () => {
  const word = fc.string({ maxLength: 8, unit: fc.constantFrom('a', 'b', 'c') })

  it('is a distance: the same both ways, 0 for equals alone, never above the longer word', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b)
        assert.equal(distance, editDistance(b, a))
        assert.equal(distance === 0, a === b)
        assert.ok(distance <= Math.max(a.length, b.length))
        assert.ok(distance >= Math.abs(a.length - b.length))
      }),
    )
  })

  it('counts a letter more, less, other or swapped as one', () => {
    for (const other of ['listenn', 'liste', 'lisden', 'lsiten']) {
      assert.equal(editDistance('listen', other), 1, other)
    }
    assert.equal(editDistance('listen', 'silent'), 4)
  })
})
