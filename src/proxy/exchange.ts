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

/** Where the request goes; asked again when it is sent once more. */
export type RequestTarget = Pick<Upstream, 'open'>

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
const statusOfBug = 500

/** Safe to send twice when the workload may not have seen it (RFC 9110 9.2.2). */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

const noTrailers: Fields = []
const noOptions: readonly string[] = []

const bodyTooLarge: UpstreamFailure = {
  reason: 'upstream_reset',
  detail: 'the body of the request is above the limit',
  retry: 'never',
}

/**
 * One request and its reply, between a downstream end and an upstream end of any two protocols. It counts, bounds the
 * request's body, strips what is hop-by-hop, retries once where nothing can have happened twice, and ends both sides
 * together. Once it is over, what either end still says belongs to nobody.
 */
export class Exchange implements RequestSink, ReplySink {
  readonly #request: OutgoingRequest
  readonly #target: RequestTarget
  readonly #downstream: ReplySink
  readonly #owner: ExchangeOwner
  readonly #options: ExchangeOptions
  /** Undefined when there is nobody to send to: not yet, or no more. */
  #upstream: RequestSink | undefined
  /** Of the workload's reply, once its head came. */
  #status = 0
  #requestBytes = 0
  #replyBytes = 0
  #isRequestWhole = false
  #requestTrailers: Fields = noTrailers
  #isRetried = false
  #isOver = false

  private constructor(
    request: OutgoingRequest,
    target: RequestTarget,
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
    target: RequestTarget,
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

  // The request, from the downstream end.

  requestData(chunk: Buffer): void {
    this.#requestBytes += chunk.length
    if (this.#isOver) {
      // The reply was complete before the request: what still comes is thrown away.
      this.#downstream.requestTaken(chunk.length)
    } else if (this.#requestBytes > this.#options.maxBodyBytes) {
      this.#refuseBody()
    } else {
      this.#upstream?.requestData(chunk)
    }
  }

  requestEnd(trailers: Fields): void {
    this.#isRequestWhole = true
    this.#requestTrailers = this.#options.rules.requestTrailers(trailers)
    this.#upstream?.requestEnd(this.#requestTrailers)
  }

  requestAborted(): void {
    if (this.#isOver) return
    const upstream = this.#upstream
    try {
      this.#finish(this.#status === 0 ? statusOfAbort : this.#status, 'downstream_aborted')
    } finally {
      upstream?.requestAborted()
    }
  }

  replyTaken(bytes: number): void {
    this.#upstream?.replyTaken(bytes)
  }

  requestFlush(): void {
    this.#upstream?.requestFlush()
  }

  // The reply, from the upstream end.

  replyInformational(
    status: number,
    fields: Fields,
    connectionOptions: readonly string[] = noOptions,
  ): void {
    if (this.#isOver) return
    const kept = this.#options.rules.replyFields(fields, connectionOptions)
    this.#downstream.replyInformational(status, kept)
  }

  replyHead(head: ReplyHead): void {
    if (this.#isOver) return
    this.#status = head.status
    this.#downstream.replyHead({
      status: head.status,
      reason: head.reason,
      fields: this.#options.rules.replyFields(head.fields, head.connectionOptions),
      length: head.length,
      connectionOptions: noOptions,
    })
  }

  replyData(chunk: Buffer): void {
    if (this.#isOver) return
    this.#replyBytes += chunk.length
    this.#downstream.replyData(chunk)
  }

  replyEnd(trailers: Fields): void {
    if (this.#isOver) return
    const kept = this.#options.rules.replyFields(trailers, noOptions)
    // The outcome first: the end of this reply may begin the next request.
    try {
      this.#finish(this.#status)
    } finally {
      this.#downstream.replyEnd(kept)
    }
  }

  replyFlush(): void {
    if (!this.#isOver) this.#downstream.replyFlush()
  }

  requestTaken(bytes: number): void {
    if (!this.#isOver) this.#downstream.requestTaken(bytes)
  }

  replyFailed(failure: UpstreamFailure): void {
    if (this.#isOver) return
    this.#upstream = undefined
    if (this.#mayRetry(failure)) this.#retry()
    else if (this.#status === 0) this.#answerFailure(failure)
    else this.#cut(failure, failure.reason)
  }

  #connect(fresh: boolean): void {
    try {
      const upstream = this.#target.open(this.#request, this, fresh)
      this.#upstream = this.#isOver ? undefined : upstream
    } catch (bug) {
      this.#cut(brokenExchange, 'internal_error')
      throw bug
    }
  }

  #mayRetry(failure: UpstreamFailure): boolean {
    if (this.#isRetried || this.#status !== 0) return false
    switch (failure.retry) {
      case 'never':
        return false
      case 'if-idempotent':
        return this.#isRequestWhole && hasNoBody(this.#request) && isIdempotent(this.#request)
      case 'always':
        return this.#requestBytes === 0
    }
  }

  #retry(): void {
    this.#isRetried = true
    this.#connect(true)
    if (this.#isRequestWhole) this.#upstream?.requestEnd(this.#requestTrailers)
    this.#upstream?.requestFlush()
  }

  #answerFailure(failure: UpstreamFailure): void {
    this.#answer(failure, failure.reason, () =>
      this.#owner.replyToFailure(failure, this.#downstream),
    )
  }

  #refuseBody(): void {
    const upstream = this.#upstream
    this.#upstream = undefined
    upstream?.requestAborted()
    if (this.#status === 0) {
      this.#answer(bodyTooLarge, 'body_too_large', () =>
        this.#owner.replyToLargeBody(this.#downstream),
      )
    } else {
      this.#cut(bodyTooLarge, 'body_too_large')
    }
  }

  /** Answers in the workload's stead. A caller must not wait for a reply that a bug has swallowed. */
  #answer(failure: UpstreamFailure, error: string, write: () => number): void {
    let status: number
    try {
      status = write()
    } catch (bug) {
      this.#cut(failure, error)
      throw bug
    }
    this.#finish(status, error)
  }

  /** There is no place for a reply any more. */
  #cut(failure: UpstreamFailure, error: string): void {
    try {
      this.#finish(this.#status === 0 ? statusOfBug : this.#status, error)
    } finally {
      this.#downstream.replyFailed(failure)
    }
  }

  #finish(status: number, error?: string): void {
    this.#isOver = true
    this.#upstream = undefined
    const [requestBytes, replyBytes] = [this.#requestBytes, this.#replyBytes]
    this.#owner.exchangeEnded(
      error === undefined
        ? { status, requestBytes, replyBytes }
        : { status, requestBytes, replyBytes, error },
    )
  }
}

const brokenExchange: UpstreamFailure = {
  reason: 'upstream_reset',
  detail: 'the request could not be written',
  retry: 'never',
}

function isIdempotent(request: OutgoingRequest): boolean {
  return idempotent.has(request.method)
}

function hasNoBody(request: OutgoingRequest): boolean {
  return request.length === 'none' || request.length === 0
}
