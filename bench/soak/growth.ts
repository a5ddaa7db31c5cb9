/** The sidecar at one moment; memory after a collection. */
export interface Sample {
  readonly atMs: number
  readonly heapBytes: number
  readonly residentBytes: number
  readonly handles: number
  /** Longest pause of the event loop since the sample before. */
  readonly pauseMs: number
}

const warmUpMs = 5 * 60_000
const MiB = 2 ** 20

/** How much more the end may have than the beginning: a share, and what noise adds. */
const bounds = {
  heapBytes: { share: 0.05, noise: 2 * MiB },
  residentBytes: { share: 0.1, noise: 10 * MiB },
  handles: { share: 0.1, noise: 8 },
} as const

/**
 * What grew: the median of the last third of the samples against that of the first, once the program is warm, after five minutes or
 * a third of the run. Empty: nothing.
 */
export function grown(samples: readonly Sample[]): string[] {
  const lastMs = samples.at(-1)?.atMs ?? 0
  const warmMs = Math.min(warmUpMs, lastMs / 3)
  const warm = samples.filter(({ atMs }) => atMs >= warmMs)
  const third = Math.ceil(warm.length / 3)
  return (Object.keys(bounds) as (keyof typeof bounds)[]).flatMap((name) => {
    const first = median(warm.slice(0, third).map((sample) => sample[name]))
    const last = median(warm.slice(-third).map((sample) => sample[name]))
    const { share, noise } = bounds[name]
    return last <= first * (1 + share) + noise ? [] : [`${name} grew from ${first} to ${last}`]
  })
}

function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[figures.length >> 1] ?? NaN
}
