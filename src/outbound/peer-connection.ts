import { stackOf } from '../core/errors.ts'
import type { AllowReason } from '../policy/decision.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { OutgoingRequest, ReplySink, RequestSink } from '../proxy/ends.ts'
import { Http1WorkloadConnection } from '../proxy/http1-workload-connection.ts'
import { Http2WorkloadConnection } from '../proxy/http2-workload-connection.ts'
import type { LiveConnection } from '../proxy/live-connections.ts'
import type { ClientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import type { JudgedPeer, PeerVerdict } from './judged-peer.ts'
import type { DialedPeer } from './peer-dialer.ts'
import { recordEnd } from './record-end.ts'

export interface PeerConnectionOptions {
  readonly context: OutboundContext
  readonly route: OutboundRoute
  readonly dialed: DialedPeer
  readonly judged: JudgedPeer
  /** Why it was allowed. */
  readonly allowedReason: AllowReason
  /** Its request is over and it takes another. */
  readonly onIdle: () => void
  /** Once. */
  readonly onGone: () => void
}

/**
 * An idle connection of HTTP/1.1 is kept so long, unless the peer says less (`Keep-Alive: timeout`). A new one costs two round
 * trips and a signature on each side, so that the workload's few seconds would be waste. Load balancers, NAT and servers that say
 * nothing forget idle connections from 60 s on, some without a word; a peer that closes earlier is seen to do so.
 */
const restMs = 55_000

/** The protocol's end: one request at a time, or many. */
type End =
  | { readonly kind: 'http/1.1'; readonly connection: Http1WorkloadConnection }
  | { readonly kind: 'h2'; readonly connection: Http2WorkloadConnection }

/** One connection to a peer that proved who it is, for requests. */
export class PeerConnection implements LiveConnection {
  readonly #options: PeerConnectionOptions
  readonly #end: End
  #isUsed = false
  #isBusy = false
  #isRetired = false
  #isGone = false

  constructor(options: PeerConnectionOptions) {
    this.#options = options
    this.#end = this.#endFor(options)
    options.context.telemetry.peerConnectionOpened(this.protocol)
  }

  get protocol(): 'http/1.1' | 'h2' {
    return this.#options.dialed.protocol
  }

  /** What we presented on it. */
  get identity(): ClientIdentity {
    return this.#options.dialed.identity
  }

  /** It takes another request now. `fresh`: and has carried none. */
  isAvailable(fresh: boolean): boolean {
    if (this.#isRetired || this.#isGone) return false
    const end = this.#end
    return end.kind === 'http/1.1'
      ? !this.#isBusy && !(fresh && this.#isUsed) && end.connection.isUsable
      : end.connection.isAvailable && !(fresh && end.connection.isProven)
  }

  /** The peer takes no body on it at the moment: better another one. */
  get isStalled(): boolean {
    return this.#end.kind === 'h2' && this.#end.connection.isWindowUsedUp
  }

  judge(trust: TrustState, nowMs: number): PeerVerdict {
    return this.#options.judged.judge(trust, nowMs)
  }

  /** Sends a request; undefined when it takes none after all. */
  open(request: OutgoingRequest, reply: ReplySink): RequestSink | undefined {
    const end = this.#end
    this.#isUsed = true
    if (end.kind === 'h2') return end.connection.open(request, reply)
    this.#isBusy = true
    try {
      end.connection.begin(request, reply)
    } catch (bug) {
      this.destroy()
      throw bug
    }
    return end.connection
  }

  get notAfterMs(): number {
    return this.#options.judged.notAfterMs
  }

  rejudge(trust: TrustState, nowMs: number): 'kept' | 'ended' {
    const { context, judged, allowedReason, dialed } = this.#options
    const verdict = judged.judge(trust, nowMs)
    if (verdict.decision.outcome === 'allow' || this.#isRetired) return 'kept'
    const { socket } = dialed
    recordEnd(context, verdict, allowedReason, { socket, protocol: this.protocol })
    this.drain()
    return 'ended'
  }

  /** Takes no new request; ends when the running ones are done, at once when there are none. */
  drain(): void {
    if (this.#isRetired) return
    this.#isRetired = true
    if (this.#end.kind === 'h2') this.#end.connection.finish()
    else if (!this.#isBusy) this.destroy()
  }

  /** Ends now; running requests fail. */
  destroy(): void {
    this.#options.dialed.socket.destroy()
  }

  #endFor({ context, route, dialed }: PeerConnectionOptions): End {
    const { deadlines, logger } = context
    const { upstreamConnectTimeoutMs, upstreamResponseTimeoutMs } = route.limits
    const options = {
      deadlines,
      connectTimeoutMs: upstreamConnectTimeoutMs,
      responseTimeoutMs: upstreamResponseTimeoutMs,
      scheme: 'https',
      restMs,
      onBug: (error: unknown) => logger.error('unexpected exception', { error: stackOf(error) }),
    } as const
    const onGone = () => this.#onGone()
    if (dialed.protocol === 'h2') {
      const connection = new Http2WorkloadConnection(dialed.socket, options, { onGone })
      return { kind: 'h2', connection }
    }
    const events = { onIdle: () => this.#onIdle(), onGone }
    return {
      kind: 'http/1.1',
      connection: new Http1WorkloadConnection(() => dialed.socket, options, events),
    }
  }

  #onIdle(): void {
    this.#isBusy = false
    if (this.#isRetired) this.destroy()
    else this.#options.onIdle()
  }

  #onGone(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#options.context.telemetry.peerConnectionClosed(this.protocol)
    this.#options.onGone()
  }
}
