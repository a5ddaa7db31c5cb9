import type { Http2Connection } from '../http2/connection.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type { Http2ReplyStream } from './http2-reply-stream.ts'

export interface StreamWatchOptions {
  readonly connection: Http2Connection<Http2ReplyStream>
  readonly deadlines: Deadlines
  /** The shortest time that a stream may stand still. */
  readonly patienceMs: number
}

const mostOftenMs = 250
const leastOftenMs = 15_000

/**
 * Looks at the open streams of a connection every now and then: a caller that answers PINGs may hold a stream, and what it holds at
 * the workload, without moving a byte of it. One look at all costs less than a deadline for each request, and comes up to a
 * quarter of the time later.
 */
export class Http2StreamWatch implements Deadline {
  deadlineMs = Infinity
  readonly #options: StreamWatchOptions
  readonly #everyMs: number
  #isOn = false

  constructor(options: StreamWatchOptions) {
    this.#options = options
    this.#everyMs = Math.min(Math.max(options.patienceMs / 4, mostOftenMs), leastOftenMs)
  }

  /** There is a stream to look at. Idempotent. */
  begin(): void {
    if (this.#isOn) return
    this.#isOn = true
    this.deadlineMs = this.#options.deadlines.nowMs() + this.#everyMs
    this.#options.deadlines.add(this)
  }

  /** There is none any more. Idempotent. */
  end(): void {
    this.#isOn = false
    this.#options.deadlines.delete(this)
  }

  deadlineReached(): void {
    const { connection, deadlines } = this.#options
    const nowMs = deadlines.nowMs()
    for (const stream of connection.openStreams()) stream.context?.look(nowMs)
    if (connection.streamCount === 0) this.end()
    else this.deadlineMs = nowMs + this.#everyMs
  }
}
