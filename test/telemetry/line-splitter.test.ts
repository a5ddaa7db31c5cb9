import assert from 'node:assert/strict'
import fc from 'fast-check'
import { LineSplitter } from '../../src/telemetry/line-splitter.ts'

/** Lines as they come, and `null` for one that is too long. */
function split(chunks: readonly Buffer[], longest = 8): (string | null)[] {
  const seen: (string | null)[] = []
  const splitter = new LineSplitter(
    longest,
    (line) => void seen.push(line),
    () => void seen.push(null),
  )
  for (const chunk of chunks) splitter.push(chunk)
  splitter.end()
  return seen
}

describe('lines of a stream', () => {
  it('are the same wherever it is cut', () => {
    const text = 'one\n\nsecönd\nthe third is too long\n12345678\n123456789\nlast'
    const whole = ['one', 'secönd', null, '12345678', null, 'last']
    assert.deepEqual(split([Buffer.from(text)]), whole)
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
        const bytes = Buffer.from(text)
        const at = [0, ...cuts, bytes.length].toSorted((a, b) => a - b)
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
        assert.deepEqual(split(chunks), whole)
      }),
    )
  })

  it('are told once when they are too long, of which nothing is kept', () => {
    const endless = Array.from({ length: 100 }, () => Buffer.from('abcdefgh'))
    assert.deepEqual(split([...endless, Buffer.from('\nok')]), [null, 'ok'])
  })
})
