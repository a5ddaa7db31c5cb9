import type { Deadline, Deadlines } from './deadlines.ts'
import {
  discardedRequest,
  type OutgoingRequest,
  type ReplySink,
  type RequestSink,
  type UpstreamFailure,
} from './ends.ts'
import { guarded } from './guarded.ts'
import { HeldRequest } from './held-request.ts'

export interface QueueLimits {
  /** Requests that wait at once; 0: none does. */
  readonly maxRequests: number
  /** For one of them. */
  readonly timeoutMs: number
  /** Told of each that begins (1) or ends (-1) to wait. */
  readonly onChange?: (change: 1 | -1) => void
}

export interface RequestQueueOptions extends QueueLimits {
  readonly deadlines: Deadlines
  /** Told of an exception that should not be possible; its request fails, the others wait on. */
  readonly onBug: (error: unknown) => void
}

interface WaitingRequest {
  readonly request: OutgoingRequest
  readonly reply: ReplySink
  readonly fresh: boolean
  readonly deadlineMs: number
  readonly held: HeldRequest
}

/**
 * Requests that wait for room at the workload, served in the order in which they came. One that finds no place, or waits too
 * long, fails `upstream_overloaded`. Whoever makes room serves the first at once, so that room and waiting requests are never
 * there together and nobody overtakes.
 */
export class RequestQueue implements Deadline {
  /** That of the first: all have the same time, so that it is the earliest. */
  deadlineMs = Infinity
  readonly deadlineReached: () => void
  readonly #options: RequestQueueOptions
  readonly #waiting: WaitingRequest[] = []

  constructor(options: RequestQueueOptions) {
    this.#options = options
    this.deadlineReached = guarded(options.onBug, () => this.#expire())
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Whether the first needs a connection that has carried no other request. */
  get isFirstFresh(): boolean {
    return this.#waiting[0]?.fresh === true
  }

  add(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    const { maxRequests, timeoutMs, deadlines, onChange } = this.#options
    if (this.#waiting.length >= maxRequests) {
      reply.replyFailed(noPlaceLeft)
      return discardedRequest
    }
    const waiting: WaitingRequest = {
      ...{ request, reply, fresh },
      deadlineMs: deadlines.nowMs() + timeoutMs,
      held: new HeldRequest(() => this.#forget(waiting)),
    }
    this.#waiting.push(waiting)
    onChange?.(1)
    this.#watch()
    return waiting.held
  }

  /** Sends the first on what `open` returns; there is one. */
  serveFirst(open: (request: OutgoingRequest, reply: ReplySink) => RequestSink): void {
    const [first] = this.#waiting
    if (first === undefined) throw new TypeError('nobody waits')
    this.#forget(first)
    const { request, reply, held } = first
    let sink: RequestSink
    try {
      sink = open(request, reply)
    } catch (bug) {
      this.#options.onBug(bug)
      reply.replyFailed(notSent)
      return
    }
    held.attach(sink)
  }

  #forget(waiting: WaitingRequest): void {
    const at = this.#waiting.indexOf(waiting)
    if (at === -1) return
    this.#waiting.splice(at, 1)
    this.#options.onChange?.(-1)
    this.#watch()
  }

  #expire(): void {
    const nowMs = this.#options.deadlines.nowMs()
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined || first.deadlineMs > nowMs) break
      this.#forget(first)
      first.reply.replyFailed(waitedTooLong)
    }
    this.#watch()
  }

  #watch(): void {
    const { deadlines } = this.#options
    const [first] = this.#waiting
    this.deadlineMs = first?.deadlineMs ?? Infinity
    if (first === undefined) deadlines.delete(this)
    else deadlines.add(this)
  }
}

const noPlaceLeft: UpstreamFailure = {
  reason: 'upstream_overloaded',
  detail: 'too many requests wait for the workload',
  retry: 'never',
}

const waitedTooLong: UpstreamFailure = {
  reason: 'upstream_overloaded',
  detail: 'the workload had no room for the request in time',
  retry: 'never',
}

const notSent: UpstreamFailure = {
  reason: 'upstream_malformed',
  detail: 'an internal error',
  retry: 'never',
}
