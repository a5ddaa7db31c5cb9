import type { Socket } from 'node:net'
import type { Clock, Timer } from '../core/clock.ts'
import type { HandshakeResult } from '../telemetry/telemetry.ts'
import type { Client } from './client.ts'

/** A connection that has not yet shown what it is. */
export interface Arrival {
  readonly socket: Socket
  /** Changes once a balancer has said for whom it connects. */
  client: Client
  readonly endMs: number
  /** Of the socket's bytes those that came before TLS; undefined until TLS begins. */
  bytesBeforeTls?: number
}

export interface ArrivalsOptions {
  readonly clock: Clock
  /** At once; one more, and the oldest is cut. */
  readonly most: number
  /** From accept until it is known what the connection is, handshake included. */
  readonly timeoutMs: number
  /** How each of them went, and why where that is known; exactly once. */
  readonly onEnd: (arrival: Arrival, result: HandshakeResult, reason: string) => void
}

const sweepEveryMs = 250

/**
 * Connections from accept to the end of the handshake: who opens them and says nothing, or says it slowly, can hold only so many
 * for so long. When there are too many it is the oldest that goes and not the newest: an honest caller is done within a few round
 * trips and is hardly ever the oldest, so that a flood of half-open connections pushes out itself.
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  /** In the order of accept. */
  readonly #members = new Map<string, Arrival>()
  #sweeper: Timer | undefined

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#members.size
  }

  /** A connection was accepted. */
  begin(socket: Socket, client: Client): Arrival {
    const { clock, most, timeoutMs } = this.#options
    if (this.#members.size >= most) this.#cutOldest('too_many_handshakes')
    const arrival: Arrival = { socket, client, endMs: clock.monotonic() + timeoutMs }
    const key = keyOf(socket)
    this.#members.set(key, arrival)
    socket.once('close', () => {
      if (this.#members.get(key) === arrival) this.#remove(key, arrival, 'failed', 'disconnected')
    })
    this.#sweeper ??= clock.setTimer(sweepEveryMs, this.#sweep)
    return arrival
  }

  /**
   * The connection is known, or was refused; `reason` says it more closely than `result`. Returns what it was; undefined when it
   * is none any more.
   */
  end(socket: Socket, result: HandshakeResult, reason: string = result): Arrival | undefined {
    const key = keyOf(socket)
    const arrival = this.#members.get(key)
    if (arrival !== undefined) this.#remove(key, arrival, result, reason)
    return arrival
  }

  /** Since accept, milliseconds. */
  ageMs({ endMs }: Arrival): number {
    const { clock, timeoutMs } = this.#options
    return clock.monotonic() - (endMs - timeoutMs)
  }

  /** Cuts all of them. */
  destroy(): void {
    this.#sweeper?.cancel()
    for (const { socket } of this.#members.values()) socket.destroy()
  }

  #remove(key: string, arrival: Arrival, result: HandshakeResult, reason: string): void {
    this.#members.delete(key)
    this.#options.onEnd(arrival, result, reason)
  }

  #cutOldest(result: HandshakeResult): void {
    const [oldest] = this.#members
    if (oldest === undefined) return
    const [key, arrival] = oldest
    this.#remove(key, arrival, result, result)
    arrival.socket.destroy()
  }

  readonly #sweep = (): void => {
    const { clock } = this.#options
    const nowMs = clock.monotonic()
    for (const { endMs } of this.#members.values()) {
      if (endMs > nowMs) break
      this.#cutOldest('timeout')
    }
    this.#sweeper = this.#members.size > 0 ? clock.setTimer(sweepEveryMs, this.#sweep) : undefined
  }
}

/** A TLS socket has no public way to the socket below it, but it has the same other end, which is that of no other connection. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`
}
