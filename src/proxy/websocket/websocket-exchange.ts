import type { Fields } from '../../core/fields.ts'
import { h2 } from '../../http2/errors.ts'
import type { Deadline, Deadlines } from '../deadlines.ts'
import type {
  OutgoingRequest,
  ReplyHead,
  ReplySink,
  RequestSink,
  UpstreamFailure,
  WebSocketUpstream,
} from '../ends.ts'
import type { ExchangeOutcome } from '../exchange.ts'
import { guarded } from '../guarded.ts'
import type { HeaderRules } from '../header-rules.ts'
import { statusOpened, withoutHandshake } from './handshake.ts'

/** Who opened the exchange: answers in the workload's stead and hears how it went. */
export interface WebSocketOwner {
  /** Writes the reply for a failure of the workload; called only before the reply's head. Returns its status. */
  replyToFailure(failure: UpstreamFailure, reply: ReplySink): number
  /** The workload has accepted; at most once. */
  webSocketOpened(): void
  /** Exactly once. */
  exchangeEnded(outcome: ExchangeOutcome): void
}

export interface WebSocketOptions {
  readonly rules: HeaderRules
  readonly deadlines: Deadlines
  /** Of an open WebSocket, without a byte in either direction. */
  readonly idleTimeoutMs: number
  /** The caller speaks HTTP/2, where any 2xx would open the WebSocket (RFC 8441 5): a workload's 2xx must not pass there. */
  readonly isOpenedByAny2xx: boolean
  /** Told of an exception that should not be possible. */
  readonly onBug: (error: unknown) => void
}

/** Why an open WebSocket was ended from here. */
export type CutReason = 'idle' | 'trust_changed' | 'cut'

const statusOfAbort = 499
const statusOfBug = 500

const noFields: Fields = []

/**
 * One WebSocket between a downstream and an upstream end of any two protocols: a request, and then either a refusal, which is an
 * ordinary reply, or bytes both ways, each direction ending on its own. What a caller sends before the workload has accepted waits
 * here or in front of us: a workload that refuses would take it for a request.
 *
 * Bytes are not looked at: frames, pings, close frames and extensions are between the caller and the workload. Whoever is cut sees a
 * broken connection (code 1006 in a browser), because a close frame of ours would need a place between two frames of theirs.
 */
export class WebSocketExchange implements RequestSink, ReplySink, Deadline {
  deadlineMs = Infinity
  readonly deadlineReached: () => void
  readonly #downstream: ReplySink
  readonly #owner: WebSocketOwner
  readonly #options: WebSocketOptions
  /** Undefined when there is nobody to send to: not yet, or no more. */
  #upstream: RequestSink | undefined
  #phase: 'asked' | 'refused' | 'open' | 'over' = 'asked'
  #status = 0
  /** What came before the workload accepted; the caller gets no credit for it, so its window bounds it. */
  #early: Buffer[] = []
  #requestBytes = 0
  #replyBytes = 0
  #isCallerDone = false
  #isWorkloadDone = false

  private constructor(downstream: ReplySink, owner: WebSocketOwner, options: WebSocketOptions) {
    this.#downstream = downstream
    this.#owner = owner
    this.#options = options
    this.deadlineReached = guarded(options.onBug, () => this.cut('idle'))
  }

  /** Asks the workload; the downstream end feeds what the caller sends into what this returns. */
  static open(
    request: OutgoingRequest,
    target: WebSocketUpstream,
    downstream: ReplySink,
    owner: WebSocketOwner,
    options: WebSocketOptions,
  ): WebSocketExchange {
    const exchange = new WebSocketExchange(downstream, owner, options)
    exchange.#connect({ ...request, fields: withoutHandshake(request.fields) }, target)
    return exchange
  }

  /** Ends it now, on both sides; nothing when it is over. */
  cut(reason: CutReason): void {
    if (this.#phase === 'over') return
    const upstream = this.#upstream
    try {
      this.#finish(this.#status === 0 ? statusOfAbort : this.#status, reason)
      upstream?.requestAborted()
    } finally {
      this.#downstream.replyFailed({ ...cutHere, detail: reason })
    }
  }

  // From the caller.

  requestData(chunk: Buffer): void {
    switch (this.#phase) {
      case 'asked':
        this.#early.push(chunk)
        return
      case 'open':
        this.#requestBytes += chunk.length
        this.#postpone()
        this.#upstream?.requestData(chunk)
        return
      case 'refused':
      case 'over':
        this.#downstream.requestTaken(chunk.length)
    }
  }

  requestEnd(): void {
    this.#isCallerDone = true
    if (this.#phase !== 'open') return
    this.#postpone()
    this.#upstream?.requestEnd(noFields)
    // Afterwards there may be nobody to flush it.
    this.requestFlush()
    this.#finishWhenDone()
  }

  requestAborted(): void {
    if (this.#phase === 'over') return
    const upstream = this.#upstream
    try {
      this.#finish(this.#status === 0 ? statusOfAbort : this.#status, 'downstream_aborted')
    } finally {
      upstream?.requestAborted()
    }
  }

  replyTaken(bytes: number): void {
    this.#postpone()
    this.#upstream?.replyTaken(bytes)
  }

  requestFlush(): void {
    this.#upstream?.requestFlush()
  }

  // From the workload.

  replyInformational(status: number, fields: Fields, connectionOptions = noFields): void {
    if (this.#phase !== 'asked') return
    const kept = this.#options.rules.replyFields(fields, connectionOptions)
    this.#downstream.replyInformational(status, kept)
  }

  replyHead(head: ReplyHead): void {
    if (this.#phase !== 'asked') return
    if (head.status === statusOpened) this.#open(head)
    else if (this.#options.isOpenedByAny2xx && isSuccess(head.status)) this.#refuseSuccess()
    else this.#passRefusal(head)
  }

  replyData(chunk: Buffer): void {
    if (this.#phase === 'over') return
    this.#replyBytes += chunk.length
    this.#postpone()
    this.#downstream.replyData(chunk)
  }

  replyEnd(trailers: Fields): void {
    if (this.#phase === 'over') return
    if (this.#phase === 'open') {
      this.#isWorkloadDone = true
      this.#postpone()
      this.#finishWhenDone()
      this.#downstream.replyEnd(noFields)
      return
    }
    const kept = this.#options.rules.replyFields(trailers, noFields)
    // The outcome first: the end of this reply may begin the next request.
    try {
      this.#finish(this.#status)
    } finally {
      this.#downstream.replyEnd(kept)
    }
  }

  replyFailed(failure: UpstreamFailure): void {
    this.#upstream = undefined
    switch (this.#phase) {
      case 'asked':
        this.#answer(failure)
        return
      case 'open':
      case 'refused':
        try {
          this.#finish(this.#status, failure.reason)
        } finally {
          this.#downstream.replyFailed({ ...failure, resetCode: h2.CANCEL })
        }
        return
      case 'over':
    }
  }

  requestTaken(bytes: number): void {
    if (this.#phase !== 'open') return
    this.#postpone()
    this.#downstream.requestTaken(bytes)
  }

  replyFlush(): void {
    if (this.#phase !== 'over') this.#downstream.replyFlush()
  }

  #connect(request: OutgoingRequest, target: WebSocketUpstream): void {
    try {
      const upstream = target.openWebSocket(request, this)
      this.#upstream = this.#isOver() ? undefined : upstream
    } catch (bug) {
      this.#finish(statusOfBug, 'internal_error')
      this.#downstream.replyFailed({ ...cutHere, detail: 'the request could not be written' })
      throw bug
    }
  }

  #open(head: ReplyHead): void {
    this.#phase = 'open'
    this.#status = statusOpened
    this.#options.deadlines.add(this)
    this.#postpone()
    this.#owner.webSocketOpened()
    const kept = this.#options.rules.replyFields(head.fields, head.connectionOptions)
    this.#downstream.replyHead({
      status: statusOpened,
      reason: 'Switching Protocols',
      fields: withoutHandshake(kept),
      length: 'unknown',
      connectionOptions: noFields,
    })
    this.#downstream.replyFlush()
    const early = this.#early
    this.#early = []
    for (const chunk of early) this.requestData(chunk)
    if (this.#isCallerDone) this.requestEnd()
    this.requestFlush()
  }

  #passRefusal(head: ReplyHead): void {
    this.#phase = 'refused'
    this.#status = head.status
    this.#early = []
    this.#downstream.replyHead({
      ...head,
      fields: this.#options.rules.replyFields(head.fields, head.connectionOptions),
      connectionOptions: noFields,
    })
  }

  #refuseSuccess(): void {
    const upstream = this.#upstream
    this.#upstream = undefined
    upstream?.requestAborted()
    this.#answer(noWebSocket)
  }

  /** Answers in the workload's stead. A caller must not wait for a reply that a bug has swallowed. */
  #answer(failure: UpstreamFailure): void {
    this.#early = []
    let status = statusOfBug
    try {
      status = this.#owner.replyToFailure(failure, this.#downstream)
    } catch (bug) {
      this.#downstream.replyFailed(failure)
      throw bug
    } finally {
      this.#finish(status, failure.reason)
    }
  }

  #finishWhenDone(): void {
    if (this.#isCallerDone && this.#isWorkloadDone) this.#finish(this.#status)
  }

  #finish(status: number, error?: string): void {
    this.#phase = 'over'
    this.#upstream = undefined
    this.#early = []
    this.#options.deadlines.delete(this)
    this.#owner.exchangeEnded({
      status,
      requestBytes: this.#requestBytes,
      replyBytes: this.#replyBytes,
      ...(error === undefined ? {} : { error }),
    })
  }

  /** A method, because a comparison would not see that a call in between has changed the phase. */
  #isOver(): boolean {
    return this.#phase === 'over'
  }

  /** A byte moved. */
  #postpone(): void {
    const { deadlines, idleTimeoutMs } = this.#options
    if (this.#phase === 'open') this.deadlineMs = deadlines.nowMs() + idleTimeoutMs
  }
}

const cutHere: UpstreamFailure = {
  reason: 'upstream_reset',
  detail: '',
  retry: 'never',
  resetCode: h2.CANCEL,
}

const noWebSocket: UpstreamFailure = {
  reason: 'upstream_malformed',
  detail: 'the workload answered as if no WebSocket had been asked for',
  retry: 'never',
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}
