/** What a list keeps in each of its members. */
export interface Listed<Member extends Listed<Member>> {
  list: StreamList<Member> | undefined
  previous: Member | undefined
  next: Member | undefined
}

/**
 * Streams in order of arrival. Linked through the streams themselves, so that one that is reset leaves at once and none is
 * kept alive by waiting. A stream is in one list at most.
 */
export class StreamList<Stream extends Listed<Stream>> {
  #first: Stream | undefined
  #last: Stream | undefined

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  push(stream: Stream): void {
    stream.list = this
    stream.previous = this.#last
    if (this.#last === undefined) this.#first = stream
    else this.#last.next = stream
    this.#last = stream
  }

  shift(): Stream | undefined {
    const stream = this.#first
    if (stream !== undefined) this.remove(stream)
    return stream
  }

  remove(stream: Stream): void {
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
