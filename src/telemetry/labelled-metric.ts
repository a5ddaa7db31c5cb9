import {
  describeMetric,
  type MetricDescription,
  type MetricFormat,
  renderLabels,
  renderSample,
} from './metric-text.ts'

/** A counter or gauge off the hot path: a number for each set of label values. */
export class LabelledMetric<Labels extends readonly string[]> {
  readonly #description: MetricDescription
  readonly #labelNames: readonly string[]
  readonly #values = new Map<string, number>()

  /** `initial`: label values that are shown as 0 before anything happened, so that a rate has a beginning. */
  constructor(
    description: MetricDescription,
    labelNames: { readonly [Index in keyof Labels]: string },
    initial: readonly Labels[] = [],
  ) {
    this.#description = description
    this.#labelNames = labelNames
    for (const labels of initial) this.set(0, ...labels)
  }

  add(count: number, ...labels: Labels): void {
    const key = renderLabels(this.#labelNames, labels)
    this.#values.set(key, (this.#values.get(key) ?? 0) + count)
  }

  set(value: number, ...labels: Labels): void {
    this.#values.set(renderLabels(this.#labelNames, labels), value)
  }

  /** Forgets all values; for gauges that are set anew as a whole. */
  clear(): void {
    this.#values.clear()
  }

  text(format: MetricFormat): string {
    let text = describeMetric(this.#description, format)
    for (const [labels, value] of this.#values) {
      text += renderSample(this.#description.name, labels, value)
    }
    return text
  }
}
