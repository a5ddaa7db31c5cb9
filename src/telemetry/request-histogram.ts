import { STATUS_CODES } from 'node:http'
import { type MetricDescription, renderLabels, renderSample } from './metric-text.ts'
import { ProductCells } from './product-cells.ts'

/** Upper bounds, seconds: what a local workload takes, and the second where callers lose patience. */
export const durationBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const

interface Cell {
  readonly labels: string
  readonly counts: Float64Array
  sumSeconds: number
}

/** The statuses that are told apart: those with a meaning, and 499 for a caller that left. */
const knownCodes = new Set([...Object.keys(STATUS_CODES), '499'])

/**
 * `postern_request_duration_seconds`, and its twin for calls of the workload. Kept by hand for the same reason as `DecisionCounter`; and written by hand, because the
 * SDK's serializer holds the event loop for 0.2 s with 1,000 products, where ours takes a fifth of that and pauses
 * (bench/records.ts).
 */
export class RequestHistogram {
  readonly description: MetricDescription
  readonly #labelNames: readonly string[]
  readonly #groups = new ProductCells<Group>((name) => ({ name, byCode: new Map() }))

  readonly #codeLabels = Array.from({ length: 600 }, (_, status) => codeLabel(status))

  /** `label`: what the requests are told apart by, beside the status code. */
  constructor(name: string, label: 'product' | 'upstream') {
    this.description = {
      name,
      type: 'histogram',
      help: `Time from the head of a request to the last byte of its reply, by ${label} and status code.`,
    }
    this.#labelNames = [label, 'code']
  }

  /** A duration that is no number counts as 0. */
  observe(group: string | undefined, status: number, durationMs: number): void {
    const cells = this.#groups.of(group)
    const code = this.#codeLabels[status] ?? 'other'
    const cell = cells.byCode.get(code) ?? this.#addCell(cells, code)
    const seconds = durationMs > 0 ? durationMs / 1_000 : 0
    cell.sumSeconds += seconds
    const bucket = bucketOf(seconds)
    cell.counts[bucket] = (cell.counts[bucket] ?? 0) + 1
  }

  /** The samples in slices. */
  *samples(): Iterable<string> {
    for (const { byCode } of this.#groups.values()) {
      for (const cell of byCode.values()) yield this.#cellText(cell)
    }
  }

  #addCell({ name, byCode }: Group, code: string): Cell {
    const cell = {
      labels: renderLabels(this.#labelNames, [name, code]),
      counts: new Float64Array(durationBounds.length + 1),
      sumSeconds: 0,
    }
    byCode.set(code, cell)
    return cell
  }

  #cellText({ labels, counts, sumSeconds }: Cell): string {
    const { name } = this.description
    const start = `${name}_bucket{${labels},le="`
    let text = ''
    let total = 0
    for (let i = 0; i < boundTexts.length; i++) {
      total += counts[i] ?? 0
      text += `${start}${boundTexts[i] ?? ''}"} ${total}\n`
    }
    text += renderSample(`${name}_sum`, labels, sumSeconds)
    return text + renderSample(`${name}_count`, labels, total)
  }
}

interface Group {
  readonly name: string
  readonly byCode: Map<string, Cell>
}

const boundTexts = [...durationBounds.map(String), '+Inf']

/** The workload may answer with any number: one without a meaning counts for its class. */
function codeLabel(status: number): string {
  if (knownCodes.has(String(status))) return String(status)
  return status >= 100 ? `${Math.floor(status / 100)}xx` : 'other'
}

function bucketOf(seconds: number): number {
  let bucket = 0
  while (seconds > (durationBounds[bucket] ?? Infinity)) bucket++
  return bucket
}
