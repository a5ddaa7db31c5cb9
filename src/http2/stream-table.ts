import { ClosedStreams } from './closed-streams.ts'
import type { Ending } from './closed-streams.ts'
import { largest31 } from './frames.ts'
import type { Http2Stream } from './stream.ts'

/** The streams of a connection. Only clients open streams (odd numbers), because push is off at both ends. */
export class StreamTable<Context> {
  readonly #open = new Map<number, Http2Stream<Context>>()
  readonly #closed = new ClosedStreams()
  #lastId = 0

  /** Streams that are not closed. */
  get size(): number {
    return this.#open.size
  }

  /** The highest number that was opened; 0 before the first. */
  get lastId(): number {
    return this.#lastId
  }

  /** The number of the next stream that we open; undefined when they are used up. */
  get nextId(): number | undefined {
    const id = this.#lastId === 0 ? 1 : this.#lastId + 2
    return id <= largest31 ? id : undefined
  }

  get(id: number): Http2Stream<Context> | undefined {
    return this.#open.get(id)
  }

  /** A copy, so that streams may go while one walks over it. */
  all(): Http2Stream<Context>[] {
    return [...this.#open.values()]
  }

  /** Never opened, and still may be. */
  isIdle(id: number): boolean {
    return id > this.#lastId || id % 2 === 0
  }

  /** Marks `id`, and all below, as opened. */
  note(id: number): void {
    this.#lastId = id
  }

  add(stream: Http2Stream<Context>): void {
    this.#lastId = stream.id
    this.#open.set(stream.id, stream)
  }

  remove(stream: Http2Stream<Context>, ending: Ending): void {
    this.#open.delete(stream.id)
    this.#closed.add(stream.id, ending)
  }

  /** For a stream that was opened and never became an object. */
  noteEnding(id: number, ending: Ending): void {
    this.#closed.add(id, ending)
  }

  /** Asked only for streams that are neither idle nor open. */
  ending(id: number): Ending {
    return this.#closed.ending(id)
  }
}
