import type {
  DecisionRecord,
  FailedHandshake,
  HandshakeResult,
  Outcome,
  Telemetry,
  Trace,
} from '../../src/telemetry/telemetry.ts'

export interface Finished {
  readonly record: DecisionRecord
  readonly outcome: Outcome
}

/** Keeps everything that it is told. */
export class RecordingTelemetry implements Telemetry {
  readonly decisions: DecisionRecord[] = []
  readonly ended: Finished[] = []
  readonly handshakes: HandshakeResult[] = []
  readonly failedHandshakes: FailedHandshake[] = []
  readonly upstreamErrors: string[] = []
  readonly judged = { kept: 0, ended: 0 }
  openConnections = 0
  canRecord = true
  openPeerConnections = 0
  waitingRequests = 0
  /** Called at the moment of each decision. */
  onDecided: (record: DecisionRecord) => void = () => undefined

  begin(): Trace {
    return {
      traceId: '0'.repeat(31) + '1',
      traceparent: `00-${'0'.repeat(31)}1-${'0'.repeat(15)}1-00`,
    }
  }

  decided(_trace: Trace, record: DecisionRecord): void {
    this.decisions.push(record)
    this.onDecided(record)
  }

  finished(_trace: Trace, record: DecisionRecord, outcome: Outcome): void {
    this.ended.push({ record, outcome })
  }

  connectionOpened(): void {
    this.openConnections++
  }

  connectionClosed(): void {
    this.openConnections--
  }

  peerConnectionOpened(): void {
    this.openPeerConnections++
  }

  peerConnectionClosed(): void {
    this.openPeerConnections--
  }

  handshake(result: HandshakeResult): void {
    this.handshakes.push(result)
  }

  handshakeFailed(failed: FailedHandshake): void {
    this.failedHandshakes.push(failed)
  }

  upstreamWaiting(change: 1 | -1): void {
    this.waitingRequests += change
  }

  upstreamError(reason: string): void {
    this.upstreamErrors.push(reason)
  }

  reevaluated(result: 'kept' | 'ended', count = 1): void {
    this.judged[result] += count
  }

  identity(): void {
    // Nothing looks at it here.
  }

  crls(): void {
    return
  }

  bundles(): void {
    // Nothing looks at it here.
  }

  identityUpdate(): void {
    // Nothing looks at it here.
  }

  workloadApiConnected(): void {
    // Nothing looks at it here.
  }

  epoch(): void {
    // Nothing looks at it here.
  }

  configReload(): void {
    // Nothing looks at it here.
  }

  metricsText(): Promise<string> {
    return Promise.resolve('')
  }

  flush(): Promise<void> {
    return Promise.resolve()
  }

  reopenAudit(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
