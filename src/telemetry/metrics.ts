import { setImmediate } from 'node:timers/promises'
import { DecisionCounter } from './decision-counter.ts'
import { LabelledMetric } from './labelled-metric.ts'
import {
  describeMetric,
  endOfMetrics,
  inFormat,
  type MetricDescription,
  type MetricFormat,
} from './metric-text.ts'
import { RequestHistogram } from './request-histogram.ts'
import { OutboundMetrics } from './outbound-metrics.ts'
import type { LostSpansReason } from './span-pipeline.ts'
import type {
  BundleValidity,
  ConfigFile,
  ConfigReloadResult,
  ConnectionProtocol,
  CrlValidity,
  HandshakeResult,
  IdentityUpdateResult,
  ReevaluationResult,
  SvidValidity,
  UpstreamErrorReason,
} from './telemetry.ts'

/**
 * All metrics of DESIGN.md 10. Labels are bounded: no path, no key, no SPIFFE ID of a caller. What has a fixed set of label
 * values is shown as 0 from the start.
 */
export class Metrics {
  readonly decisions = new DecisionCounter()
  readonly requests = new RequestHistogram('postern_request_duration_seconds', 'product')
  readonly outbound = new OutboundMetrics()

  readonly #connections = new LabelledMetric<[ConnectionProtocol]>(
    gauge('postern_connections', 'Connections that are open now, by protocol.'),
    ['protocol'],
    [['http/1.1'], ['h2'], ['tcp'], ['websocket']],
  )
  readonly #handshakes = new LabelledMetric<[HandshakeResult]>(
    counter('postern_handshakes_total', 'Beginnings of inbound connections by how they went.'),
    ['result'],
    [
      ['certificate'],
      ['anonymous'],
      ['plaintext'],
      ['failed'],
      ['silent'],
      ['timeout'],
      ['resumed'],
      ['identity_unavailable'],
      ['address_not_allowed'],
      ['proxy_header_malformed'],
      ['too_many_connections'],
      ['too_many_connections_of_address'],
      ['too_many_handshakes'],
    ],
  )
  readonly #upstreamErrors = new LabelledMetric<[UpstreamErrorReason]>(
    counter(
      'postern_upstream_errors_total',
      'Requests that the workload did not answer, by reason.',
    ),
    ['reason'],
    [
      ['upstream_unavailable'],
      ['upstream_overloaded'],
      ['upstream_reset'],
      ['upstream_timeout'],
      ['upstream_malformed'],
    ],
  )
  readonly #upstreamWaiting = new LabelledMetric<[]>(
    gauge('postern_upstream_waiting_requests', 'Requests that wait for room at the workload.'),
    [],
    [[]],
  )
  readonly #svidNotAfter = new LabelledMetric<[string]>(
    gauge('postern_svid_not_after_seconds', 'When our own SVID expires, seconds since 1970.'),
    ['spiffe_id'],
  )
  readonly #svidNotBefore = new LabelledMetric<[string]>(
    gauge(
      'postern_svid_not_before_seconds',
      'Since when our own SVID is valid, seconds since 1970.',
    ),
    ['spiffe_id'],
  )
  readonly #bundleNotAfter = new LabelledMetric<[string]>(
    gauge('postern_bundle_not_after_seconds', 'When a trust bundle expires, seconds since 1970.'),
    ['trust_domain'],
  )
  readonly #crlNextUpdate = new LabelledMetric<[string]>(
    gauge(
      'postern_crl_next_update_seconds',
      'When the first of the revocation lists of an authority ends, seconds since 1970; 0: none is held.',
    ),
    ['authority'],
  )
  readonly #identityUpdates = new LabelledMetric<[IdentityUpdateResult]>(
    counter('postern_identity_updates_total', 'Updates of the Workload API by result.'),
    ['result'],
    [['accepted'], ['rejected']],
  )
  readonly #workloadApiConnected = new LabelledMetric<[]>(
    gauge(
      'postern_workload_api_connected',
      'Whether the stream of the Workload API is open: 1 or 0.',
    ),
    [],
    [[]],
  )
  readonly #epoch = new LabelledMetric<[]>(
    gauge('postern_epoch', 'The number of the current trust state; it rises with every change.'),
    [],
    [[]],
  )
  readonly #reevaluated = new LabelledMetric<[ReevaluationResult]>(
    counter(
      'postern_connections_reevaluated_total',
      'Open connections that were judged again after a change of trust, by result.',
    ),
    ['result'],
    [['kept'], ['ended']],
  )
  readonly #configReloads = new LabelledMetric<[ConfigFile, ConfigReloadResult]>(
    counter('postern_config_reloads_total', 'Reloads of the files by file and result.'),
    ['file', 'result'],
    (['config', 'products', 'api-keys', 'crl'] as const).flatMap((file) =>
      (['accepted', 'refused', 'unchanged'] as const).map(
        (result): [ConfigFile, ConfigReloadResult] => [file, result],
      ),
    ),
  )
  readonly #configRefused = new LabelledMetric<[ConfigFile]>(
    gauge(
      'postern_config_file_refused',
      'Whether a file was refused when it was read last, so that the good one before serves: 1 or 0.',
    ),
    ['file'],
    [['config'], ['products'], ['api-keys'], ['crl']],
  )
  readonly #auditDropped = new LabelledMetric<[]>(
    counter(
      'postern_audit_lines_dropped_total',
      'Lines of the audit log that are lost because it could not be written.',
    ),
    [],
    [[]],
  )
  readonly #auditWritable = new LabelledMetric<[]>(
    gauge('postern_audit_writable', 'Whether the last write to the audit log went well: 1 or 0.'),
    [],
    [[]],
  )
  readonly #spansDropped = new LabelledMetric<[LostSpansReason]>(
    counter('postern_spans_dropped_total', 'Spans that are lost, by reason.'),
    ['reason'],
    [['queue_full'], ['export_failed']],
  )

  constructor() {
    this.auditWritable(true)
  }

  connections(change: 1 | -1, protocol: ConnectionProtocol): void {
    this.#connections.add(change, protocol)
  }

  handshake(result: HandshakeResult): void {
    this.#handshakes.add(1, result)
  }

  upstreamError(reason: UpstreamErrorReason): void {
    this.#upstreamErrors.add(1, reason)
  }

  upstreamWaiting(change: 1 | -1): void {
    this.#upstreamWaiting.add(change)
  }

  identity(svid: SvidValidity | undefined): void {
    this.#svidNotAfter.clear()
    this.#svidNotBefore.clear()
    if (svid === undefined) return
    this.#svidNotAfter.set(svid.notAfterMs / 1_000, svid.spiffeId)
    this.#svidNotBefore.set(svid.notBeforeMs / 1_000, svid.spiffeId)
  }

  bundles(bundles: readonly BundleValidity[]): void {
    this.#bundleNotAfter.clear()
    for (const { trustDomain, notAfterMs } of bundles) {
      this.#bundleNotAfter.set(notAfterMs / 1_000, trustDomain)
    }
  }

  crls(crls: readonly CrlValidity[]): void {
    this.#crlNextUpdate.clear()
    for (const { authority, nextUpdateMs } of crls) {
      this.#crlNextUpdate.set(nextUpdateMs / 1_000, authority)
    }
  }

  identityUpdate(result: IdentityUpdateResult): void {
    this.#identityUpdates.add(1, result)
  }

  workloadApiConnected(connected: boolean): void {
    this.#workloadApiConnected.set(connected ? 1 : 0)
  }

  epoch(epoch: number): void {
    this.#epoch.set(epoch)
  }

  reevaluated(result: ReevaluationResult, count: number): void {
    this.#reevaluated.add(count, result)
  }

  configReload(file: ConfigFile, result: ConfigReloadResult): void {
    this.#configReloads.add(1, file, result)
    this.#configRefused.set(result === 'refused' ? 1 : 0, file)
  }

  auditDropped(lines: number): void {
    this.#auditDropped.add(lines)
  }

  auditWritable(isWritable: boolean): void {
    this.#auditWritable.set(isWritable ? 1 : 0)
  }

  spansDropped(spans: number, reason: LostSpansReason): void {
    this.#spansDropped.add(spans, reason)
  }

  /** All of them as text. Lets the event loop go on between slices: one scrape may be megabytes. */
  async text(format: MetricFormat = 'prometheus'): Promise<string> {
    let text = ''
    for (const family of [this.decisions, this.requests, this.outbound.requests]) {
      text += describeMetric(family.description, format)
      let slices = 0
      for (const slice of family.samples()) {
        text += inFormat(slice, format)
        if (++slices % slicesPerTurn === 0) await setImmediate()
      }
    }
    return text + this.#rest(format) + endOfMetrics(format)
  }

  #rest(format: MetricFormat): string {
    return [
      this.#connections,
      this.#handshakes,
      this.#upstreamErrors,
      this.#upstreamWaiting,
      this.#svidNotAfter,
      this.#svidNotBefore,
      this.#bundleNotAfter,
      this.#crlNextUpdate,
      this.#identityUpdates,
      this.#workloadApiConnected,
      this.#epoch,
      this.#reevaluated,
      this.#configReloads,
      this.#configRefused,
      this.#auditDropped,
      this.#auditWritable,
      this.#spansDropped,
    ]
      .map((metric) => metric.text(format))
      .join('')
      .concat(this.outbound.text(format))
  }
}

const slicesPerTurn = 200

function counter(name: string, help: string): MetricDescription {
  return { name, help, type: 'counter' }
}

function gauge(name: string, help: string): MetricDescription {
  return { name, help, type: 'gauge' }
}
