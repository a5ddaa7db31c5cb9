import type { Duplex } from 'node:stream'
import type { Fields } from '../core/fields.ts'
import { fieldNameOf } from '../http1/field-name.ts'
import { type Framing, noBody } from '../http1/head.ts'
import { chunkTail, formatChunkHead, formatLastChunk } from '../http1/writer.ts'
import { WriteBatch } from './write-batch.ts'

/**
 * The writing half of one HTTP/1.1 connection: heads, bodies and trailers, collected until a flush. It holds every body to what
 * its head announced, whatever the other end hands it, and knows how many body bytes still wait in this process.
 */
export class Http1Outbox {
  readonly #socket: Duplex
  readonly #batch = new WriteBatch()
  #framing: Framing = noBody
  /** Of a body with a length: what is still to come. */
  #missingBytes = 0
  /** Body bytes in the batch. */
  #collectedBytes = 0
  /** Body bytes that were written and wait for `drain`. */
  #unsentBytes = 0

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  /** Something was collected that a flush would write. */
  get hasOutput(): boolean {
    return !this.#batch.isEmpty
  }

  /** So much was collected that there is nothing to gain by waiting for more. */
  get isFull(): boolean {
    return this.#batch.isFull
  }

  /** Everything has been handed to the kernel. */
  get isSent(): boolean {
    return this.#batch.isEmpty && this.#unsentBytes === 0 && this.#socket.writableLength === 0
  }

  /** The body of the message under way ends only with its connection. */
  get isUntilClose(): boolean {
    return this.#framing.kind === 'close'
  }

  /** A head that announces no body of its own. */
  informational(head: string): void {
    this.#batch.add(head)
  }

  /** Begins a message: `framing` is how its body is written, which with HEAD and 304 is not what the head says. */
  begin(head: string, framing: Framing): void {
    this.#batch.add(head)
    this.#framing = framing
    this.#missingBytes = framing.kind === 'length' ? framing.bytes : 0
  }

  /** Throws `TypeError` for a byte more than was announced: the peer would read it as the next message. */
  data(chunk: Buffer): void {
    // An empty chunk would end a chunked body.
    if (chunk.length === 0) return
    switch (this.#framing.kind) {
      case 'none':
        throw new TypeError('a body where none was announced')
      case 'length':
        this.#missingBytes -= chunk.length
        if (this.#missingBytes < 0) throw new TypeError('a longer body than was announced')
        break
      case 'chunked':
        this.#batch.add(formatChunkHead(chunk.length))
        break
      case 'close':
        break
    }
    this.#batch.add(chunk)
    if (this.#framing.kind === 'chunked') this.#batch.add(chunkTail)
    this.#collectedBytes += chunk.length
  }

  /** Trailers pass where the framing has a place for them. Throws `TypeError` for a body shorter than was announced. */
  end(trailers: Fields): void {
    if (this.#missingBytes > 0) throw new TypeError('a shorter body than was announced')
    if (this.#framing.kind === 'chunked') this.#batch.add(formatLastChunk(sendable(trailers)))
    this.#framing = noBody
  }

  /** Writes what was collected. Returns the body bytes that left with it; others wait for `drained`. */
  flush(): number {
    if (this.#batch.isEmpty) return 0
    const canTakeMore = this.#batch.flushTo(this.#socket)
    const bytes = this.#collectedBytes
    this.#collectedBytes = 0
    if (canTakeMore) return bytes
    this.#unsentBytes += bytes
    return 0
  }

  /** The message is whole and nobody wants to hear any more of what has left of it. */
  settle(): void {
    this.#collectedBytes = 0
  }

  /** For the socket's `drain`: returns the body bytes that left since `flush`. */
  drained(): number {
    const bytes = this.#unsentBytes
    this.#unsentBytes = 0
    return bytes
  }
}

/** HTTP/2 trailers may hold what no reader of HTTP/1.1 accepts there (RFC 9110 6.5.1): such a field is dropped, not the message. */
function sendable(trailers: Fields): Fields {
  if (trailers.length === 0) return trailers
  const kept: string[] = []
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] ?? ''
    if (fieldNameOf(name)?.mayBeTrailer === true) kept.push(name, trailers[i + 1] ?? '')
  }
  return kept
}
