/** What one metric is, in the words of the Prometheus text format. */
export interface MetricDescription {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
}

/** The Prometheus text format 0.0.4, or OpenMetrics 1.0. */
export type MetricFormat = 'prometheus' | 'openmetrics'

/** The HELP and TYPE lines; in OpenMetrics a counter's family has no `_total`, and the unit has a line of its own. */
export function describeMetric(description: MetricDescription, format: MetricFormat): string {
  const { name, type, help } = description
  if (format === 'prometheus') return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
  const family = type === 'counter' ? name.replace(/_total$/, '') : name
  const unit = family.endsWith('_seconds') ? `# UNIT ${family} seconds\n` : ''
  return `# HELP ${family} ${help}\n# TYPE ${family} ${type}\n${unit}`
}

/** Samples of a histogram: OpenMetrics writes whole bounds as `1.0`. */
export function inFormat(samples: string, format: MetricFormat): string {
  return format === 'prometheus' ? samples : samples.replace(/,le="(\d+)"/g, ',le="$1.0"')
}

/** What stands at the end of everything. */
export function endOfMetrics(format: MetricFormat): string {
  return format === 'prometheus' ? '' : '# EOF\n'
}

/** `name="value",...` without the braces. */
export function renderLabels(names: readonly string[], values: readonly string[]): string {
  return names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`).join(',')
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

/** One sample; `labels` as `renderLabels` made them. */
export function renderSample(name: string, labels: string, value: number): string {
  return labels === '' ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`
}
