import type { Fields } from '../core/fields.ts'
import { BodyReader } from './body-reader.ts'
import { noFields, type ReplyHead } from './head.ts'
import { defaultHttp1Limits, type Http1Limits } from './limits.ts'
import { LineReader } from './line-reader.ts'
import { Fault, type ReplyRefusal, type ReplyRefusalCode } from './refusal.ts'
import { ReplyHeadParser } from './reply-head.ts'

/**
 * What a reader finds, for each expected reply in this order: informational heads, its head, its data, its end; or a refusal at any
 * point, after which nothing comes. Called from within `read` and `finish`, which must not be called again from here.
 */
export interface ReplyEvents {
  /** 1xx other than 101. */
  onInformational(head: ReplyHead): void
  /** The final head; with 101, and 2xx to CONNECT, what follows its end is no longer HTTP. */
  onHead(head: ReplyHead): void
  /** A slice of the chunk that was read, not a copy; never empty. */
  onData(data: Buffer): void
  onEnd(trailers: Fields): void
  onRefusal(refusal: ReplyRefusal): void
}

/** `idle`: no reply is expected. `waiting`: one is, and no byte of it was seen. `refused`: the connection can carry no more. */
export type ReplyReaderState = 'idle' | 'waiting' | 'head' | 'body' | 'refused'

const unexpected = new Fault('reply_unexpected', 'bytes came while no reply was expected')
const tooManyInformational = new Fault(
  'too_many_informational_replies',
  'more informational replies than the limit',
)
const switchingProtocols = 101

/** Reads the replies of one connection, one after the other, each announced with `expect`: bytes in, events out (RFC 9112). */
export class ReplyReader {
  readonly #events: ReplyEvents
  readonly #limits: Http1Limits
  readonly #lines = new LineReader()
  readonly #head: ReplyHeadParser
  readonly #body: BodyReader
  #phase: 'idle' | 'head' | 'body' | 'refused' = 'idle'
  #informational = 0

  constructor(events: ReplyEvents, limits: Partial<Http1Limits> = {}) {
    this.#events = events
    this.#limits = { ...defaultHttp1Limits, ...limits }
    this.#head = new ReplyHeadParser(this.#limits)
    this.#body = new BodyReader(this.#limits, (data) => events.onData(data))
  }

  get state(): ReplyReaderState {
    if (this.#phase !== 'head') return this.#phase
    const isWaiting = this.#informational === 0 && this.#head.isFresh && this.#lines.isAtLineStart
    return isWaiting ? 'waiting' : 'head'
  }

  /** A request with `method` was sent. Throws `TypeError` unless the reader is idle: requests are not pipelined. */
  expect(method: string): void {
    if (this.#phase !== 'idle') throw new TypeError('a reply is expected only when none is read')
    this.#phase = 'head'
    this.#informational = 0
    this.#head.expect(method)
    this.#lines.begin(this.#limits.maxHeadBytes)
  }

  /**
   * Reads `chunk` from offset `from` and returns the offset after the last byte consumed. That is its end, except that reading stops
   * after a reply's end and after a refusal. Bytes left over after a reply's end were not asked for, unless the protocol was
   * switched; read on, they are refused.
   */
  read(chunk: Buffer, from: number): number {
    let at = from
    if (this.#phase === 'idle' && at < chunk.length) this.#refuse(unexpected)
    while (this.#phase === 'head' && at < chunk.length) at = this.#readHead(chunk, at)
    if (this.#phase === 'body') at = this.#readBody(chunk, at)
    return at
  }

  /** The connection ended. Returns false when that cut a reply short, or left an expected one out. */
  finish(): boolean {
    if (this.#phase === 'body' && this.#body.endsWithConnection) this.#end(noFields)
    return this.#phase === 'idle'
  }

  #readHead(chunk: Buffer, from: number): number {
    const at = this.#lines.read(chunk, from, this.#head)
    if (!this.#lines.isOpen) this.#endHead()
    return at
  }

  #endHead(): void {
    const head = this.#head.take()
    if (head === undefined) return
    if (head instanceof Fault) this.#refuse(head)
    else if (isInformational(head.status)) this.#passInformational(head)
    else this.#beginBody(head)
  }

  #passInformational(head: ReplyHead): void {
    this.#informational++
    if (this.#informational > this.#limits.maxInformationalReplies) {
      this.#refuse(tooManyInformational)
    } else {
      this.#lines.begin(this.#limits.maxHeadBytes)
      this.#events.onInformational(head)
    }
  }

  #beginBody(head: ReplyHead): void {
    this.#phase = 'body'
    this.#body.begin(head.framing)
    this.#events.onHead(head)
  }

  #readBody(chunk: Buffer, from: number): number {
    const at = this.#body.read(chunk, from)
    const result = this.#body.result
    if (result instanceof Fault) this.#refuse(result)
    else if (result !== undefined) this.#end(result)
    return at
  }

  #end(trailers: Fields): void {
    this.#phase = 'idle'
    this.#events.onEnd(trailers)
  }

  #refuse(fault: Fault<ReplyRefusalCode>): void {
    this.#phase = 'refused'
    this.#events.onRefusal({ code: fault.code, detail: fault.detail })
  }
}

function isInformational(status: number): boolean {
  return status < 200 && status !== switchingProtocols
}
