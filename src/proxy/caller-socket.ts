import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

/** So much of what has no reader any more is read and thrown away: a close would destroy the reply on its way. */
const discardLimitBytes = 256 * 1024

/**
 * A caller's socket. Bytes can be held back until their turn comes, and it ends in a way that lets the last reply arrive: our side
 * first, while what still comes is read and thrown away, so that no reset overtakes the reply.
 */
export class CallerSocket {
  readonly #socket: Duplex
  /** `lingering`: our side has ended. `tunnel`: what it carries is no HTTP any more. */
  #phase: 'open' | 'lingering' | 'tunnel' | 'gone' = 'open'
  #held: Buffer | undefined
  #discardedBytes = 0

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  get isGone(): boolean {
    return this.#phase === 'gone'
  }

  get hasHeld(): boolean {
    return this.#held !== undefined
  }

  get isPaused(): boolean {
    return this.#socket.isPaused()
  }

  /** The caller does not take what it is sent. */
  get isBlocked(): boolean {
    return this.#socket.writableNeedDrain
  }

  pause(): void {
    if (this.#phase === 'open') this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Keeps `chunk` for `takeHeld`, and reads no more. */
  hold(chunk: Buffer): void {
    this.#held = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk])
    this.#socket.pause()
  }

  takeHeld(): Buffer | undefined {
    const held = this.#held
    this.#held = undefined
    return held
  }

  /** From now on it carries something else than HTTP, and each half ends on its own. Returns what was held back. */
  becomeTunnel(): Buffer | undefined {
    this.#phase = 'tunnel'
    this.#socket.allowHalfOpen = true
    return this.takeHeld()
  }

  /** What is thrown away from now on belongs to another request. */
  expectNothingDiscarded(): void {
    this.#discardedBytes = 0
  }

  /** Counts bytes that are thrown away. Returns false when they are too many to go on with that. */
  discard(bytes: number): boolean {
    this.#discardedBytes += bytes
    if (this.#discardedBytes <= discardLimitBytes) return true
    if (this.#phase !== 'open') this.#socket.pause()
    return false
  }

  /** Ends our side. Whoever calls it sees to it that the socket is destroyed when the caller does not answer in time. */
  end(onSent: () => void): void {
    this.#phase = 'lingering'
    this.#held = undefined
    this.#socket.end(onSent)
    this.#socket.resume()
  }

  /** Closes now. `isCut`: so that the end cannot be taken for the end of a reply. */
  destroy(isCut: boolean): void {
    this.#phase = 'gone'
    this.#held = undefined
    if (isCut && isTcp(this.#socket)) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }
}

/** TLS needs no reset, and can send none: it ends without its close_notify. */
function isTcp(socket: Duplex): socket is Socket {
  return (
    socket instanceof Socket && !(socket instanceof TLSSocket) && socket.remoteFamily !== undefined
  )
}
