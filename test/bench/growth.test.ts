import assert from 'node:assert/strict'
import { grown, type Sample } from '../../bench/soak/growth.ts'

const MiB = 2 ** 20
const minuteMs = 60_000

/** A sample each minute; what is not given stays as it is. */
function run(minutes: number, at: (minute: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: minutes }, (_, i) => ({
    ...{ atMs: (i + 1) * minuteMs, pauseMs: 1, handles: 50 },
    ...{ heapBytes: 25 * MiB, residentBytes: 110 * MiB },
    ...at(i + 1),
  }))
}

describe('growth in a soak', () => {
  it('is none when nothing grows', () => {
    assert.deepEqual(grown(run(30, (minute) => ({ heapBytes: (25 + (minute % 3)) * MiB }))), [])
  })

  it('is none while the program warms up', () => {
    assert.deepEqual(
      grown(run(30, (minute) => ({ residentBytes: Math.min(110, 70 + minute * 8) * MiB }))),
      [],
    )
  })

  const leaks: { name: string; at: (minute: number) => Partial<Sample>; grows: RegExp }[] = [
    { name: 'heap', at: (minute) => ({ heapBytes: (25 + minute / 4) * MiB }), grows: /^heapBytes/ },
    {
      name: 'resident memory',
      at: (minute) => ({ residentBytes: (110 + 2 * minute) * MiB }),
      grows: /^residentBytes/,
    },
    { name: 'handles', at: (minute) => ({ handles: 50 + minute }), grows: /^handles/ },
  ]
  for (const { name, at, grows } of leaks) {
    it(`is told of ${name}`, () => {
      const found = grown(run(30, at))
      assert.equal(found.length, 1)
      assert.match(found[0] ?? '', grows)
    })
  }
})
