import type { Fields } from '../core/fields.ts'
import type { PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { OutgoingRequest, ReplySink, RequestSink } from '../proxy/ends.ts'

/** One attempt to send a request to the peer. */
export interface PeerCall {
  readonly request: OutgoingRequest
  readonly reply: ReplySink
  /** On a new connection, never a pooled one. */
  readonly fresh: boolean
  /** Before the first byte leaves, or instead of it: a deny has to be answered by whoever is told. */
  readonly onDecided: (decision: PeerDecision, peer: Peer) => void
}

/**
 * The request of a call that has no connection yet. What the workload sends in the meantime is kept here; nothing of it is
 * credited back, so that the window of the downstream end bounds it.
 */
export class WaitingCall implements RequestSink {
  readonly call: PeerCall
  readonly #onAborted: (waiting: WaitingCall) => void
  #chunks: Buffer[] = []
  #trailers: Fields | undefined
  #sink: RequestSink | undefined

  /** `onAborted`: the workload left while it waited. */
  constructor(call: PeerCall, onAborted: (waiting: WaitingCall) => void) {
    this.call = call
    this.#onAborted = onAborted
  }

  /** Goes on at the peer: what was kept is sent first. */
  attach(sink: RequestSink): void {
    this.#sink = sink
    for (const chunk of this.#chunks) sink.requestData(chunk)
    this.#chunks = []
    if (this.#trailers !== undefined) sink.requestEnd(this.#trailers)
    sink.requestFlush()
  }

  requestData(chunk: Buffer): void {
    if (this.#sink === undefined) this.#chunks.push(chunk)
    else this.#sink.requestData(chunk)
  }

  requestEnd(trailers: Fields): void {
    if (this.#sink === undefined) this.#trailers = trailers
    else this.#sink.requestEnd(trailers)
  }

  requestAborted(): void {
    if (this.#sink === undefined) this.#onAborted(this)
    else this.#sink.requestAborted()
  }

  replyTaken(bytes: number): void {
    this.#sink?.replyTaken(bytes)
  }

  requestFlush(): void {
    this.#sink?.requestFlush()
  }
}
