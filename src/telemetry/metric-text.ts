/** What one metric is, in the words of the Prometheus text format. */
export interface MetricDescription {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
}

/** The HELP and TYPE lines. */
export function describeMetric({ name, type, help }: MetricDescription): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
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
