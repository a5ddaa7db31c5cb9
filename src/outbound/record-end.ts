import type { Socket } from 'node:net'
import type { PeerDecision } from '../policy/peer-decision.ts'
import type { RecordedProtocol, RecordedRequest } from '../telemetry/telemetry.ts'
import type { OutboundContext } from './context.ts'
import type { PeerVerdict } from './judged-peer.ts'

/** The end of a live connection whose peer lost its standing has its own record, with the reason that held before. */
export function recordEnd(
  { telemetry, decisionIds, clock }: OutboundContext,
  { peer, decision }: PeerVerdict,
  previousReason: PeerDecision['reason'],
  ended: {
    readonly socket: Socket
    readonly protocol: RecordedProtocol
    readonly request?: RecordedRequest
  },
): void {
  const trace = telemetry.begin(undefined, undefined)
  const record = {
    id: decisionIds.next(),
    atMs: clock.now(),
    direction: 'outbound',
    decision,
    peer,
    protocol: ended.protocol,
    clientAddress: ended.socket.localAddress ?? '',
    clientPort: ended.socket.localPort ?? 0,
    ...(ended.request === undefined ? {} : { request: ended.request }),
    previousReason,
  } as const
  telemetry.decided(trace, record)
  const nothingMoved = { status: 0, requestBytes: 0, replyBytes: 0, durationMs: 0 }
  telemetry.finished(trace, record, { ...nothingMoved, error: 'trust_changed' })
}
