import { LabelledMetric } from './labelled-metric.ts'
import type { MetricFormat } from './metric-text.ts'
import { RequestHistogram } from './request-histogram.ts'
import { type ConnectionProtocol, type RecordedDecision, upstreamOf } from './telemetry.ts'

/** Metrics of the workload's own calls. The upstreams are those of the configuration, so that the labels are bounded. */
export class OutboundMetrics {
  /** With its many samples it is written in slices, apart from `text`. */
  readonly requests = new RequestHistogram('postern_outbound_request_duration_seconds', 'upstream')
  readonly #decisions = new LabelledMetric<[string, string, string]>(
    {
      name: 'postern_outbound_decisions_total',
      type: 'counter',
      help: 'Decisions on calls of the workload by outcome, reason code and upstream.',
    },
    ['outcome', 'reason', 'upstream'],
  )
  readonly #connections = new LabelledMetric<[ConnectionProtocol]>(
    {
      name: 'postern_outbound_connections',
      type: 'gauge',
      help: 'Connections to verified peers that are open now, by protocol.',
    },
    ['protocol'],
    [['http/1.1'], ['h2'], ['tcp'], ['websocket']],
  )

  decided(decision: RecordedDecision): void {
    this.#decisions.add(1, decision.outcome, decision.reason, upstreamOf(decision) ?? '')
  }

  connections(change: 1 | -1, protocol: ConnectionProtocol): void {
    this.#connections.add(change, protocol)
  }

  text(format: MetricFormat): string {
    return this.#decisions.text(format) + this.#connections.text(format)
  }
}
