import type { Duplex } from 'node:stream'
import type { Http2Connection } from '../http2/connection.ts'
import { guarded } from './guarded.ts'
import { inLaterTurn, notInLaterTurn, TurnShare } from './turn-share.ts'

export interface Http2SocketOptions<Context> {
  readonly socket: Duplex
  readonly connection: Http2Connection<Context>
  readonly nowMs: () => number
  /** What the peer may cost in one turn of the event loop, in the unit of `Http2Connection.receive`. Default: whatever it sends. */
  readonly workPerTurn?: number
  /** Frames were handled: all of one read, or a share of them. */
  readonly onRead: (nowMs: number) => void
  /** Bytes were handed to the socket. */
  readonly onWritten: () => void
  /** Our side is closed: everything has left. */
  readonly onEnded: () => void
  /** The socket is gone; every stream has had its end. Once. */
  readonly onClosed: () => void
  /** Told of an exception that should not be possible; the connection ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/** After our end so much is still read and thrown away: a close with unread bytes would destroy our last ones on their way. */
const discardLimitBytes = 256 * 1024

/**
 * Joins an HTTP/2 connection to its socket: what was said in one turn of the event loop leaves in one write, nothing is
 * taken from the connection while the socket wants to be waited for, and whichever ends first ends the other.
 */
export class Http2Socket<Context> {
  readonly #options: Http2SocketOptions<Context>
  readonly #flush: () => void
  readonly #whenBehind: () => void
  readonly #share: TurnShare
  #isScheduled = false
  /** More was read than its share: the rest is done in later turns. */
  #isBehind = false
  #isHeldBack = false
  /** `ending`: closes once everything is written; `ended`: our side is closed, what still arrives is thrown away. */
  #phase: 'open' | 'ending' | 'ended' | 'gone' = 'open'
  #discardedBytes = 0
  #reasonOfLoss = 'the connection was closed'

  constructor(options: Http2SocketOptions<Context>) {
    this.#options = options
    this.#share = new TurnShare(options.workPerTurn ?? Infinity)
    this.#whenBehind = this.#guarded(() => this.#goOn())
    this.#flush = this.#guarded(() => {
      this.#isScheduled = false
      this.#write()
    })
    this.#listen()
    if (options.connection.hasOutput) this.schedule()
  }

  /** For logs: why the socket is gone. */
  get reasonOfLoss(): string {
    return this.#reasonOfLoss
  }

  /** Writes what the connection has to say when this turn is over. */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(this.#flush)
  }

  /** Writes what is left, then closes our side. The owner bounds the time that the peer takes to close its own. */
  end(): void {
    if (this.#phase === 'open') this.#phase = 'ending'
    if (this.#isHeldBack) {
      this.#isHeldBack = false
      this.#options.socket.resume()
    }
    this.schedule()
  }

  /** Writes what is left and reads nothing more, until `end`. */
  holdBack(): void {
    this.#isHeldBack = true
    this.#options.socket.pause()
    this.schedule()
  }

  /** Closes now, for this reason. */
  lose(reason: string): void {
    this.#reasonOfLoss = reason
    this.destroy()
  }

  /** Closes now. */
  destroy(): void {
    if (this.#phase === 'gone') return
    this.#phase = 'gone'
    notInLaterTurn(this.#whenBehind)
    const { connection, socket, onClosed } = this.#options
    try {
      connection.connectionLost()
    } finally {
      socket.destroy()
      onClosed()
    }
  }

  #listen(): void {
    const { socket } = this.#options
    socket.on(
      'data',
      this.#guarded((chunk: Buffer) => this.#receive(chunk)),
    )
    socket.on(
      'drain',
      this.#guarded(() => this.#write()),
    )
    socket.on(
      'error',
      this.#guarded((error: Error) => this.lose(error.message)),
    )
    const destroy = this.#guarded(() => this.destroy())
    socket.on('end', destroy)
    socket.on('close', destroy)
  }

  #receive(chunk: Buffer): void {
    const { connection, nowMs } = this.#options
    if (!this.#isReading) {
      this.#discard(chunk.length)
      return
    }
    const readMs = nowMs()
    this.#share.spend(connection.receive(chunk, readMs, this.#share.left))
    this.#worked(readMs)
  }

  /** Does the next share of what was read. */
  #goOn(): void {
    const { connection, nowMs } = this.#options
    if (!this.#isReading) {
      if (!this.#isHeldBack) this.#options.socket.resume()
      return
    }
    const readMs = nowMs()
    this.#share.spend(connection.goOn(readMs, this.#share.left))
    this.#worked(readMs)
  }

  /** While something is left to do nothing more is read. */
  #worked(readMs: number): void {
    const { connection, socket, onRead } = this.#options
    onRead(readMs)
    if (connection.hasOutput) this.schedule()
    if (connection.isBehind) {
      socket.pause()
      inLaterTurn(this.#whenBehind)
    } else if (this.#isBehind && !this.#isHeldBack) {
      socket.resume()
    }
    this.#isBehind = connection.isBehind
  }

  #discard(bytes: number): void {
    this.#discardedBytes += bytes
    if (this.#discardedBytes > discardLimitBytes) this.#options.socket.pause()
  }

  #write(): void {
    const { connection, socket, onWritten, onEnded } = this.#options
    while (this.#isWriting && connection.hasOutput && !socket.writableNeedDrain) {
      writeAll(socket, connection.takeOutput())
      onWritten()
    }
    if (this.#phase === 'ending' && !connection.hasOutput) {
      this.#phase = 'ended'
      socket.end(onEnded)
    }
  }

  get #isReading(): boolean {
    return this.#phase !== 'ended' && !this.#options.connection.isDead
  }

  get #isWriting(): boolean {
    return this.#phase === 'open' || this.#phase === 'ending'
  }

  #guarded<Arguments extends unknown[]>(
    listener: (...values: Arguments) => void,
  ): (...values: Arguments) => void {
    const { onBug } = this.#options
    return guarded((error) => {
      onBug(error)
      guarded(onBug, () => this.destroy())()
    }, listener)
  }
}

function writeAll(socket: Duplex, buffers: readonly Buffer[]): void {
  const [first] = buffers
  if (buffers.length === 1) {
    socket.write(first)
    return
  }
  socket.cork()
  for (const buffer of buffers) socket.write(buffer)
  socket.uncork()
}
