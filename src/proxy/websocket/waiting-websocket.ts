import {
  discardedRequest,
  noConnectionLeft,
  type OutgoingRequest,
  type ReplySink,
  type RequestSink,
  type UpstreamFailure,
} from '../ends.ts'

type Ask = (request: OutgoingRequest, reply: ReplySink) => RequestSink | undefined

/** A WebSocket that waits for the SETTINGS of a workload of HTTP/2. Nothing is sent on it before it is accepted. */
export class WaitingWebSocket implements RequestSink {
  readonly #request: OutgoingRequest
  readonly #reply: ReplySink
  #sink: RequestSink = discardedRequest
  #isAborted = false

  constructor(request: OutgoingRequest, reply: ReplySink) {
    this.#request = request
    this.#reply = reply
  }

  /** The SETTINGS have come. `ask` returns undefined when there is no stream left. */
  begin(ask: Ask): void {
    if (this.#isAborted) return
    const sink = ask(this.#request, this.#reply)
    if (sink === undefined) this.fail(noConnectionLeft)
    else this.#sink = sink
  }

  /** They will not come. */
  fail(failure: UpstreamFailure): void {
    if (!this.#isAborted) this.#reply.replyFailed(failure)
  }

  requestData(chunk: Buffer): void {
    this.#sink.requestData(chunk)
  }

  requestEnd(): void {
    this.#sink.requestEnd([])
  }

  requestAborted(): void {
    this.#isAborted = true
    this.#sink.requestAborted()
  }

  replyTaken(bytes: number): void {
    this.#sink.replyTaken(bytes)
  }

  requestFlush(): void {
    this.#sink.requestFlush()
  }
}
