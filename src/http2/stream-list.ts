import type { Http2Stream } from './stream.ts'

/**
 * Streams in order of arrival. Linked through the streams themselves, so that one that is reset leaves at once and none is
 * kept alive by waiting. A stream is in one list at most.
 */
export class StreamList<Context> {
  #first: Http2Stream<Context> | undefined
  #last: Http2Stream<Context> | undefined

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  push(stream: Http2Stream<Context>): void {
    stream.list = this
    stream.previous = this.#last
    if (this.#last === undefined) this.#first = stream
    else this.#last.next = stream
    this.#last = stream
  }

  shift(): Http2Stream<Context> | undefined {
    const stream = this.#first
    if (stream !== undefined) this.remove(stream)
    return stream
  }

  remove(stream: Http2Stream<Context>): void {
    const { previous, next } = stream
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    stream.list = undefined
    stream.previous = undefined
    stream.next = undefined
  }
}
