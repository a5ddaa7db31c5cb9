import type { Duplex } from 'node:stream'
import type { Fields } from '../../core/fields.ts'
import { noBody } from '../../http1/head.ts'
import { formatReplyHead } from '../../http1/writer.ts'
import { discardedRequest, type ReplyHead, type ReplySink, type RequestSink } from '../ends.ts'
import { ReadWindow } from '../read-window.ts'
import { acceptFor, statusOpened } from './handshake.ts'

/** The connection on which a WebSocket is asked for; a refusal is a reply like any other there. */
export interface UpgradableConnection extends ReplySink {
  /** It speaks HTTP no more. Returns what it has read and not handled. */
  becomeTunnel(): Buffer | undefined
}

/** The caller's end of a WebSocket of HTTP/1.1: first one more request of its connection, then all that is left of it. */
export class Http1WebSocketCaller implements ReplySink {
  /** What the caller sends goes here. */
  request: RequestSink = discardedRequest
  readonly #connection: UpgradableConnection
  readonly #socket: Duplex
  readonly #key: string
  #isOpen = false
  /** Of the caller, on its way to the workload. */
  readonly #window = new ReadWindow()
  /** Bytes to the caller that wait for `drain`. */
  #unsentBytes = 0

  /** `key`: the caller's Sec-WebSocket-Key. */
  constructor(connection: UpgradableConnection, socket: Duplex, key: string) {
    this.#connection = connection
    this.#socket = socket
    this.#key = key
  }

  /** The socket is this one's. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  // From the caller, once it is open.

  received(chunk: Buffer): void {
    this.#window.add(chunk.length)
    this.request.requestData(chunk)
    this.request.requestFlush()
    if (this.#window.isFull) this.#socket.pause()
  }

  drained(): void {
    const bytes = this.#unsentBytes
    this.#unsentBytes = 0
    this.request.replyTaken(bytes)
  }

  /** The caller has ended its half. */
  finished(): void {
    this.request.requestEnd([])
  }

  // From the exchange.

  replyInformational(status: number, fields: Fields): void {
    this.#connection.replyInformational(status, fields)
  }

  replyHead(head: ReplyHead): void {
    if (head.status === statusOpened) this.#open(head)
    else this.#connection.replyHead(head)
  }

  replyData(chunk: Buffer): void {
    if (!this.#isOpen) this.#connection.replyData(chunk)
    else if (this.#socket.write(chunk)) this.request.replyTaken(chunk.length)
    else this.#unsentBytes += chunk.length
  }

  replyEnd(trailers: Fields): void {
    if (this.#isOpen) this.#socket.end()
    else this.#connection.replyEnd(trailers)
  }

  replyFailed(failure: Parameters<ReplySink['replyFailed']>[0]): void {
    this.#connection.replyFailed(failure)
  }

  requestTaken(bytes: number): void {
    this.#window.take(bytes)
    if (this.#window.isHalfEmpty && this.#socket.isPaused()) this.#socket.resume()
  }

  replyFlush(): void {
    if (!this.#isOpen) this.#connection.replyFlush()
  }

  #open(head: ReplyHead): void {
    const text = formatReplyHead({
      status: head.status,
      reason: head.reason,
      fields: [...switching, acceptFor(this.#key), ...head.fields],
      framing: noBody,
      persistent: true,
      requestMinorVersion: 1,
    })
    const early = this.#connection.becomeTunnel()
    this.#isOpen = true
    this.#socket.write(text, 'latin1')
    if (early !== undefined) this.received(early)
    if (!this.#window.isFull && this.#socket.isPaused()) this.#socket.resume()
  }
}

const switching = ['upgrade', 'websocket', 'connection', 'Upgrade', 'sec-websocket-accept']
