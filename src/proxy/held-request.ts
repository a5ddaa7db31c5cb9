import type { Fields } from '../core/fields.ts'
import type { RequestSink } from './ends.ts'

/**
 * A request that has nowhere to go yet. What its caller sends in the meantime is kept here; nothing of it is credited back, so
 * that the window of the downstream end bounds it.
 */
export class HeldRequest implements RequestSink {
  readonly #onAborted: () => void
  #chunks: Buffer[] = []
  #trailers: Fields | undefined
  #sink: RequestSink | undefined

  /** `onAborted`: the caller left while it was held. */
  constructor(onAborted: () => void) {
    this.#onAborted = onAborted
  }

  /** Goes on there: what was kept is sent first. */
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
    if (this.#sink === undefined) this.#onAborted()
    else this.#sink.requestAborted()
  }

  replyTaken(bytes: number): void {
    this.#sink?.replyTaken(bytes)
  }

  requestFlush(): void {
    this.#sink?.requestFlush()
  }
}
