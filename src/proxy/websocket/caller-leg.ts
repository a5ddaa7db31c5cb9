import { Duplex } from 'node:stream'

export interface CallerLegOptions {
  /** Bytes of the workload; `done` asks for more. */
  readonly onBytes: (chunk: Buffer, done: () => void) => void
  /** The workload has ended its half; `done` once the other half has ended too. */
  readonly onEnd: (done: () => void) => void
}

/** All that http2-proxy writes of a head when it is given no fields. */
const headOfHttp2Proxy = 'HTTP/1.1 101 Switching Protocols\r\n\r\n'

/** Bytes of either side that may wait in here. */
const bufferBytes = 64 * 1024

/**
 * What http2-proxy takes for the caller's socket. What the caller sends is pushed into it and what the workload sends is written to
 * it, so that the caller's protocol, windows and half-close stay ours:
 *
 * - http2-proxy ends both sides when this one has finished writing, so it has not, before both have ended;
 * - the head that http2-proxy writes first is swallowed. A different one is a failure: nothing of it may become a byte of a frame.
 */
export class CallerLeg extends Duplex {
  readonly #options: CallerLegOptions
  #isHeadSeen = false

  constructor(options: CallerLegOptions) {
    super({ readableHighWaterMark: bufferBytes, writableHighWaterMark: bufferBytes })
    this.#options = options
    // Who is told of a failure is told by the owner.
    this.on('error', () => undefined)
  }

  override _read(): void {
    // The caller's window decides when there is more, not this buffer.
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    if (this.#isHeadSeen) {
      this.#options.onBytes(chunk, done)
      return
    }
    this.#isHeadSeen = true
    const isExpected = chunk.toString('latin1') === headOfHttp2Proxy
    done(isExpected ? null : new TypeError('http2-proxy wrote another head'))
  }

  override _final(done: () => void): void {
    this.#options.onEnd(done)
  }

  // What it calls of a socket; ours has its own settings.

  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }
}
