import type { Duplex } from 'node:stream'
import type { Fields } from '../core/fields.ts'
import { bodyUntilClose, chunkedBody, type Framing, noBody } from '../http1/head.ts'
import { formatInformationalHead, formatReplyHead } from '../http1/writer.ts'
import type { BodyLength, ReplyHead } from './ends.ts'
import { Http1Outbox } from './http1-outbox.ts'

/** What decides the form of the reply to a request. */
export interface RepliedRequest {
  readonly method: string
  readonly minorVersion: 0 | 1
  /** Whether the connection may carry another request. */
  readonly persistent: boolean
}

/** Writes the replies of one caller's connection, one after the other, as each request's method and version ask for. */
export class Http1ReplyWriter {
  readonly #outbox: Http1Outbox
  #request: RepliedRequest = { method: 'GET', minorVersion: 1, persistent: true }
  #state: 'awaited' | 'begun' | 'ended' = 'ended'
  #persistent = true
  #hasBody = false

  constructor(socket: Duplex) {
    this.#outbox = new Http1Outbox(socket)
  }

  /** `ended`: also before the first request. */
  get state(): 'awaited' | 'begun' | 'ended' {
    return this.#state
  }

  /** Whether the connection outlives the reply. */
  get persistent(): boolean {
    return this.#persistent
  }

  /** The end of the connection would be taken for the end of the reply. */
  get endsWithConnection(): boolean {
    return this.#state === 'begun' && this.#outbox.isUntilClose
  }

  /** Something was collected that a flush would write. */
  get hasOutput(): boolean {
    return this.#outbox.hasOutput
  }

  /** So much was collected that there is nothing to gain by waiting for more. */
  get isFull(): boolean {
    return this.#outbox.isFull
  }

  /** A request was read; its reply comes next. */
  expect(request: RepliedRequest): void {
    this.#request = request
    this.#state = 'awaited'
    this.#persistent = request.persistent
    this.#hasBody = false
  }

  /** The connection ends after the reply; its head says so when it is still to come. */
  closeAfter(): void {
    this.#persistent = false
  }

  /** HTTP/1.0 knows none: they are left out there. */
  informational(status: number, fields: Fields): void {
    if (this.#request.minorVersion === 0 || this.#state !== 'awaited') return
    this.#outbox.informational(formatInformationalHead(status, fields))
  }

  /** Throws `TypeError` for a second reply to one request: the caller would take it for the answer to its next. */
  head(head: ReplyHead): void {
    if (this.#state !== 'awaited') throw new TypeError('a request has one reply')
    const { method, minorVersion } = this.#request
    this.#hasBody = hasBody(method, head.status)
    const framing = this.#hasBody
      ? bodyFraming(head.length, minorVersion)
      : announcement(head.length, head.status)
    if (framing === bodyUntilClose) this.#persistent = false
    const text = formatReplyHead({
      status: head.status,
      reason: head.reason,
      fields: head.fields,
      framing,
      persistent: this.#persistent,
      requestMinorVersion: minorVersion,
    })
    this.#state = 'begun'
    this.#outbox.begin(text, this.#hasBody ? framing : noBody)
  }

  /** Returns the bytes that go nowhere, because this reply has no body. */
  data(chunk: Buffer): number {
    if (!this.#hasBody) return chunk.length
    this.#outbox.data(chunk)
    return 0
  }

  end(trailers: Fields): void {
    this.#outbox.end(trailers)
    this.#outbox.settle()
    this.#state = 'ended'
  }

  /** Writes what was collected. Returns the body bytes that left with it; others wait for `drained`. */
  flush(): number {
    return this.#outbox.flush()
  }

  /** For the socket's `drain`: returns the body bytes that left since `flush`. */
  drained(): number {
    return this.#outbox.drained()
  }
}

const emptyBody: Framing = { kind: 'length', bytes: 0 }

/** RFC 9112 6.3. */
function hasBody(method: string, status: number): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304
}

/** What the reply to HEAD, or a 304, says of the body that it does not have; 204 may not say anything (RFC 9110 8.6). */
function announcement(length: BodyLength, status: number): Framing {
  return typeof length === 'number' && status !== 204 ? { kind: 'length', bytes: length } : noBody
}

function bodyFraming(length: BodyLength, minorVersion: 0 | 1): Framing {
  switch (length) {
    case 'none':
      return emptyBody
    case 'unknown':
      return minorVersion === 0 ? bodyUntilClose : chunkedBody
    default:
      return { kind: 'length', bytes: length }
  }
}
