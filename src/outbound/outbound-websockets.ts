import type { TrustState } from '../policy/trust-state.ts'
import type { OutgoingRequest, ReplySink, RequestSink } from '../proxy/ends.ts'
import { LiveConnections } from '../proxy/live-connections.ts'
import type { OutboundRequest } from './outbound-request.ts'
import { OutboundWebSocket } from './outbound-websocket.ts'
import type { VerifiedDialOptions } from './verified-dial.ts'

/** The WebSockets of one listener; apart from its connections for requests there may be as many (`maxConnections`). */
export class OutboundWebSockets {
  readonly #options: VerifiedDialOptions
  readonly #live: LiveConnections<OutboundWebSocket>

  constructor(options: VerifiedDialOptions) {
    const { clock, telemetry } = options.context
    this.#options = options
    this.#live = new LiveConnections({
      clock,
      onJudged: (result) => telemetry.reevaluated(result),
    })
  }

  /** Asks the peer for one. `isOpenedByAny2xx`: as in `WebSocketOptions`. */
  open(
    call: OutboundRequest,
    request: OutgoingRequest,
    reply: ReplySink,
    isOpenedByAny2xx: boolean,
  ): RequestSink {
    const webSocket: OutboundWebSocket = new OutboundWebSocket({
      ...this.#options,
      call,
      isOneTooMany: this.#live.size >= this.#options.route.limits.maxConnections,
      onEnd: () => this.#live.delete(webSocket),
    })
    this.#live.add(webSocket)
    return webSocket.open(request, reply, isOpenedByAny2xx)
  }

  /** The trust state changed: the peer of each is judged again. */
  rejudge(trust: TrustState): void {
    this.#live.rejudge(trust)
  }

  /** Cuts all of them. Idempotent. */
  destroy(): void {
    this.#live.destroy()
  }
}
