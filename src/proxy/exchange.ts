import type { Fields } from '../core/fields.ts'
import type {
  OutgoingRequest,
  ReplyHead,
  ReplySink,
  RequestSink,
  Upstream,
  UpstreamFailure,
} from './ends.ts'
import type { HeaderRules } from './header-rules.ts'

/** How an exchange ended. */
export interface ExchangeOutcome {
  /** Status that the caller got; 499 when it left before one. */
  readonly status: number
  /** Body bytes from the caller. */
  readonly requestBytes: number
  /** Body bytes to the caller. */
  readonly replyBytes: number
  /** `upstream_reset`, `body_too_large`, `downstream_aborted`, ...; absent when all went well. */
  readonly error?: string
}

/** Who opened the exchange: answers in the workload's stead and hears how it ended. */
export interface ExchangeOwner {
  /** Writes the reply for a failure of the workload; called only before the reply's head. Returns its status. */
  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number
  /** Writes the 413; called only before the reply's head. Returns its status. */
  replyToLargeBody(reply: ReplySink): number
  /** Exactly once. */
  exchangeEnded(outcome: ExchangeOutcome): void
}

export interface ExchangeOptions {
  readonly rules: HeaderRules
  /** Bytes of a request's body. */
  readonly maxBodyBytes: number
}

const statusOfAbort = 499

/** Safe to send twice when the workload may not have seen it (RFC 9110 9.2.2). */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/**
 * One request and its reply, between a downstream end and an upstream end of any two protocols. It counts, bounds the
 * request's body, strips what is hop-by-hop, retries once where nothing can have happened twice, and ends both sides
 * together.
 */
export class Exchange implements RequestSink, ReplySink {
  readonly #request: OutgoingRequest
  readonly #target: Upstream
  readonly #downstream: ReplySink
  readonly #owner: ExchangeOwner
  readonly #options: ExchangeOptions
  #upstream: RequestSink | undefined
  #status = 0
  #requestBytes = 0
  #replyBytes = 0
  #requestEnded = false
  #retried = false
  #ended = false

  private constructor(
    request: OutgoingRequest,
    target: Upstream,
    downstream: ReplySink,
    owner: ExchangeOwner,
    options: ExchangeOptions,
  ) {
    this.#request = request
    this.#target = target
    this.#downstream = downstream
    this.#owner = owner
    this.#options = options
  }

  /** Sends the head on; the downstream end feeds the body into what this returns. */
  static open(
    request: OutgoingRequest,
    target: Upstream,
    downstream: ReplySink,
    owner: ExchangeOwner,
    options: ExchangeOptions,
  ): RequestSink {
    const exchange = new Exchange(request, target, downstream, owner, options)
    if (typeof request.length === 'number' && request.length > options.maxBodyBytes) {
      exchange.#refuseBody()
    } else {
      exchange.#connect(false)
    }
    return exchange
  }

  #connect(fresh: boolean): void {
    const upstream = this.#target.open(this.#request, this, fresh)
    this.#upstream = this.#ended ? undefined : upstream
  }

  // The request, from the downstream end.

  requestData(chunk: Buffer): void {
    this.#requestBytes += chunk.length
    if (this.#ended) {
      // The reply was complete before the request: what still comes is thrown away.
      this.#downstream.requestTaken(chunk.length)
    } else if (this.#requestBytes > this.#options.maxBodyBytes) {
      this.#refuseBody()
    } else {
      this.#upstream?.requestData(chunk)
    }
  }

  requestEnd(trailers: Fields): void {
    this.#requestEnded = true
    if (!this.#ended) this.#upstream?.requestEnd(this.#options.rules.requestTrailers(trailers))
  }

  requestAborted(): void {
    if (this.#ended) return
    this.#upstream?.requestAborted()
    this.#finish('downstream_aborted', this.#status === 0 ? statusOfAbort : this.#status)
  }

  replyTaken(bytes: number): void {
    if (!this.#ended) this.#upstream?.replyTaken(bytes)
  }

  requestFlush(): void {
    this.#upstream?.requestFlush()
  }

  // The reply, from the upstream end.

  replyInformational(status: number, fields: Fields): void {
    this.#downstream.replyInformational(status, this.#options.rules.replyFields(fields, []))
  }

  replyHead(head: ReplyHead): void {
    this.#status = head.status
    this.#downstream.replyHead({
      status: head.status,
      reason: head.reason,
      fields: this.#options.rules.replyFields(head.fields, head.connectionOptions),
      length: head.length,
      connectionOptions: [],
    })
  }

  replyData(chunk: Buffer): void {
    this.#replyBytes += chunk.length
    this.#downstream.replyData(chunk)
  }

  replyEnd(trailers: Fields): void {
    this.#downstream.replyEnd(this.#options.rules.replyFields(trailers, []))
    this.#finish(undefined, this.#status)
  }

  replyFlush(): void {
    this.#downstream.replyFlush()
  }

  requestTaken(bytes: number): void {
    this.#downstream.requestTaken(bytes)
  }

  replyFailed(failure: UpstreamFailure): void {
    if (this.#ended) return
    if (this.#mayRetry(failure)) {
      this.#retry()
    } else if (this.#status === 0) {
      this.#finish(failure.reason, this.#owner.replyToFailure(failure, this.#downstream))
    } else {
      this.#downstream.replyFailed(failure)
      this.#finish(failure.reason, this.#status)
    }
  }

  #retry(): void {
    this.#retried = true
    this.#connect(true)
    this.#upstream?.requestEnd([])
    this.#upstream?.requestFlush()
  }

  #mayRetry(failure: UpstreamFailure): boolean {
    return (
      failure.onReusedConnection &&
      !this.#retried &&
      this.#status === 0 &&
      this.#requestEnded &&
      this.#request.length === 'none' &&
      idempotent.has(this.#request.method)
    )
  }

  #refuseBody(): void {
    this.#upstream?.requestAborted()
    if (this.#status === 0) {
      this.#finish('body_too_large', this.#owner.replyToLargeBody(this.#downstream))
    } else {
      this.#downstream.replyFailed({
        reason: 'upstream_reset',
        detail: 'request body above the limit',
        onReusedConnection: false,
      })
      this.#finish('body_too_large', this.#status)
    }
  }

  #finish(error: string | undefined, status: number): void {
    this.#ended = true
    this.#upstream = undefined
    this.#owner.exchangeEnded({
      status,
      requestBytes: this.#requestBytes,
      replyBytes: this.#replyBytes,
      ...(error === undefined ? {} : { error }),
    })
  }
}
