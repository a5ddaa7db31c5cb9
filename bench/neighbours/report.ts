import type { Contender, Measurement } from './measure.ts'
import type { Scenario } from './scenario.ts'

/** Of a list of figures; the list is not empty. */
interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

export function spread(figures: readonly number[]): Spread {
  const sorted = [...figures].sort((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? NaN
  return { min: at(0), median: at((sorted.length - 1) >> 1), max: at(sorted.length - 1) }
}

/** One scenario as a table: a row for each proxy, with ratios to the others of the same run. */
export function scenarioTable(
  scenario: Scenario,
  measurements: readonly Measurement[],
  bases: readonly string[],
): string {
  const header = [
    '',
    `CPU us per ${scenario.unit} (min median max)`,
    ...bases.map((name) => `x ${name}`),
    'per s',
    `p50 ms at ${scenario.ratePerSecond}/s`,
    'p99 ms',
    'MiB',
  ]
  const rows = measurements.map((one) => row(one, measurements, bases))
  return `\n${scenario.name}: ${scenario.title}\n\n${aligned([header, ...rows])}\n${gaps(measurements)}`
}

function row(
  one: Measurement,
  all: readonly Measurement[],
  bases: readonly string[],
): readonly string[] {
  if (one.missing !== undefined) return [one.proxy, 'not measured']
  const cpu = spread(one.cpuMicroseconds)
  return [
    one.proxy,
    [cpu.min, cpu.median, cpu.max].map((figure) => figure.toFixed(1)).join('  '),
    ...bases.map((base) => ratioText(one, base, all)),
    spread(one.unitsPerSecond).median.toFixed(0),
    spread(one.p50Ms).median.toFixed(2),
    spread(one.p99Ms).median.toFixed(2),
    one.residentMiB.toFixed(0),
  ]
}

function ratioText(one: Measurement, base: string, all: readonly Measurement[]): string {
  const ratio = ratioTo(one, base, all)
  return ratio === undefined ? '-' : ratio.toFixed(2)
}

/** Of CPU time per unit, round by round, since a machine's speed drifts; the median. */
export function ratioTo(
  one: Measurement,
  base: string,
  all: readonly Measurement[],
): number | undefined {
  const other = all.find(({ proxy }) => proxy === base)
  if (other === undefined || other.missing !== undefined || one.missing !== undefined) return
  const ratios = one.cpuMicroseconds.map((figure, i) => figure / (other.cpuMicroseconds[i] ?? NaN))
  return spread(ratios).median
}

function gaps(measurements: readonly Measurement[]): string {
  return measurements
    .flatMap(({ proxy, missing }) =>
      missing === undefined ? [] : [`${proxy} was not measured: ${missing}\n`],
    )
    .join('')
}

/** What each was configured to do. */
export function conditions(contenders: readonly Contender[]): string {
  const lines = contenders.map(
    ({ proxy, version }) => `  ${proxy.name} ${version}: ${proxy.configured}`,
  )
  return `\nWhat each was set up to do:\n${lines.join('\n')}`
}

function aligned(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((cells) => cells.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
  return rows.map((cells) => `  ${cells.map(pad).join('  ').trimEnd()}`).join('\n')
}
