import type { Fields } from '../core/fields.ts'
import { BodyReader } from './body-reader.ts'
import type { RequestHead } from './head.ts'
import { defaultHttp1Limits, type Http1Limits } from './limits.ts'
import { LineReader } from './line-reader.ts'
import { Fault, refusal, type Refusal, type RefusalCode } from './refusal.ts'
import { RequestHeadParser } from './request-head.ts'

/**
 * What a reader finds, for each request in this order: its head, its data, its end; or a refusal at any point, after which nothing
 * comes. Called from within `read`, which must not be called again from here.
 */
export interface RequestEvents {
  onHead(head: RequestHead): void
  /** A slice of the chunk that was read, not a copy; never empty. */
  onData(data: Buffer): void
  onEnd(trailers: Fields): void
  onRefusal(refusal: Refusal): void
}

/**
 * `idle`: before a request, and no byte of it seen but empty lines. `ended`: after one, until `next`. `refused`: the connection can
 * carry no more.
 */
export type RequestReaderState = 'idle' | 'head' | 'body' | 'ended' | 'refused'

/** Reads the requests of one connection, one after the other: bytes in, events out (RFC 9112). */
export class RequestReader {
  readonly #events: RequestEvents
  readonly #limits: Http1Limits
  readonly #lines = new LineReader()
  readonly #head: RequestHeadParser
  readonly #body: BodyReader
  #phase: 'head' | 'body' | 'ended' | 'refused' = 'head'

  constructor(events: RequestEvents, limits: Partial<Http1Limits> = {}) {
    this.#events = events
    this.#limits = { ...defaultHttp1Limits, ...limits }
    this.#head = new RequestHeadParser(this.#limits)
    this.#body = new BodyReader(this.#limits, (data) => events.onData(data))
    this.#lines.begin(this.#limits.maxHeadBytes)
  }

  get state(): RequestReaderState {
    if (this.#phase !== 'head') return this.#phase
    return this.#head.isFresh && this.#lines.isAtLineStart ? 'idle' : 'head'
  }

  /**
   * Reads `chunk` from offset `from` and returns the offset after the last byte consumed. That is its end, except that reading stops
   * after a request's end, where the rest waits for `next`, and after a refusal.
   */
  read(chunk: Buffer, from: number): number {
    let at = from
    if (this.#phase === 'head') at = this.#readHead(chunk, at)
    if (this.#phase === 'body') at = this.#readBody(chunk, at)
    return at
  }

  /** The owner is ready for the next request. Throws `TypeError` unless one has ended. */
  next(): void {
    if (this.#phase !== 'ended') throw new TypeError('the next request begins when one has ended')
    this.#phase = 'head'
  }

  #readHead(chunk: Buffer, from: number): number {
    const at = this.#lines.read(chunk, from, this.#head)
    if (!this.#lines.isOpen) this.#endHead()
    return at
  }

  #endHead(): void {
    const head = this.#head.take()
    if (head === undefined) return
    if (head instanceof Fault) {
      this.#refuse(head)
    } else {
      this.#phase = 'body'
      this.#body.begin(head.framing)
      this.#events.onHead(head)
    }
  }

  #readBody(chunk: Buffer, from: number): number {
    const at = this.#body.read(chunk, from)
    const result = this.#body.result
    if (result instanceof Fault) this.#refuse(result)
    else if (result !== undefined) this.#end(result)
    return at
  }

  #end(trailers: Fields): void {
    this.#phase = 'ended'
    this.#lines.begin(this.#limits.maxHeadBytes)
    this.#events.onEnd(trailers)
  }

  #refuse(fault: Fault<RefusalCode>): void {
    this.#phase = 'refused'
    this.#events.onRefusal(refusal(fault.code, fault.detail))
  }
}
